"""Everything that the stand-in answers is what Stripe's own library has a class for, field by field."""

import secrets
import time
from typing import Any

import pytest
import stripe
from stripe import StripeClient

from farebox.sandbox.stripe.answers import ROUTES
from tests.contract.stripe.recorder import Recorder, wrong
from tests.contract.stripe.shop import DAY, HOUR, advance, customer_on_clock, opened, period_of
from tests.services.stripe import StripeStandin

NOT_THE_LIBRARYS = "/v1/payment_pages/"
"""What the library has no method for."""


@pytest.fixture(scope="module")
def recorded(standin: StripeStandin) -> Recorder:
    """All that a customer's life, and a founder's, make Stripe answer."""
    recorder = Recorder()
    bases: Any = dict.fromkeys(("api", "meter_events", "files", "connect"), standin.url)
    client = StripeClient(standin.key, base_addresses=bases, http_client=recorder, max_network_retries=0)
    for part in (
        _sells,
        _is_paid,
        _is_used,
        _is_used_in_bulk,
        _is_billed,
        _pays_once,
        _keeps_cards,
        _checks_out,
        _changes,
        _plans_ahead,
        _is_told,
        _ends,
    ):
        part(client, standin)
    return recorder


def test_every_answer_has_the_fields_of_its_class_and_no_others(recorded: Recorder) -> None:
    found = {
        f"{method} {path.split('/')[2]}: {what}" for method, path, body in recorded.answers for what in wrong(body)
    }
    assert not found, "\n".join(sorted(found))


def test_every_endpoint_of_the_stand_in_was_asked(recorded: Recorder) -> None:
    asked = {(method, path) for method, path, _ in recorded.answers}
    missed = [
        f"{route.method} {route.path.pattern}"
        for route in ROUTES
        if not any(method == route.method and route.path.fullmatch(path) for method, path in asked)
        and not route.path.pattern.startswith(NOT_THE_LIBRARYS)
    ]
    assert not missed


def _sells(client: StripeClient, _: StripeStandin) -> None:
    v1 = client.v1
    v1.accounts.retrieve_current()
    v1.accounts.retrieve("acct_1Farebox0standin0")
    product = v1.products.create({"name": "Tagliner", "metadata": {"a": "b"}})
    price = v1.prices.create({"product": product.id, "currency": "usd", "unit_amount": 500})
    v1.prices.retrieve(price.id)
    v1.prices.update(price.id, {"active": False, "nickname": "old"})
    tiers: Any = [{"up_to": 10, "unit_amount": 100}, {"up_to": "inf", "unit_amount_decimal": "0.5"}]
    tiered: Any = {"product": product.id, "currency": "usd", "billing_scheme": "tiered", "tiers_mode": "graduated",
                   "recurring": {"interval": "month"}, "tiers": tiers, "expand": ["tiers"]}  # fmt: skip
    v1.prices.create(tiered)
    v1.prices.list({"product": product.id, "expand": ["data.product"]})
    v1.products.retrieve(product.id)
    v1.products.update(product.id, {"description": "Taglines"})
    v1.products.list()
    v1.products.delete(v1.products.create({"name": "Nothing"}).id)
    plan = v1.plans.create({"currency": "usd", "interval": "month", "amount": 100, "product": {"name": "Old"}})
    v1.plans.update(plan.id, {"metadata": {"a": "b"}})
    v1.plans.delete(plan.id)
    link = v1.payment_links.create({"line_items": [{"price": price.id, "quantity": 1}]})
    v1.payment_links.retrieve(link.id)
    v1.payment_links.update(link.id, {"active": False})


def _is_paid(client: StripeClient, _: StripeStandin) -> None:
    v1 = client.v1
    shop = opened(client)
    ada = customer_on_clock(client)
    v1.customers.retrieve(
        ada.id, {"expand": ["subscriptions", "test_clock", "invoice_settings.default_payment_method"]}
    )
    v1.customers.list()
    subscription = shop.subscribe(ada, metadata={"account": "1"})
    v1.subscriptions.retrieve(subscription.id, {"expand": ["latest_invoice.payments", "customer"]})
    v1.subscriptions.list({"customer": ada.id})
    item = v1.subscription_items.create({"subscription": subscription.id, "price": shop.base.id, "quantity": 2})
    v1.subscription_items.retrieve(item.id)
    v1.subscription_items.update(item.id, {"quantity": 1})
    v1.subscription_items.list({"subscription": subscription.id})
    v1.subscription_items.delete(item.id)
    shop.use(ada, 10**12)
    v1.invoices.create_preview({"subscription": subscription.id})
    end = period_of(subscription)[1]
    advance(client, ada, end + HOUR + 60)
    v1.invoices.list({"customer": ada.id, "expand": ["data.customer"]})
    v1.test_helpers.test_clocks.list()
    v1.test_helpers.test_clocks.delete(str(ada.test_clock))


def _is_used(client: StripeClient, _: StripeStandin) -> None:
    shop, v1 = opened(client), client.v1
    ada = v1.customers.create({"email": "ada@example.com"})
    identifier = secrets.token_hex(8)
    v1.billing.meter_events.create(
        {
            "event_name": shop.event_name,
            "identifier": identifier,
            "payload": {"stripe_customer_id": ada.id, "value": "7"},
        }
    )
    minute = int(time.time()) // 60 * 60
    v1.billing.meters.event_summaries.list(
        shop.meter, {"customer": ada.id, "start_time": minute - 600, "end_time": minute + 60}
    )
    v1.billing.meter_event_adjustments.create(
        {"event_name": shop.event_name, "type": "cancel", "cancel": {"identifier": identifier}}
    )
    v1.billing.meters.retrieve(shop.meter)
    v1.billing.meters.update(shop.meter, {"display_name": "Tokens"})
    v1.billing.meters.list()
    v1.billing.meters.deactivate(shop.meter)
    v1.billing.meters.reactivate(shop.meter)


def _is_used_in_bulk(client: StripeClient, standin: StripeStandin) -> None:
    shop, v2 = opened(client), client.v2
    event: Any = {"event_name": shop.event_name, "payload": {"stripe_customer_id": "cus_none", "value": "1"}}
    session = v2.billing.meter_event_session.create()
    destination, _ = standin.tell_thin("http://127.0.0.1:1/x", ("v1.billing.meter.error_report_triggered",))
    key: Any = {"api_key": session.authentication_token}
    v2.billing.meter_event_stream.create({"events": [event]}, key)
    v2.billing.meter_events.create(event)
    v2.core.event_destinations.retrieve(destination)
    v2.core.event_destinations.list()
    made: Any = {"name": "x", "type": "webhook_endpoint", "event_payload": "thin", "enabled_events": ["*"],
                 "webhook_endpoint": {"url": "http://127.0.0.1:1/x"}}  # fmt: skip
    v2.core.event_destinations.create(made)
    for one in v2.core.events.list().data:
        v2.core.events.retrieve(one.id)
    v2.core.event_destinations.delete(destination)


def _is_billed(client: StripeClient, _: StripeStandin) -> None:
    v1 = client.v1
    ada = v1.customers.create({"email": "ada@example.com", "payment_method": "pm_card_visa"})
    new: Any = {"customer": ada.id, "amount": 2000, "currency": "usd"}
    given: Any = {"customer": ada.id, "pending_invoice_items_behavior": "include"}
    item = v1.invoice_items.create(new)
    v1.invoice_items.retrieve(item.id)
    v1.invoice_items.list({"customer": ada.id})
    v1.invoice_items.delete(item.id)
    v1.invoice_items.create(new)
    invoice = v1.invoices.create(given)
    v1.invoices.update(str(invoice.id), {"metadata": {"a": "b"}})
    v1.invoices.finalize_invoice(str(invoice.id))
    v1.invoices.retrieve(str(invoice.id), {"expand": ["payments"]})
    v1.invoices.line_items.list(str(invoice.id))
    method = v1.payment_methods.list({"customer": ada.id}).data[0]
    v1.invoices.pay(str(invoice.id), {"payment_method": method.id})
    payment = v1.invoice_payments.list({"invoice": str(invoice.id)}).data[0]
    v1.invoice_payments.retrieve(payment.id)
    for end in (v1.invoices.void_invoice, v1.invoices.mark_uncollectible):
        v1.invoice_items.create(new)
        end(str(v1.invoices.finalize_invoice(str(v1.invoices.create(given).id)).id))
    v1.invoice_items.create(new)
    sent = v1.invoices.create(given | {"collection_method": "send_invoice", "days_until_due": 7})
    v1.invoices.send_invoice(str(sent.id))
    v1.invoices.delete(str(v1.invoices.create({"customer": ada.id}).id))


def _pays_once(client: StripeClient, standin: StripeStandin) -> None:
    v1 = client.v1
    given: Any = {"amount": 1000, "currency": "usd", "payment_method": "pm_card_visa", "confirm": True}
    intent = v1.payment_intents.create(given)
    v1.payment_intents.retrieve(intent.id, {"expand": ["latest_charge.refunds", "payment_method"]})
    v1.payment_intents.list()
    v1.charges.retrieve(str(intent.latest_charge))
    v1.charges.list({"payment_intent": intent.id})
    refund = v1.refunds.create({"payment_intent": intent.id, "amount": 300})
    v1.refunds.retrieve(refund.id)
    v1.refunds.update(refund.id, {"metadata": {"a": "b"}})
    v1.refunds.list({"payment_intent": intent.id})
    disputed = v1.payment_intents.create(given | {"payment_method": "pm_card_createDispute"})
    dispute = v1.disputes.list({"payment_intent": disputed.id}).data[0]
    v1.disputes.retrieve(dispute.id)
    v1.disputes.update(dispute.id, {"metadata": {"a": "b"}})
    v1.disputes.close(dispute.id)
    held = v1.payment_intents.create(given | {"capture_method": "manual"})
    v1.payment_intents.capture(held.id)
    open_ = v1.payment_intents.create({"amount": 1000, "currency": "usd"})
    v1.payment_intents.update(open_.id, {"amount": 1100})
    v1.payment_intents.cancel(open_.id)
    asks = v1.payment_intents.create(given | {"payment_method": "pm_card_authenticationRequired"})
    v1.payment_intents.confirm(asks.id, {"payment_method": "pm_card_visa"})
    with pytest.raises(stripe.CardError):
        v1.payment_intents.create(given | {"payment_method": "pm_card_chargeDeclined"})
    v1.payment_intents.retrieve(v1.payment_intents.list({"limit": 1}).data[0].id)
    customer = v1.customers.create()
    v1.test_helpers.customers.fund_cash_balance(customer.id, {"amount": 100, "currency": "usd"})
    assert standin.url


def _keeps_cards(client: StripeClient, _: StripeStandin) -> None:
    v1 = client.v1
    ada = v1.customers.create({"email": "ada@example.com"})
    v1.tokens.create({"card": {"number": "4242424242424242", "exp_month": "12", "exp_year": "2034"}})
    token: Any = {"type": "card", "card": {"token": "tok_visa"}}
    method = v1.payment_methods.create(token)
    v1.payment_methods.attach(method.id, {"customer": ada.id})
    v1.payment_methods.retrieve(method.id)
    v1.payment_methods.update(method.id, {"metadata": {"a": "b"}})
    v1.payment_methods.list({"customer": ada.id})
    v1.customers.payment_methods.list(ada.id)
    v1.customers.update(ada.id, {"invoice_settings": {"default_payment_method": method.id}, "name": "Ada"})
    v1.payment_methods.detach(method.id)
    debit: Any = {"type": "sepa_debit", "sepa_debit": {"iban": "AT611904300234573201"}}
    v1.payment_methods.create(debit)
    intent = v1.setup_intents.create({"customer": ada.id})
    v1.setup_intents.confirm(intent.id, {"payment_method": "pm_card_visa"})
    v1.setup_intents.retrieve(intent.id)
    v1.setup_intents.cancel(v1.setup_intents.create().id)
    v1.setup_intents.list()


def _checks_out(client: StripeClient, standin: StripeStandin) -> None:
    v1, shop = client.v1, opened(client)
    given: Any = {"mode": "subscription", "success_url": "https://example.com/?cs={CHECKOUT_SESSION_ID}",
                  "line_items": [{"price": shop.base.id, "quantity": 1}, {"price": shop.usage.id}]}  # fmt: skip
    session = v1.checkout.sessions.create(given)
    standin.pay(str(session.url))
    session = v1.checkout.sessions.retrieve(
        session.id, {"expand": ["line_items", "customer", "subscription", "invoice"]}
    )
    v1.checkout.sessions.line_items.list(session.id)
    v1.checkout.sessions.list()
    v1.checkout.sessions.update(session.id, {"metadata": {"a": "b"}})
    v1.checkout.sessions.expire(v1.checkout.sessions.create(given).id)
    customer: Any = session.customer
    v1.tax.settings.retrieve()
    v1.tax.settings.update({"defaults": {"tax_behavior": "exclusive"}})
    v1.tax.settings.update({"head_office": {"address": {"country": "US", "state": "NY"}}})
    v1.tax.settings.retrieve()
    taxed: Any = {"automatic_tax": {"enabled": True}}
    standin.pay(str(v1.checkout.sessions.create(given | taxed).url))
    portals = v1.billing_portal.configurations
    updates: Any = {"enabled": True, "allowed_updates": ["address", "tax_id"]}
    portal = portals.create({"features": {"customer_update": updates}, "metadata": {"a": "b"}})
    v1.billing_portal.sessions.create({"customer": customer.id, "configuration": portal.id})
    portals.update(portal.id, {"features": {"invoice_history": {"enabled": True}}, "active": False})
    portals.retrieve(portal.id)
    portals.list()


def _changes(client: StripeClient, _: StripeStandin) -> None:
    v1, shop = client.v1, opened(client)
    ada = customer_on_clock(client)
    subscription = shop.subscribe(ada, trial_period_days=5)
    v1.subscriptions.update(subscription.id, {"trial_end": "now"})
    v1.subscriptions.update(subscription.id, {"cancel_at_period_end": True, "metadata": {"a": "b"}})
    settings: Any = {"end_behavior": {"missing_payment_method": "pause"}}
    ben = customer_on_clock(client, None)
    paused = shop.subscribe(ben, trial_period_days=1, trial_settings=settings)
    advance(client, ben, paused.created + 2 * DAY)
    method = v1.payment_methods.attach("pm_card_visa", {"customer": ben.id})
    v1.customers.update(ben.id, {"invoice_settings": {"default_payment_method": method.id}})
    v1.subscriptions.resume(paused.id)


def _plans_ahead(client: StripeClient, _: StripeStandin) -> None:
    v1, shop = client.v1, opened(client)
    ada = customer_on_clock(client)
    subscription = shop.subscribe(ada)
    schedule = v1.subscription_schedules.create({"from_subscription": subscription.id})
    v1.subscription_schedules.retrieve(schedule.id)
    v1.subscription_schedules.update(schedule.id, {"metadata": {"a": "b"}})
    v1.subscription_schedules.list({"customer": ada.id})
    v1.subscription_schedules.release(schedule.id)
    phases: Any = [{"items": [{"price": shop.base.id}], "duration": {"interval": "month"}}]
    later: Any = {"customer": ada.id, "start_date": subscription.created + 99, "phases": phases}
    v1.subscription_schedules.cancel(v1.subscription_schedules.create(later).id)


def _is_told(client: StripeClient, _: StripeStandin) -> None:
    v1 = client.v1
    endpoint = v1.webhook_endpoints.create({"url": "http://127.0.0.1:1/x", "enabled_events": ["customer.created"]})
    v1.webhook_endpoints.retrieve(endpoint.id)
    v1.webhook_endpoints.update(endpoint.id, {"disabled": True})
    v1.webhook_endpoints.list()
    v1.webhook_endpoints.delete(endpoint.id)
    found = v1.events.list({"limit": 100})
    v1.events.retrieve(found.data[0].id)


def _ends(client: StripeClient, _: StripeStandin) -> None:
    shop = opened(client)
    ada = customer_on_clock(client)
    client.v1.subscriptions.cancel(shop.subscribe(ada).id)
    client.v1.customers.delete(ada.id)
    client.v1.customers.retrieve(ada.id)
