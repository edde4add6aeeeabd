"""Work that no request asks for: renewals, retries, ends of trials, clocks that are moved, webhooks on their way."""

import logging
import threading
import time
from typing import Final

from farebox.sandbox.stripe import billing, cycle
from farebox.sandbox.stripe.desk import Desk
from farebox.sandbox.stripe.postman import Postman
from farebox.sandbox.stripe.rooms import checkout, payment_intents, schedules
from farebox.sandbox.stripe.shelf import Shelf, load, now_seconds, save
from farebox.sandbox.stripe.things import Thing

log = logging.getLogger("farebox.stripe")

LOOK: Final = """
SELECT 1 FROM object WHERE clock IS NULL
    AND due_at <= ? + coalesce((SELECT CAST(value AS INTEGER) FROM setting WHERE name = 'offset_seconds'), 0)
UNION ALL
SELECT 1 FROM object WHERE kind = 'test_helpers.test_clock' AND json_extract(body, '$.status') = 'advancing'
LIMIT 1
"""
"""Asks whether anything is due, without keeping others from writing."""
PAUSE_SECONDS: Final = 0.2
WORK: Final = {
    "subscription_schedule": schedules.work_off,
    "subscription": cycle.work_off,
    "invoice": billing.work_off,
    "checkout.session": checkout.expired,
    "payment_intent": payment_intents.settled,
}


class Backstage:
    """A thread that works off what is due, and one that carries webhooks."""

    def __init__(self, shelf: Shelf, base_url: str) -> None:
        self._shelf, self._base_url = shelf, base_url
        self._awake, self._is_over = threading.Event(), threading.Event()
        self._postman = Postman(shelf)
        self._thread = threading.Thread(target=self._run, name="stripe-backstage", daemon=True)

    def start(self) -> None:
        self._postman.start()
        self._thread.start()

    def stop(self) -> None:
        self._is_over.set()
        self.wake()
        if self._thread.ident is not None:
            self._thread.join()
            self._postman.stop()

    def wake(self) -> None:
        """Look for work now, as something may be due."""
        self._awake.set()
        self._postman.wake()

    def _run(self) -> None:
        while not self._is_over.is_set():
            self._awake.clear()
            try:
                while not self._is_over.is_set() and self.work_once():
                    self._postman.wake()
            except Exception:
                log.exception("the stand-in's background work failed")
            self._awake.wait(PAUSE_SECONDS)

    def work_once(self) -> bool:
        """Do the next thing that is due, in a transaction of its own; False where there is none."""
        if not self._shelf.read(LOOK, int(time.time())):
            return False
        with self._shelf.transaction() as db:
            desk = Desk(db, self._base_url)
            if self._work(desk, None, now_seconds(db)):
                return True
            advancing = next((one for one in desk.all("test_helpers.test_clock") if one["status"] == "advancing"), None)
            return advancing is not None and self._advance(desk, advancing)

    def _work(self, desk: Desk, clock: str | None, until: int) -> bool:
        """Do the earliest thing that is due by a clock, as if it were the moment at which it was due."""
        row = desk.db.execute(
            "SELECT id, due_at FROM object WHERE due_at <= ? AND clock IS ?"
            " ORDER BY due_at, kind = 'subscription', seq LIMIT 1",  # a schedule's phase comes before the renewal
            (until, clock),
        ).fetchone()
        if row is None:
            return False
        thing = load(desk.db, row[0])
        assert thing is not None
        desk.at = row[1] if clock is None else max(row[1], desk.now(clock))
        try:
            WORK[thing["object"]](desk, thing)
        finally:
            desk.at = None
        _require_progress(desk, thing)
        return True

    def _advance(self, desk: Desk, clock: Thing) -> bool:
        """Move a clock by one step: do the next thing that is due, or arrive."""
        target = clock["status_details"]["advancing"]["target_frozen_time"]
        if self._work(desk, clock["id"], target):
            return True
        ready = {**clock, "frozen_time": target, "status": "ready", "status_details": {}}
        desk.put(ready)
        desk.emit("test_helpers.test_clock.ready", ready)
        return True


def _require_progress(desk: Desk, before: Thing) -> None:
    """Make sure that a thing that did not change is not due for ever."""
    after = load(desk.db, before["id"])
    if after == before:
        log.error("%s was due and did not change", before["id"])
        save(desk.db, {**before, "_due_at": None})
