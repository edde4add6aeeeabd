"""What was reported to Stripe, to be compared with what it has counted, on the driver's own connection."""

from collections.abc import Sequence
from typing import Final

from farebox.domain.period import DAY_US, MICROSECONDS, Period
from farebox.domain.report import LAG_US, OLDEST_US, spans
from farebox.ports.money import Reported
from farebox.store.database import Database
from farebox.store.own_connection import OwnConnection

TURN: Final = "usage_check_next_us"
LOOKED_BACK_US: Final = OLDEST_US + DAY_US
FIRST_TURN: Final = "INSERT INTO note (name, value) VALUES (?, '0') ON CONFLICT (name) DO NOTHING"
READ_TURN: Final = "SELECT value FROM note WHERE name = ?"
# Of several processes that have read the same note, only one can update it.
TAKE_TURN: Final = "UPDATE note SET value = ? WHERE name = ? AND value = ?"
# Nothing can be asked about a customer that was deleted at Stripe and replaced by another one.
OF_NOW: Final = (
    " AND NOT EXISTS (SELECT 1 FROM account a WHERE a.id = usage_event.account_id"
    " AND a.customer_id <> usage_event.customer)"
)
EVERYBODY: Final = (
    f"SELECT DISTINCT account_id, customer FROM usage_event WHERE timestamp_us >= ?{OF_NOW} ORDER BY account_id"
)
DOUBTFUL: Final = (
    f"SELECT id, account_id, customer, next_us FROM usage_event WHERE state = 'held' AND next_us <= ?{OF_NOW}"
)
TAKE_DOUBTFUL: Final = "UPDATE usage_event SET next_us = ? WHERE id = ? AND state = 'held' AND next_us = ?"
STARTS: Final = (
    "SELECT DISTINCT period_start_us FROM usage_event WHERE account_id = ? AND timestamp_us >= ?"
    " UNION SELECT period_start_us FROM subscription WHERE account_id = ?"
)
REPORTED: Final = (
    "SELECT id, state, nanodollars, first_sent_us, sent_us FROM usage_event"
    f" WHERE account_id = ? AND timestamp_us >= ? AND timestamp_us < ? AND state <> 'dropped'{OF_NOW} ORDER BY id"
)
COUNTED: Final = (
    "UPDATE usage_event SET state = 'sent', sent_us = ?, next_us = NULL, failed = '' WHERE id = ? AND state = 'held'"
)
DROP: Final = "UPDATE usage_event SET state = 'dropped', next_us = NULL WHERE id = ? AND state = 'held'"
FREE: Final = "UPDATE usage_outbox SET event_id = NULL WHERE event_id = ?"
NOTE: Final = (
    "INSERT INTO usage_check (account_id, start_us, end_us, counted_nanodollars, reported_nanodollars, checked_us)"
    " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (account_id, start_us) DO UPDATE SET end_us = excluded.end_us,"
    " counted_nanodollars = excluded.counted_nanodollars, reported_nanodollars = excluded.reported_nanodollars,"
    " checked_us = excluded.checked_us"
)


class StoredUsageChecks:
    """The port `UsageChecks` over one database."""

    def __init__(self, database: Database) -> None:
        self._own = OwnConnection(database)

    def take_turn(self, again_seconds: float) -> bool:
        with self._own.cursor() as cursor:
            now_us = self._own.now_us(cursor)
            self._own.run(cursor, READ_TURN, TURN)
            found = cursor.fetchone()
            if found is None:
                self._own.write(cursor, FIRST_TURN, TURN)
                found = ("0",)
            if int(found[0]) > now_us:
                return False
            next_us = now_us + int(again_seconds * MICROSECONDS)
            return self._own.write(cursor, TAKE_TURN, str(next_us), TURN, found[0]) > 0

    def everybody(self) -> list[tuple[str, str]]:
        with self._own.cursor() as cursor:
            self._own.run(cursor, EVERYBODY, self._own.now_us(cursor) - LOOKED_BACK_US)
            return [(account_id, customer) for account_id, customer in cursor.fetchall()]

    def doubtful(self) -> list[tuple[str, str]]:
        with self._own.cursor() as cursor:
            now_us = self._own.now_us(cursor)
            self._own.run(cursor, DOUBTFUL, now_us)
            found = cursor.fetchall()
            mine = [
                (account_id, customer)
                for event_id, account_id, customer, seen_us in found
                if self._own.write(cursor, TAKE_DOUBTFUL, now_us + LAG_US, event_id, seen_us)
            ]
            return sorted(set(mine))

    def spans(self, account_id: str) -> Sequence[Period]:
        with self._own.cursor() as cursor:
            now_us = self._own.now_us(cursor)
            self._own.run(cursor, STARTS, account_id, now_us - LOOKED_BACK_US, account_id)
            return spans([row[0] for row in cursor.fetchall()], now_us - LAG_US)

    def reported(self, account_id: str, span: Period) -> Reported:
        with self._own.cursor() as cursor:
            settled_us = self._own.now_us(cursor) - LAG_US
            self._own.run(cursor, REPORTED, account_id, *span)
            taken, held, is_moving = 0, [], False
            for event_id, state, nanodollars, first_sent_us, sent_us in cursor.fetchall():
                if state == "sent":
                    taken += nanodollars
                elif state == "held":
                    held.append((event_id, nanodollars))
                is_moving |= first_sent_us is not None and (sent_us is None or sent_us > settled_us)
            return Reported(taken, held, is_moving)

    def counted(self, event_id: str) -> None:
        with self._own.cursor() as cursor:
            self._own.write(cursor, COUNTED, self._own.now_us(cursor), event_id)

    def drop(self, event_id: str) -> None:
        with self._own.transaction() as cursor:
            self._own.run(cursor, DROP, event_id)
            if cursor.rowcount:
                self._own.run(cursor, FREE, event_id)

    def note(self, account_id: str, span: Period, counted: int, reported: int) -> None:
        with self._own.cursor() as cursor:
            now_us = self._own.now_us(cursor)
            self._own.write(cursor, NOTE, account_id, *span, counted, reported, now_us)

    def close(self) -> None:
        self._own.close()
