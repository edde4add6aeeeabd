"""The desk that a request works at: one transaction, its objects, its time, and the events that it leaves."""

import json
import secrets
import sqlite3
import string
from datetime import UTC, datetime
from typing import Any, Final

from farebox.sandbox.stripe import shelf
from farebox.sandbox.stripe.errors import missing, unknown_reference
from farebox.sandbox.stripe.outbound import send_later
from farebox.sandbox.stripe.shapes import API_VERSION, blank
from farebox.sandbox.stripe.things import Thing, changed, public

LETTERS: Final = string.ascii_letters + string.digits
PREFIXES: Final = {
    "billing.meter": "mtr_test", "billing_portal.configuration": "bpc", "billing_portal.session": "bps", "charge": "ch",
    "checkout.session": "cs_test",
    "customer": "cus", "dispute": "du", "event": "evt", "invoice": "in", "invoice_payment": "inpay",
    "invoiceitem": "ii", "item": "li", "line_item": "il", "payment_intent": "pi", "payment_method": "pm",
    "price": "price", "product": "prod", "refund": "re", "setup_intent": "seti", "subscription": "sub",
    "subscription_schedule": "sub_sched",
    "subscription_item": "si", "test_helpers.test_clock": "clock", "webhook_endpoint": "we",
}  # fmt: skip


def new_id(kind: str) -> str:
    return f"{PREFIXES[kind]}_{random_text(24)}"


def random_text(length: int) -> str:
    return "".join(secrets.choice(LETTERS) for _ in range(length))


def iso_time(seconds: int) -> str:
    """A time as the second version of Stripe's API writes it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


class Desk:
    """One transaction.

    Args:
        base_url: the address of the pages that people are sent to, without a slash at the end.
        request: the `request` of its events: the id and the idempotency key of what caused them.
    """

    def __init__(self, db: sqlite3.Connection, base_url: str, request: Thing | None = None) -> None:
        self.db = db
        self.base_url = base_url
        self.request = request or {"id": None, "idempotency_key": None}
        self.at: int | None = None
        """The moment that is being worked off, where time itself is the cause."""

    # -- time

    def now(self, clock: str | None = None) -> int:
        """The time in seconds; that of a test clock, if the object has one."""
        if self.at is not None:
            return self.at
        if clock is not None and (found := self.find(clock)) is not None:
            return int(found["frozen_time"])
        return shelf.now_seconds(self.db)

    def clock_of(self, customer: str | None) -> str | None:
        """The test clock that tells a customer's time."""
        found = self.find(customer) if customer else None
        return None if found is None else found.get("_clock")

    # -- objects

    def new(self, kind: str, *, clock: str | None = None, **values: Any) -> Thing:
        """A new object, not stored yet, with the fields of Stripe's class and these values."""
        thing = blank(kind)
        if "id" in thing:
            thing["id"] = new_id(kind) if kind in PREFIXES else ""
        if "created" in thing:
            thing["created"] = self.now(clock)
        if "metadata" in thing:
            thing["metadata"] = {}
        if clock is not None:
            thing["_clock"] = clock
        return {**thing, **values}

    def put(self, thing: Thing) -> Thing:
        shelf.save(self.db, thing)
        return thing

    def find(self, id_: str) -> Thing | None:
        return shelf.load(self.db, id_)

    def get(self, kind: str, id_: str, param: str = "id") -> Thing:
        """The object of the path.

        Raises:
            StripeError: there is none of this kind.
        """
        found = self.find(id_)
        if found is None or found["object"] != kind:
            raise missing(kind.rsplit(".", 1)[-1], id_, param)
        return found

    def named(self, kind: str, id_: str, param: str) -> Thing:
        """The object that a parameter names.

        Raises:
            StripeError: there is none of this kind, or it is gone.
        """
        found = self.find(id_)
        if found is None or found["object"] != kind or found.get("deleted"):
            raise unknown_reference(kind.rsplit(".", 1)[-1], id_, param)
        return found

    def all(self, kind: str, customer: str | None = None) -> list[Thing]:
        """Every object of a kind, the newest first; of one customer, if one is named."""
        of_whom = "" if customer is None else " AND customer = ?"
        rows = self.db.execute(
            f"SELECT body FROM object WHERE kind = ?{of_whom} ORDER BY seq DESC",  # noqa: S608
            (kind,) if customer is None else (kind, customer),
        )
        return [json.loads(row[0]) for row in rows]

    def delete(self, thing: Thing) -> Thing:
        """Delete an object; return the answer that it is gone."""
        self.db.execute("DELETE FROM object WHERE id = ?", (thing["id"],))
        return {"id": thing["id"], "object": thing["object"], "deleted": True}

    # -- events

    def update(self, thing: Thing, kind: str = "", **values: Any) -> Thing:
        """Write new values; if a kind of event is named, emit one that says what they were before."""
        new = {**thing, **values}
        previous = changed(thing, new)
        self.put(new)
        if kind and previous:
            self.emit(kind, new, previous)
        return new

    def emit(self, kind: str, thing: Thing, previous: Thing | None = None) -> Thing:
        """Make an event, and send it to every endpoint that wants its kind."""
        data: Thing = {"object": public(thing)}
        if previous is not None:
            data["previous_attributes"] = previous
        event = self.new("event", type=kind, api_version=API_VERSION, data=data, request=self.request)
        event["created"] = self.now(thing.get("_clock"))
        event["_clock"] = None
        return self._send(event, kind, public(event))

    def emit_thin(self, kind: str, related: Thing | None, data: Thing) -> Thing:
        """Make a thin event, which only names its object."""
        event: Thing = {
            "id": new_id("event"), "object": "v2.core.event", "type": kind, "livemode": False,
            "created": iso_time(self.now()), "context": None, "reason": None, "data": data,
        }  # fmt: skip
        if related is not None:
            url = f"/v1/billing/meters/{related['id']}"
            event["related_object"] = {"id": related["id"], "type": related["object"], "url": url}
        return self._send(event, kind, {name: value for name, value in event.items() if name != "data"})

    def _send(self, event: Thing, kind: str, body: Thing) -> Thing:
        is_thin = kind.startswith("v1.")
        ends = self.all("v2.core.event_destination" if is_thin else "webhook_endpoint")
        wanted = [end for end in ends if end["status"] == "enabled" and {kind, "*"} & set(end["enabled_events"])]
        if "pending_webhooks" in event:
            body["pending_webhooks"] = event["pending_webhooks"] = len(wanted)
        self.put(event)
        for endpoint in wanted:
            send_later(self.db, event["id"], endpoint["id"], json.dumps(body))
        return event
