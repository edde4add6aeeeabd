"""People on both databases: signed up once, and let in by a link once."""

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any, Final

import pytest
from sqlalchemy import event, text

from farebox.account import sessions
from farebox.account.desk import LoggedIn
from farebox.account.join import ask_to_join, confirm
from farebox.account.log_in import ask_for_link, log_in_by_link, reset_password
from farebox.account.sign_up import sign_up
from farebox.domain.events import SignedUp
from farebox.domain.people import (
    LINK_US,
    Client,
    LinkGone,
    NotAllowed,
    TooOften,
    WrongPassword,
    link_token,
    mails_from,
    mails_to,
)
from farebox.store.accounts import StoredAccounts
from farebox.store.database import Database
from farebox.store.people import people
from tests.contract.test_team import BEA, TeamWorld
from tests.contract.world import ADA, CLIENT, GOOD, OTHER, PRODUCT, SECRET, World, together

USES: Final[dict[str, Callable[[TeamWorld, str], object]]] = {
    "magic": lambda world, token: log_in_by_link(world.desk, CLIENT, token=token),
    "confirm": lambda world, token: confirm(world.desk, CLIENT, token=token, browser=""),
    "invite": lambda world, token: world.accept(token),
}

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
    assert GOOD not in str(world.rows("SELECT * FROM link")), "the hash lies about no longer"
    assert [row[0] for row in world.rows("SELECT what FROM audit ORDER BY what")] == ["account_opened", "logged_in"]
    assert world.log_in()


def test_an_account_without_members_is_claimed_by_who_confirms_its_address(world: World) -> None:
    made = sign_up(StoredAccounts(world.database), PRODUCT, ADA, "pro")
    here = world.visit(world.join().cookie)
    assert (here.account, here.role) == (made, "owner")
    assert world.count("account") == 1


def test_who_never_signed_up_comes_into_the_account_that_the_founder_opened_by_a_mailed_link(world: World) -> None:
    made = {email: sign_up(StoredAccounts(world.database), PRODUCT, email, "pro") for email in (ADA, BEA)}
    for email in (ADA, "eve@example.com"):
        ask_for_link(world.desk, CLIENT, email=email, purpose="magic")
    ask_for_link(world.desk, CLIENT, email=BEA, purpose="reset")
    ada = world.visit(log_in_by_link(world.desk, CLIENT, token=world.token("magic")).cookie)
    assert (ada.account, ada.role, ada.person.password_hash) == (made[ADA], "owner", None)
    token = world.token("reset", BEA)
    bea = world.visit(reset_password(world.desk, CLIENT, token=token, password=GOOD).cookie)
    assert (bea.account, bea.role, bea.person.password_hash) == (made[BEA], "owner", f"hash of {GOOD}")
    with pytest.raises(LinkGone):
        log_in_by_link(world.desk, CLIENT, token=world.token("magic", "eve@example.com"))
    assert (world.count("person"), world.count("account"), world.told) == (2, 2, [])


def test_a_reset_sets_its_password_also_where_another_link_made_the_person_meanwhile(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign_up(StoredAccounts(world.database), PRODUCT, ADA, "pro")
    for purpose in ("magic", "reset"):
        ask_for_link(world.desk, CLIENT, email=ADA, purpose=purpose)
    cookie = log_in_by_link(world.desk, CLIENT, token=world.token("magic")).cookie
    ask_for_link(world.desk, CLIENT, email=ADA, purpose="magic")
    monkeypatch.setattr(people, "lock_asker", lambda *_: None)  # as they were when it looked
    monkeypatch.setattr(people, "is_awaited", lambda *_: True)
    entered = reset_password(world.desk, CLIENT, token=world.token("reset"), password=GOOD)
    assert world.visit(entered.cookie).person.password_hash == f"hash of {GOOD}"
    assert world.is_out(cookie)
    assert log_in_by_link(world.desk, CLIENT, token=world.token("magic")), "its row may be another transaction's"


@pytest.mark.parametrize("role", ["owner", "member"])
def test_who_is_in_a_team_finds_the_account_that_the_founder_opened_for_them_at_the_next_log_in(
    world: World, role: str
) -> None:
    theirs = in_a_team(world, role)
    made = sign_up(StoredAccounts(world.database), PRODUCT, ADA, "pro")
    here = world.visit(world.log_in())
    assert {here.account.id, *(each.id for each in here.others)} == {made.id, theirs}
    assert world.rows("SELECT role FROM member WHERE account_id = :id", id=made.id) == [("owner",)]
    assert world.told == [SignedUp(theirs, "free", ADA)], "as the command has told of it itself"


def test_a_member_of_a_team_who_signs_up_has_an_account_of_their_own_and_an_owner_no_second_one(world: World) -> None:
    theirs = in_a_team(world, "member")
    here = world.visit(world.join().cookie)
    assert (here.account.email, here.role, [each.id for each in here.others]) == (ADA, "owner", [theirs])
    assert world.visit(world.join().cookie).account == here.account
    assert world.told[1:] == [SignedUp(here.account.id, "free", ADA)]
    assert world.count("account") == 2


def in_a_team(world: World, role: str) -> str:
    """Have Ada be in an account of others, and in no other one; its id."""
    here = world.visit(world.join().cookie)
    world.rows("UPDATE account SET email = 'bea@example.com'")
    world.rows("UPDATE member SET role = :role", role=role)
    return here.account.id


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
    seconds = told.value.retry_after_seconds or 0
    assert 3_500 < seconds <= 3_600
    world.rows("UPDATE guess SET at_us = at_us - :waited", waited=seconds * 10**6)
    ask_to_join(world.desk, CLIENT, email="last@example.com", password=GOOD)
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


@pytest.mark.parametrize("purpose", ["magic", "confirm", "invite"])
def test_a_link_is_used_in_the_order_in_which_somebody_is_removed(migrated_pg_url: str, purpose: str) -> None:
    """The person before their links: else each would wait for the other."""
    with closing(Database(migrated_pg_url)) as database, ThreadPoolExecutor(1) as pool:
        world = TeamWorld(database)
        world.join(BEA)
        ask_for_link(world.desk, CLIENT, email=BEA, purpose="magic")
        ask_to_join(world.desk, CLIENT, email=BEA, password=GOOD)
        world.invite(BEA)
        token = world.token(purpose, BEA)
        with database.write() as removing:
            removing.execute(text("SELECT 1 FROM person FOR UPDATE"))
            used = pool.submit(USES[purpose], world, token)
            while not removing.execute(text("SELECT 1 FROM pg_locks WHERE NOT granted")).first() and not used.done():
                time.sleep(0.01)
            removing.execute(text("SELECT 1 FROM link FOR UPDATE NOWAIT"))  # whoever waits for us has not locked it
        assert used.result()


def test_who_is_deleted_at_the_moment_in_which_they_confirm_is_somebody_new(world: World) -> None:
    before = world.visit(world.join().cookie).person.id
    deleted: list[str] = []

    def delete(*args: Any) -> None:  # noqa: ANN401
        if args[2].startswith("INSERT INTO person") and not deleted:
            deleted.append(before)
            args[0].execute(text("DELETE FROM member"))
            args[0].execute(text("DELETE FROM person"))

    event.listen(world.database.engine, "after_cursor_execute", delete)
    try:
        after = world.visit(world.join().cookie).person.id
    finally:
        event.remove(world.database.engine, "after_cursor_execute", delete)
    assert deleted == [before]
    assert after != before


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


def test_mails_that_sign_ups_have_sent_to_an_address_have_a_bound_too(world: World) -> None:
    world.use_up(mails_to(ADA, "confirm"))
    assert ask_to_join(world.desk, CLIENT, email=ADA, password=GOOD)
    assert world.count("mail") == 0


def test_mails_that_one_network_has_sent_have_a_bound_whomever_they_go_to(world: World) -> None:
    world.use_up(mails_from(CLIENT))
    with pytest.raises(TooOften, match="from your network"):
        ask_for_link(world.desk, CLIENT, email=ADA, purpose="magic")
    ask_for_link(world.desk, Client("198.51.100.9", ""), email=ADA, purpose="magic")
    assert world.count("mail") == 1


def test_nobody_is_kept_from_a_link_by_those_that_a_stranger_asked_for(world: World) -> None:
    """Either one of them still works, or another one is sent: guessing and asking together would keep its owner out."""
    world.join()
    for _ in range(6):
        ask_for_link(world.desk, CLIENT, email=ADA, purpose="magic")
    before = world.count("mail")
    world.rows("UPDATE guess SET at_us = at_us - :us", us=LINK_US["magic"])
    ask_for_link(world.desk, CLIENT, email=ADA, purpose="magic")
    assert world.count("mail") == before + 1
