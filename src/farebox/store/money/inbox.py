"""Stripe's events: each is stored once, and worked off by any process, on the driver's own connection."""

from typing import Final

from farebox.domain.people import DAY_US
from farebox.domain.period import MICROSECONDS
from farebox.domain.webhooks import Event
from farebox.ports.billing import Waiting
from farebox.store.database import Database
from farebox.store.forgetting import Forgotten, forget_some
from farebox.store.own_connection import OwnConnection

LEASE_SECONDS: Final = 60
ADD: Final = (
    "INSERT INTO webhook_event (id, type, object_id, created_us, received_us, applied_us, tries, next_us, failed)"
    " VALUES (?, ?, ?, ?, ?, NULL, 0, ?, '') ON CONFLICT (id) DO NOTHING"
)
LOOK: Final = "SELECT id, next_us FROM webhook_event WHERE next_us <= ? ORDER BY next_us, id LIMIT 8"
# Of several processes that have seen the same row, only one can update it.
CLAIM: Final = "UPDATE webhook_event SET next_us = ?, tries = tries + 1 WHERE id = ? AND next_us = ?"
READ: Final = f"SELECT {', '.join(Waiting._fields)} FROM webhook_event WHERE id = ?"  # noqa: S608  # our own names
DONE: Final = "UPDATE webhook_event SET applied_us = ?, next_us = NULL, failed = ? WHERE id = ?"
PUT_OFF: Final = "UPDATE webhook_event SET next_us = ?, failed = ? WHERE id = ? AND applied_us IS NULL"
OLD: Final = Forgotten("webhook_event", "id", "received_us", 60 * DAY_US, " AND next_us IS NULL")
LAPSED: Final = (
    "SELECT a.id FROM subscription s JOIN account a ON a.id = s.account_id"
    " WHERE s.told = 'failed' AND a.grace_until_us <= ? AND a.closed_us IS NULL ORDER BY a.id"
)
WISHING: Final = (
    "SELECT a.id FROM subscription s JOIN account a ON a.id = s.account_id WHERE s.next_plan <> ''"
    " AND s.next_price_nanodollars IS NULL AND s.status IN ('trialing', 'active', 'past_due') AND a.closed_us IS NULL"
    " ORDER BY a.id"
)


class StoredInbox:
    """The port `Inbox` over one database."""

    def __init__(self, database: Database) -> None:
        self._own = OwnConnection(database)

    def close(self) -> None:
        self._own.close()

    def now_us(self) -> int:
        with self._own.cursor() as cursor:
            return self._own.now_us(cursor)

    def add(self, event: Event) -> bool:
        with self._own.cursor() as cursor:
            now_us = self._own.now_us(cursor)
            row = (event.id, event.type, event.object_id, event.created_us, now_us, now_us)
            return self._own.write(cursor, ADD, *row) > 0

    def claim(self) -> Waiting | None:
        with self._own.cursor() as cursor:
            while True:
                now_us = self._own.now_us(cursor)
                self._own.run(cursor, LOOK, now_us)
                seen = cursor.fetchall()
                if not seen:
                    return None
                for event_id, next_us in seen:
                    if self._own.write(cursor, CLAIM, now_us + LEASE_SECONDS * MICROSECONDS, event_id, next_us):
                        self._own.run(cursor, READ, event_id)
                        return Waiting(*cursor.fetchone())

    def done(self, event_id: str, note: str) -> None:
        with self._own.cursor() as cursor:
            self._own.write(cursor, DONE, self._own.now_us(cursor), note, event_id)

    def put_off(self, event_id: str, seconds: float, reason: str) -> None:
        with self._own.cursor() as cursor:
            self._own.write(cursor, PUT_OFF, self._own.now_us(cursor) + int(seconds * MICROSECONDS), reason, event_id)

    def lapsed(self) -> list[str]:
        with self._own.cursor() as cursor:
            self._own.run(cursor, LAPSED, self._own.now_us(cursor))
            return [row[0] for row in cursor.fetchall()]

    def wishing(self) -> list[str]:
        with self._own.cursor() as cursor:
            self._own.run(cursor, WISHING)
            return [row[0] for row in cursor.fetchall()]

    def forget(self) -> bool:
        return forget_some(self._own, OLD)
