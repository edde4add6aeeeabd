"""What calls add to invoices, on its way to Stripe, on the driver's own connection: serving processes look here."""

import logging
import secrets
from typing import Final

from farebox.domain.period import MICROSECONDS
from farebox.domain.report import (
    LAG_US,
    NO_SUBSCRIPTION,
    InvoiceTimes,
    closed_until_us,
    counts_at_us,
    reason_to_hold,
)
from farebox.ports.money import UsageEvent
from farebox.store.cursor import Cursor
from farebox.store.database import Database
from farebox.store.own_connection import OwnConnection

log = logging.getLogger("farebox.usage")

LEASE_SECONDS: Final = 120
"""Longer than the adapter tries: if an event is still in hand after that, its process has died."""
ROWS_MAX: Final = 2000
"""How many rows one event has: marking them takes a few milliseconds, and calls wait no longer than that."""
EVENT: Final = ", ".join(UsageEvent._fields)

NEXT: Final = (
    "SELECT account_id, customer, period_start_us FROM usage_outbox WHERE event_id IS NULL AND customer > ?"
    " ORDER BY customer, period_start_us LIMIT 1"
)
NEXT_OF: Final = (
    "SELECT account_id, customer, period_start_us FROM usage_outbox WHERE event_id IS NULL AND customer = ?"
    " ORDER BY period_start_us LIMIT 1"
)
IN_HAND: Final = "SELECT 1 FROM usage_event WHERE customer = ? AND state = 'waiting'"
# If another process was faster, this inserts nothing: a customer has one event in hand.
MAKE: Final = (
    "INSERT INTO usage_event (id, account_id, customer, period_start_us, nanodollars, calls, timestamp_us, state,"
    " first_sent_us, sent_us, tries, next_us, failed)"
    " VALUES (?, ?, ?, ?, 0, 0, 0, 'waiting', NULL, NULL, 0, ?, '') ON CONFLICT DO NOTHING"
)
FILL: Final = (
    "UPDATE usage_outbox SET event_id = ? WHERE account_id = ? AND call_id IN (SELECT call_id FROM usage_outbox"
    f" WHERE event_id IS NULL AND customer = ? AND period_start_us = ? AND account_id = ? LIMIT {ROWS_MAX})"
)
SUM_UP: Final = (
    "UPDATE usage_event SET"
    " nanodollars = (SELECT CAST(sum(nanodollars) AS bigint) FROM usage_outbox WHERE event_id = ?),"
    " calls = (SELECT count(*) FROM usage_outbox WHERE event_id = ?),"
    " timestamp_us = (SELECT max(admitted_us) FROM usage_outbox WHERE event_id = ?) WHERE id = ?"
)
DUE: Final = (
    f"SELECT {EVENT}, next_us FROM usage_event WHERE state = 'waiting' AND next_us <= ? ORDER BY next_us, id LIMIT 1"
)
DUE_OF: Final = (
    f"SELECT {EVENT}, next_us FROM usage_event"
    " WHERE state = 'waiting' AND (next_us <= ? OR failed <> '') AND customer = ? LIMIT 1"
)
STANDING: Final = (
    "SELECT a.anchor_us, s.period_start_us, s.period_end_us, s.invoiced_until_us"
    " FROM subscription s JOIN account a ON a.id = s.account_id WHERE s.account_id = ?"
)
# Of several processes that have seen the same row, only one can update it.
AS_SEEN: Final = "WHERE id = ? AND state = 'waiting' AND next_us = ?"
CLAIM: Final = (
    "UPDATE usage_event SET next_us = ?, tries = tries + 1, first_sent_us = ?, timestamp_us = ?, failed = '' " + AS_SEEN
)
HOLD_SEEN: Final = "UPDATE usage_event SET state = 'held', sent_us = ?, next_us = ?, failed = ? " + AS_SEEN
TAKEN: Final = (
    "UPDATE usage_event SET state = 'sent', sent_us = ?, next_us = NULL, failed = ''"
    " WHERE id = ? AND state IN ('waiting', 'held')"
)
PUT_OFF: Final = "UPDATE usage_event SET next_us = ?, failed = ? WHERE id = ? AND state = 'waiting'"
HOLD: Final = (
    "UPDATE usage_event SET state = 'held', sent_us = ?, next_us = ?, failed = ? WHERE id = ? AND state = 'waiting'"
)
LEFT: Final = (
    "SELECT (SELECT count(*) FROM usage_outbox WHERE event_id IS NULL AND customer = ?)"
    " + coalesce((SELECT CAST(sum(calls) AS bigint) FROM usage_event WHERE state = 'waiting' AND customer = ?), 0)"
)


class StoredUsageOutbox:
    """The port `UsageOutbox` over one database."""

    def __init__(self, database: Database) -> None:
        self._own = OwnConnection(database)

    def collect(self, customer: str = "") -> int:
        count, after = 0, customer
        while True:
            with self._own.cursor() as cursor:
                self._own.run(cursor, NEXT_OF if customer else NEXT, after)
                found = cursor.fetchone()
                if found is None:
                    return count
                self._own.run(cursor, IN_HAND, found[1])
                is_in_hand = cursor.fetchone() is not None
            if not is_in_hand:
                with self._own.transaction() as cursor:
                    count += self._make(cursor, *found)
            if customer:
                return count
            after = found[1]

    def _make(self, cursor: Cursor, account_id: str, customer: str, period_start_us: int) -> bool:
        event_id = f"usage_{secrets.token_hex(16)}"
        self._own.run(cursor, MAKE, event_id, account_id, customer, period_start_us, self._own.now_us(cursor))
        if not cursor.rowcount:
            return False
        self._own.run(cursor, FILL, event_id, account_id, customer, period_start_us, account_id)
        if not cursor.rowcount:  # another process has just reported them
            self._own.run(cursor, "DELETE FROM usage_event WHERE id = ?", event_id)
            return False
        self._own.run(cursor, SUM_UP, event_id, event_id, event_id, event_id)
        return True

    def claim(self, customer: str = "") -> UsageEvent | None:
        with self._own.cursor() as cursor:
            while True:
                now_us = self._own.now_us(cursor)
                self._own.run(cursor, DUE_OF if customer else DUE, now_us, *([customer] if customer else []))
                seen = cursor.fetchone()
                if seen is None:
                    return None
                event, seen_us = UsageEvent(*seen[:-1]), seen[-1]
                closed_us = self._closed_us(cursor, event.account_id, now_us)
                reason = reason_to_hold(event.first_sent_us, event.timestamp_us, closed_us, now_us)
                if reason:
                    log.error("%s is held: %s", event.id, reason)
                    self._own.write(cursor, HOLD_SEEN, now_us, now_us + LAG_US, reason, event.id, seen_us)
                    continue
                claimed = _claimed(event, closed_us, now_us)
                lease_us = now_us + LEASE_SECONDS * MICROSECONDS
                figures = lease_us, claimed.first_sent_us, claimed.timestamp_us
                if self._own.write(cursor, CLAIM, *figures, event.id, seen_us):
                    return claimed

    def _closed_us(self, cursor: Cursor, account_id: str, now_us: int) -> int:
        self._own.run(cursor, STANDING, account_id)
        found = cursor.fetchone()
        return closed_until_us(InvoiceTimes(*found) if found else NO_SUBSCRIPTION, now_us)

    def taken(self, event_id: str) -> None:
        with self._own.cursor() as cursor:
            self._own.write(cursor, TAKEN, self._own.now_us(cursor), event_id)

    def put_off(self, event_id: str, seconds: float, reason: str) -> None:
        with self._own.cursor() as cursor:
            next_us = self._own.now_us(cursor) + int(seconds * MICROSECONDS)
            self._own.write(cursor, PUT_OFF, next_us, reason, event_id)

    def hold(self, event_id: str, reason: str) -> None:
        with self._own.cursor() as cursor:
            now_us = self._own.now_us(cursor)
            self._own.write(cursor, HOLD, now_us, now_us + LAG_US, reason, event_id)

    def waiting(self, customer: str) -> int:
        with self._own.cursor() as cursor:
            self._own.run(cursor, LEFT, customer, customer)
            return int(cursor.fetchone()[0])

    def close(self) -> None:
        self._own.close()


def _claimed(event: UsageEvent, closed_us: int, now_us: int) -> UsageEvent:
    """The event as it is sent now: the first time, with a timestamp that counts; after that, as it was."""
    tries = event.tries + 1
    if event.first_sent_us is not None:
        return event._replace(tries=tries)
    counts_us = counts_at_us(event.timestamp_us, closed_us, now_us) // MICROSECONDS * MICROSECONDS
    return event._replace(tries=tries, first_sent_us=now_us, timestamp_us=counts_us)
