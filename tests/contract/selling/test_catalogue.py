"""What is for sale at Stripe follows the founder's file: added, archived, taken up again, and never edited."""

import secrets
from dataclasses import replace

import pytest

from farebox.account.stripe_catalogue import compare, make_so, missing
from farebox.domain.catalogue import keys_of
from farebox.domain.pack import Pack
from farebox.domain.plan import Plan
from farebox.domain.product import Product
from farebox.ports.money import PaymentRefused
from tests.contract.selling.counter import PRODUCT, Counter


def signs(counter: Counter, product: Product) -> dict[str, str]:
    return {change.key: change.sign for change in compare(counter.catalogue, product)[1]}


def test_all_is_added_once_and_then_nothing_is_to_be_done(counter: Counter) -> None:
    assert set(signs(counter, PRODUCT).values()) == {"="}
    assert counter.sync() == 0
    assert missing(counter.catalogue, PRODUCT) == ([], False)
    sold = {price.lookup_key: price for price in counter.client.v1.prices.list({"active": True, "limit": 100}).data}
    assert sold["farebox_pro_month_2900"].unit_amount == 2900
    assert sold["farebox_yearly_year_29000"].recurring.interval == "year"  # type: ignore[union-attr]
    assert sold["farebox_pack_big_5000"].recurring is None
    usage = sold["farebox_usage_month"]
    assert str(usage.unit_amount_decimal) == "1E-7" or float(usage.unit_amount_decimal or 0) == 1e-7
    assert not any("free" in key for key in sold if key)


def test_another_price_is_another_price_and_the_old_one_is_archived(counter: Counter) -> None:
    plans = tuple(
        Plan("pro", usd=39, calls=1000, overage_usd="0.01") if one.name == "pro" else one for one in PRODUCT.plans
    )
    dearer = replace(PRODUCT, plans=plans, packs=(Pack("small", usd=10),))
    found = signs(counter, dearer)
    assert (found["farebox_pro_month_3900"], found["farebox_pro_month_2900"]) == ("+", "-")
    assert found["farebox_pack_big_5000"] == "-"
    catalogue = counter.catalogue
    assert make_so(catalogue, dearer, *compare(catalogue, dearer)).changes == 3
    assert signs(counter, dearer)["farebox_pro_month_3900"] == "="
    assert missing(catalogue, PRODUCT) == (["farebox_pro_month_2900", "farebox_pack_big_5000"], False)
    # Back again: the archived ones are taken up, and nothing is made twice.
    assert signs(counter, PRODUCT)["farebox_pro_month_2900"] == "+"
    assert counter.sync() == 3
    prices = counter.client.v1.prices.list({"lookup_keys": ["farebox_pro_month_2900"]}).data
    assert [price.active for price in prices] == [True]


def test_a_price_that_is_not_there_is_told_to_the_founder_and_not_to_the_customer(
    counter: Counter, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(PaymentRefused, match="cannot be bought at the moment") as refused:
        counter.till.payments.checkout_plan(
            counter.account(),
            "",
            ["farebox_gone_month_100"],
            0,
            "https://a",
            "https://b",
        )
    assert "stripe" not in str(refused.value).lower()
    assert "Stripe has no price farebox_gone_month_100: run farebox stripe sync" in caplog.text


def test_what_is_not_ours_is_left_alone(counter: Counter) -> None:
    product = counter.client.v1.products.create({"name": "Somebody else's"})
    counter.client.v1.prices.create(
        {"product": product.id, "currency": "usd", "unit_amount": 100, "lookup_key": f"other{secrets.token_hex(4)}"}
    )
    assert not any(key.startswith("other") for key in signs(counter, PRODUCT))
    assert counter.sync() == 0


def test_a_plan_that_is_invoiced_has_two_prices(counter: Counter) -> None:
    del counter
    assert keys_of(PRODUCT.by_name["pro"]) == ["farebox_pro_month_2900", "farebox_usage_month"]
    assert keys_of(PRODUCT.by_name["basic"]) == ["farebox_basic_month_900"]
