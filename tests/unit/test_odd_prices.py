"""Prices that look like another unit, or swapped, are told; no published price is among them."""

from decimal import Decimal

import pytest
from genai_prices.data_snapshot import get_snapshot

from farebox import Plan
from farebox.adapters.price_table import published
from farebox.domain.odd_prices import odd_price, odd_prices
from farebox.domain.prices import price_of_usd
from farebox.domain.product import Product
from farebox.domain.providers import ModelName


@pytest.mark.parametrize(
    ("usd", "told"),
    [
        ((0.00000015, 0.0000006), "check that none of them is for one token"),
        (("0.00015", "0.0006"), "check that none of them is for one token"),
        ((0.15, 0.60, "0.00000007"), "check that none of them is for one token"),
        ((0.60, 0.15), "input comes first, then output: check that they are not swapped"),
    ],
)  # fmt: skip
def test_a_price_of_one_token_and_a_swapped_one_are_told(usd: tuple[float | str, ...], told: str) -> None:
    [said] = odd_prices(Product(prices={"gpt-4o-mini": usd}))
    assert said.startswith("your file has $")
    assert told in said


def test_a_markup_that_looks_like_per_cent_is_told() -> None:
    plans = [Plan("a", credit_usd=5, markup=20), Plan("b", credit_usd=5, markup=3), Plan("c", credit_usd=5, markup=0.2)]
    assert list(odd_prices(Product(plans=plans))) == [
        "Plan('a') has markup=20, which charges 21 times the model's cost; for 20 % write 0.2"
    ]


@pytest.mark.parametrize("usd", [(0, 0), (0.02, 0), (0.003, 0.01), (1, 1), (150, 600)])
def test_usual_prices_are_not_odd(usd: tuple[float, float]) -> None:
    assert list(odd_prices(Product(prices={"gpt-4o-mini": usd}))) == []


def test_no_published_price_is_odd() -> None:
    count = 0
    for provider in get_snapshot().providers:
        for model in provider.models:
            for _, figures in published(provider.id, model.id, True) or ():  # noqa: FBT003  # as it comes
                read, written, *others = (None if one is None else round(Decimal(one), 9) for one in figures)
                if read is not None and written is not None:
                    count += 1
                    assert list(odd_price(ModelName(provider.id, model.id), price_of_usd(read, written, *others))) == []
    assert count > 500
