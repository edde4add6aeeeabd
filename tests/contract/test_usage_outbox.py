"""What was used reaches Stripe exactly once: whoever sends, whatever fails, however late."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from unittest.mock import Mock

import pytest

from farebox.domain.errors import LedgerUnavailable
from farebox.domain.period import DAY_US, MICROSECONDS
from farebox.domain.report import DRAFT_US, HOUR_US, MINUTE_US
from farebox.ports.money import PaymentRefused, UsageEvent
from farebox.store.database import Database
from farebox.store.money.usage_outbox import FILL, ROWS_MAX
from tests.contract.usage_world import CENT, UsageWorld, lose, lost_answer


@pytest.fixture
def world(database: Database) -> Iterator[UsageWorld]:
    found = UsageWorld(database)
    yield found
    found.close()


def test_calls_of_a_customer_and_period_are_reported_in_one_event(world: UsageWorld) -> None:
    last = world.now_us - 10 * DAY_US
    world.call("ada", CENT, CENT, at_us=world.now_us - 2 * HOUR_US)
    world.call("ada", 3, at_us=world.now_us - HOUR_US + MICROSECONDS - 1)
    world.call("bob", 5)
    world.call("ada", 7, at_us=last - 1, period_us=last - 30 * DAY_US)
    assert world.report.send_all() == 3
    assert sorted((e.customer, e.nanodollars, e.calls) for e in world.meter.sent) == [
        ("cus_ada", 7, 1), ("cus_ada", 2 * CENT + 3, 3), ("cus_bob", 5, 1),
    ]  # fmt: skip
    newest = max(e.timestamp_us for e in world.meter.sent if e.nanodollars == 2 * CENT + 3)
    assert newest == world.now_us - HOUR_US  # the newest call's, in whole seconds
    assert (world.states(), world.report.send_all(), len(world.meter.sent)) == ({"sent": 3}, 0, 3)
    assert world.outbox.waiting("cus_ada") == 0


def test_an_event_has_a_bounded_number_of_calls(world: UsageWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("farebox.store.money.usage_outbox.FILL", FILL.replace(str(ROWS_MAX), "2"))
    world.call("ada", 1, 2, 3, 4, 5)
    assert world.report.send_all() == 3
    assert [e.calls for e in world.meter.sent] == [2, 2, 1]
    assert world.meter.total("cus_ada") == world.ledger("ada") == 15


def test_eight_processes_send_each_event_once_and_one_at_a_time_for_a_customer(world: UsageWorld) -> None:
    in_hand, turns, together = set[str](), threading.Lock(), []
    send = world.meter.send_usage

    def watched(event: UsageEvent) -> None:
        with turns:
            together.append(event.customer in in_hand)
            in_hand.add(event.customer)
        send(event)
        with turns:
            in_hand.discard(event.customer)

    world.meter.send_usage = watched  # type: ignore[method-assign]
    names = [f"c{number}" for number in range(6)]
    others = [world.another() for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(4):
            for name in names:
                world.call(name, 3, 4)
            list(pool.map(lambda one: one.send_all(), others))
    world.report.send_all()
    assert not any(together)
    assert [world.meter.total(f"cus_{name}") for name in names] == [world.ledger(name) for name in names] == [28] * 6
    assert len({e.id for e in world.meter.sent}) == len(world.meter.sent)


def test_an_answer_that_was_lost_has_the_same_event_sent_again_after_a_wait(world: UsageWorld) -> None:
    world.call("ada", CENT)
    world.meter.after = [lost_answer()]
    assert world.report.send_all() == 0
    assert world.report.send_all() == 0, "it waits"
    world.call("ada", 2 * CENT)  # meanwhile
    assert world.report.send_all() == 0, "Stripe takes one event of a customer at a time"
    world.due_again()
    assert world.report.send_all() == 2
    first, again, later = world.meter.sent
    assert again == first._replace(tries=2)
    assert later.id != first.id
    assert world.meter.total("cus_ada") == world.ledger("ada") == 3 * CENT


def test_waits_grow_and_end_at_five_minutes(world: UsageWorld) -> None:
    world.call("ada", CENT)
    waits = []
    for _ in range(9):
        world.meter.before = [lost_answer()]
        world.report.send_all()
        with world.database.read() as connection:
            now_us = world.database.now_us(connection)
        [(next_us,)] = world.rows("SELECT next_us FROM usage_event")
        waits.append(round((next_us - now_us) / MICROSECONDS, -1))
        world.due_again()
    assert waits[1:] == [10, 20, 40, 80, 160, 300, 300, 300]


def test_stripe_is_left_alone_after_three_failures_in_a_row(world: UsageWorld) -> None:
    for number in range(6):
        world.call(f"c{number}", 1)
    world.meter.before = [lost_answer() for _ in range(3)]
    assert world.report.send_all() == 0
    assert len(world.meter.sent) == 3
    assert world.report.send_all() == 3


def test_what_stripe_never_answered_for_23_hours_is_held_and_not_sent_again(world: UsageWorld) -> None:
    world.call("ada", CENT)
    world.meter.after = [lost_answer()]
    world.report.send_all()
    world.pass_time(23 * HOUR_US + 1)
    world.call("ada", 2)
    assert world.report.send_all() == 1, "what came later does not wait for it"
    assert world.states() == {"held": 1, "sent": 1}
    assert [e.nanodollars for e in world.meter.sent] == [CENT, 2]
    assert "23 hours" in world.rows("SELECT failed FROM usage_event WHERE state = 'held'")[0][0]


def test_what_stripe_refuses_is_held_with_its_reason(world: UsageWorld) -> None:
    world.call("ada", CENT)
    world.call("bob", CENT)
    world.meter.before = [PaymentRefused("No such customer: cus_ada")]
    assert world.report.send_all() == 1
    assert world.rows("SELECT customer, failed FROM usage_event WHERE state = 'held'") == [
        ("cus_ada", "No such customer: cus_ada")
    ]


def test_a_process_that_dies_leaves_its_event_to_the_next_one_after_the_lease(world: UsageWorld) -> None:
    world.call("ada", CENT)
    world.outbox.collect()
    taken = world.outbox.claim()
    assert taken is not None
    world.meter.send_usage(taken)  # and then it dies
    assert world.another().send_all() == 0
    world.due_again()
    assert world.another().send_all() == 1
    assert [e.id for e in world.meter.sent] == [taken.id] * 2
    assert world.meter.total("cus_ada") == CENT


def test_a_late_refusal_changes_nothing_of_what_was_taken_and_what_is_taken_is_no_longer_in_doubt(
    world: UsageWorld,
) -> None:
    """As where a sender outlived its lease, and another one has sent its event meanwhile."""
    world.call("ada", CENT)
    world.outbox.collect()
    event = world.outbox.claim()
    assert event is not None
    ends = "SELECT state, next_us, failed FROM usage_event"
    world.outbox.hold(event.id, "No such customer")
    world.outbox.taken(event.id)
    assert world.rows(ends) == [("sent", None, "")]
    world.outbox.put_off(event.id, 10, "no answer")
    assert world.rows(ends) == [("sent", None, "")]
    world.outbox.hold(event.id, "No such customer")
    assert world.rows(ends) == [("sent", None, "")]


def test_the_first_try_is_noted_before_it_is_sent(world: UsageWorld) -> None:
    world.call("ada", CENT)

    def seen(event: UsageEvent) -> None:
        assert world.rows("SELECT first_sent_us, tries, state FROM usage_event") == [
            (event.first_sent_us, 1, "waiting")
        ]
        raise lost_answer()

    world.meter.send_usage = seen  # type: ignore[method-assign]
    world.report.send_all()
    [(first_us,)] = world.rows("SELECT first_sent_us FROM usage_event")
    assert first_us is not None


# -- Which invoice it lands on


def test_late_usage_keeps_its_time_in_the_draft_window_and_then_counts_now(world: UsageWorld) -> None:
    end = world.now_us - DRAFT_US + 5 * MINUTE_US  # the period has ended, and its invoice is a draft
    world.subscribe("ada", start_us=end - 30 * DAY_US, end_us=end)
    world.renew("ada", invoiced=False)
    world.call("ada", 1, at_us=end - MICROSECONDS, period_us=end - 30 * DAY_US)
    assert world.report.send_all() == 1
    assert world.meter.sent[-1].timestamp_us == end - MICROSECONDS
    world.pass_time(6 * MINUTE_US)
    world.call("ada", 2, at_us=end - 6 * MINUTE_US - MICROSECONDS, period_us=end - 30 * DAY_US)
    assert world.report.send_all() == 1
    assert world.meter.sent[-1].timestamp_us >= world.now_us


def test_usage_of_an_invoice_that_stripe_closed_counts_now(world: UsageWorld) -> None:
    end = world.now_us - MINUTE_US
    world.subscribe("ada", start_us=end, end_us=end + 30 * DAY_US, invoiced_until_us=end)
    world.call("ada", 1, at_us=end - 1, period_us=end - 30 * DAY_US)
    world.call("ada", 2, at_us=end + MICROSECONDS, period_us=end)
    assert world.report.send_all() == 2
    at = {e.nanodollars: e.timestamp_us for e in world.meter.sent}
    assert at[1] >= world.now_us
    assert at[2] == end + MICROSECONDS


def test_an_event_in_doubt_whose_invoice_closed_is_held_since_its_time_must_stay(world: UsageWorld) -> None:
    end = world.now_us + MINUTE_US
    world.subscribe("ada", start_us=end - 30 * DAY_US, end_us=end)
    world.call("ada", CENT)
    world.meter.before = [lost_answer()]
    world.report.send_all()
    world.pass_time(2 * HOUR_US)
    assert world.report.send_all() == 0
    assert world.states() == {"held": 1}
    world.pass_time(HOUR_US)
    assert world.check.look() == 0
    assert world.report.send_all() == 1, "it was not counted, so it is on the next invoice"
    assert world.meter.sent[-1].timestamp_us >= world.now_us
    assert world.meter.total("cus_ada") == CENT


def test_the_last_chance_sends_what_waits_even_if_it_waits_to_be_tried_again(
    world: UsageWorld, caplog: pytest.LogCaptureFixture
) -> None:
    world.call("ada", 1)
    world.call("bob", 1)
    world.meter.before = [lost_answer()]  # of ada's
    assert world.report.send_all() == 1, "of bob's"
    world.call("ada", 2, at_us=world.now_us - 20 * DAY_US, period_us=world.now_us - 40 * DAY_US)
    assert world.report.flush("cus_ada") == 0
    assert world.meter.total("cus_ada") == 3
    world.call("ada", 4)
    world.meter.before = [lost_answer() for _ in range(3)]
    assert world.report.flush("cus_ada") == 1, "one call is left"
    assert "1 calls of cus_ada are not reported yet" in caplog.text


# -- Stripe's sums


def test_a_look_at_the_sums_settles_what_is_in_doubt_and_reports_anew_what_was_not_counted(world: UsageWorld) -> None:
    world.call("ada", 11)
    lose(world, counted=True)
    world.call("bob", 13)
    lose(world, counted=False)
    world.pass_time(DAY_US)
    world.report.send_all()
    assert world.states() == {"held": 2}
    world.call("ada", 17)
    world.call("bob", 19)
    world.report.look()
    assert world.states() == {"held": 2, "sent": 2}, "Stripe's sums need a while"
    world.pass_time(2 * HOUR_US)
    world.report.look()
    assert world.states() == {"sent": 3, "dropped": 1}
    assert world.rows("SELECT * FROM usage_check WHERE counted_nanodollars <> reported_nanodollars") == []
    world.report.look()
    assert world.states() == {"sent": 4, "dropped": 1}
    assert world.meter.total("cus_ada") == world.ledger("ada") == 28
    assert world.meter.total("cus_bob") == world.ledger("bob") == 32
    anew = [e for e in world.meter.sent if e.nanodollars == 13]
    assert len({e.id for e in anew}) == 2
    assert world.rows("SELECT count(*) FROM usage_outbox WHERE event_id = :id", id=anew[0].id) == [(0,)]


def test_a_difference_is_told_and_never_mended(world: UsageWorld, caplog: pytest.LogCaptureFixture) -> None:
    world.call("ada", 11)
    world.report.send_all()
    world.meter.counted.append(("someone else's", "cus_ada", world.now_us - HOUR_US, 5))
    world.pass_time(2 * HOUR_US)
    before = world.rows("SELECT * FROM usage_event")
    assert world.check.look() == 1
    assert "Stripe has counted $0.000000016 for cus_ada" in caplog.text
    assert world.rows("SELECT * FROM usage_event") == before
    assert world.rows("SELECT counted_nanodollars, reported_nanodollars FROM usage_check") == [(16, 11)]
    world.meter.counted.pop()
    assert world.check.look_at_all() == 0
    assert world.rows("SELECT counted_nanodollars, reported_nanodollars FROM usage_check") == [(11, 11)]


def test_what_was_reported_of_a_customer_that_is_gone_is_no_difference_of_the_next_one(world: UsageWorld) -> None:
    world.subscribe("ada", start_us=world.now_us - 10 * DAY_US, end_us=world.now_us + 20 * DAY_US)
    world.call("ada", 11)
    world.report.send_all()
    world.rows("UPDATE account SET customer_id = 'cus_anew' WHERE id = 'ada'")
    world.customers = {"ada": "cus_anew"}
    world.call("ada", 13)
    world.report.send_all()
    world.pass_time(2 * HOUR_US)
    assert world.check.look() == 0
    assert world.rows("SELECT counted_nanodollars, reported_nanodollars FROM usage_check") == [(13, 13)]


def test_a_sum_that_fits_no_choice_leaves_what_is_in_doubt_held(world: UsageWorld) -> None:
    world.call("ada", 11)
    lose(world, counted=True)
    world.meter.counted.append(("someone else's", "cus_ada", world.now_us - HOUR_US, 5))
    world.pass_time(DAY_US)
    world.report.send_all()
    world.pass_time(2 * HOUR_US)
    assert world.check.look() == 1
    assert world.states() == {"held": 1}


def test_one_of_eight_processes_looks_at_everybody_once_a_day(world: UsageWorld) -> None:
    others = [world.another() for _ in range(8)]
    for _ in range(2):
        with ThreadPoolExecutor(8) as pool:
            turns = list(pool.map(lambda one: one._check._checks.take_turn(86_400), others))
        assert turns.count(True) <= 1
    assert not world.checks.take_turn(86_400)
    world.pass_time(DAY_US)
    assert world.checks.take_turn(86_400)


@pytest.fixture
def asked(world: UsageWorld, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The customers that Stripe was asked about; something is reported of Ada, and a look at everybody is due."""
    names: list[str] = []
    usage_sum = world.meter.usage_sum

    def ask(customer: str, start_us: int, end_us: int) -> int:
        names.append(customer)
        return usage_sum(customer, start_us, end_us)

    monkeypatch.setattr(world.meter, "usage_sum", ask)
    world.call("ada", 11)
    world.report.send_all()
    world.pass_time(2 * HOUR_US)
    return names


def test_who_was_looked_at_is_not_asked_about_again_before_the_next_day(world: UsageWorld, asked: list[str]) -> None:
    assert [world.check.look(), world.check.look()] == [0, 0]
    assert asked == ["cus_ada"]


@pytest.mark.parametrize("read", ["everybody", "spans"])
def test_a_days_look_is_not_lost_with_a_database_that_goes_away(
    world: UsageWorld, asked: list[str], monkeypatch: pytest.MonkeyPatch, read: str
) -> None:
    with monkeypatch.context() as away:
        away.setattr(world.checks, read, Mock(side_effect=LedgerUnavailable("away")))
        with pytest.raises(LedgerUnavailable):
            world.check.look()
    world.check.look()
    assert asked == ["cus_ada"]


def test_a_look_says_nothing_while_something_is_being_sent(world: UsageWorld) -> None:
    world.call("ada", 11)
    world.outbox.collect()
    claimed = world.outbox.claim()
    assert claimed is not None
    world.meter.send_usage(claimed)
    world.pass_time(2 * HOUR_US)
    assert world.check.look_at("ada", "cus_ada") == 0
    assert world.rows("SELECT count(*) FROM usage_check") == [(0,)]


def test_what_is_sent_while_stripe_is_asked_is_not_taken_for_what_is_in_doubt(world: UsageWorld) -> None:
    at_us = world.now_us - 2 * HOUR_US
    world.call("ada", 11, at_us=at_us)
    lose(world, counted=False)
    world.pass_time(DAY_US)
    world.report.send_all()
    world.pass_time(2 * HOUR_US)
    usage_sum = world.meter.usage_sum

    def busy(customer: str, start_us: int, end_us: int) -> int:
        world.call("ada", 11, at_us=at_us - DAY_US - 2 * HOUR_US + 1)  # as much, and of the same time
        world.another().send_all()
        return usage_sum(customer, start_us, end_us)

    world.meter.usage_sum = busy  # type: ignore[method-assign]
    assert world.check.look() == 0
    assert world.states() == {"held": 1, "sent": 1}
