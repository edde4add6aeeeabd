"""Statements of Idempotency-Keys and receipts, one row at a time, in words that both dialects understand."""

from typing import ClassVar

from farebox.domain.admission import Earlier
from farebox.domain.errors import UpstreamNoMessage
from farebox.store.cursor import Cursor, Row
from farebox.store.ledger.call_rows import HOLD_COLUMNS, OUTCOME_COLUMNS

PURGED_MAX = 200  # some 10 ms on a slow disk: a call may have to wait for it
EARLIER = """
SELECT i.fingerprint, i.call_id, i.is_stream, i.expires_us, i.content_type, i.body,
    EXISTS (SELECT 1 FROM hold h WHERE h.account_id = i.account_id AND h.call_id = i.call_id),
    u.state, u.error, u.tokens
FROM idempotency i LEFT JOIN usage_record u ON u.account_id = i.account_id AND u.call_id = i.call_id
WHERE i.account_id = ? AND i.id = ?"""
OPEN_ONCE = """
INSERT INTO idempotency (account_id, id, fingerprint, call_id, is_stream, expires_us, content_type)
VALUES (?, ?, ?, ?, ?, ?, '')
ON CONFLICT (account_id, id) DO UPDATE SET fingerprint = excluded.fingerprint, call_id = excluded.call_id,
    is_stream = excluded.is_stream, expires_us = excluded.expires_us, content_type = '', body = NULL"""
KEEP_ANSWER = "UPDATE idempotency SET content_type = ?, body = ? WHERE account_id = ? AND id = ? AND call_id = ?"


class SharedStatements:
    """The statements that an Idempotency-Key needs, and a receipt."""

    has_accounts = False
    """Whether the transaction has come past its accounts' rows; only where rows are locked one by one."""
    mark: ClassVar[str] = "?"
    skip_locked: ClassVar[str] = ""

    def earlier(self, cursor: Cursor, account_id: str, once_id: str) -> Earlier | None:
        """What is known of the first call with an Idempotency-Key."""
        cursor.execute(self._words(EARLIER), (account_id, once_id))
        row = cursor.fetchone()
        if row is None:
            return None
        fingerprint, call_id, is_stream, expires_us, content_type, body, is_open, state, error, tokens = row
        kept = None if body is None else bytes(body)
        # A call whose last answer said nothing is paid for if one before it said something.
        is_silent = error == UpstreamNoMessage.code and not tokens
        return Earlier(
            fingerprint, call_id, bool(is_stream), expires_us, content_type, kept, bool(is_open), state, is_silent
        )

    def open_once(self, cursor: Cursor, row: Row) -> None:
        """Note which call an Idempotency-Key belongs to, in place of an older one."""
        cursor.execute(self._words(OPEN_ONCE), row)

    def keep_answer(self, cursor: Cursor, row: Row) -> None:
        cursor.execute(self._words(KEEP_ANSWER), row)

    def purge(self, cursor: Cursor, now_us: int) -> bool:
        """Forget a few answers that were kept long enough; whether there may be more of them."""
        cursor.execute(
            self._words(
                "DELETE FROM idempotency WHERE (account_id, id) IN (SELECT account_id, id FROM idempotency"
                f" WHERE expires_us <= ? ORDER BY expires_us LIMIT {PURGED_MAX}{self.skip_locked})"
            ),
            (now_us,),
        )
        return cursor.rowcount >= PURGED_MAX

    def call(self, cursor: Cursor, account_id: str, mode: str, call_id: str) -> Row | None:
        """A call's hold and outcome in one row; only the hold where it is under way."""
        for table, columns in (("usage_record", f"{HOLD_COLUMNS}, {OUTCOME_COLUMNS}"), ("hold", HOLD_COLUMNS)):
            cursor.execute(
                self._words(f"SELECT {columns} FROM {table} WHERE account_id = ? AND call_id = ? AND mode = ?"),
                (account_id, call_id, mode),
            )
            row: Row | None = cursor.fetchone()
            if row is not None:
                return row
        return None

    def _words(self, statement: str) -> str:
        return statement.replace("?", self.mark)
