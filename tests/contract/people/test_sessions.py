"""People on both databases: their sessions are over when they should be, and what they did is kept."""

import json
import time

import pytest

from farebox.account import sessions
from farebox.account.join import ask_to_join, confirm
from farebox.account.link_again import find_used
from farebox.account.log_in import ask_for_link, log_in, log_in_by_link, reset_password
from farebox.domain.errors import InvalidRequest
from farebox.domain.people import (
    SESSION_IDLE_US,
    SESSION_MAX_US,
    LinkGone,
    NotAllowed,
    PersonError,
    WrongPassword,
)
from farebox.store.mail_outbox import StoredMailOutbox
from tests.contract.world import ADA, CLIENT, GOOD, OTHER, World

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


def test_an_id_with_a_nul_is_nobodys_and_no_failure_of_ours(world: World) -> None:
    here = world.visit(world.join().cookie)
    for ask in (lambda nul: world.people.end_session(here.person.id, nul), lambda nul: world.keys.find("acct_1", nul)):
        if world.database.is_sqlite:
            assert not ask("\0")
        else:
            with pytest.raises(InvalidRequest, match="NUL"):
                ask("\0")


def test_a_change_of_password_ends_every_other_session_and_open_link(world: World) -> None:
    here, there = world.join().cookie, world.log_in()
    ask_for_link(world.desk, CLIENT, email=ADA, purpose="magic")
    token = world.token("magic")
    ask_to_join(world.desk, CLIENT, email=ADA, password=GOOD)  # whose link lets in who is known, too
    sessions.change_password(world.desk, world.visit(here), CLIENT, current=GOOD, new=OTHER)
    assert world.is_out(there)
    assert world.visit(here)
    with pytest.raises(LinkGone):
        log_in_by_link(world.desk, CLIENT, token=token)
    with pytest.raises(LinkGone):
        confirm(world.desk, CLIENT, token=world.token("confirm"), browser="")
    with pytest.raises(WrongPassword):
        world.log_in(GOOD)
    assert world.log_in(OTHER)
    assert world.rows("SELECT count(*) FROM mail WHERE template = 'password_changed'") == [(1,)]


def test_a_wrong_current_password_changes_nothing_and_counts_as_a_guess(world: World) -> None:
    here = world.visit(world.join().cookie)
    for _ in range(10):
        with pytest.raises(WrongPassword, match="This is not your password"):
            sessions.change_password(world.desk, here, CLIENT, current="not it at all", new=OTHER)
    with pytest.raises(WrongPassword, match="not checked"):
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


def test_a_link_that_a_reset_ended_is_not_told_as_one_that_was_used(world: World) -> None:
    world.join()
    for purpose in ("magic", "reset"):
        ask_for_link(world.desk, CLIENT, email=ADA, purpose=purpose)
    reset_password(world.desk, CLIENT, token=world.token("reset"), password=OTHER)
    assert find_used(world.desk, token=world.token("magic"), opened="") is None
    assert find_used(world.desk, token=world.token("reset"), opened="") is not None


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


def test_a_log_in_that_failed_is_in_the_audit_log(world: World) -> None:
    person_id = world.visit(world.join().cookie).person.id
    with pytest.raises(WrongPassword):
        world.log_in("not the password")
    assert world.rows("SELECT person_id FROM audit WHERE what = 'log_in_failed'") == [(person_id,)]


def test_nothing_that_a_stranger_writes_by_a_failed_log_in_stays(world: World, outbox: StoredMailOutbox) -> None:
    with pytest.raises(WrongPassword):
        world.log_in("not the password", "nobody@example.com")
    assert world.count("audit") == 0
    world.rows("UPDATE guess SET at_us = 0")
    outbox.forget()
    assert world.count("guess") == 0


def test_the_audit_log_holds_no_address_of_a_person(world: World) -> None:
    world.join()
    with pytest.raises(WrongPassword):
        world.log_in("not the password")
    rows = json.dumps(world.rows("SELECT * FROM audit"))
    assert ADA not in rows
    assert CLIENT.address not in rows
    assert "203.0.113.0/24" in rows
