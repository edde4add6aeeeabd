"""The overview for the founder: who pays, what happened, and what time it is here."""

from typing import Final

from starlette.responses import Response

from farebox.sandbox.stripe.desk import Desk
from farebox.sandbox.stripe.pages.frame import TONES, Frame, Look
from farebox.sandbox.stripe.shelf import setting
from farebox.sandbox.stripe.things import Thing

SHOWN_MAX: Final = 50
DAY_SECONDS: Final = 86_400
HOUR_SECONDS: Final = 3_600


def page(frame: Frame, look: Look) -> Response:
    with frame.desk() as desk:
        customers = [_customer(desk, one) for one in desk.all("customer")[:SHOWN_MAX] if not one.get("deleted")]
        events = [_event(desk, one) for one in desk.all("event")[:SHOWN_MAX]]
        now, offset = desk.now(), setting(desk.db, "offset_seconds", 0)
    return frame.show(look, "overview.html", now=now, offset=_span(offset), customers=customers, events=events)


def _customer(desk: Desk, customer: Thing) -> Thing:
    subscription = next(iter(desk.all("subscription", customer["id"])), None)
    charges = [
        one["amount_captured"] - one["amount_refunded"] for one in desk.all("charge", customer["id"]) if one["paid"]
    ]
    status = subscription["status"] if subscription else ""
    until = subscription["items"]["data"][0]["current_period_end"] if subscription else None
    return {"id": customer["id"], "email": customer["email"], "status": status.replace("_", " "), "paid": sum(charges),
            "tone": TONES.get(status, ""), "until": until}  # fmt: skip


def _event(desk: Desk, event: Thing) -> Thing:
    rows = desk.db.execute("SELECT state, attempts FROM delivery WHERE event = ?", (event["id"],)).fetchall()
    sent = sum(state == "sent" for state, _ in rows)
    told = "nobody wants it" if not rows else "yes" if sent == len(rows) else f"{sent} of {len(rows)}"
    return {"id": event["id"], "type": event["type"], "created": event["created"], "told": told}


def _span(seconds: int) -> str:
    if not seconds:
        return ""
    days, rest = divmod(seconds, DAY_SECONDS)
    return f"{days} days" if not rest else f"{seconds // HOUR_SECONDS} hours"
