"""What is for sale, and how it differs from what Stripe has."""

import pytest

from farebox.domain.catalogue import AtStripe, Change, Offered, difference, for_sale, keys_of, plan_of, usage_keys
from farebox.domain.errors import FounderError
from farebox.domain.pack import Pack
from farebox.domain.plan import Plan

PLANS = (
    Plan("free", calls=1),
    Plan("pro", usd=29, calls=5, overage_usd="0.01"),
    Plan("big_team", usd=290, every="year"),
)
PACKS = (Pack("small", usd=10),)


def test_what_costs_nothing_is_not_for_sale() -> None:
    keys = [one.lookup_key for one in for_sale(PLANS, PACKS)]
    assert keys == [
        "farebox_pro_month_2900", "farebox_big_team_year_29000", "farebox_usage_month", "farebox_usage_year",
        "farebox_pack_small_1000",
    ]  # fmt: skip
    assert [one.lookup_key for one in for_sale(PLANS[2:], ())] == ["farebox_big_team_year_29000"]
    assert for_sale(PLANS[:1], ()) == []


def test_a_base_price_names_its_plan() -> None:
    assert [plan_of(keys_of(plan)[0]) for plan in PLANS[1:]] == ["pro", "big_team"]
    assert [plan_of(key) for key in ("farebox_usage_month", "farebox_pack_small_1000", "other", "")] == [""] * 4


def test_usage_is_counted_by_the_interval_of_the_plan_and_by_no_other() -> None:
    month, year = Plan("a_year_9", usd=9, calls=1, overage_usd="0.01"), Plan("x", usd=9, every="year")
    by_month, by_year = usage_keys(keys_of(month)), usage_keys(keys_of(year))
    assert by_month == ("farebox_usage_month", "farebox_usage_year")
    assert by_year == by_month[::-1]


def test_the_difference_is_added_archived_or_there() -> None:
    wanted = for_sale(PLANS[1:2], PACKS)
    has = AtStripe(
        {"plan:pro": "prod_1"},
        [
            Offered("price_1", "farebox_pro_month_1900", 1900, "month", is_active=True),
            Offered("price_2", "farebox_pack_small_1000", 1000, None, is_active=False),
            Offered("price_3", "farebox_usage_month", None, "month", is_active=True),
        ],
        "mtr_1",
    )
    assert difference(wanted, has) == [
        Change("=", "meter", "farebox_usage", "counts use, in nanodollars"),
        Change("=", "product", "plan:pro", "pro"),
        Change("+", "product", "usage", "Use beyond the plan"),
        Change("+", "product", "pack:small", "Credit, small"),
        Change("+", "price", "farebox_pro_month_2900", "$29.00 a month"),
        Change("=", "price", "farebox_usage_month", "what was used, each month"),
        Change("+", "price", "farebox_pack_small_1000", "$10.00, once, which was archived"),
        Change("-", "price", "farebox_pro_month_1900", "$19.00 a month, no longer sold"),
        Change("+", "portal", "portal", "cards, addresses and invoices of customers"),
    ]


def test_a_plan_and_a_pack_of_one_name_at_stripe_are_told() -> None:
    plans, packs = (Plan("pack_x", usd=10),), (Pack("x_month", usd=10),)
    with pytest.raises(FounderError, match="farebox_pack_x_month_1000"):
        for_sale(plans, packs)
