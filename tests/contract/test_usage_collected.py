"""Calls become events whole or not at all, of one customer each, and each in one sender's hand."""

from collections.abc import Callable, Iterator

import pytest

from farebox.domain.errors import LedgerUnavailable
from farebox.store.cursor import Cursor
from farebox.store.database import Database
from farebox.store.money.usage_outbox import SUM_UP
from tests.contract.usage_world import UsageWorld, lost_answer


@pytest.fixture
def world(database: Database) -> Iterator[UsageWorld]:
    found = UsageWorld(database)
    yield found
    found.close()


def test_an_event_is_made_with_its_sum_or_not_at_all(world: UsageWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    world.call("ada", 11)
    run = world.outbox._own.run

    def away(cursor: Cursor, statement: str, *values: object) -> None:
        if statement == SUM_UP:
            raise LedgerUnavailable("away")
        run(cursor, statement, *values)

    with monkeypatch.context() as at_once:
        at_once.setattr(world.outbox._own, "run", away)
        with pytest.raises(LedgerUnavailable):
            world.report.send_all()
    assert (world.states(), world.outbox.waiting("cus_ada")) == ({}, 1)
    assert world.report.send_all() == 1
    assert world.meter.total("cus_ada") == world.ledger("ada") == 11


def test_a_second_event_is_not_made_of_a_customer_whose_first_one_another_process_has_just_made(
    world: UsageWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.call("ada", 11)
    assert world.outbox.collect() == 1
    world.call("ada", 13)
    with monkeypatch.context() as too_early:
        too_early.setattr(
            "farebox.store.money.usage_outbox.IN_HAND", "SELECT 1 FROM usage_event WHERE customer = ? AND 1 = 0"
        )
        assert world.outbox.collect() == 0
    assert world.report.send_all() == 2
    assert world.meter.total("cus_ada") == world.ledger("ada") == 24


def test_no_event_is_left_of_calls_that_another_process_has_just_reported(world: UsageWorld) -> None:
    with world.outbox._own.transaction() as cursor:
        assert not world.outbox._make(cursor, "ada", "cus_ada", 1)
    assert world.states() == {}


def test_calls_of_a_customer_before_are_not_reported_of_the_next_one(world: UsageWorld) -> None:
    world.call("ada", 11)
    world.customers = {"ada": "cus_next"}
    world.call("ada", 13)
    assert world.report.flush("cus_next") == 0
    assert (world.meter.total("cus_ada"), world.meter.total("cus_next")) == (0, 13)
    assert world.report.send_all() == 1
    assert world.meter.total("cus_ada") == 11


def test_what_is_left_of_a_customer_is_what_is_in_hand_and_what_came_since(world: UsageWorld) -> None:
    world.call("ada", 1, 2)
    world.outbox.collect()
    world.call("ada", 4)
    world.call("bob", 8, 9, 10, 11)
    assert (world.outbox.waiting("cus_ada"), world.outbox.waiting("cus_bob")) == (3, 4)


def test_the_last_chance_leaves_an_event_to_the_process_that_sends_it_again_at_that_moment(world: UsageWorld) -> None:
    world.call("ada", 11)
    world.meter.before = [lost_answer()]
    world.report.send_all()
    world.due_again()
    assert world.outbox.claim() is not None
    assert world.another().flush("cus_ada") == 1, "it is in hand"
    assert len(world.meter.sent) == 1


def failing(work: Callable[..., object], *errors: Exception | None) -> Callable[..., None]:
    """The same, where these errors come first, one a time; None where it is done."""
    left = iter(errors)

    def one(*values: object) -> None:
        error = next(left, None)
        if error is not None:
            raise error
        work(*values)

    return one


def test_failures_that_are_not_in_a_row_stop_nobody_and_an_end_stops_at_once(
    world: UsageWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(6):
        world.call(f"c{number}", 1)
    lost = lost_answer()
    monkeypatch.setattr(world.meter, "send_usage", failing(world.meter.send_usage, lost, lost, None, lost, lost))
    assert world.report.send_all() == 2
    world.due_again()
    world.report.end()
    monkeypatch.setattr(world.check, "look", failing(world.check.look, AssertionError("it has to end")))
    world.report.look()
    assert world.states() == {"sent": 2, "waiting": 4}


def test_that_an_event_was_taken_is_noted_though_the_database_is_away_for_a_moment(
    world: UsageWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = LedgerUnavailable("away")
    monkeypatch.setattr("farebox.account.rounds.NOTE_WAIT_SECONDS", 0)
    monkeypatch.setattr(world.outbox, "taken", failing(world.outbox.taken, away, away))
    world.call("ada", 11)
    assert world.report.send_all() == 1
    assert world.states() == {"sent": 1}
