"""People on both databases: their passwords are not guessed at more often than is allowed."""

import pytest

from farebox.account.join import ask_to_join, confirm
from farebox.account.log_in import ask_for_link, log_in_by_link
from farebox.account.sessions import show_password
from farebox.account.sign_up import sign_up
from farebox.domain.people import Allowance, WrongPassword, guesses_from
from farebox.store.accounts import StoredAccounts
from farebox.store.mail_outbox import StoredMailOutbox
from tests.contract.world import ADA, CLIENT, GOOD, OTHER, PRODUCT, World, together


def test_ten_guesses_are_looked_at_and_no_more_though_fifty_come_at_once(world: World) -> None:
    world.join()
    world.passwords.done.clear()
    came = together(50, lambda: world.log_in("not the password"))
    assert all(isinstance(each, WrongPassword) for each in came)
    assert world.passwords.done == ["check"] * 10
    refused = [each for each in came if isinstance(each, WrongPassword) and each.retry_after_seconds is not None]
    assert len(refused) == 40
    assert "Try again in 15 minutes, or get a link by e-mail" in str(refused[0])
    with pytest.raises(WrongPassword, match="not checked"):
        world.log_in(GOOD)
    ask_for_link(world.desk, CLIENT, email=ADA, purpose="magic")
    assert log_in_by_link(world.desk, CLIENT, token=world.token("magic")).cookie, "the owner still gets in"


def test_guesses_of_one_network_have_a_bound_whosever_password_is_guessed(world: World) -> None:
    here = world.visit(world.join().cookie)
    world.use_up(guesses_from(CLIENT))
    with pytest.raises(WrongPassword, match="not checked"):
        world.log_in(GOOD)
    with pytest.raises(WrongPassword, match="not checked"):
        show_password(world.desk, here, CLIENT, GOOD)


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
        before = {**world.counts(), "guess": world.count("guess")}
        world.passwords.done.clear()
        with pytest.raises(WrongPassword) as told:
            world.log_in(password, email)
        after = {**world.counts(), "guess": world.count("guess")}
        changed = {name: after[name] - before[name] for name in after}
        # Of a person the audit log has a row more, of nobody the guesses: so that it does not stay.
        changed["noted"] = changed.pop("audit") + changed.pop("guess")
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


def test_the_sender_alone_knows_who_has_an_address(world: World, outbox: StoredMailOutbox) -> None:
    world.join()
    world.rows("DELETE FROM mail")
    sign_up(StoredAccounts(world.database), PRODUCT, "bea@example.com", "pro")
    for email in (ADA, "bea@example.com", "nobody@example.com"):
        ask_for_link(world.desk, CLIENT, email=email, purpose="magic")
    found = [outbox.claim(), outbox.claim(), outbox.claim(), outbox.claim()]
    assert {(due.mail.email, *due[1:]) for due in found if due} == {
        (ADA, True, True, False),
        ("bea@example.com", False, True, True),
        ("nobody@example.com", False, True, False),
    }
    assert found[3] is None


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
