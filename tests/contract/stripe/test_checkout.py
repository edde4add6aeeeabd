"""The page to pay on, the portal, an invoice's page: what people do there, and what comes of it."""

import time
from typing import Any

import pytest
import stripe
from stripe import StripeClient
from stripe.checkout import Session

from tests.contract.stripe.shop import HOUR, Shop, events_of, opened, period_of, portal_with
from tests.services.process import wait_until
from tests.services.stripe import StripeStandin

SUCCESS = "https://farebox.example/plan/paid?cs={CHECKOUT_SESSION_ID}"
BACK = "https://farebox.example/plan"


@pytest.fixture(scope="module")
def shop(client: StripeClient) -> Shop:
    return opened(client)


def subscription_session(shop: Shop, **more: Any) -> Session:
    lines = [{"price": shop.base.id, "quantity": 1}, {"price": shop.usage.id}]
    given: Any = {"mode": "subscription", "line_items": lines, "success_url": SUCCESS, "cancel_url": BACK, **more}
    return shop.client.v1.checkout.sessions.create(given)


def payment_session(client: StripeClient, **more: Any) -> Session:
    price: Any = {"currency": "usd", "unit_amount": 1000, "product_data": {"name": "Ten dollars of credit"}}
    given: Any = {"mode": "payment", "line_items": [{"price_data": price, "quantity": 1}], "success_url": SUCCESS,
                  "cancel_url": BACK, **more}  # fmt: skip
    return client.v1.checkout.sessions.create(given)


def test_whoever_pays_has_a_subscription_and_comes_back(standin: StripeStandin, shop: Shop) -> None:
    data = {"metadata": {"account": "acct_1"}}
    session = subscription_session(shop, client_reference_id="acct_1", subscription_data=data, metadata={"a": "b"})
    assert (session.status, session.payment_status, session.amount_total) == ("open", "unpaid", 2900)
    page = standin.submit(str(session.url))
    assert "Choose a card" in page.text
    assert BACK in page.text
    assert standin.pay(str(session.url)) == SUCCESS.replace("{CHECKOUT_SESSION_ID}", session.id)
    paid = shop.client.v1.checkout.sessions.retrieve(session.id)
    assert (paid.status, paid.payment_status, paid.client_reference_id) == ("complete", "paid", "acct_1")
    subscription = shop.client.v1.subscriptions.retrieve(str(paid.subscription))
    assert (subscription.status, subscription.customer) == ("active", paid.customer)
    assert subscription.metadata["account"] == "acct_1"
    assert subscription.default_payment_method is not None
    assert paid.invoice == subscription.latest_invoice
    assert shop.client.v1.customers.retrieve(str(paid.customer)).email == "ada@example.com"
    event = events_of(shop.client, "checkout.session.completed", session.id)[0]
    assert event.data.object["payment_status"] == "paid"


def test_a_session_is_paid_once(standin: StripeStandin, shop: Shop) -> None:
    session = subscription_session(shop)
    standin.pay(str(session.url))
    assert "This is paid" in standin.submit(str(session.url), card="visa").text
    assert len(events_of(shop.client, "checkout.session.completed", session.id)) == 1


def test_a_declined_card_leaves_the_session_open(standin: StripeStandin, shop: Shop) -> None:
    session = subscription_session(shop)
    answer = standin.submit(str(session.url), card="chargeDeclined", email="ada@example.com")
    assert answer.status_code == 402
    assert "Your card was declined." in answer.text
    session = shop.client.v1.checkout.sessions.retrieve(session.id)
    assert (session.status, session.customer, session.subscription) == ("open", None, None)
    standin.pay(str(session.url))


def test_a_card_that_asks_its_owner_works_when_he_says_yes(standin: StripeStandin, shop: Shop) -> None:
    session = subscription_session(shop)
    card = "authenticationRequiredOnSetup"
    assert "Your bank asks" in standin.submit(str(session.url), card=card).text
    assert standin.submit(str(session.url), card=card, is_me="no").status_code == 402
    standin.pay(str(session.url), card)
    assert shop.client.v1.checkout.sessions.retrieve(session.id).payment_status == "paid"


def test_a_trial_begins_with_nothing_paid(standin: StripeStandin, shop: Shop) -> None:
    session = subscription_session(shop, subscription_data={"trial_period_days": 7})
    assert session.amount_total == 0
    standin.pay(str(session.url))
    session = shop.client.v1.checkout.sessions.retrieve(session.id)
    assert session.payment_status == "no_payment_required"
    assert shop.client.v1.subscriptions.retrieve(str(session.subscription)).status == "trialing"


def test_somebody_known_buys_a_pack_and_the_card_may_be_charged_later(standin: StripeStandin, shop: Shop) -> None:
    v1 = shop.client.v1
    ada = v1.customers.create({"email": "ada@example.com"})
    data: Any = {"setup_future_usage": "off_session", "metadata": {"pack": "small"}}
    session = payment_session(shop.client, customer=ada.id, payment_intent_data=data)
    standin.pay(str(session.url))
    session = v1.checkout.sessions.retrieve(session.id)
    intent = v1.payment_intents.retrieve(str(session.payment_intent))
    assert (session.payment_status, intent.status, intent.amount_received) == ("paid", "succeeded", 1000)
    assert intent.metadata["pack"] == "small"
    later = v1.payment_intents.create(
        {"amount": 500, "currency": "usd", "customer": ada.id, "payment_method": str(intent.payment_method),
         "off_session": True, "confirm": True}
    )  # fmt: skip
    assert later.status == "succeeded"


def test_a_pack_may_come_with_an_invoice(standin: StripeStandin, client: StripeClient) -> None:
    data = {"metadata": {"pack": "small"}}
    session = payment_session(client, invoice_creation={"enabled": True, "invoice_data": data})
    assert standin.submit(str(session.url), card="chargeDeclined").status_code == 402
    standin.pay(str(session.url))
    session = client.v1.checkout.sessions.retrieve(session.id, {"expand": ["invoice.payments"]})
    invoice: Any = session.invoice
    assert (session.payment_status, invoice.status, invoice.total) == ("paid", "paid", 1000)
    assert invoice.metadata["pack"] == "small"
    assert invoice.payments.data[0].payment.payment_intent == session.payment_intent
    assert len(client.v1.invoices.list({"customer": str(session.customer)}).data) == 1


def test_a_declined_purchase_is_told_of_and_may_be_tried_again(standin: StripeStandin, client: StripeClient) -> None:
    session = payment_session(client, payment_intent_data={"setup_future_usage": "off_session"})
    for _ in range(2):
        standin.submit(str(session.url), card="chargeDeclined", email="ada@example.com")
    standin.pay(str(session.url))
    paid = client.v1.checkout.sessions.retrieve(session.id)
    intents = client.v1.payment_intents.list({"customer": str(paid.customer)}).data
    assert [intent.id for intent in intents] == [paid.payment_intent]
    assert len(events_of(client, "payment_intent.payment_failed", str(paid.payment_intent))) == 2


@pytest.mark.parametrize(
    ("card", "word", "status"), [("debit", "succeeded", "paid"), ("debitFails", "failed", "unpaid")]
)
def test_a_bank_debit_is_promised_and_comes_or_not(
    standin: StripeStandin, client: StripeClient, card: str, word: str, status: str
) -> None:
    session = payment_session(client)
    standin.pay(str(session.url), card)
    completed = events_of(client, "checkout.session.completed", session.id)[0]
    assert completed.data.object["payment_status"] == "unpaid"
    kind = f"checkout.session.async_payment_{word}"
    wait_until(lambda: bool(events_of(client, kind, session.id)), kind)
    assert client.v1.checkout.sessions.retrieve(session.id).payment_status == status


def test_a_card_is_kept_with_nothing_paid(standin: StripeStandin, client: StripeClient) -> None:
    ada = client.v1.customers.create({"email": "ada@example.com"})
    given: Any = {"mode": "setup", "customer": ada.id, "currency": "usd", "success_url": SUCCESS}
    session = client.v1.checkout.sessions.create(given)
    standin.pay(str(session.url))
    session = client.v1.checkout.sessions.retrieve(session.id, {"expand": ["setup_intent"]})
    assert session.payment_status == "no_payment_required"
    assert [one.id for one in client.v1.payment_methods.list({"customer": ada.id}).data] == [
        session.setup_intent.payment_method  # type: ignore[union-attr]
    ]


@pytest.mark.parametrize(
    "more",
    [
        {"mode": "payment"},  # recurring prices
        {"line_items": []},
        {"customer": "cus_none"},
        {"payment_intent_data": {"setup_future_usage": "off_session"}},
        {"expires_at": int(time.time()) + 60},
        {"success_url": None},
        {"payment_method_types": ["card"]},  # not in this version any more
    ],
)
def test_a_session_that_cannot_be_is_refused(shop: Shop, more: dict[str, Any]) -> None:
    with pytest.raises(stripe.InvalidRequestError):
        subscription_session(shop, **more)


def test_a_metered_price_has_no_quantity(shop: Shop) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="quantity"):
        subscription_session(shop, line_items=[{"price": shop.usage.id, "quantity": 1}])


def test_in_the_portal_a_card_is_changed_and_a_subscription_is_ended(standin: StripeStandin, shop: Shop) -> None:
    v1 = shop.client.v1
    session = subscription_session(shop)
    standin.pay(str(session.url))
    session = v1.checkout.sessions.retrieve(session.id)
    subscription = v1.subscriptions.retrieve(str(session.subscription))
    allowed = portal_with(shop.client, "subscription_cancel", "payment_method_update")
    given: Any = {"customer": str(session.customer), "return_url": BACK, "configuration": allowed}
    portal = v1.billing_portal.sessions.create(given)
    assert standin.submit(portal.url, do="cancel", subscription=subscription.id).status_code == 303
    assert v1.subscriptions.retrieve(subscription.id).cancel_at == period_of(subscription)[1]
    standin.submit(portal.url, do="keep", subscription=subscription.id)
    assert v1.subscriptions.retrieve(subscription.id).cancel_at is None
    standin.submit(portal.url, do="card", card="mastercard")
    method = v1.payment_methods.retrieve(str(v1.subscriptions.retrieve(subscription.id).default_payment_method))
    assert method.card is not None
    assert method.card.last4 == "4444"
    assert standin.submit(portal.url, do="card", card="chargeDeclined").status_code == 402


def test_a_portal_needs_a_configuration_and_lets_people_do_what_it_says(standin: StripeStandin, shop: Shop) -> None:
    v1 = shop.client.v1
    session = subscription_session(shop)
    standin.pay(str(session.url))
    session = v1.checkout.sessions.retrieve(session.id)
    customer, subscription = str(session.customer), str(session.subscription)
    with pytest.raises(stripe.InvalidRequestError, match="no default one") as refused:
        v1.billing_portal.sessions.create({"customer": customer})
    assert (refused.value.http_status, refused.value.code, refused.value.param) == (400, None, None)
    history = portal_with(shop.client, "invoice_history")
    with pytest.raises(stripe.InvalidRequestError, match="allowed_updates"):
        portal_with(shop.client, "customer_update")
    portal = v1.billing_portal.sessions.create({"customer": customer, "configuration": history})
    assert portal.configuration == history
    for form in ({"do": "cancel", "subscription": subscription}, {"do": "card", "card": "mastercard"}):
        standin.submit(portal.url, **form)
    assert v1.subscriptions.retrieve(subscription).cancel_at is None
    v1.billing_portal.configurations.update(history, {"active": False})
    with pytest.raises(stripe.InvalidRequestError, match="not active"):
        v1.billing_portal.sessions.create({"customer": customer, "configuration": history})


def test_an_open_invoice_is_paid_on_its_page_and_the_subscription_is_back(own: StripeStandin) -> None:
    shop = opened(own.client())
    session = subscription_session(shop)
    own.pay(str(session.url), "failsLater")
    id_ = str(shop.client.v1.checkout.sessions.retrieve(session.id).subscription)
    own.advance(by="month")
    own.advance(seconds=HOUR + 1)
    subscription = shop.client.v1.subscriptions.retrieve(id_, {"expand": ["latest_invoice"]})
    assert subscription.status == "past_due"
    url = str(subscription.latest_invoice.hosted_invoice_url)  # type: ignore[union-attr]
    assert own.submit(url, card="chargeDeclined").status_code == 402
    assert own.submit(url, card="visa").status_code == 303
    assert shop.client.v1.subscriptions.retrieve(id_).status == "active"


def test_a_session_that_nobody_pays_expires(own: StripeStandin) -> None:
    session = payment_session(own.client())
    own.advance(by="day")
    assert own.client().v1.checkout.sessions.retrieve(session.id).status == "expired"
    assert "expired" in own.submit(str(session.url), card="visa").text


def test_a_new_card_in_the_portal_pays_what_is_open(own: StripeStandin) -> None:
    shop = opened(own.client())
    session = subscription_session(shop)
    own.pay(str(session.url), "failsLater")
    session = shop.client.v1.checkout.sessions.retrieve(session.id)
    own.advance(by="month")
    own.advance(seconds=HOUR + 1)
    given: Any = {"customer": str(session.customer), "configuration": portal_with(shop.client, "payment_method_update")}
    portal = shop.client.v1.billing_portal.sessions.create(given)
    assert own.submit(portal.url, do="card", card="visa").status_code == 303
    assert shop.client.v1.subscriptions.retrieve(str(session.subscription)).status == "active"
