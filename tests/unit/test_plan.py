"""A plan in a founder's file: what is meant is taken, and every mistake gets a sentence that says what to do."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest

from farebox.domain.errors import FounderError
from farebox.domain.plan import LIMIT_MAX, Plan


def test_a_plan_is_what_the_founder_wrote() -> None:
    plan = Plan("pro", usd=29, calls=5_000, burst="5/10s", overage_usd=0.01)
    assert plan.price_nanodollars == 29_000_000_000
    assert plan.overage_nanodollars == 10_000_000
    assert plan.burst_limit == (5, 10_000_000)
    assert (plan.calls, plan.tokens, plan.credit_nanodollars) == (5_000, None, None)
    assert not plan.is_metered_in_money


def test_a_plan_in_money_knows_its_credit_and_its_markup() -> None:
    plan = Plan("metered", credit_usd="5.50", markup=0.2)
    assert plan.is_metered_in_money
    assert plan.credit_nanodollars == 5_500_000_000
    assert plan.markup_basis_points == 2_000


def test_a_plan_without_limits_has_none() -> None:
    plan = Plan("open")
    assert (plan.calls, plan.tokens, plan.credit_nanodollars, plan.burst_limit) == (None, None, None, None)


@pytest.mark.parametrize(
    ("markup", "basis_points"), [(0, 0), (0.0001, 1), (0.33, 3_300), (1, 10_000), (Decimal("2.5"), 25_000)]
)
def test_a_markup_is_exact_to_a_hundredth_of_a_percent(markup: float | Decimal, basis_points: int) -> None:
    assert Plan("metered", credit_usd=1, markup=markup).markup_basis_points == basis_points


def test_nothing_included_is_a_limit_too() -> None:
    plan = Plan("pay-as-you-go", calls=0, overage_usd=0.01)
    assert plan.calls == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"name": "Pro"}, "a plan's name has to be lower-case letters"),
        ({"name": ""}, "a plan's name has to be lower-case letters"),
        ({"name": "-pro"}, "a plan's name has to be lower-case letters"),
        ({"name": "pro plan"}, "a plan's name has to be lower-case letters"),
        ({"name": "pro\n"}, "a plan's name has to be lower-case letters"),
        ({"name": "p" * 41}, "a plan's name has to be lower-case letters, .* and no more than 40 characters"),
        ({"name": "1"}, "a plan's name has to be lower-case letters, .*, a letter first, "),
        ({"name": None}, "a plan's name has to be lower-case letters"),
        ({"calls": -1}, "calls has to be a whole number from 0 to"),
        ({"calls": 5.5}, "calls has to be a whole number from 0 to"),
        ({"calls": "5000"}, "calls has to be a whole number from 0 to .*, not '5000'"),
        ({"calls": True}, "calls has to be a whole number from 0 to"),
        ({"calls": LIMIT_MAX + 1}, "calls has to be a whole number from 0 to"),
        ({"tokens": -1}, "tokens has to be a whole number from 0 to"),
        ({"tokens": 1e6}, "tokens has to be a whole number from 0 to"),
        ({"max_output_tokens": 0}, "max_output_tokens has to be a whole number from 1 to"),
        ({"max_output_tokens": None}, "max_output_tokens has to be a whole number from 1 to"),
        ({"max_output_tokens": 10**9 + 1}, "max_output_tokens has to be a whole number from 1 to"),
        ({"usd": -1}, "usd=-1 is not an amount of money of zero or more"),
        ({"usd": "29$"}, "'29\\$' is not an amount of money"),
        ({"usd": None}, "usd=None is not an amount of money"),
        ({"usd": "1e999999"}, "is more than 1,000,000 US dollars"),
        ({"usd": 0.1 + 0.2}, "usd=0.30000000000000004 is finer than a nanodollar .*; write it as 0.3\\.$"),
        ({"credit_usd": float("nan")}, "credit_usd=nan is not an amount of money"),
        ({"calls": 1, "overage_usd": -0.01}, "overage_usd=-0.01 is not an amount of money of zero or more"),
        ({"calls": 1, "overage_usd": "1e-10"}, "overage_usd='1e-10' is finer than a nanodollar \\(10⁻⁹ USD\\)\\.$"),
        ({"tokens": 1, "overage_usd_per_1k_tokens": "x"}, "overage_usd_per_1k_tokens='x' is not an amount of money"),
        ({"burst": "5 per 10s"}, "write calls/time such as '5/10s'"),
        ({"burst": 5}, "5 is not a burst limit; write calls/time"),
        ({"burst": ""}, "write calls/time such as '5/10s'"),
        ({"overage_usd": 0.01}, "overage_usd needs calls=…"),
        ({"calls": 1, "overage_usd": 0.01, "credit_usd": 5}, "overage_usd or credit_usd, not both"),
        ({"markup": 0.2}, "markup needs credit_usd=…"),
        ({"credit_usd": 5, "markup": -0.1}, "markup is a share such as 0.2 for 20 %"),
        ({"credit_usd": 5, "markup": 0.00001}, "markup is a share such as 0.2 for 20 %"),
        ({"credit_usd": 5, "markup": "20%"}, "markup is a share such as 0.2 for 20 %"),
        ({"credit_usd": 5, "markup": None}, "markup is a share such as 0.2 for 20 %"),
        ({"credit_usd": 5, "markup": float("inf")}, "markup is a share such as 0.2 for 20 %"),
        ({"credit_usd": 5, "credit_overage": "False"}, "credit_overage has to be True or False, not 'False'"),
        ({"calls": 1, "overage_usd": 1, "prepaid": 0}, "prepaid has to be True or False, not 0"),
        ({"credit_usd": 5, "markup": 1_001}, "markup is a share such as 0.2 for 20 %"),
    ],
)  # fmt: skip
def test_every_mistake_in_a_plan_has_a_sentence_that_names_the_plan(
    arguments: Mapping[str, Any], sentence: str
) -> None:
    with pytest.raises(FounderError, match=sentence) as told:
        Plan(**{"name": "pro", **arguments})
    assert str(told.value).startswith("Plan(")
    assert str(told.value).endswith(".")
