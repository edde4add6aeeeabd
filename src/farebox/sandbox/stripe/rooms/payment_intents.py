"""Payments: intents, and the charges that they leave."""

from typing import Final

from stripe import Charge

from farebox.sandbox.stripe.cards import CARDS
from farebox.sandbox.stripe.desk import Desk, random_text
from farebox.sandbox.stripe.errors import StripeError, refused
from farebox.sandbox.stripe.room import Room, page
from farebox.sandbox.stripe.rooms.disputes import opened
from farebox.sandbox.stripe.rooms.payment_methods import attached, declined, known
from farebox.sandbox.stripe.rooms.payment_methods import create as create_method
from farebox.sandbox.stripe.shelf import setting
from farebox.sandbox.stripe.things import Thing, merged_metadata, public

room = Room()
PLAIN = ("description", "receipt_email", "setup_future_usage", "shipping", "statement_descriptor", "transfer_group",
         "statement_descriptor_suffix", "capture_method", "confirmation_method")  # fmt: skip
AMOUNT_CENTS_MIN: Final = 50
OPEN: Final = frozenset({"requires_payment_method", "requires_confirmation", "requires_action"})
TRANSFER: Final = {"type": "display_bank_transfer_instructions"}
ACTION: Final = {"type": "use_stripe_sdk", "use_stripe_sdk": {"type": "three_d_secure_redirect"}}


def made(desk: Desk, amount: int, currency: str, customer: str | None, **values: object) -> Thing:
    """An intent before any attempt to pay it."""
    intent = desk.new(
        "payment_intent",
        clock=desk.clock_of(customer),
        amount=amount,
        currency=currency.lower(),
        customer=customer,
        status="requires_payment_method",
        capture_method="automatic",
        confirmation_method="automatic",
        payment_method_types=["card"],
        payment_method_options={},
        amount_details={"tip": {}},
        livemode=False,
    )
    intent |= {"client_secret": f"{intent['id']}_secret_{random_text(16)}", **values}
    desk.put(intent)
    desk.emit("payment_intent.created", intent)
    return intent


@room("POST", "/v1/payment_intents", "PaymentIntentCreateParams")
def create(desk: Desk, given: Thing) -> Thing:
    customer = given.get("customer")
    if customer is not None:
        desk.named("customer", customer, "customer")
    if given["amount"] < AMOUNT_CENTS_MIN:
        raise refused("Amount must be at least $0.50 usd", code="amount_too_small", param="amount")
    plain = {name: given[name] for name in PLAIN if name in given}
    token, data = given.get("payment_method"), given.get("payment_method_data", {})
    if data and data["type"] != "customer_balance":
        token = create_method(desk, data)["id"]
    method = known(desk, token, "payment_method") if token else None
    if method is not None:
        _check_owner(method, customer)
        plain |= {"payment_method": method["id"], "status": "requires_confirmation"}
    plain["payment_method_types"] = given.get("allowed_payment_method_types", ["card"])
    intent = made(desk, given["amount"], given["currency"], customer, metadata=given.get("metadata", {}), **plain)
    if data.get("type") == "customer_balance":
        intent = desk.put({**intent, "status": "requires_action", "next_action": TRANSFER})
        desk.emit("payment_intent.requires_action", intent)
        return intent
    if given.get("confirm"):
        return confirmed(desk, intent, off_session=bool(given.get("off_session")))
    if given.get("off_session"):
        raise refused("off_session can only be set when confirm is true.", param="off_session")
    return intent


def _check_owner(method: Thing, customer: str | None) -> None:
    if method["customer"] is not None and method["customer"] != customer:
        raise refused(
            "The payment method belongs to a customer; name that customer in the `customer` parameter.",
            code="payment_method_customer_mismatch" if customer else "",
            param="payment_method",
        )


def confirmed(desk: Desk, intent: Thing, *, off_session: bool = False) -> Thing:
    """The intent after an attempt to be paid.

    Raises:
        StripeError: the card was declined. The attempt is kept.
    """
    if intent["payment_method"] is None:
        raise refused(
            "You cannot confirm this PaymentIntent because it's missing a payment method.",
            code="payment_intent_unexpected_state",
        )
    method = known(desk, intent["payment_method"], "payment_method")
    card = CARDS[method["_card"]]
    verdict = card.later if off_session else card.charge
    if verdict == "action":
        verdict = "authentication_required" if off_session else "ok" if method.get("_is_authenticated") else "action"
    if verdict == "action":
        intent = desk.put({**intent, "status": "requires_action", "next_action": ACTION})
        desk.emit("payment_intent.requires_action", intent)
        return intent
    if verdict != "ok":
        raise _failed(desk, intent, method, verdict)
    if intent["setup_future_usage"] and intent["customer"] and method["customer"] is None:
        method = attached(desk, method["id"], intent["customer"])
    if card.settles:
        return _processing(desk, intent, method)
    return succeeded(desk, intent, method)


def succeeded(desk: Desk, intent: Thing, method: Thing) -> Thing:
    """The intent, paid; or its money held, if it is to be captured later."""
    is_held = intent["capture_method"] == "manual"
    charge = _charge(desk, intent, method, paid=True, captured=not is_held, status="succeeded",
                     amount_captured=0 if is_held else intent["amount"])  # fmt: skip
    desk.emit("charge.succeeded", charge)
    new = {"latest_charge": charge["id"], "next_action": None, "last_payment_error": None, "_due_at": None}
    if is_held:
        intent = desk.put({**intent, **new, "status": "requires_capture", "amount_capturable": intent["amount"]})
        desk.emit("payment_intent.amount_capturable_updated", intent)
        return intent
    intent = desk.put({**intent, **new, "status": "succeeded", "amount_received": intent["amount"]})
    desk.emit("payment_intent.succeeded", intent)
    reason = CARDS[method["_card"]].dispute
    if reason:
        opened(desk, charge, reason)
    return intent


def _processing(desk: Desk, intent: Thing, method: Thing) -> Thing:
    charge = _charge(desk, intent, method, paid=False, captured=True, status="pending")
    desk.emit("charge.pending", charge)
    due_at = desk.now(intent.get("_clock")) + setting(desk.db, "settle_seconds", 1)
    intent = desk.put({**intent, "status": "processing", "latest_charge": charge["id"], "_due_at": due_at})
    desk.emit("payment_intent.processing", intent)
    return intent


def _failed(desk: Desk, intent: Thing, method: Thing, code: str) -> StripeError:
    """Write down a declined payment; return the error that answers it."""
    error = declined(code)
    error.keeps = True
    message = error.body["message"]
    charge = _charge(desk, intent, method, status="failed", failure_code=error.body["code"], failure_message=message,
                     outcome=_outcome("issuer_declined", code))  # fmt: skip
    desk.emit("charge.failed", charge)
    told = {**error.body, "charge": charge["id"], "payment_method": public(method)}
    intent = desk.put(
        {
            **intent,
            "status": "requires_payment_method",
            "payment_method": None,
            "latest_charge": charge["id"],
            "last_payment_error": told,
            "next_action": None,
            "_due_at": None,
        }
    )
    desk.emit("payment_intent.payment_failed", intent)
    error.body |= {"charge": charge["id"], "payment_intent": public(intent), "payment_method": public(method)}
    return error


def _outcome(kind: str, reason: str | None = None) -> Thing:
    message = "Payment complete." if kind == "authorized" else "The bank did not return any further details."
    return {"advice_code": None, "network_advice_code": None, "network_decline_code": None, "reason": reason,
            "network_status": "approved_by_network" if kind == "authorized" else "declined_by_network",
            "risk_level": "normal", "risk_score": 20, "seller_message": message, "type": kind}  # fmt: skip


def _charge(desk: Desk, intent: Thing, method: Thing, **values: object) -> Thing:
    kind = method["type"]
    charge = desk.new(
        "charge",
        clock=intent.get("_clock"),
        amount=intent["amount"],
        currency=intent["currency"],
        customer=intent["customer"],
        payment_intent=intent["id"],
        payment_method=method["id"],
        payment_method_details={"type": kind, kind: _details(method[kind], kind)},
        billing_details=method["billing_details"],
        description=intent["description"],
        metadata=intent["metadata"],
        fraud_details={},
        refunded=False,
        disputed=False,
        livemode=False,
        outcome=_outcome("authorized"),
        receipt_email=intent["receipt_email"],
        shipping=intent["shipping"],
    )
    return desk.put({**charge, "balance_transaction": f"txn_{random_text(24)}", **values})


def _details(known_of_it: Thing, kind: str) -> Thing:
    """The details of the charged card, as a charge has them."""
    details = Charge.PaymentMethodDetails.Card if kind == "card" else Charge.PaymentMethodDetails.SepaDebit
    return {name: known_of_it.get(name) for name in details.__annotations__ if not name.startswith("_")}


def settled(desk: Desk, intent: Thing) -> None:
    """Settle a bank debit that was promised: its money has come now, or will never come."""
    charge, method = desk.get("charge", intent["latest_charge"]), desk.get("payment_method", intent["payment_method"])
    intent = {**intent, "_due_at": None}
    if CARDS[method["_card"]].settles == "ok":
        charge = desk.put({**charge, "status": "succeeded", "paid": True, "amount_captured": charge["amount"]})
        desk.emit("charge.succeeded", charge)
        intent = desk.put({**intent, "status": "succeeded", "amount_received": intent["amount"]})
        desk.emit("payment_intent.succeeded", intent)
    else:
        charge = desk.put({**charge, "status": "failed", "failure_code": "insufficient_funds"})
        desk.emit("charge.failed", charge)
        told = {**declined("insufficient_funds").body, "charge": charge["id"], "payment_method": public(method)}
        intent = desk.put({**intent, "status": "requires_payment_method", "last_payment_error": told})
        desk.emit("payment_intent.payment_failed", intent)
    from farebox.sandbox.stripe.rooms.checkout import money_came  # noqa: PLC0415  (it knows payments)

    money_came(desk, intent)


@room("GET", "/v1/payment_intents/{id}", "PaymentIntentRetrieveParams")
def retrieve(desk: Desk, _given: Thing, id_: str) -> Thing:
    return desk.get("payment_intent", id_)


@room("POST", "/v1/payment_intents/{id}", "PaymentIntentUpdateParams")
def update(desk: Desk, given: Thing, id_: str) -> Thing:
    intent = desk.get("payment_intent", id_)
    new = {name: given[name] for name in (*PLAIN, "amount") if name in given}
    if "amount" in given and intent["status"] not in OPEN:
        raise refused("This PaymentIntent's amount could not be updated.", code="payment_intent_unexpected_state")
    if "payment_method" in given:
        new |= {"payment_method": known(desk, given["payment_method"], "payment_method")["id"]}
        new |= {"status": "requires_confirmation"} if intent["status"] in OPEN else {}
    return desk.put({**intent, **new, "metadata": merged_metadata(intent["metadata"], given.get("metadata"))})


@room("POST", "/v1/payment_intents/{id}/confirm", "PaymentIntentConfirmParams")
def confirm(desk: Desk, given: Thing, id_: str) -> Thing:
    intent = desk.get("payment_intent", id_)
    if intent["status"] not in OPEN:
        raise refused(
            f"You cannot confirm this PaymentIntent because it has a status of {intent['status']}.",
            code="payment_intent_unexpected_state",
        )
    if "payment_method" in given:
        method = known(desk, given["payment_method"], "payment_method")
        _check_owner(method, intent["customer"])
        intent = {**intent, "payment_method": method["id"]}
    return confirmed(desk, intent, off_session=bool(given.get("off_session")))


@room("POST", "/v1/payment_intents/{id}/capture", "PaymentIntentCaptureParams")
def capture(desk: Desk, given: Thing, id_: str) -> Thing:
    intent = desk.get("payment_intent", id_)
    if intent["status"] != "requires_capture":
        raise refused("This PaymentIntent could not be captured.", code="payment_intent_unexpected_state")
    amount = given.get("amount_to_capture", intent["amount"])
    charge = desk.get("charge", intent["latest_charge"])
    desk.update(charge, "charge.captured", captured=True, amount_captured=amount)
    intent = desk.put({**intent, "status": "succeeded", "amount_capturable": 0, "amount_received": amount})
    desk.emit("payment_intent.succeeded", intent)
    return intent


@room("POST", "/v1/payment_intents/{id}/cancel", "PaymentIntentCancelParams")
def cancel(desk: Desk, given: Thing, id_: str) -> Thing:
    intent = desk.get("payment_intent", id_)
    if intent["status"] not in {*OPEN, "requires_capture"}:
        raise refused(
            f"You cannot cancel this PaymentIntent because it has a status of {intent['status']}.",
            code="payment_intent_unexpected_state",
        )
    now = desk.now(intent.get("_clock"))
    intent = desk.put(
        {**intent, "status": "canceled", "canceled_at": now, "cancellation_reason": given.get("cancellation_reason")}
    )
    desk.emit("payment_intent.canceled", intent)
    return intent


@room("GET", "/v1/payment_intents", "PaymentIntentListParams")
def list_(desk: Desk, given: Thing) -> Thing:
    return page(desk, "/v1/payment_intents", desk.all("payment_intent", given.get("customer")), given)


@room("GET", "/v1/charges/{id}", "ChargeRetrieveParams")
def charge_of(desk: Desk, _given: Thing, id_: str) -> Thing:
    return desk.get("charge", id_)


@room("GET", "/v1/charges", "ChargeListParams")
def charges(desk: Desk, given: Thing) -> Thing:
    return page(desk, "/v1/charges", desk.all("charge", given.get("customer")), given, "payment_intent")
