"""Topping up credit: one payment at a time for an account, claimed in its row, on the driver's own connection."""

import secrets
from collections.abc import Sequence
from typing import Final

from farebox.domain.period import MICROSECONDS
from farebox.ports.billing import TopUpAttempt
from farebox.store.cursor import Cursor
from farebox.store.database import Database
from farebox.store.money.owners import TOP_UP_FAILED, write_to_owners
from farebox.store.own_connection import OwnConnection

LEASE_SECONDS: Final = 60
PAGE_ROWS: Final = 500
LEFT: Final = (
    "(SELECT coalesce(sum(g.amount_nanodollars - g.spent_nanodollars - g.held_nanodollars - g.taken_back_nanodollars),"
    " 0) FROM credit_grant g WHERE g.account_id = t.account_id AND g.expires_us > ?)"
)
IS_LOW: Final = f"t.attempt = '' AND t.failed = '' AND t.pack <> '' AND {LEFT} < t.below_nanodollars"
# An account that cannot call needs no credit.
CAN_CALL: Final = "closed_us IS NULL AND state <> 'suspended'"
LOW: Final = (
    f"SELECT t.account_id FROM top_up t JOIN account a ON a.id = t.account_id AND {CAN_CALL} WHERE {IS_LOW}"  # noqa: S608
    f" AND t.account_id > ? ORDER BY t.account_id LIMIT {PAGE_ROWS}"
)
LOW_AMONG: Final = f"SELECT t.account_id FROM top_up t WHERE {IS_LOW} AND t.account_id IN "  # noqa: S608
# The ledger locks the same row, so the credit that is read next cannot change meanwhile.
LOCK: Final = f"SELECT 1 FROM account WHERE id = ? AND {CAN_CALL}"  # noqa: S608
WISH: Final = f"SELECT t.pack FROM top_up t WHERE t.account_id = ? AND {IS_LOW}"  # noqa: S608
BEGIN: Final = "UPDATE top_up SET attempt = ?, next_us = ? WHERE account_id = ?"
# If the wish has ended meanwhile, nothing more is bought; what was paid is still looked for.
DUE: Final = (
    "SELECT account_id, CASE WHEN failed = '' THEN pack ELSE '' END, attempt, next_us FROM top_up WHERE next_us <= ?"
    " ORDER BY next_us LIMIT 1"
)
WANTED: Final = (
    "SELECT 1 FROM top_up t JOIN account a ON a.id = t.account_id"  # noqa: S608
    f" WHERE t.account_id = ? AND t.attempt = ? AND t.pack <> '' AND t.failed = '' AND {CAN_CALL}"
)
AGAIN: Final = "UPDATE top_up SET next_us = ? WHERE account_id = ? AND attempt = ? AND next_us = ?"
PUT_OFF: Final = "UPDATE top_up SET next_us = ? WHERE account_id = ? AND attempt = ?"
END: Final = (  # a wish that has ended while its payment was under way stays ended
    "UPDATE top_up SET attempt = '', next_us = NULL, failed = CASE WHEN failed = '' THEN ? ELSE failed END"
    " WHERE account_id = ? AND attempt = ?"
)


class StoredTopUps:
    """The port `TopUps` over one database. An attempt's id contains when it was begun."""

    def __init__(self, database: Database) -> None:
        self._is_sqlite = database.is_sqlite
        self._own = OwnConnection(database)

    def close(self) -> None:
        self._own.close()

    def low(self, after: str) -> list[str]:
        with self._own.cursor() as cursor:
            self._own.run(cursor, LOW, self._own.now_us(cursor), after)
            return [row[0] for row in cursor.fetchall()]

    def low_among(self, account_ids: Sequence[str]) -> list[str]:
        if not account_ids:
            return []
        with self._own.cursor() as cursor:
            marks = ", ".join("?" * len(account_ids))
            self._own.run(cursor, f"{LOW_AMONG}({marks})", self._own.now_us(cursor), *account_ids)
            return [row[0] for row in cursor.fetchall()]

    def claim(self, account_id: str) -> TopUpAttempt | None:
        with self._own.transaction() as cursor:
            self._lock(cursor, account_id)
            if cursor.fetchone() is None:
                return None
            now_us = self._own.now_us(cursor)
            self._own.run(cursor, WISH, account_id, now_us)
            wish = cursor.fetchone()
            if wish is None:
                return None
            attempt = f"topup_{now_us}_{secrets.token_hex(8)}"
            self._own.run(cursor, BEGIN, attempt, now_us + LEASE_SECONDS * MICROSECONDS, account_id)
            return TopUpAttempt(account_id, wish[0], attempt, now_us)

    def claim_due(self) -> TopUpAttempt | None:
        with self._own.cursor() as cursor:
            while True:
                now_us = self._own.now_us(cursor)
                self._own.run(cursor, DUE, now_us)
                seen = cursor.fetchone()
                if seen is None:
                    return None
                account_id, pack, attempt, next_us = seen
                if self._own.write(cursor, AGAIN, now_us + LEASE_SECONDS * MICROSECONDS, account_id, attempt, next_us):
                    return TopUpAttempt(account_id, pack, attempt, int(attempt.split("_")[1]))

    def is_wanted(self, account_id: str, attempt: str) -> bool:
        with self._own.cursor() as cursor:
            self._own.run(cursor, WANTED, account_id, attempt)
            return cursor.fetchone() is not None

    def put_off(self, account_id: str, attempt: str, seconds: float) -> None:
        with self._own.cursor() as cursor:
            self._own.write(
                cursor, PUT_OFF, self._own.now_us(cursor) + int(seconds * MICROSECONDS), account_id, attempt
            )

    def end(self, account_id: str, attempt: str, failed: str, told: str) -> int:
        with self._own.transaction() as cursor:
            self._lock(cursor, account_id)
            self._own.run(cursor, END, failed, account_id, attempt)
            if not cursor.rowcount or not failed:
                return 0
            return write_to_owners(self._own.run, cursor, account_id, TOP_UP_FAILED, told, self._own.now_us(cursor))

    def _lock(self, cursor: Cursor, account_id: str) -> None:
        self._own.run(cursor, LOCK if self._is_sqlite else f"{LOCK} FOR NO KEY UPDATE", account_id)
