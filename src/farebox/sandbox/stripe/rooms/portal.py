"""Sessions of the customer portal."""

from farebox.sandbox.stripe.desk import Desk
from farebox.sandbox.stripe.errors import wanted
from farebox.sandbox.stripe.room import Room
from farebox.sandbox.stripe.things import Thing

room = Room()


@room("POST", "/v1/billing_portal/sessions", "billing_portal.SessionCreateParams")
def create(desk: Desk, given: Thing) -> Thing:
    if "customer" not in given:
        raise wanted("customer")
    customer = desk.named("customer", given["customer"], "customer")
    session = desk.new("billing_portal.session", customer=customer["id"], return_url=given.get("return_url"),
                       configuration="bpc_1Farebox", livemode=False, locale=given.get("locale"))  # fmt: skip
    desk.put({**session, "url": f"{desk.base_url}/portal/{session['id']}"})
    session = desk.get("billing_portal.session", session["id"])
    desk.emit("billing_portal.session.created", session)
    return session
