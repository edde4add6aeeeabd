"""Completes a checkout session that is paid: makes what it was for, by its mode."""

from typing import Final

from farebox.sandbox.stripe import billing, cycle
from farebox.sandbox.stripe.cards import CARDS
from farebox.sandbox.stripe.desk import Desk
from farebox.sandbox.stripe.errors import refused
from farebox.sandbox.stripe.rooms import payment_intents, setup_intents
from farebox.sandbox.stripe.rooms.customers import create as create_customer
from farebox.sandbox.stripe.rooms.invoices import create_item
from farebox.sandbox.stripe.rooms.payment_methods import attached, declined
from farebox.sandbox.stripe.rooms.subscriptions import created
from farebox.sandbox.stripe.things import Thing

HERE: Final[Thing] = {"city": "New York", "country": "US", "line1": "1 Broadway", "line2": None,
                      "postal_code": "10004", "state": "NY"}  # fmt: skip
"""The address of every customer, where taxes need one: the page does not ask for it."""


def completed(desk: Desk, session: Thing, method: Thing) -> Thing:
    """The session, complete.

    Raises:
        StripeError: it is not open any more, or the card was declined or wants its owner; then it stays open.
    """
    if session["status"] != "open":
        raise refused("This Checkout Session is no longer active.", code="checkout_session_not_open")
    if session["mode"] == "subscription" or session["_invoice_creation"].get("enabled"):
        _check_card(method, is_paid=bool(session["amount_total"]))
    session = _with_customer(desk, session, method)
    finish = {"subscription": _subscribed, "payment": _paid, "setup": _set_up}[session["mode"]]
    session = finish(desk, session, method)
    session = desk.put({**session, "status": "complete", "url": None, "_due_at": None})
    desk.emit("checkout.session.completed", session)
    return session


def _with_customer(desk: Desk, session: Thing, method: Thing) -> Thing:
    """The session with its customer, which is made if one is needed for later."""
    details = method["billing_details"]
    email = session["customer_email"] or details["email"] or "customer@example.com"
    customer = session["customer"]
    keeps_card = bool(session["_payment_intent_data"].get("setup_future_usage"))
    if customer is None and (session["customer_creation"] == "always" or keeps_card):
        customer = create_customer(desk, {"email": email, **({"name": details["name"]} if details["name"] else {})})[
            "id"
        ]
    if customer is not None:
        email = (desk.find(customer) or {}).get("email") or email
    address = details["address"]
    if session["automatic_tax"]["enabled"]:
        address = HERE
        if customer is not None and session["_keeps_address"]:
            desk.update(desk.get("customer", customer), "customer.updated", address=address)
    told = {"address": address, "email": email, "name": details["name"], "phone": details["phone"],
            "tax_exempt": "none", "tax_ids": [], "business_name": None, "individual_name": None}  # fmt: skip
    return {**session, "customer": customer, "customer_details": told}


def _subscribed(desk: Desk, session: Thing, method: Thing) -> Thing:
    method = attached(desk, method["id"], session["customer"])
    _buy_once(desk, session, [line for line in session["_lines"] if line["price"]["recurring"] is None])
    items = [
        {"price": line["price"]["id"], **({} if line["is_metered"] else {"quantity": line["quantity"]})}
        for line in session["_lines"]
        if line["price"]["recurring"] is not None
    ]
    if not items:
        raise refused("You must provide at least one recurring price in `subscription` mode.", param="line_items")
    terms = {**session["_subscription_data"], "customer": session["customer"], "items": items,
             "default_payment_method": method["id"], "automatic_tax": session["automatic_tax"]}  # fmt: skip
    subscription = created(desk, terms, is_there=True)
    invoice = billing.refreshed(desk, desk.get("invoice", subscription["latest_invoice"]))
    status = "paid" if invoice["amount_paid"] else "no_payment_required"
    return {**session, "subscription": subscription["id"], "invoice": invoice["id"], "payment_status": status}


def _check_card(method: Thing, *, is_paid: bool) -> None:
    """Raises StripeError if the card will not do, before anything is left behind."""
    card = CARDS[method["_card"]]
    verdict = card.charge if is_paid else card.attach
    if card.settles:
        raise refused("A bank debit cannot pay for this here.", param="payment_method")
    if verdict not in {"ok", "action"}:
        raise declined(verdict)
    if verdict == "action" and not method.get("_is_authenticated"):
        raise declined("authentication_required")


def _buy_once(desk: Desk, session: Thing, lines: list[Thing]) -> None:
    """Put what is paid once onto the customer's next invoice."""
    for line in lines:
        create_item(desk, {"customer": session["customer"], "pricing": {"price": line["price"]["id"]},
                           "quantity": line["quantity"], "currency": line["price"]["currency"]})  # fmt: skip


def _paid_by_invoice(desk: Desk, session: Thing, method: Thing) -> Thing:
    data = session["_invoice_creation"].get("invoice_data", {})
    method = attached(desk, method["id"], session["customer"])
    _buy_once(desk, session, session["_lines"])
    customer = desk.get("customer", session["customer"])
    invoice = billing.drafted(
        desk, customer, cycle.pending_lines(desk, None, customer["id"]), "manual", auto_advance=False,
        metadata=data.get("metadata", {}), description=data.get("description"),
    )  # fmt: skip
    invoice = billing.charged(desk, billing.finalized(desk, invoice), method["id"], off_session=False)
    intent = desk.get("payment_intent", invoice["_intent"])
    desk.put({**intent, "metadata": session["_payment_intent_data"].get("metadata", {})})
    return {**session, "invoice": invoice["id"], "payment_intent": intent["id"], "payment_status": "paid"}


def _paid(desk: Desk, session: Thing, method: Thing) -> Thing:
    if session["_invoice_creation"].get("enabled"):
        return _paid_by_invoice(desk, session, method)
    data = session["_payment_intent_data"]
    intent = desk.find(session["payment_intent"] or "")
    if intent is None:
        plain = {name: data[name] for name in payment_intents.PLAIN if name in data}
        intent = payment_intents.made(
            desk, session["amount_total"], session["currency"], session["customer"], metadata=data.get("metadata", {}),
            _session=session["id"], **plain,
        )  # fmt: skip
        stored = desk.get("checkout.session", session["id"])
        desk.put({**stored, "payment_intent": intent["id"], "customer": session["customer"]})
    intent = {**intent, "customer": session["customer"], "payment_method": method["id"]}
    intent = payment_intents.confirmed(desk, intent)
    if intent["status"] == "requires_action":
        raise declined("authentication_required")
    status = "paid" if intent["status"] == "succeeded" else "unpaid"
    return {**session, "payment_intent": intent["id"], "payment_status": status}


def _set_up(desk: Desk, session: Thing, method: Thing) -> Thing:
    data = session["_setup_intent_data"]
    intent = setup_intents.made(desk, session["customer"], payment_method=method["id"],
                                metadata=data.get("metadata", {}), description=data.get("description"))  # fmt: skip
    intent = setup_intents.confirmed(desk, intent)
    if intent["status"] == "requires_action":
        raise declined("authentication_required")
    return {**session, "setup_intent": intent["id"]}
