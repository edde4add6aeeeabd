"""Sends webhooks: signs them, and sends them again if they were not accepted."""

import json
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import httpx2
from stripe import WebhookSignature

from farebox.sandbox.stripe.shelf import Shelf
from farebox.sandbox.stripe.things import Thing

log = logging.getLogger("farebox.stripe")

RETRY_SECONDS: Final = (0.5, 1, 2, 5, 10, 30, 60, 300, 1_800, 3_600)
"""How long after each attempt the next one comes. Stripe's own are hours; nobody here wants to wait for them."""
AT_ONCE: Final = 8
PAUSE_SECONDS: Final = 0.2
TIMEOUT_SECONDS: Final = 10
LEASE_SECONDS: Final = 30


class Postman:
    """A thread that looks for webhooks that are due, and some that send them."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._awake, self._is_over = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="stripe-postman", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._is_over.set()
        self.wake()
        self._thread.join()

    def wake(self) -> None:
        self._awake.set()

    def _run(self) -> None:
        with ThreadPoolExecutor(AT_ONCE) as carriers, httpx2.Client(timeout=TIMEOUT_SECONDS, trust_env=False) as client:
            while not self._is_over.is_set():
                self._awake.clear()
                try:
                    due = self._take()
                    list(carriers.map(lambda one: self._carry(client, *one), due))
                except Exception:
                    log.exception("the stand-in's webhooks failed")
                    due = []
                if not due:
                    self._awake.wait(PAUSE_SECONDS)

    def _take(self) -> list[tuple[int, str, str, int]]:
        """Take what is due, so that for a while no other process does."""
        now = time.time()
        if not self._shelf.read("SELECT 1 FROM delivery WHERE state = 'waiting' AND due_at <= ? LIMIT 1", now):
            return []
        with self._shelf.transaction() as db:
            rows = db.execute(
                "SELECT id, endpoint, body, attempts FROM delivery WHERE state = 'waiting' AND due_at <= ?"
                " ORDER BY due_at, id LIMIT ?",
                (now, AT_ONCE),
            ).fetchall()
            for row in rows:
                db.execute("UPDATE delivery SET due_at = ? WHERE id = ?", (now + LEASE_SECONDS, row[0]))
        return rows

    def _carry(self, client: httpx2.Client, id_: int, endpoint: str, body: str, attempts: int) -> None:
        rows = self._shelf.read("SELECT body FROM object WHERE id = ?", endpoint)
        found = json.loads(rows[0][0]) if rows else None
        if found is None or found["status"] != "enabled":
            self._note(id_, "gone", 0, attempts)
            return
        status = 0
        try:
            signature = WebhookSignature.generate_signature_header(body, found["_secret"])
            headers = {"content-type": "application/json; charset=utf-8", "stripe-signature": signature,
                       "user-agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)"}  # fmt: skip
            status = client.post(_address(found), content=body, headers=headers).status_code
        except httpx2.HTTPError as error:
            log.debug("webhook to %s failed: %s", _address(found), type(error).__name__)
        is_taken = 200 <= status < 300  # noqa: PLR2004
        is_over = attempts >= len(RETRY_SECONDS)
        self._note(id_, "sent" if is_taken else "failed" if is_over else "waiting", status, attempts)

    def _note(self, id_: int, state: str, status: int, attempts: int) -> None:
        due_at = time.time() + RETRY_SECONDS[min(attempts, len(RETRY_SECONDS) - 1)]
        with self._shelf.transaction() as db:
            db.execute(
                "UPDATE delivery SET state = ?, status = ?, attempts = ?, due_at = ? WHERE id = ?",
                (state, status, attempts + 1, due_at, id_),
            )


def _address(endpoint: Thing) -> str:
    return str(endpoint["url"] if "url" in endpoint else endpoint["webhook_endpoint"]["url"])
