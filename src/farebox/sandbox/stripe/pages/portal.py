"""The customer portal: another card, an end to a subscription, the invoices."""

from starlette.responses import Response

from farebox.sandbox.stripe import billing, changes, cycle
from farebox.sandbox.stripe.cards import CARDS
from farebox.sandbox.stripe.desk import Desk
from farebox.sandbox.stripe.errors import StripeError
from farebox.sandbox.stripe.pages.frame import TONES, Frame, Look, NotHere, choices
from farebox.sandbox.stripe.rooms.payment_methods import attached, made
from farebox.sandbox.stripe.things import Thing


def page(frame: Frame, look: Look) -> Response:
    with frame.desk() as desk:
        session = desk.find(look.rest[0])
        if session is None or session["object"] != "billing_portal.session":
            raise NotHere("There is no such portal.")
        features = desk.get("billing_portal.configuration", session["configuration"])["features"]
        error = _do(desk, session["customer"], look.form, features) if look.method == "POST" else None
        shown = {**_shown(desk, session), "features": features}
    if look.method == "POST" and error is None:
        return frame.to(look, f"portal/{session['id']}")
    return frame.show(look, "portal.html", status=200 if error is None else 402, notice=error or "", **shown)


def _do(desk: Desk, customer: str, form: dict[str, str], features: Thing) -> str | None:
    """Do what a form asks for, if the portal's configuration allows it; return what is wrong, if something is."""
    try:
        if form.get("do") == "card" and features["payment_method_update"]["enabled"]:
            _change_card(desk, customer, form.get("card", ""))
        elif form.get("do") in {"cancel", "keep"} and features["subscription_cancel"]["enabled"]:
            subscription = desk.get("subscription", form.get("subscription", ""))
            changes.changed(desk, subscription, {"cancel_at_period_end": form["do"] == "cancel"})
    except StripeError as error:
        return str(error)
    return None


def _change_card(desk: Desk, customer: str, card: str) -> None:
    """Have every subscription paid by the new card from now on, and charge open invoices at once."""
    if card not in CARDS:
        return
    method = desk.put({**made(desk, card), "_is_authenticated": True})
    method = attached(desk, method["id"], customer)
    owner = desk.get("customer", customer)
    settings = {**owner["invoice_settings"], "default_payment_method": method["id"]}
    desk.update(owner, "customer.updated", invoice_settings=settings)
    for subscription in desk.all("subscription", customer):
        if subscription["status"] not in cycle.GONE:
            cycle.kept(desk, subscription, "customer.subscription.updated", default_payment_method=method["id"])
    for invoice in reversed(desk.all("invoice", customer)):
        if invoice["status"] == "open":
            billing.try_to_charge(desk, invoice, method["id"])


def _shown(desk: Desk, session: Thing) -> Thing:
    customer = desk.get("customer", session["customer"])
    subscriptions = []
    for one in desk.all("subscription", customer["id"]):
        first = cycle.items_of(one)[0]
        product = desk.find(first["price"]["product"]) or {}
        subscriptions.append(
            {
                "id": one["id"],
                "name": product.get("name", ""),
                "status": one["status"].replace("_", " "),
                "tone": TONES.get(one["status"], ""),
                "cancel_at": one["cancel_at"],
                "is_over": one["status"] in cycle.GONE,
                "period_end": first["current_period_end"],
            }
        )
    card = next(iter(_cards(desk, customer)), None)
    return {
        "session": session,
        "customer": customer,
        "subscriptions": subscriptions,
        "card": card,
        "cards": choices(),
        "invoices": desk.all("invoice", customer["id"]),
    }


def _cards(desk: Desk, customer: Thing) -> list[str]:
    default = customer["invoice_settings"]["default_payment_method"]
    owned = [one["default_payment_method"] for one in desk.all("subscription", customer["id"])]
    found = [desk.find(id_) for id_ in (default, *owned) if id_]
    return [f"{one['card']['brand']} •••• {one['card']['last4']}" for one in found if one is not None and one["card"]]
