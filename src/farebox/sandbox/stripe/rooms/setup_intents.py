"""Cards that are kept for later, with nothing paid."""

from farebox.sandbox.stripe.cards import CARDS
from farebox.sandbox.stripe.desk import Desk, random_text
from farebox.sandbox.stripe.errors import refused
from farebox.sandbox.stripe.room import Room, page
from farebox.sandbox.stripe.rooms.payment_intents import ACTION, OPEN
from farebox.sandbox.stripe.rooms.payment_methods import attached, declined, known
from farebox.sandbox.stripe.things import Thing, public

room = Room()


def made(desk: Desk, customer: str | None, **values: object) -> Thing:
    intent = desk.new("setup_intent", clock=desk.clock_of(customer), customer=customer, usage="off_session",
                      status="requires_payment_method", payment_method_types=["card"], livemode=False)  # fmt: skip
    intent = desk.put({**intent, "client_secret": f"{intent['id']}_secret_{random_text(16)}", **values})
    desk.emit("setup_intent.created", intent)
    return intent


@room("POST", "/v1/setup_intents", "SetupIntentCreateParams")
def create(desk: Desk, given: Thing) -> Thing:
    customer = given.get("customer")
    if customer is not None:
        desk.named("customer", customer, "customer")
    plain: Thing = {name: given[name] for name in ("description", "usage", "metadata") if name in given}
    plain["payment_method_types"] = given.get("allowed_payment_method_types", ["card"])
    if "payment_method" in given:
        method = known(desk, given["payment_method"], "payment_method")
        plain |= {"payment_method": method["id"], "status": "requires_confirmation"}
    intent = made(desk, customer, **plain)
    return confirmed(desk, intent) if given.get("confirm") else intent


def confirmed(desk: Desk, intent: Thing) -> Thing:
    """The intent after an attempt to keep its card.

    Raises:
        StripeError: the card was declined. The attempt is kept.
    """
    if intent["payment_method"] is None:
        raise refused("You cannot confirm this SetupIntent because it's missing a payment method.",
                      code="setup_intent_unexpected_state")  # fmt: skip
    method = known(desk, intent["payment_method"], "payment_method")
    verdict = CARDS[method["_card"]].attach
    if verdict == "action" and not method.get("_is_authenticated"):
        intent = desk.put({**intent, "status": "requires_action", "next_action": ACTION})
        desk.emit("setup_intent.requires_action", intent)
        return intent
    if verdict not in {"ok", "action"}:
        error = declined(verdict)
        error.keeps = True
        told = {**error.body, "payment_method": public(method)}
        intent = {**intent, "status": "requires_payment_method", "payment_method": None, "last_setup_error": told}
        desk.emit("setup_intent.setup_failed", desk.put(intent))
        error.body["setup_intent"] = public(intent)
        raise error
    if intent["customer"]:
        attached(desk, method["id"], intent["customer"])
    intent = desk.put({**intent, "status": "succeeded", "next_action": None})
    desk.emit("setup_intent.succeeded", intent)
    return intent


@room("POST", "/v1/setup_intents/{id}/confirm", "SetupIntentConfirmParams")
def confirm(desk: Desk, given: Thing, id_: str) -> Thing:
    intent = desk.get("setup_intent", id_)
    if "payment_method" in given:
        intent = {**intent, "payment_method": known(desk, given["payment_method"], "payment_method")["id"]}
    return confirmed(desk, intent)


@room("POST", "/v1/setup_intents/{id}/cancel", "SetupIntentCancelParams")
def cancel(desk: Desk, given: Thing, id_: str) -> Thing:
    intent = desk.get("setup_intent", id_)
    if intent["status"] not in OPEN:
        raise refused("You cannot cancel this SetupIntent.", code="setup_intent_unexpected_state")
    intent = desk.put({**intent, "status": "canceled", "cancellation_reason": given.get("cancellation_reason")})
    desk.emit("setup_intent.canceled", intent)
    return intent


@room("GET", "/v1/setup_intents/{id}", "SetupIntentRetrieveParams")
def retrieve(desk: Desk, _given: Thing, id_: str) -> Thing:
    return desk.get("setup_intent", id_)


@room("GET", "/v1/setup_intents", "SetupIntentListParams")
def list_(desk: Desk, given: Thing) -> Thing:
    return page(desk, "/v1/setup_intents", desk.all("setup_intent", given.get("customer")), given, "payment_method")
