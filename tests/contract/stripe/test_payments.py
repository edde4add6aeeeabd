"""Payments with nobody there, cards that fail, money that goes back, and money that is fought over."""

from typing import Any

import pytest
import stripe
from stripe import PaymentIntent, StripeClient

from tests.contract.stripe.shop import events_of
from tests.services.stripe import StripeStandin


def pay(client: StripeClient, card: str = "pm_card_visa", **more: Any) -> PaymentIntent:
    given: Any = {"amount": 2500, "currency": "usd", "payment_method": card, "confirm": True, **more}
    return client.v1.payment_intents.create(given)


def test_a_payment_leaves_a_charge_and_the_events_of_one(client: StripeClient) -> None:
    intent = pay(client, metadata={"top_up": "1"})
    assert (intent.status, intent.amount_received) == ("succeeded", 2500)
    charge = client.v1.charges.retrieve(str(intent.latest_charge))
    assert (charge.paid, charge.payment_intent, charge.metadata["top_up"]) == (True, intent.id, "1")
    for kind, id_ in (("payment_intent.created", intent.id), ("payment_intent.succeeded", intent.id),
                      ("charge.succeeded", charge.id)):  # fmt: skip
        assert len(events_of(client, kind, id_)) == 1


@pytest.mark.parametrize(
    ("card", "code", "decline_code"),
    [
        ("pm_card_chargeDeclined", "card_declined", "generic_decline"),
        ("pm_card_chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds"),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card", "expired_card"),
        ("pm_card_chargeDeclinedIncorrectCvc", "incorrect_cvc", "incorrect_cvc"),
    ],
)
def test_a_card_that_fails_is_told_why_and_the_intent_stays(
    client: StripeClient, card: str, code: str, decline_code: str
) -> None:
    with pytest.raises(stripe.CardError) as raised:
        pay(client, card)
    error = raised.value
    body: Any = error.json_body
    assert (error.http_status, error.code, body["error"]["decline_code"]) == (402, code, decline_code)
    intent = client.v1.payment_intents.retrieve(body["error"]["payment_intent"]["id"])
    assert intent.status == "requires_payment_method"
    assert intent.last_payment_error is not None
    assert intent.last_payment_error.code == code
    assert len(events_of(client, "payment_intent.payment_failed", intent.id)) == 1
    assert client.v1.payment_intents.confirm(intent.id, {"payment_method": "pm_card_visa"}).status == "succeeded"


def test_a_card_that_wants_its_owner_fails_where_nobody_is(client: StripeClient) -> None:
    assert pay(client, "pm_card_authenticationRequired").status == "requires_action"
    ada = client.v1.customers.create({"payment_method": "pm_card_authenticationRequired"})
    method = client.v1.payment_methods.list({"customer": ada.id}).data[0].id
    with pytest.raises(stripe.CardError) as raised:
        pay(client, method, customer=ada.id, off_session=True)
    assert raised.value.code == "authentication_required"


def test_a_customer_with_a_declined_card_is_not_made(client: StripeClient) -> None:
    with pytest.raises(stripe.CardError):
        client.v1.customers.create({"email": "nobody@example.com", "payment_method": "pm_card_chargeDeclined"})
    assert not client.v1.customers.list({"email": "nobody@example.com"}).data


def test_a_declined_card_cannot_be_attached_and_another_customers_not_be_used(client: StripeClient) -> None:
    ada, ben = client.v1.customers.create({"payment_method": "pm_card_visa"}), client.v1.customers.create()
    with pytest.raises(stripe.CardError):
        client.v1.payment_methods.attach("pm_card_chargeDeclined", {"customer": ben.id})
    method = client.v1.payment_methods.list({"customer": ada.id}).data[0].id
    for customer in ({"customer": ben.id}, {}):
        with pytest.raises(stripe.InvalidRequestError):
            pay(client, method, **customer)


def test_money_goes_back_in_parts_and_never_more_than_came(client: StripeClient) -> None:
    intent = pay(client)
    charge = str(intent.latest_charge)
    client.v1.refunds.create({"payment_intent": intent.id, "amount": 1000})
    assert client.v1.charges.retrieve(charge).refunded is False
    with pytest.raises(stripe.InvalidRequestError, match="greater than"):
        client.v1.refunds.create({"charge": charge, "amount": 1501})
    rest = client.v1.refunds.create({"charge": charge})
    assert (rest.amount, rest.status, rest.payment_intent) == (1500, "succeeded", intent.id)
    found = client.v1.charges.retrieve(charge)
    assert (found.refunded, found.amount_refunded) == (True, 2500)
    with pytest.raises(stripe.InvalidRequestError) as raised:
        client.v1.refunds.create({"charge": charge})
    assert raised.value.code == "charge_already_refunded"
    assert [event.data.object["amount_refunded"] for event in events_of(client, "charge.refunded", charge)] == [
        1000,
        2500,
    ]


@pytest.mark.parametrize("verdict", ["won", "lost"])
def test_a_dispute_takes_the_money_and_is_won_or_lost(
    standin: StripeStandin, client: StripeClient, verdict: str
) -> None:
    intent = pay(client, "pm_card_createDispute")
    dispute = client.v1.disputes.list({"payment_intent": intent.id}).data[0]
    assert (dispute.status, dispute.reason, dispute.amount) == ("needs_response", "fraudulent", 2500)
    assert client.v1.charges.retrieve(str(intent.latest_charge)).disputed
    with pytest.raises(stripe.InvalidRequestError, match="charged back"):
        client.v1.refunds.create({"payment_intent": intent.id})
    if verdict == "won":
        standin.dispute(dispute=dispute.id, verdict="won")
    else:
        client.v1.disputes.close(dispute.id)
    assert client.v1.disputes.retrieve(dispute.id).status == verdict
    assert len(events_of(client, "charge.dispute.closed", dispute.id)) == 1
    assert len(events_of(client, "charge.dispute.funds_reinstated", dispute.id)) == (verdict == "won")


def test_any_payment_may_be_disputed_later(standin: StripeStandin, client: StripeClient) -> None:
    intent = pay(client)
    standin.dispute(payment_intent=intent.id)
    assert client.v1.disputes.list({"payment_intent": intent.id}).data[0].charge == intent.latest_charge


def test_the_payment_of_an_invoice_is_found_from_both_sides(client: StripeClient) -> None:
    card = "pm_card_visa"
    ada = client.v1.customers.create({"payment_method": card, "invoice_settings": {"default_payment_method": card}})
    client.v1.invoice_items.create({"customer": ada.id, "amount": 700, "currency": "usd"})
    invoice = client.v1.invoices.create({"customer": ada.id, "pending_invoice_items_behavior": "include"})
    invoice = client.v1.invoices.pay(str(invoice.id), {"expand": ["payments"]})
    assert invoice.payments is not None
    payment = invoice.payments.data[0]
    intent = str(payment.payment.payment_intent)
    given: Any = {"payment": {"type": "payment_intent", "payment_intent": intent}}
    assert [one.invoice for one in client.v1.invoice_payments.list(given).data] == [invoice.id]
    with pytest.raises(stripe.InvalidRequestError, match="already paid"):
        client.v1.invoices.pay(str(invoice.id))


def test_what_an_invoice_owes_its_customer_pays_for_the_next(client: StripeClient) -> None:
    ada = client.v1.customers.create({"payment_method": "pm_card_visa"})
    method = client.v1.payment_methods.list({"customer": ada.id}).data[0].id
    totals = []
    for amount in (-300, 1000):
        client.v1.invoice_items.create({"customer": ada.id, "amount": amount, "currency": "usd"})
        invoice = client.v1.invoices.create({"customer": ada.id, "pending_invoice_items_behavior": "include"})
        invoice = client.v1.invoices.pay(str(invoice.id), {"payment_method": method})
        totals.append((invoice.status, invoice.total, invoice.amount_paid))
    assert totals == [("paid", -300, 0), ("paid", 1000, 700)]
    assert client.v1.customers.retrieve(ada.id).balance == 0
