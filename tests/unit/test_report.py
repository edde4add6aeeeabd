"""When reported usage counts, when it is held, and what Stripe's sums say of what is in doubt."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from farebox.domain.billing import InvoiceLine, lines_from_json, lines_to_json
from farebox.domain.period import DAY_US, MICROSECONDS
from farebox.domain.report import (
    AMBIGUOUS_US,
    DRAFT_US,
    HOUR_US,
    MINUTE_US,
    NO_SUBSCRIPTION,
    OLDEST_US,
    InvoiceTimes,
    closed_until_us,
    counted_of,
    counts_at_us,
    reason_to_hold,
    spans,
)

NOVEMBER = 1_793_491_200 * MICROSECONDS  # 2026-11-01
DECEMBER = NOVEMBER + 30 * DAY_US
JANUARY = DECEMBER + 31 * DAY_US
SYNCED = InvoiceTimes(NOVEMBER - 30 * DAY_US, NOVEMBER, DECEMBER, 0)
RENEWED = InvoiceTimes(NOVEMBER - 30 * DAY_US, DECEMBER, JANUARY, 0)
MOMENTS = st.integers(NOVEMBER, JANUARY)


def test_usage_counts_when_it_happened_while_its_invoice_is_open() -> None:
    call = DECEMBER - 1
    for standing in (SYNCED, RENEWED):
        for now in (call, DECEMBER + DRAFT_US - 1):
            assert counts_at_us(call, closed_until_us(standing, now), now) == call
    assert closed_until_us(NO_SUBSCRIPTION, NOVEMBER) == 0


def test_usage_of_a_closed_invoice_counts_now_whether_or_not_a_webhook_came() -> None:
    call, now = DECEMBER - 1, DECEMBER + DRAFT_US
    for standing in (SYNCED, RENEWED, RENEWED._replace(invoiced_until_us=DECEMBER)):
        assert closed_until_us(standing, now) == DECEMBER
        assert counts_at_us(call, DECEMBER, now) == now
    assert counts_at_us(DECEMBER, DECEMBER, now) == DECEMBER
    told_early = closed_until_us(RENEWED._replace(invoiced_until_us=DECEMBER), DECEMBER + 1)
    assert counts_at_us(call, told_early, DECEMBER + 1) == DECEMBER + 1


def test_a_clock_of_tests_at_stripe_may_be_ahead() -> None:
    standing = InvoiceTimes(DECEMBER, JANUARY, JANUARY + 31 * DAY_US, JANUARY)
    assert counts_at_us(NOVEMBER, closed_until_us(standing, NOVEMBER), NOVEMBER) == JANUARY


def test_before_the_first_period_there_is_no_invoice_but_while_a_trial_lasts_usage_keeps_its_time() -> None:
    first = InvoiceTimes(DECEMBER, DECEMBER, JANUARY, 0)
    assert counts_at_us(DECEMBER - 1, closed_until_us(first, DECEMBER), DECEMBER) == DECEMBER
    second = InvoiceTimes(DECEMBER, JANUARY, JANUARY + 31 * DAY_US, 0)  # the first one's invoice is still a draft
    assert counts_at_us(DECEMBER - 1, closed_until_us(second, JANUARY), JANUARY) == JANUARY
    assert counts_at_us(DECEMBER, closed_until_us(second, JANUARY), JANUARY) == DECEMBER
    trial = InvoiceTimes(JANUARY, DECEMBER, JANUARY, 0)
    assert counts_at_us(DECEMBER, closed_until_us(trial, DECEMBER), DECEMBER) == DECEMBER


def test_invoices_close_though_no_webhook_has_come_for_months() -> None:
    known = InvoiceTimes(NOVEMBER, NOVEMBER, DECEMBER, 0)  # nobody told of the renewal in December
    draft_is_over = JANUARY + DRAFT_US
    assert closed_until_us(known, draft_is_over - 1) == DECEMBER
    assert closed_until_us(known, draft_is_over) == JANUARY


def test_in_the_hour_after_a_renewal_only_the_invoice_of_the_period_before_is_open() -> None:
    now = JANUARY + 5 * MINUTE_US
    known = InvoiceTimes(NOVEMBER, JANUARY, JANUARY + 31 * DAY_US, 0)  # heard of only now, and of no invoice
    assert closed_until_us(known, now) == DECEMBER
    assert [counts_at_us(call, DECEMBER, now) for call in (DECEMBER - 1, DECEMBER)] == [now, DECEMBER]
    by_year = InvoiceTimes(NOVEMBER, NOVEMBER + 365 * DAY_US, NOVEMBER + 730 * DAY_US, 0)
    assert closed_until_us(by_year, by_year.period_start_us + MINUTE_US) == NOVEMBER


def test_our_bounds_lie_within_those_of_stripe() -> None:
    assert DRAFT_US < HOUR_US, "a renewal's invoice is open for an hour"
    assert OLDEST_US < 35 * DAY_US, "what is older is refused"
    assert AMBIGUOUS_US < DAY_US, "an identifier is known for so long"


def test_what_stripe_would_find_too_old_counts_now() -> None:
    now = JANUARY
    assert counts_at_us(now - OLDEST_US, 0, now) == now
    assert counts_at_us(now - OLDEST_US + 1, 0, now) == now - OLDEST_US + 1


def test_what_may_have_arrived_is_sent_again_for_23_hours_and_as_it_was() -> None:
    at = NOVEMBER + DAY_US
    assert reason_to_hold(None, at, DECEMBER, DECEMBER) == ""
    assert reason_to_hold(at, at, 0, at + AMBIGUOUS_US - 1) == ""
    assert "23 hours" in reason_to_hold(at, at, 0, at + AMBIGUOUS_US)
    assert "closed" in reason_to_hold(DECEMBER, DECEMBER - 1, DECEMBER, DECEMBER + HOUR_US)


@given(call=MOMENTS, standing=st.sampled_from([NO_SUBSCRIPTION, SYNCED, RENEWED]), now=MOMENTS)
def test_what_is_sent_the_first_time_is_never_held_for_its_timestamp(
    call: int, standing: InvoiceTimes, now: int
) -> None:
    closed = closed_until_us(standing, now)
    at = counts_at_us(call, closed, now)
    assert at >= closed
    assert at >= min(call, now)
    assert reason_to_hold(now, at, closed, now) == ""


def test_spans_tile_the_time_in_whole_minutes() -> None:
    found = spans([DECEMBER + 7, NOVEMBER + 59 * MICROSECONDS, DECEMBER], DECEMBER + HOUR_US + 1)
    assert found == [(NOVEMBER, DECEMBER), (DECEMBER, DECEMBER + HOUR_US)]
    assert spans([JANUARY], DECEMBER) == []
    assert spans([], DECEMBER) == []


@given(st.lists(MOMENTS, max_size=8), MOMENTS)
def test_spans_neither_overlap_nor_leave_gaps(starts: list[int], until: int) -> None:
    found = spans(starts, until)
    assert all(one.end_us == after.start_us for one, after in pairwise(found))
    assert all(us % MINUTE_US == 0 for one in found for us in one)


@given(st.lists(st.integers(1, 50), max_size=8), st.data())
def test_what_was_counted_is_found_by_the_sum(amounts: list[int], data: st.DataObject) -> None:
    counted = data.draw(st.sets(st.sampled_from(range(len(amounts))))) if amounts else set()
    missing = sum(amounts[place] for place in counted)
    found = counted_of(missing, amounts)
    assert found is not None
    assert sum(amounts[place] for place in found) == missing


def test_a_sum_that_no_choice_comes_to_settles_nothing() -> None:
    assert counted_of(4, [5, 7]) is None
    assert counted_of(-1, [5, 7]) is None
    assert counted_of(1, []) is None
    assert counted_of(0, []) == set()
    assert counted_of(5, [1] * 13) is None
    assert counted_of(13, [1] * 13) == set(range(13))
    assert counted_of(0, [1] * 13) == set()
    assert counted_of(1, [1] * 12) == {0}


def test_an_invoices_lines_come_back_as_they_were_kept() -> None:
    lines = (InvoiceLine("1 of Pro — “ünï”", 1, 2900, 1, 2, is_usage=False), InvoiceLine("", 7, 0, 1, 2, is_usage=True))
    assert lines_from_json(lines_to_json(lines)) == lines
    assert lines_from_json(lines_to_json(lines).replace('"text"', '"more":1,"text"')) == lines
    assert lines_from_json("[]") == ()
