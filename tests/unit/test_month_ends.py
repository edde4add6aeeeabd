"""Month ends, by each anchor over four years: usage lands on an open invoice, and on its own while that is open."""

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from typing import Final

import pytest

from farebox.domain.period import DAY_US, MICROSECONDS, period_at
from farebox.domain.report import HOUR_US, MINUTE_US, InvoiceTimes, closed_until_us, counts_at_us
from farebox.sandbox.stripe.periods import moved

MONTHS: Final = 48
MONTH: Final = {"interval": "month", "interval_count": 1}
TIMES: Final = ((0, 0, 0), (12, 30, 15), (23, 59, 59))
DRAFT_US: Final = HOUR_US
"""As Stripe has it."""
LATER_US: Final = (0, 5 * MINUTE_US, 49 * MINUTE_US, 51 * MINUTE_US, 3 * HOUR_US, 3 * DAY_US, 40 * DAY_US)
"""When a call is reported, after it was admitted."""


def stripe_ends(anchor_us: int) -> list[int]:
    """Where Stripe's periods end."""
    return [moved(anchor_us // MICROSECONDS, MONTH, count) * MICROSECONDS for count in range(MONTHS + 3)]


def anchors(day: int) -> Iterator[int]:
    for hour, minute, second in TIMES:
        # December has all days, and February comes soon.
        yield int(datetime(2026, 12, day, hour, minute, second, tzinfo=UTC).timestamp()) * MICROSECONDS


@pytest.mark.parametrize("day", range(1, 32))
def test_our_periods_are_stripes(day: int) -> None:
    for anchor_us in anchors(day):
        for start_us, end_us in pairwise(stripe_ends(anchor_us)):
            assert period_at(anchor_us, start_us) == (start_us, end_us) == period_at(anchor_us, end_us - 1)


@pytest.mark.parametrize("day", range(1, 32))
def test_usage_lands_on_its_own_invoice_while_that_is_open_and_else_on_the_open_one(day: int) -> None:
    for anchor_us in anchors(day):
        ends = stripe_ends(anchor_us)
        for index in range(1, MONTHS):
            for off_us in (-1, 0):
                for later_us in LATER_US:
                    _lands(anchor_us, ends[index] + off_us, later_us)


def _lands(anchor_us: int, admitted_us: int, later_us: int) -> None:
    now_us = admitted_us + later_us
    own, current = (period_at(anchor_us, at) for at in (admitted_us, now_us))
    before = period_at(anchor_us, current.start_us - 1)
    # Stripe's word may have come, or be late: then the period that is known is the one before.
    for known, is_told in ((current, True), (current, False), (before, False)):
        told_us = current.start_us if is_told and now_us >= current.start_us + DRAFT_US else 0
        standing = InvoiceTimes(anchor_us - 1, *known, told_us)
        at_us = counts_at_us(admitted_us, closed_until_us(standing, now_us), now_us) // MICROSECONDS * MICROSECONDS
        invoice = period_at(anchor_us, at_us)
        assert invoice.end_us + DRAFT_US > now_us, "Stripe would count it, and invoice it never"
        assert at_us <= now_us
        assert invoice in {own, current}
        if now_us < own.end_us + DRAFT_US - 10 * MINUTE_US:
            assert invoice == own
