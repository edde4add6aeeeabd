"""Payment methods: test cards by their tokens, and bank debits by test account numbers."""

from typing import Any

from farebox.sandbox.stripe import cards
from farebox.sandbox.stripe.cards import CARDS, IBANS, MESSAGES, OWN_CODES
from farebox.sandbox.stripe.desk import Desk, random_text
from farebox.sandbox.stripe.errors import StripeError, refused, unknown_reference
from farebox.sandbox.stripe.room import Room, page
from farebox.sandbox.stripe.things import Thing, merged_metadata

room = Room()
NOBODY = {"address": {"city": None, "country": None, "line1": None, "line2": None, "postal_code": None, "state": None},
          "email": None, "name": None, "phone": None, "tax_id": None}  # fmt: skip


def made(desk: Desk, name: str, details: Thing | None = None) -> Thing:
    """A payment method of one of the test cards, attached to nobody yet."""
    card = CARDS[name]
    kind = "sepa_debit" if card.is_debit else "card"
    what: Thing = {"last4": card.last4, "fingerprint": name, "country": "US"}
    if card.is_debit:
        what |= {"bank_code": "19043", "branch_code": "", "country": "AT", "generated_from": None}
    else:
        what |= {
            "brand": card.brand, "display_brand": card.brand, "exp_month": 12, "exp_year": 2034, "funding": "credit",
            "checks": {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "pass"},
            "generated_from": None, "networks": {"available": [card.brand], "preferred": None}, "wallet": None,
            "three_d_secure_usage": {"supported": True}, "regulated_status": "unregulated",
        }  # fmt: skip
    method = desk.new("payment_method", type=kind, billing_details={**NOBODY, **(details or {})}, _card=name)
    return {**method, kind: what, "allow_redisplay": "unspecified", "livemode": False, "customer": None}


def known(desk: Desk, token: str, param: str) -> Thing:
    """The payment method with an id, or a new one from a test token.

    Raises:
        StripeError: it is neither.
    """
    found = desk.find(token)
    if found is not None and found["object"] == "payment_method":
        return found
    name = cards.named(token)
    if name is None:
        raise unknown_reference("PaymentMethod", token, param)
    return desk.put(made(desk, name))


def attached(desk: Desk, token: str, customer: str, param: str = "payment_method") -> Thing:
    """The payment method, now the customer's.

    Raises:
        StripeError: it is another customer's, it is unknown, or the card is declined.
    """
    method = known(desk, token, param)
    if method["customer"] == customer:
        return method
    if method["customer"] is not None:
        raise refused(
            "The payment method you provided has already been attached to a customer.",
            code="payment_method_already_attached",
        )
    verdict = CARDS[method["_card"]].attach
    if verdict not in {"ok", "action"}:
        raise declined(verdict)
    clock = desk.clock_of(customer)
    method = desk.put({**method, "customer": customer, "_clock": clock})
    desk.emit("payment_method.attached", method)
    return method


def declined(code: str, **more: Any) -> StripeError:
    """The error that answers a declined card."""
    own = code if code in OWN_CODES else "card_declined"
    return StripeError(402, MESSAGES[code], code=own, decline_code=code, **more)


@room("POST", "/v1/payment_methods", "PaymentMethodCreateParams")
def create(desk: Desk, given: Thing) -> Thing:
    name = _card_of(given)
    method = made(desk, name, given.get("billing_details"))
    return desk.put({**method, "metadata": given.get("metadata", {})})


def _card_of(given: Thing) -> str:
    if given.get("type") == "sepa_debit":
        return IBANS.get(given.get("sepa_debit", {}).get("iban", "").replace(" ", ""), "debit")
    card = given.get("card", {})
    token, number = card.get("token"), card.get("number")
    name = cards.named(token) if token else cards.numbered(number) if number else None
    if name is None:
        raise refused("Only test cards work here, such as `tok_visa`.", code="invalid_number", param="card[token]")
    return name


@room("POST", "/v1/payment_methods/{id}/attach", "PaymentMethodAttachParams")
def attach(desk: Desk, given: Thing, id_: str) -> Thing:
    desk.named("customer", given.get("customer", ""), "customer")
    return attached(desk, id_, given["customer"], "payment_method")


@room("POST", "/v1/payment_methods/{id}/detach", "PaymentMethodDetachParams")
def detach(desk: Desk, _given: Thing, id_: str) -> Thing:
    method = desk.get("payment_method", id_)
    if method["customer"] is None:
        raise refused("The payment method you provided is not attached to a customer so detachment is impossible.")
    owner = desk.find(method["customer"])
    if owner is not None and owner.get("invoice_settings", {}).get("default_payment_method") == id_:
        desk.put({**owner, "invoice_settings": {**owner["invoice_settings"], "default_payment_method": None}})
    for subscription in desk.all("subscription", method["customer"]):
        if subscription["default_payment_method"] == id_:
            desk.put({**subscription, "default_payment_method": None})
    free = desk.put({**method, "customer": None})
    desk.emit("payment_method.detached", free, {"customer": method["customer"]})
    return free


@room("GET", "/v1/payment_methods/{id}", "PaymentMethodRetrieveParams")
def retrieve(desk: Desk, _given: Thing, id_: str) -> Thing:
    return desk.get("payment_method", id_)


@room("POST", "/v1/payment_methods/{id}", "PaymentMethodUpdateParams")
def update(desk: Desk, given: Thing, id_: str) -> Thing:
    method = desk.get("payment_method", id_)
    details = {**method["billing_details"], **given.get("billing_details", {})}
    metadata = merged_metadata(method["metadata"], given.get("metadata"))
    return desk.update(method, "payment_method.updated", billing_details=details, metadata=metadata)


@room("GET", "/v1/payment_methods", "PaymentMethodListParams")
def list_(desk: Desk, given: Thing) -> Thing:
    methods = desk.all("payment_method", given["customer"]) if "customer" in given else desk.all("payment_method")
    return page(desk, "/v1/payment_methods", methods, given, "type")


@room("GET", "/v1/customers/{id}/payment_methods", "CustomerPaymentMethodListParams")
def of_customer(desk: Desk, given: Thing, id_: str) -> Thing:
    desk.get("customer", id_, "customer")
    url = f"/v1/customers/{id_}/payment_methods"
    return page(desk, url, desk.all("payment_method", id_), given, "type")


@room("POST", "/v1/tokens", "TokenCreateParams")
def token(desk: Desk, given: Thing) -> Thing:
    name = cards.numbered(str(given.get("card", {}).get("number", "4242"))) or "visa"
    return {**desk.new("token"), "id": f"tok_{name}", "type": "card", "livemode": False, "used": False,
            "client_ip": None, "created": desk.now(), "_unique": random_text(4)}  # fmt: skip
