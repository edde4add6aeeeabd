"""The next invoice, told from the ledger."""

from typing import Final

import pytest

from farebox.domain.billing import Invoice
from farebox.domain.period import DAY_US, MICROSECONDS, Period, period_after
from farebox.domain.plan import Plan
from farebox.domain.upcoming import NO_INVOICE, Subscribed, next_invoice

NOVEMBER: Final = 1_793_491_200 * MICROSECONDS  # 2026-11-01
DECEMBER: Final = NOVEMBER + 30 * DAY_US
JANUARY: Final = DECEMBER + 31 * DAY_US
PRO: Final = Plan("pro", usd=29, calls=5_000, overage_usd="0.0123")
SMALL: Final = Plan("small", usd=9, calls=100)
YEARLY: Final = Plan("yearly", usd=290, every="year", calls=5_000, overage_usd="0.0123")
ACTIVE: Final = Subscribed("sub_1", "active", NOVEMBER, Period(NOVEMBER, DECEMBER), ends=False)
USED: Final = 3 * 12_300_000


def lines(invoice: Invoice | None) -> list[tuple[int, int, int, int]]:
    assert invoice is not None
    assert invoice.total_cents == sum(line.amount_cents for line in invoice.lines)
    return [(line.quantity, line.amount_cents, line.period_start_us, line.period_end_us) for line in invoice.lines]


def test_it_has_what_was_used_until_now_and_the_price_of_the_coming_period() -> None:
    found = next_invoice(ACTIVE, PRO, PRO, USED, NOVEMBER + 1)
    assert lines(found) == [(USED, 4, NOVEMBER, DECEMBER), (1, 2_900, DECEMBER, JANUARY)]
    assert lines(next_invoice(ACTIVE, PRO, PRO, 0, NOVEMBER))[0] == (0, 0, NOVEMBER, DECEMBER)


def test_half_a_cent_is_a_cent_and_calls_are_not_rounded_one_by_one() -> None:
    for used, cents in ((4_999_999, 0), (5_000_000, 1), (14_999_999, 1), (15_000_000, 2)):
        assert lines(next_invoice(ACTIVE, PRO, PRO, used, NOVEMBER))[0][1] == cents


def test_a_downgrade_costs_the_smaller_price_and_what_was_used_on_the_larger_plan() -> None:
    assert [line[:2] for line in lines(next_invoice(ACTIVE, PRO, SMALL, USED, NOVEMBER))] == [(USED, 4), (1, 900)]
    assert [line[:2] for line in lines(next_invoice(ACTIVE, SMALL, SMALL, 0, NOVEMBER))] == [(1, 900)]


def test_what_was_used_on_the_plan_before_is_told_though_the_plan_of_now_charges_for_no_use() -> None:
    assert [line[:2] for line in lines(next_invoice(ACTIVE, SMALL, SMALL, USED, NOVEMBER))] == [(USED, 4), (1, 900)]


def test_what_an_ended_subscription_left_behind_is_not_told_where_the_new_one_bills_no_use() -> None:
    for has_line, told in ((1, [(USED, 4), (1, 900)]), (None, [(USED, 4), (1, 900)]), (0, [(1, 900)])):
        of = ACTIVE._replace(has_usage_line=has_line)
        assert [line[:2] for line in lines(next_invoice(of, SMALL, SMALL, USED, NOVEMBER))] == told, has_line


def test_what_stripe_charges_for_the_next_period_is_told_though_the_file_has_another_price_by_now() -> None:
    bought = ACTIVE._replace(price_nanodollars=19 * 10**9)
    for after in (PRO, SMALL):
        assert lines(next_invoice(bought, PRO, after, USED, NOVEMBER))[1] == (1, 1_900, DECEMBER, JANUARY)


def test_one_that_ends_pays_what_was_used_and_no_more() -> None:
    ending = ACTIVE._replace(ends=True)
    assert lines(next_invoice(ending, PRO, PRO, USED, NOVEMBER)) == [(USED, 4, NOVEMBER, DECEMBER)]
    assert next_invoice(ending, SMALL, SMALL, 0, NOVEMBER) is None


def test_a_trial_pays_for_nothing_that_was_used() -> None:
    assert [line[:2] for line in lines(next_invoice(ACTIVE._replace(status="trialing"), PRO, PRO, USED, 1))] == [
        (1, 2_900)
    ]


def test_a_year_is_paid_for_a_year() -> None:
    year = ACTIVE._replace(period=Period(NOVEMBER, NOVEMBER + 365 * DAY_US))
    paid_for = lines(next_invoice(year, YEARLY, YEARLY, USED, NOVEMBER))[1]
    assert paid_for == (1, 29_000, NOVEMBER + 365 * DAY_US, NOVEMBER + (365 + 366) * DAY_US)


@pytest.mark.parametrize("status", sorted(NO_INVOICE))
def test_what_is_not_alive_has_no_next_invoice(status: str) -> None:
    assert next_invoice(ACTIVE._replace(status=status), PRO, PRO, USED, NOVEMBER) is None


def test_a_period_after_the_31st_comes_back_to_it() -> None:
    anchor = JANUARY + 30 * DAY_US  # 31 January
    february = period_after(anchor, anchor, 1)
    assert february.end_us == anchor + 28 * DAY_US
    assert period_after(anchor, february.end_us, 1).end_us == anchor + (28 + 31) * DAY_US
