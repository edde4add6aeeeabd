"""Which marks on the way to a limit were reported, on the driver's own connection: serving processes look here."""

import secrets
from collections.abc import Sequence
from typing import Final

from farebox.domain.ledger import Meter
from farebox.domain.limits import Limit
from farebox.domain.people import Mail
from farebox.ports.team import AccountUse
from farebox.store.cursor import Cursor
from farebox.store.database import Database
from farebox.store.own_connection import BriefConnection

PAGE_ROWS: Final = 1000
USE: Final = f"""
SELECT a.id, a.email, a.plan, a.spend_cap_nanodollars, a.grace_until_us,
    {", ".join(f"m.{name}" for name in Meter._fields)}
FROM account a JOIN meter m ON m.account_id = a.id
WHERE m.name = 'live' AND m.period_start_us <= ? AND m.period_end_us > ? AND a.closed_us IS NULL AND """
NEXT: Final = f"a.id > ? ORDER BY a.id LIMIT {PAGE_ROWS}"
NOTED: Final = "SELECT name, percent FROM limit_mark WHERE account_id = ? AND period_start_us = ?"
# Compatible with the ledger's lock, which is weaker; closing the account, or changing its people, has to wait.
OPEN: Final = "SELECT 1 FROM account WHERE id = ? AND closed_us IS NULL"
NOTE: Final = "INSERT INTO limit_mark VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
OWNERS: Final = """
SELECT p.email FROM member m JOIN person p ON p.id = m.person_id
WHERE m.account_id = ? AND m.role = 'owner' AND m.has_limit_mails = 1 ORDER BY p.email"""
WRITE: Final = f"INSERT INTO mail VALUES ({', '.join('?' * len(Mail._fields))})"
TEMPLATE: Final = "limit"


class StoredLimitMarks:
    """The port `LimitMarks` over one database; each verb opens a connection of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._brief = BriefConnection(database)

    def use(self, account_ids: Sequence[str]) -> list[AccountUse]:
        if not account_ids:
            return []
        return self._use(f"a.id IN ({', '.join('?' * len(account_ids))})", *account_ids)

    def use_of_all(self, after: str) -> list[AccountUse]:
        return self._use(NEXT, after)

    def _use(self, which: str, *values: str) -> list[AccountUse]:
        with self._brief.cursor() as cursor:
            now_us = self._brief.now_us(cursor)
            self._brief.run(cursor, USE + which, now_us, now_us, *values)
            return [
                AccountUse(account_id, email, plan, spend_cap, Meter(*meter), grace_until_us, now_us)
                for account_id, email, plan, spend_cap, grace_until_us, *meter in cursor.fetchall()
            ]

    def noted(self, account_id: str, period_start_us: int) -> set[tuple[Limit, int]]:
        with self._brief.cursor() as cursor:
            self._brief.run(cursor, NOTED, account_id, period_start_us)
            return {(name, percent) for name, percent in cursor.fetchall()}

    def note(self, use: AccountUse, limit: Limit, percents: Sequence[int], told: str) -> int:
        with self._brief.transaction() as cursor:
            return self._note(cursor, use, limit, percents, told)

    def _note(self, cursor: Cursor, use: AccountUse, limit: Limit, percents: Sequence[int], told: str) -> int:
        self._brief.run(cursor, OPEN if self._database.is_sqlite else f"{OPEN} FOR KEY SHARE", use.account_id)
        if cursor.fetchone() is None:
            return 0
        now_us = self._brief.now_us(cursor)
        is_news = False
        for percent in percents:
            self._brief.run(cursor, NOTE, use.account_id, use.meter.period_start_us, limit, percent, now_us)
            is_news = cursor.rowcount > 0
        if not is_news:
            return 0
        self._brief.run(cursor, OWNERS, use.account_id)
        owners = [row[0] for row in cursor.fetchall()]
        for email in owners:
            letter = Mail(
                f"mail_{secrets.token_hex(16)}",
                email,
                TEMPLATE,
                told,
                None,
                now_us,
                now_us,
                0,
                None,
                "",
                use.account_id,
            )
            self._brief.run(cursor, WRITE, *letter)
        return len(owners)
