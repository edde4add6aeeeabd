"""The customer portal: under settings of our own, so that it opens in an account whose settings nobody saved."""

import logging
from typing import Any

import pytest

from farebox.account import buy
from farebox.account.stripe_catalogue import missing
from farebox.account.till import CannotBuy
from tests.contract.selling.counter import PRODUCT, Counter

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the SDK closes nothing


def ours(counter: Counter) -> list[Any]:
    found = counter.client.v1.billing_portal.configurations.list({"active": True, "limit": 100}).data
    return [one for one in found if one.metadata is not None and one.metadata.to_dict() == {"farebox": "portal"}]


def test_its_settings_are_made_once_and_a_card_is_changed_there_but_no_plan(counter: Counter) -> None:
    counter.client.v1.billing_portal.configurations.create({"features": {"invoice_history": {"enabled": True}}})
    assert counter.sync() == 0
    [one] = ours(counter)
    features = {name: part["enabled"] for name, part in one.features.to_dict().items()}
    assert features == {
        "customer_update": True, "invoice_history": True, "payment_method_update": True,
        "subscription_cancel": False, "subscription_pause": False, "subscription_update": False,
    }  # fmt: skip
    account_id = counter.subscribed("basic")
    url = buy.portal(counter.till, counter.row(account_id))
    assert counter.stripe.submit(url, do="card", card="mastercard").status_code == 303
    known = counter.till.billing.subscription(account_id)
    assert known is not None
    counter.stripe.submit(url, do="cancel", subscription=known.id)
    assert not counter.subscription(account_id).ends_at_period_end


def test_without_them_it_is_refused_and_the_founder_hears_of_it(
    counter: Counter, caplog: pytest.LogCaptureFixture
) -> None:
    account_id = counter.subscribed("basic")
    [one] = ours(counter)
    counter.client.v1.billing_portal.configurations.update(one.id, {"active": False})
    assert missing(counter.catalogue, PRODUCT) == ([], True)
    with caplog.at_level(logging.WARNING), pytest.raises(CannotBuy, match="Stripe refused this"):
        buy.portal(counter.till, counter.row(account_id))
    told = [(line.levelname, line.getMessage()) for line in caplog.records if line.name.startswith("farebox.")]
    assert told[0] == ("WARNING", "Stripe has no portal of ours: run farebox stripe sync")
    assert told[1][1].startswith("a purchase failed: Stripe refused this (InvalidRequestError, request req_")
    row = counter.row(account_id)
    assert not any(secret in text for _, text in told for secret in (counter.stripe.key, row.email, row.customer_id))
    assert counter.sync() == 1
    assert buy.portal(counter.till, counter.row(account_id))
