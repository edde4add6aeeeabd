"""What `farebox reconcile` says of use that goes to Stripe."""

from collections.abc import Iterator

import pytest

from farebox.domain.billing import InvoiceLine, lines_to_json
from farebox.domain.period import DAY_US
from farebox.domain.report import HOUR_US, MINUTE_US
from farebox.ports.money import PaymentRefused
from farebox.store.database import Database
from farebox.store.reconcile import usage as reconcile_usage
from farebox.store.reconcile.sums import reconcile
from tests.contract.usage_world import UsageWorld, lost_answer


@pytest.fixture
def world(database: Database) -> Iterator[UsageWorld]:
    found = UsageWorld(database)
    yield found
    found.close()


def told(world: UsageWorld) -> list[str]:
    return reconcile(world.database, {}).notes


def test_reconcile_names_an_event_that_is_not_the_sum_of_its_rows_and_rows_without_one(world: UsageWorld) -> None:
    world.call("ada", 11, 12)
    world.call("bob", 13)
    world.report.send_all()
    with world.database.read() as connection:
        assert list(reconcile_usage.events(connection)) == []
    world.rows("UPDATE usage_event SET nanodollars = nanodollars + 1 WHERE customer = 'cus_ada'")
    world.rows("UPDATE usage_outbox SET event_id = 'usage_lost' WHERE customer = 'cus_bob'")
    world.call("cem", 14)
    world.report.send_all()
    world.rows("UPDATE usage_event SET state = 'dropped' WHERE customer = 'cus_cem'")
    with world.database.read() as connection:
        findings = list(reconcile_usage.events(connection))
    assert set(findings) <= set(reconcile(world.database, {}).findings)
    found = [(one.what.split(": ")[-1], one.expected, one.found) for one in findings]
    assert sorted(found, key=str) == sorted(
        [
            ("nanodollars", 23, 24),
            ("calls", 0, 1),
            ("nanodollars", 0, 13),
            ("usage event", "usage_lost", "none"),
            ("rows, as it is dropped", 0, 1),
        ],
        key=str,
    )


def test_reconcile_tells_what_is_on_no_invoice_as_its_subscription_was_ended_at_once(world: UsageWorld) -> None:
    start_us = world.now_us - 10 * DAY_US
    world.subscribe("ada", start_us=start_us, end_us=world.now_us + 20 * DAY_US)
    world.call(
        "ada", 11, at_us=start_us - HOUR_US, period_us=start_us - 30 * DAY_US
    )  # of the period before, whose invoice is kept
    world.call("ada", 5, at_us=start_us + HOUR_US, period_us=start_us)
    world.rows(
        "INSERT INTO invoice VALUES ('ada', 'in_1', '', 'paid', 'usd', 0, 0, 0, 0, 0, :lines, '', 0)",
        lines=lines_to_json([InvoiceLine("use", 11, 0, start_us - 30 * DAY_US, start_us, is_usage=True)]),
    )
    world.report.send_all()
    world.rows("UPDATE usage_event SET timestamp_us = :at WHERE nanodollars = 11", at=start_us - HOUR_US)
    assert told(world) == []
    world.rows("UPDATE subscription SET status = 'canceled'")
    [stray] = told(world)
    assert stray.startswith("ada: 1 calls of $0.000000005, the first of ")
    assert "are on no invoice" in stray


def test_reconcile_tells_what_is_on_no_invoice_of_a_deleted_account(world: UsageWorld) -> None:
    start_us = world.now_us - 10 * DAY_US
    world.subscribe("ada", start_us=start_us, end_us=world.now_us + 20 * DAY_US)
    world.call("ada", 5, at_us=start_us + HOUR_US, period_us=start_us)
    world.report.send_all()
    assert told(world) == []
    world.rows("UPDATE account SET email = '(deleted) ada', closed_us = :at", at=world.now_us - 4 * HOUR_US)
    [stray] = told(world)
    assert stray.startswith("(deleted) ada: 1 calls of $0.000000005, the first of ")


def test_reconcile_gives_the_invoice_of_a_period_that_is_just_over_the_time_to_be_heard_of(world: UsageWorld) -> None:
    renewed_us = world.now_us - 60 * 10**6
    world.subscribe("ada", start_us=renewed_us, end_us=world.now_us + 30 * DAY_US)
    world.call("ada", 11, at_us=renewed_us - HOUR_US, period_us=renewed_us - 30 * DAY_US)
    world.report.send_all()
    world.rows("UPDATE usage_event SET timestamp_us = :at", at=renewed_us - HOUR_US)
    assert told(world) == []


def test_reconcile_tells_of_an_invoice_that_is_not_the_sum_of_what_was_reported(world: UsageWorld) -> None:
    end_us = world.now_us - 10 * DAY_US
    world.subscribe("ada", start_us=end_us, end_us=world.now_us + 20 * DAY_US)
    world.call("ada", 11, at_us=end_us + HOUR_US)
    world.report.send_all()
    world.rows("UPDATE usage_event SET timestamp_us = :at", at=end_us - HOUR_US)
    kept = "INSERT INTO invoice VALUES ('ada', 'in_1', '', :status, 'usd', 0, 0, 0, 0, 0, :lines, '', 0)"
    lines = lines_to_json([InvoiceLine("use", 7, 0, end_us - 30 * DAY_US, end_us, is_usage=True)])
    for days, wrong in ((0.1, 0), (35, 0), (0.2, 1)):  # too young, too old
        over_us = world.now_us - int(days * DAY_US)
        line = InvoiceLine("use", 7, 0, over_us - MINUTE_US, over_us, is_usage=True)
        world.rows("DELETE FROM invoice")
        world.rows(kept, status="paid", lines=lines_to_json([line]))
        assert len([note for note in told(world) if "invoice in_1 says" in note]) == wrong
    for status, wrong in (("draft", 0), ("void", 0), ("paid", 1)):
        world.rows("DELETE FROM invoice")
        world.rows(kept, status=status, lines=lines)
        assert len(told(world)) == wrong
    assert told(world) == [
        "ada: invoice in_1 says $0.000000007 of use, and $0.000000011 was reported for its time. Look at it at Stripe."
    ]


def test_reconcile_tells_what_waits_what_is_held_and_what_stripe_counted_otherwise(world: UsageWorld) -> None:
    assert told(world) == []
    world.call("ada", 11, 12, at_us=world.now_us - 2 * HOUR_US)
    [waits] = told(world)
    assert reconcile_usage.notes_of(world.database) == [waits], "as doctor tells it"
    assert "2 calls of $0.000000023 wait to be reported to Stripe, the oldest since " in waits
    world.call("bob", 13)
    world.meter.before = [PaymentRefused("No such customer"), lost_answer()]
    world.report.send_all()
    world.call("bob", 14, at_us=world.now_us)
    waits, held = told(world)
    assert waits == "2 calls of $0.000000027 wait to be reported to Stripe (Stripe: the connection was lost)."
    assert "2 calls of $0.000000023, is held: No such customer." in held
    world.meter.counted.append(("someone else's", "cus_ada", world.now_us - 2 * HOUR_US, 5))
    world.pass_time(2 * HOUR_US)
    world.check.look()
    assert "Stripe has counted $0.000000005 from " in told(world)[-1]
    world.meter.counted.clear()
    world.rows("UPDATE usage_event SET state = 'sent'")
    world.check.look_at_all()
    assert "Stripe has counted $0.00 from " in told(world)[-1]
