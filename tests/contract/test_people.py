"""People on both databases: let in once, out at once, and never guessed at more often than is allowed."""

import json
import time
from collections.abc import Callable, Iterator

import pytest

from farebox.account import sessions
from farebox.account.desk import LoggedIn
from farebox.account.join import ask_to_join, confirm
from farebox.account.log_in import ask_for_link, log_in, log_in_by_link, reset_password
from farebox.account.sign_up import sign_up
from farebox.domain.events import SignedUp
from farebox.domain.people import (
    SESSION_IDLE_US,
    SESSION_MAX_US,
    Allowance,
    Client,
    LinkGone,
    NotAllowed,
    PersonError,
    TooOften,
    WrongPassword,
    link_token,
)
from farebox.store.accounts import StoredAccounts
from farebox.store.database import Database
from farebox.store.outbox import StoredOutbox
from tests.contract.world import ADA, CLIENT, GOOD, OTHER, PRODUCT, SECRET, World, together


@pytest.fixture
def world(database: Database) -> World:
    return World(database)


@pytest.fixture
def outbox(database: Database) -> Iterator[StoredOutbox]:
    found = StoredOutbox(database)
    yield found
    found.close()


# -- Sign-up


def test_a_sign_up_leaves_a_link_and_a_mail_and_nothing_else(world: World) -> None:
    ask_to_join(world.desk, CLIENT, email=" Ada@Example.com ", password=GOOD, plan="pro")
    assert world.counts() == {"person": 0, "account": 0, "member": 0, "session": 0, "link": 1, "mail": 1, "audit": 0}
    assert world.woken == 1
    [(email, template, data, link_id)] = world.rows("SELECT email, template, data, link_id FROM mail")
    assert (email, template, data) == (ADA, "confirm", "{}")
    token = link_token(SECRET, link_id)
    stored = json.dumps(world.rows("SELECT * FROM link") + world.rows("SELECT * FROM mail"))
    assert token.partition("-")[2] not in stored
    assert GOOD in stored, "only as what the stand-in calls a hash"


def test_the_link_makes_the_person_the_account_its_owner_and_a_session(world: World) -> None:
    browser = ask_to_join(world.desk, CLIENT, email=ADA, password=GOOD, plan="pro")
    came, wanted = confirm(world.desk, CLIENT, token=world.token(), browser=browser)
    here = world.visit(came.cookie)
    assert (here.person.email, here.account.email, here.role, wanted) == (ADA, ADA, "owner", "pro")
    assert here.account.plan == "free", "what costs money is not given by a form"
    assert here.account.anchor_us == here.account.created_us
    assert here.session.began == "mail"
    assert world.told == [SignedUp(here.account.id, "free", ADA)]
    assert world.rows("SELECT data FROM link") == [("{}",)], "the hash lies about no longer"
    assert [row[0] for row in world.rows("SELECT what FROM audit ORDER BY what")] == ["account_opened", "logged_in"]
    assert world.log_in()


def test_an_account_without_members_is_claimed_by_who_confirms_its_address(world: World) -> None:
    made = sign_up(StoredAccounts(world.database), PRODUCT, ADA, "pro")
    here = world.visit(world.join().cookie)
    assert (here.account, here.role) == (made, "owner")
    assert world.count("account") == 1


def test_an_account_that_others_are_in_is_not_claimed_by_its_address(world: World) -> None:
    theirs = world.visit(world.join().cookie)
    world.rows("UPDATE person SET email = 'ada@elsewhere.example' WHERE id = :id", id=theirs.person.id)
    with pytest.raises(NotAllowed, match="belongs to a team"):
        world.join()
    assert world.count("person") == 1
    assert world.rows("SELECT used_us FROM link ORDER BY created_us DESC LIMIT 1") == [(None,)]


def test_the_password_counts_only_in_the_browser_that_chose_it(world: World) -> None:
    for browser in ("", "of another browser"):
        ask_to_join(world.desk, CLIENT, email=ADA, password=GOOD)
        came, _ = confirm(world.desk, CLIENT, token=world.token(), browser=browser)
        assert came.entered.person.password_hash is None
        with pytest.raises(WrongPassword):
            world.log_in()
        sessions.log_out(world.desk, came.cookie)


def test_signing_up_with_a_known_address_does_not_set_the_password(world: World) -> None:
    world.join()
    browser = ask_to_join(world.desk, CLIENT, email=ADA, password=OTHER)
    came, _ = confirm(world.desk, CLIENT, token=world.token(), browser=browser)
    assert world.visit(came.cookie).person.email == ADA
    with pytest.raises(WrongPassword):
        world.log_in(OTHER)
    assert world.log_in(GOOD)
    assert len(world.told) == 1


def test_two_who_confirm_at_once_make_one_account(world: World) -> None:
    browser = ask_to_join(world.desk, CLIENT, email=ADA, password=GOOD)
    token = world.token()
    came = together(8, lambda: confirm(world.desk, CLIENT, token=token, browser=browser))
    assert sum(not isinstance(each, LinkGone) for each in came) == 1
    assert {world.count(name) for name in ("person", "account", "member", "session")} == {1}
    assert len(world.told) == 1


def test_sign_ups_of_one_network_have_a_bound_and_those_of_others_do_not_count(world: World) -> None:
    for number in range(20):
        ask_to_join(world.desk, CLIENT, email=f"{number}@example.com", password=GOOD)
    with pytest.raises(TooOften) as told:
        ask_to_join(world.desk, CLIENT, email="last@example.com", password=GOOD)
    assert 3_500 < (told.value.retry_after_seconds or 0) <= 3_600
    ask_to_join(world.desk, Client("203.0.113.10", ""), email="last@example.com", password=GOOD)
    for number in range(21):
        network = Client(f"2001:db8::{number:x}", "")
        if number == 20:
            with pytest.raises(TooOften):
                ask_to_join(world.desk, network, email=f"v6-{number}@example.com", password=GOOD)
        else:
            ask_to_join(world.desk, network, email=f"v6-{number}@example.com", password=GOOD)


# -- Links


def test_a_link_works_once_even_for_many_at_once(world: World) -> None:
    world.join()
    ask_for_link(world.desk, CLIENT, email=ADA, purpose="magic")
    token = world.token("magic")
    came = together(8, lambda: log_in_by_link(world.desk, CLIENT, token=token))
    assert sum(isinstance(each, LoggedIn) for each in came) == 1
    assert sum(isinstance(each, LinkGone) for each in came) == 7


def test_only_the_newest_link_of_a_purpose_works(world: World) -> None:
    world.join()
    tokens = []
    for _ in range(3):
        ask_for_link(world.desk, CLIENT, email=ADA, purpose="magic")
        tokens.append(world.token("magic"))
    ask_for_link(world.desk, CLIENT, email=ADA, purpose="reset")
    for older in tokens[:2]:
        with pytest.raises(LinkGone):
            log_in_by_link(world.desk, CLIENT, token=older)
    log_in_by_link(world.desk, CLIENT, token=tokens[2])
    for token in tokens:
        with pytest.raises(LinkGone):
            log_in_by_link(world.desk, CLIENT, token=token)


@pytest.mark.parametrize(("purpose", "minutes"), [("magic", 10), ("reset", 30), ("confirm", 24 * 60)])
def test_a_link_ends_with_its_time(world: World, purpose: str, minutes: int) -> None:
    world.join()
    if purpose == "confirm":
        ask_to_join(world.desk, CLIENT, email=ADA, password=GOOD)
    else:
        ask_for_link(world.desk, CLIENT, email=ADA, purpose="magic" if purpose == "magic" else "reset")
    [(lasts_us,)] = world.rows(
        "SELECT expires_us - created_us FROM link WHERE purpose = :purpose AND used_us IS NULL", purpose=purpose
    )
    assert lasts_us == minutes * 60 * 10**6
    world.rows("UPDATE link SET created_us = created_us - :us, expires_us = expires_us - :us", us=lasts_us)
    token = world.token(purpose)
    uses: list[Callable[[], object]] = [
        lambda: log_in_by_link(world.desk, CLIENT, token=token),
        lambda: reset_password(world.desk, CLIENT, token=token, password=OTHER),
        lambda: confirm(world.desk, CLIENT, token=token, browser=""),
    ]
    for use in uses:
        with pytest.raises(LinkGone):
            use()


def test_a_link_is_good_for_its_own_purpose_only(world: World) -> None:
    world.join()
    ask_for_link(world.desk, CLIENT, email=ADA, purpose="magic")
    ask_for_link(world.desk, CLIENT, email=ADA, purpose="reset")
    with pytest.raises(LinkGone):
        reset_password(world.desk, CLIENT, token=world.token("magic"), password=OTHER)
    with pytest.raises(LinkGone):
        log_in_by_link(world.desk, CLIENT, token=world.token("reset"))
    with pytest.raises(LinkGone):
        confirm(world.desk, CLIENT, token=world.token("reset"), browser="")
    assert log_in_by_link(world.desk, CLIENT, token=world.token("magic")).cookie


@pytest.mark.parametrize("token", ["", "x", f"{'0' * 32}-{'0' * 43}", f"{'0' * 32}", "é" * 76])
def test_a_made_up_token_is_no_link(world: World, token: str) -> None:
    with pytest.raises(LinkGone):
        log_in_by_link(world.desk, CLIENT, token=token)


def test_a_token_under_another_secret_is_no_link(world: World) -> None:
    world.join()
    ask_for_link(world.desk, CLIENT, email=ADA, purpose="magic")
    link_id = world.token("magic").partition("-")[0]
    with pytest.raises(LinkGone):
        log_in_by_link(world.desk, CLIENT, token=link_token(b"a secret of somebody else", link_id))


def test_mails_to_an_address_have_a_bound_and_the_answer_is_the_same(world: World) -> None:
    for _ in range(8):
        ask_for_link(world.desk, CLIENT, email=ADA, purpose="magic")
    assert world.count("mail") == 5
    ask_for_link(world.desk, CLIENT, email=ADA, purpose="reset")
    assert world.count("mail") == 6


# -- Passwords


def test_ten_guesses_are_looked_at_and_no_more_though_fifty_come_at_once(world: World) -> None:
    world.join()
    world.passwords.done.clear()
    came = together(50, lambda: world.log_in("not the password"))
    assert all(isinstance(each, WrongPassword) for each in came)
    assert world.passwords.done == ["check"] * 10
    refused = [each for each in came if isinstance(each, WrongPassword) and each.retry_after_seconds is not None]
    assert len(refused) == 40
    assert "Try again in 15 minutes, or have a link mailed to you" in str(refused[0])
    with pytest.raises(WrongPassword, match="not looked at"):
        world.log_in(GOOD)
    ask_for_link(world.desk, CLIENT, email=ADA, purpose="magic")
    assert log_in_by_link(world.desk, CLIENT, token=world.token("magic")).cookie, "the owner still gets in"


def test_the_window_of_guesses_slides(world: World) -> None:
    quarter_us = 15 * 60 * 10**6
    ten = Allowance("x", 10, quarter_us)
    assert [world.people.take([ten]) for _ in range(10)] == [None] * 10
    room_us = world.people.take([ten])
    assert room_us is not None
    [(first_us,)] = world.rows("SELECT min(at_us) FROM guess")
    assert room_us == first_us + quarter_us
    world.rows(
        "UPDATE guess SET at_us = at_us - :us WHERE id IN (SELECT id FROM guess ORDER BY at_us, id LIMIT 3)",
        us=quarter_us,
    )
    assert [world.people.take([ten]) is None for _ in range(5)] == [True, True, True, False, False]


def test_one_full_window_has_none_of_the_others_count(world: World) -> None:
    full, other = Allowance("full", 1, 10**9), Allowance("other", 1, 10**9)
    assert world.people.take([full]) is None
    assert world.people.take([other, full]) is not None
    assert world.people.take([other]) is None


@pytest.mark.parametrize("password", ["not the password", "x" * 5_000])
def test_an_unknown_address_is_as_much_work_as_a_wrong_password(world: World, password: str) -> None:
    world.join()
    ask_to_join(world.desk, CLIENT, email="b@example.com", password=GOOD)
    confirm(world.desk, CLIENT, token=world.token(email="b@example.com"), browser="")  # somebody without a password
    seen = []
    for email in (ADA, "nobody@example.com", "b@example.com"):
        before = world.counts()
        world.passwords.done.clear()
        with pytest.raises(WrongPassword) as told:
            world.log_in(password, email)
        after = world.counts()
        changed = {name: after[name] - before[name] for name in after}
        seen.append((told.value.detail, told.value.retry_after_seconds, list(world.passwords.done), changed))
    assert seen[0] == seen[1] == seen[2]
    assert seen[0][2] == ["check"]


@pytest.mark.parametrize("ask", ["join", "magic", "reset"])
def test_what_is_asked_for_a_known_and_an_unknown_address_is_the_same_work(world: World, ask: str) -> None:
    world.join()
    seen = []
    for email in (ADA, "nobody@example.com"):
        before = world.counts()
        world.passwords.done.clear()
        if ask == "join":
            ask_to_join(world.desk, CLIENT, email=email, password=OTHER)
        else:
            ask_for_link(world.desk, CLIENT, email=email, purpose="magic" if ask == "magic" else "reset")
        after = world.counts()
        seen.append(({name: after[name] - before[name] for name in after}, list(world.passwords.done)))
    assert seen[0] == seen[1]
    assert seen[0][0]["mail"] == 1


def test_the_sender_alone_knows_who_has_an_address(world: World, outbox: StoredOutbox) -> None:
    world.join()
    world.rows("DELETE FROM mail")
    for email in (ADA, "nobody@example.com"):
        ask_for_link(world.desk, CLIENT, email=email, purpose="magic")
    found = [outbox.claim(), outbox.claim(), outbox.claim()]
    assert {(due.mail.email, due.is_known, due.is_link_alive) for due in found if due} == {
        (ADA, True, True),
        ("nobody@example.com", False, True),
    }
    assert found[2] is None


def test_a_hash_of_older_parameters_is_made_anew_at_log_in(world: World) -> None:
    world.join()
    world.rows("UPDATE person SET password_hash = 'old ' || password_hash")
    assert world.log_in()
    assert world.rows("SELECT password_hash FROM person") == [(f"hash of {GOOD}",)]


def test_a_password_that_changes_while_it_is_looked_at_lets_nobody_in(world: World) -> None:
    here = world.visit(world.join().cookie)
    check = world.passwords.check

    def change_meanwhile(password_hash: str | None, password: str) -> bool:
        found = check(password_hash, password)
        world.people.set_password(here.person, "hash of another", here.session, CLIENT)
        return found

    world.passwords.check = change_meanwhile  # type: ignore[method-assign]
    with pytest.raises(WrongPassword):
        world.log_in()
    assert world.count("session") == 1


# -- Sessions


def test_each_log_in_has_a_session_of_its_own_and_only_its_digest_is_stored(world: World) -> None:
    cookies = [world.join().cookie, world.log_in(), world.log_in()]
    assert len({world.visit(cookie).session.id for cookie in cookies}) == 3
    stored = json.dumps(world.rows("SELECT * FROM session"))
    assert not any(cookie in stored for cookie in cookies)
    assert all(len(cookie) == 43 for cookie in cookies)


def test_log_out_ends_the_session_at_the_server(world: World) -> None:
    first, second = world.join().cookie, world.log_in()
    sessions.log_out(world.desk, first)
    assert world.is_out(first)
    assert world.visit(second)


def test_a_change_of_password_ends_every_other_session_and_open_link(world: World) -> None:
    here, there = world.join().cookie, world.log_in()
    ask_for_link(world.desk, CLIENT, email=ADA, purpose="magic")
    token = world.token("magic")
    sessions.change_password(world.desk, world.visit(here), CLIENT, current=GOOD, new=OTHER)
    assert world.is_out(there)
    assert world.visit(here)
    with pytest.raises(LinkGone):
        log_in_by_link(world.desk, CLIENT, token=token)
    with pytest.raises(WrongPassword):
        world.log_in(GOOD)
    assert world.log_in(OTHER)
    assert world.rows("SELECT count(*) FROM mail WHERE template = 'password_changed'") == [(1,)]


def test_a_wrong_current_password_changes_nothing_and_counts_as_a_guess(world: World) -> None:
    here = world.visit(world.join().cookie)
    for _ in range(10):
        with pytest.raises(WrongPassword, match="This is not your password"):
            sessions.change_password(world.desk, here, CLIENT, current="not it at all", new=OTHER)
    with pytest.raises(WrongPassword, match="not looked at"):
        sessions.show_password(world.desk, here, CLIENT, GOOD)


def test_a_first_password_is_set_soon_after_log_in_and_not_later(world: World) -> None:
    ask_to_join(world.desk, CLIENT, email=ADA, password=GOOD)
    came, _ = confirm(world.desk, CLIENT, token=world.token(), browser="")
    world.rows("UPDATE session SET authenticated_us = authenticated_us - :us", us=10 * 60 * 10**6)
    with pytest.raises(NotAllowed):
        sessions.change_password(world.desk, world.visit(came.cookie), CLIENT, current="", new=OTHER)
    world.people.authenticated(world.visit(came.cookie).session)
    sessions.change_password(world.desk, world.visit(came.cookie), CLIENT, current="", new=OTHER)
    assert world.log_in(OTHER)


def test_a_reset_ends_all_sessions_and_lets_its_owner_in(world: World) -> None:
    before = [world.join().cookie, world.log_in()]
    ask_for_link(world.desk, CLIENT, email=ADA, purpose="reset")
    token = world.token("reset")
    with pytest.raises(PersonError, match="first passwords"):
        reset_password(world.desk, CLIENT, token=token, password="password1")
    came = reset_password(world.desk, CLIENT, token=token, password=OTHER)
    assert world.is_out(*before)
    assert world.visit(came.cookie)
    assert world.log_in(OTHER)
    with pytest.raises(LinkGone):
        reset_password(world.desk, CLIENT, token=token, password=GOOD)


def test_neither_a_link_nor_a_reset_goes_past_the_second_factor(world: World) -> None:
    world.join()
    world.rows("UPDATE person SET totp_secret = :secret", secret=b"sealed")
    sessions_before = world.count("session")
    ask_for_link(world.desk, CLIENT, email=ADA, purpose="magic")
    ask_for_link(world.desk, CLIENT, email=ADA, purpose="reset")
    for came in (
        log_in(world.desk, CLIENT, email=ADA, password=GOOD),
        log_in_by_link(world.desk, CLIENT, token=world.token("magic")),
        reset_password(world.desk, CLIENT, token=world.token("reset"), password=OTHER),
    ):
        assert came.cookie == ""
        assert came.code
    assert world.count("session") < sessions_before, "the reset has ended the one there was"
    with pytest.raises(LinkGone):
        log_in_by_link(world.desk, CLIENT, token=world.token("code"))


@pytest.mark.parametrize(
    "change",
    [
        f"UPDATE session SET seen_us = seen_us - {SESSION_IDLE_US}",
        f"UPDATE session SET expires_us = expires_us - {SESSION_MAX_US}",
        "UPDATE account SET state = 'suspended'",
        "UPDATE account SET closed_us = 1",
        "DELETE FROM member",
    ],
)
def test_a_session_is_over_at_once(world: World, change: str) -> None:
    cookie = world.join().cookie
    world.rows(change)
    assert world.is_out(cookie)


def test_a_session_that_a_suspension_ended_does_not_come_back(world: World) -> None:
    cookie = world.join().cookie
    world.rows("UPDATE account SET state = 'suspended'")
    assert world.is_out(cookie)
    with pytest.raises(NotAllowed, match="suspended"):
        world.log_in()
    world.rows("UPDATE account SET state = 'active'")
    assert world.is_out(cookie)
    assert world.log_in()


def test_a_session_in_use_lives_on_and_most_visits_write_nothing(world: World) -> None:
    cookie = world.join().cookie
    seen_us = world.visit(cookie).session.seen_us
    assert world.visit(cookie).session.seen_us == seen_us
    world.rows("UPDATE session SET seen_us = seen_us - :us", us=SESSION_IDLE_US - 10**9)
    world.visit(cookie)
    assert abs(world.visit(cookie).session.seen_us - time.time_ns() // 1000) < 60 * 10**6


def test_sessions_are_listed_and_ended_by_their_person_only(world: World) -> None:
    here, there = world.join().cookie, world.log_in()
    stranger = world.visit(world.join("eve@example.com").cookie)
    me, other = world.visit(here), world.visit(there)
    assert {each.id for each in world.people.sessions(me.person.id)} == {me.session.id, other.session.id}
    assert not world.people.end_session(stranger.person.id, other.session.id)
    assert world.visit(there)
    assert world.people.end_session(me.person.id, other.session.id)
    assert world.is_out(there)
    world.log_in()
    assert world.people.end_other_sessions(me.person.id, me.session.id) == 1
    assert world.visit(here)


# -- The audit log


@pytest.mark.parametrize("change", ["UPDATE audit SET what = 'x'", "DELETE FROM audit"])
def test_the_audit_log_is_append_only(world: World, change: str) -> None:
    world.join()
    before = world.rows("SELECT * FROM audit ORDER BY id")
    assert before
    with pytest.raises(Exception, match="audit is append-only"):
        world.rows(change)
    assert world.rows("SELECT * FROM audit ORDER BY id") == before


def test_the_audit_log_holds_no_address_of_a_person(world: World) -> None:
    world.join()
    with pytest.raises(WrongPassword):
        world.log_in("not the password")
    rows = json.dumps(world.rows("SELECT * FROM audit"))
    assert ADA not in rows
    assert CLIENT.address not in rows
    assert "203.0.113.0/24" in rows
