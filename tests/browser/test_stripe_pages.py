"""The pages of Stripe's stand-in, in a real browser: a founder shows them to people, so they look like the rest."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from stripe.checkout import Session

from tests.browser.inspection import Inspector
from tests.contract.stripe.shop import HOUR, Shop, opened, portal_with
from tests.services.stripe import StripeStandin


@pytest.fixture(scope="module")
def standin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StripeStandin]:
    with StripeStandin(tmp_path_factory.mktemp("stripe")) as standin:
        yield standin


@pytest.fixture(scope="module")
def shop(standin: StripeStandin) -> Shop:
    return opened(standin.client())


def session_of(standin: StripeStandin, shop: Shop, **more: object) -> Session:
    lines = [{"price": shop.base.id, "quantity": 1}, {"price": shop.usage.id}]
    given: Any = {"mode": "subscription", "line_items": lines, "cancel_url": standin.url,
                  "success_url": f"{standin.url}/?paid={{CHECKOUT_SESSION_ID}}", **more}  # fmt: skip
    return shop.client.v1.checkout.sessions.create(given)


def test_somebody_pays_and_looks_after_what_was_bought(
    standin: StripeStandin, shop: Shop, reader: Page, inspector: Inspector
) -> None:
    session = session_of(standin, shop)
    inspector.assert_page(reader, str(session.url), name="stripe-pay")
    reader.get_by_label("Email").fill("ada.with-a-very-long-name-indeed@mathematicians.example.com")
    reader.get_by_label("Is declined").check()
    reader.get_by_role("button", name="Subscribe").click()
    expect(reader.get_by_role("alert")).to_have_text("Your card was declined.")
    inspector.assert_here(reader, "stripe-pay-declined")
    reader.get_by_label("Asks for a confirmation").check()
    reader.get_by_role("button", name="Subscribe").click()
    expect(reader.get_by_role("button", name="It is me")).to_be_visible()
    inspector.assert_here(reader, "stripe-pay-bank")
    reader.get_by_role("button", name="It is me").click()
    reader.wait_for_url(f"**/?paid={session.id}")
    inspector.assert_page(reader, f"{standin.url}/", name="stripe-overview")
    inspector.assert_page(reader, str(session.url), name="stripe-paid")
    customer = str(shop.client.v1.checkout.sessions.retrieve(session.id).customer)
    allowed = portal_with(shop.client, "subscription_cancel", "payment_method_update", "invoice_history")
    given: Any = {"customer": customer, "return_url": standin.url, "configuration": allowed}
    portal = shop.client.v1.billing_portal.sessions.create(given)
    inspector.assert_page(reader, portal.url, name="stripe-portal")
    reader.get_by_role("button", name="Cancel at the period's end").click()
    expect(reader.get_by_role("button", name="Keep it after all")).to_be_visible()
    reader.get_by_role("button", name="Keep it after all").click()
    expect(reader.get_by_role("button", name="Cancel at the period's end")).to_be_visible()
    reader.get_by_label("Works now, and fails at the renewal").check()
    reader.get_by_role("button", name="Use this card from now on").click()
    expect(reader.get_by_text("0055").first).to_be_visible()


def test_a_founder_lets_a_month_pass_and_an_invoice_stays_open(
    standin: StripeStandin, shop: Shop, reader: Page, inspector: Inspector
) -> None:
    session = session_of(standin, shop)
    standin.pay(str(session.url), "failsLater")
    reader.goto(standin.url)
    reader.get_by_role("button", name="a month").click()
    standin.settle()
    standin.advance(seconds=HOUR + 1)
    reader.goto(standin.url)
    expect(reader.get_by_text("past due").first).to_be_visible()
    id_ = str(shop.client.v1.checkout.sessions.retrieve(session.id).subscription)
    subscription = shop.client.v1.subscriptions.retrieve(id_, {"expand": ["latest_invoice"]})
    invoice: Any = subscription.latest_invoice
    inspector.assert_page(reader, invoice.hosted_invoice_url, name="stripe-invoice")
    reader.get_by_role("button", name="Pay").click()
    expect(reader.get_by_text("paid", exact=True)).to_be_visible()
    assert shop.client.v1.subscriptions.retrieve(id_).status == "active"


def test_what_is_not_there_is_told_on_a_page(standin: StripeStandin, reader: Page, inspector: Inspector) -> None:
    inspector.assert_page(reader, f"{standin.url}/pay/cs_none", name="stripe-nothing", status=404)


def test_a_trial_and_a_pack_are_shown_as_what_they_are(
    standin: StripeStandin, shop: Shop, reader: Page, inspector: Inspector
) -> None:
    trial = session_of(standin, shop, subscription_data={"trial_period_days": 14})
    inspector.assert_page(reader, str(trial.url), name="stripe-pay-trial")
    expect(reader.get_by_text("14 days")).to_be_visible()
    price: Any = {"currency": "usd", "unit_amount": 1000, "product_data": {"name": "Ten dollars of credit"}}
    given: Any = {"mode": "payment", "success_url": standin.url, "line_items": [{"price_data": price, "quantity": 2}]}
    pack = shop.client.v1.checkout.sessions.create(given)
    reader.goto(str(pack.url))
    expect(reader.get_by_role("heading", name="$20.00")).to_be_visible()
    expect(reader.get_by_label("Bank debit: the money comes later")).to_be_visible()
