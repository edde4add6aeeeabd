"""What a look at Stripe's sums is about: which events, of which time, and whose turn it is."""

from collections.abc import Iterator

import pytest

from farebox.domain.errors import LedgerUnavailable
from farebox.domain.period import DAY_US, Period
from farebox.domain.report import HOUR_US, MINUTE_US
from farebox.store.cursor import Cursor
from farebox.store.database import Database
from farebox.store.money.usage_checks import FREE
from tests.contract.usage_world import UsageWorld, lose


@pytest.fixture
def world(database: Database) -> Iterator[UsageWorld]:
    found = UsageWorld(database)
    yield found
    found.close()


@pytest.mark.parametrize("newest", ["min", "max"])
def test_a_look_waits_for_whichever_event_was_sent_a_moment_ago(world: UsageWorld, newest: str) -> None:
    for days in (10, 40):
        world.call("ada", 11, at_us=world.now_us - 3 * HOUR_US, period_us=world.now_us - days * DAY_US)
    assert world.report.send_all() == 2
    world.rows(
        f"UPDATE usage_event SET sent_us = sent_us - :us WHERE id <> (SELECT {newest}(id) FROM usage_event)",
        us=2 * HOUR_US,
    )
    assert world.checks.reported("ada", Period(0, world.now_us)).is_moving


def test_what_was_sent_lately_hinders_no_look_at_what_is_older(world: UsageWorld) -> None:
    world.call("ada", 11)
    world.report.send_all()
    world.pass_time(2 * HOUR_US)
    world.call("ada", 13, at_us=world.now_us - MINUTE_US)
    world.report.send_all()
    assert world.check.look() == 0
    assert (11, 11) in world.rows("SELECT counted_nanodollars, reported_nanodollars FROM usage_check")


def test_a_moment_on_the_edge_of_two_periods_is_of_the_one_that_begins(world: UsageWorld) -> None:
    edge = (world.now_us - 5 * DAY_US) // MINUTE_US * MINUTE_US
    world.call("ada", 11, at_us=edge - 25 * DAY_US, period_us=edge - 30 * DAY_US)
    world.call("ada", 13, at_us=edge, period_us=edge)
    assert world.report.send_all() == 2
    world.rows("UPDATE usage_event SET sent_us = sent_us - :us", us=2 * HOUR_US)
    world.rows("UPDATE usage_event SET period_start_us = timestamp_us WHERE nanodollars = 11")
    assert world.check.look() == 0
    looked = "SELECT start_us, counted_nanodollars, reported_nanodollars FROM usage_check ORDER BY start_us"
    assert [row[1:] for row in world.rows(looked)] == [(11, 11), (13, 13)]


def test_the_spans_of_a_look_end_with_the_subscriptions_period_too(world: UsageWorld) -> None:
    renewed_us = (world.now_us - 3 * DAY_US) // MINUTE_US * MINUTE_US
    world.subscribe("ada", start_us=renewed_us, end_us=renewed_us + 30 * DAY_US)
    world.call("ada", 11, at_us=renewed_us - DAY_US, period_us=renewed_us - 30 * DAY_US)
    world.report.send_all()
    before, since = world.checks.spans("ada")
    assert (before, since.start_us) == (Period(renewed_us - 30 * DAY_US, renewed_us), renewed_us)


def test_what_was_reported_is_looked_at_for_as_long_as_stripe_may_count_it_and_a_day_more(world: UsageWorld) -> None:
    world.call("ada", 11)
    world.report.send_all()
    for hours, customers in ((24 * 34 + 22, [("ada", "cus_ada")]), (2, [])):
        world.pass_time(hours * HOUR_US)
        assert (world.checks.everybody(), bool(world.checks.spans("ada"))) == (customers, bool(customers))


def test_what_another_process_has_settled_is_not_settled_otherwise(world: UsageWorld) -> None:
    for name in ("ada", "bob"):
        world.call(name, 11)
        lose(world, counted=True)
    world.pass_time(DAY_US)
    world.report.send_all()
    ids = dict(world.rows("SELECT account_id, id FROM usage_event WHERE state = 'held'"))
    world.checks.counted(ids["ada"])
    world.checks.drop(ids["bob"])
    settled = world.rows("SELECT * FROM usage_event ORDER BY id"), world.rows("SELECT * FROM usage_outbox ORDER BY 1")
    world.checks.drop(ids["ada"])
    world.checks.counted(ids["bob"])
    assert settled == (
        world.rows("SELECT * FROM usage_event ORDER BY id"), world.rows("SELECT * FROM usage_outbox ORDER BY 1"),
    )  # fmt: skip
    assert world.report.send_all() == 1, "bob's, anew"


def test_what_was_not_counted_is_dropped_with_its_rows_freed_or_not_at_all(
    world: UsageWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.call("ada", 11)
    lose(world, counted=False)
    world.pass_time(DAY_US)
    world.report.send_all()
    [(event_id,)] = world.rows("SELECT id FROM usage_event")
    run = world.checks._own.run

    def away(cursor: Cursor, statement: str, *values: object) -> None:
        if statement == FREE:
            raise LedgerUnavailable("away")
        run(cursor, statement, *values)

    monkeypatch.setattr(world.checks._own, "run", away)
    with pytest.raises(LedgerUnavailable):
        world.checks.drop(event_id)
    assert world.states() == {"held": 1}


def test_what_is_in_doubt_is_looked_at_when_it_is_due_by_one_process_and_of_a_customer_that_is_there(
    world: UsageWorld,
) -> None:
    for name in ("ada", "bob"):
        world.subscribe(name, start_us=world.now_us - 10 * DAY_US, end_us=world.now_us + 20 * DAY_US)
        world.call(name, 11)
        lose(world, counted=True)
    world.pass_time(DAY_US)
    world.report.send_all()
    assert world.states() == {"held": 2}
    assert world.checks.doubtful() == [], "Stripe's sums need a while"
    world.rows("UPDATE account SET customer_id = 'cus_anew' WHERE id = 'bob'")
    world.grow_old(HOUR_US)
    assert [world.checks.doubtful(), world.checks.doubtful()] == [[("ada", "cus_ada")], []]
