"""The page to pay on: what it costs, and a choice of cards."""

from starlette.responses import RedirectResponse, Response

from farebox.sandbox.stripe import completing
from farebox.sandbox.stripe.cards import CARDS
from farebox.sandbox.stripe.desk import Desk
from farebox.sandbox.stripe.errors import StripeError
from farebox.sandbox.stripe.lines import told
from farebox.sandbox.stripe.pages.frame import Frame, Look, NotHere, choices
from farebox.sandbox.stripe.rooms.payment_methods import made
from farebox.sandbox.stripe.things import Thing

NOT_YOU = "Your bank could not confirm that it is you. Choose another card."


def page(frame: Frame, look: Look) -> Response:
    id_ = look.rest[0]
    with frame.desk() as desk:
        session = desk.find(id_)
        if session is None or session["object"] != "checkout.session":
            raise NotHere("There is no such checkout.")
        shown = _shown(desk, session, look)
    if look.method != "POST" or session["status"] != "open":
        return frame.show(look, "pay.html", **shown)
    card = look.form.get("card", "")
    if card not in CARDS:
        return frame.show(look, "pay.html", status=400, notice="Choose a card.", **shown)
    if _asks(session, card) and "is_me" not in look.form:
        return frame.show(look, "pay.html", **{**shown, "asks": card})
    if look.form.get("is_me") == "no":
        return frame.show(look, "pay.html", status=402, notice=NOT_YOU, **shown)
    error = _try(frame, id_, card, look)
    if error is not None:
        return frame.show(look, "pay.html", status=402, notice=error.body["message"], **{**shown, "chosen": card})
    return RedirectResponse((session["success_url"] or look.root or "/").replace("{CHECKOUT_SESSION_ID}", id_), 303)


def _asks(session: Thing, card: str) -> bool:
    """Whether the bank wants its customer to confirm."""
    return (CARDS[card].charge if session["amount_total"] else CARDS[card].attach) == "action"


def _try(frame: Frame, id_: str, card: str, look: Look) -> StripeError | None:
    """Pay; return the error, if there is one. Of a one-time purchase, a declined payment is kept."""
    with frame.desk() as desk:
        desk.db.execute("SAVEPOINT paying")
        session = desk.get("checkout.session", id_)
        details = {"email": look.form.get("email") or session["customer_email"]}
        method = desk.put({**made(desk, card, details), "_is_authenticated": look.form.get("is_me") == "yes"})
        try:
            completing.completed(desk, session, method)
        except StripeError as error:
            if session["mode"] != "payment" or session["_invoice_creation"].get("enabled"):
                desk.db.execute("ROLLBACK TO paying")
            return error
    return None


def _shown(desk: Desk, session: Thing, look: Look) -> Thing:
    lines = [
        {**line, "name": (desk.find(line["price"]["product"]) or {}).get("name", ""), "told": told(line["price"])}
        for line in session["_lines"]
    ]
    customer = desk.find(session["customer"] or "") or {}
    data = session["_subscription_data"]
    trial_days = data.get("trial_period_days")
    if data.get("trial_end"):
        trial_days = max((data["trial_end"] - desk.now()) // 86_400, 0)
    return {
        "session": session,
        "lines": lines,
        "trial_days": trial_days,
        "cards": choices(has_debits=session["mode"] == "payment"),
        "chosen": "visa",
        "asks": "",
        "known_email": customer.get("email") or session["customer_email"],
        "email": look.form.get("email", ""),
    }
