"""The verbs for tests: move time, break the API, trouble the webhooks."""

import time
from collections.abc import Callable
from typing import Any, Final

from farebox.sandbox.stripe import outbound
from farebox.sandbox.stripe.desk import Desk
from farebox.sandbox.stripe.errors import refused
from farebox.sandbox.stripe.faults import KINDS
from farebox.sandbox.stripe.periods import moved
from farebox.sandbox.stripe.rooms import clocks, disputes
from farebox.sandbox.stripe.shelf import Shelf, now_seconds, set_setting, setting
from farebox.sandbox.stripe.things import Thing, public

SPANS: Final = {"hour": 3_600, "day": 86_400}
SETTINGS: Final = ("aggregation_seconds", "settle_seconds", "dunning_ends")
"""How long a meter event takes to count; how long a bank debit takes; what the last failed payment does to a
subscription: 'cancel', 'unpaid' or 'past_due'."""
SOON_SECONDS: Final = 60
PATIENT_ATTEMPTS: Final = 4
"""A webhook that was tried so often is not waited for."""


class Control:
    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._verbs: dict[str, Callable[[Desk, Thing], Thing]] = {
            "advance": _advance, "dispute": _dispute, "faults": _fault, "heal": _heal, "release": _release,
            "send": _send, "settings": _settings, "state": _state, "usage": _usage, "webhooks": _webhooks,
        }  # fmt: skip

    def do(self, verb: str, told: dict[str, Any]) -> Thing:
        """Do what the verb says; return the result.

        Raises:
            StripeError: there is no such verb, or it makes no sense.
        """
        if verb not in self._verbs:
            raise refused(f"There is no verb {verb!r} here; there are {', '.join(self._verbs)}.")
        with self._shelf.transaction() as db:
            return self._verbs[verb](Desk(db, ""), told)


def _advance(desk: Desk, told: Thing) -> Thing:
    """Let time pass for everybody: `by` an hour, a day or a month, or by so many `seconds`. Test clocks go along."""
    now = now_seconds(desk.db)
    month = {"interval": "month", "interval_count": 1}
    by = str(told.get("by", ""))
    seconds = moved(now, month, 1) - now if by == "month" else SPANS.get(by) or int(str(told.get("seconds", 0)))
    set_setting(desk.db, "offset_seconds", setting(desk.db, "offset_seconds", 0) + seconds)
    clocks.count_at_once(desk)
    for clock in desk.all("test_helpers.test_clock"):
        if clock["status"] == "ready" and seconds > 0:
            clocks.advance(desk, {"frozen_time": clock["frozen_time"] + seconds}, clock["id"])
    return {"now": now_seconds(desk.db)}


def _fault(desk: Desk, told: Thing) -> Thing:
    """Let requests go wrong: `kind`, on which `method` and `path` (with *), how many `times` (null: until healed)."""
    if told.get("kind") not in KINDS:
        raise refused(f"`kind` is one of {', '.join(KINDS)}.")
    fault = {"kind": told["kind"], "method": told.get("method", "*"), "path": told.get("path", "*"),
             "times": told.get("times", 1), "status": told.get("status", 500),
             "seconds": told.get("seconds", 0)}  # fmt: skip
    set_setting(desk.db, "faults", [*setting(desk.db, "faults", []), fault])
    return fault


def _heal(desk: Desk, _told: Thing) -> Thing:
    set_setting(desk.db, "faults", [])
    set_setting(desk.db, "webhooks", {})
    return {"released": outbound.release(desk.db)}


def _webhooks(desk: Desk, told: Thing) -> Thing:
    unknown = set(told) - set(outbound.NORMAL)
    if unknown:
        raise refused(f"Webhooks have no {', '.join(sorted(unknown))}; they have {', '.join(outbound.NORMAL)}.")
    set_setting(desk.db, "webhooks", {**outbound.ways(desk.db), **told})
    return outbound.ways(desk.db)


def _release(desk: Desk, _told: Thing) -> Thing:
    return {"released": outbound.release(desk.db)}


def _send(desk: Desk, told: Thing) -> Thing:
    """Send an event again, `times` times, to whoever got it or was to get it."""
    rows = desk.db.execute(
        "SELECT DISTINCT endpoint, body FROM delivery WHERE event = ?", (str(told.get("event", "")),)
    ).fetchall()
    for endpoint, body in rows * int(told.get("times", 1)):
        desk.db.execute("INSERT INTO delivery (event, endpoint, body, due_at) VALUES (?, ?, ?, ?)",
                        (told["event"], endpoint, body, time.time()))  # fmt: skip
    return {"sent": len(rows) * int(told.get("times", 1))}


def _settings(desk: Desk, told: Thing) -> Thing:
    for name, value in told.items():
        if name not in SETTINGS:
            raise refused(f"There is no setting {name!r}; there are {', '.join(SETTINGS)}.")
        set_setting(desk.db, name, value)
    return {name: setting(desk.db, name, None) for name in SETTINGS}


def _dispute(desk: Desk, told: Thing) -> Thing:
    """Dispute a `charge` or the one of a `payment_intent`, or end a `dispute` as 'won' or 'lost'."""
    if "dispute" in told:
        return public(disputes.ended(desk, desk.get("dispute", told["dispute"]), told.get("verdict", "lost")))
    charge = told.get("charge") or desk.get("payment_intent", told.get("payment_intent", ""))["latest_charge"]
    return public(disputes.opened(desk, desk.get("charge", charge), told.get("reason", "fraudulent")))


def _usage(desk: Desk, told: Thing) -> Thing:
    """All usage of a `customer` at any time: the sum, and the number of events."""
    row = desk.db.execute(
        "SELECT coalesce(sum(value), 0), count(*) FROM usage WHERE customer = ? AND NOT is_cancelled",
        (str(told.get("customer", "")),),
    ).fetchone()
    return {"sum": row[0], "events": row[1]}


def _state(desk: Desk, _told: Thing) -> Thing:
    """The time, what waits, and whether everything that was due has happened."""
    now = now_seconds(desk.db)
    counts = dict(desk.db.execute("SELECT state, count(*) FROM delivery GROUP BY state").fetchall())
    soon = desk.db.execute(
        "SELECT count(*) FROM delivery WHERE state = 'waiting' AND due_at < ? AND attempts < ?",
        (time.time() + SOON_SECONDS, PATIENT_ATTEMPTS),
    ).fetchone()[0]
    due = desk.db.execute("SELECT count(*) FROM object WHERE due_at <= ? AND clock IS NULL", (now,)).fetchone()[0]
    clock_states = {clock["status"] for clock in desk.all("test_helpers.test_clock")}
    is_idle = not soon and not due and "advancing" not in clock_states
    return {"now": now, "deliveries": counts, "due": due, "is_idle": is_idle, "faults": setting(desk.db, "faults", []),
            "webhooks": outbound.ways(desk.db)}  # fmt: skip
