"""Credit grants, given and taken back, on the driver's own connection: serving processes hear of payments, too."""

import json
import secrets
from typing import Final

from farebox.domain.wallet import Grant, balance, take_back
from farebox.ports.money import Granted, Purse
from farebox.store.cursor import Cursor
from farebox.store.database import Database
from farebox.store.money.owners import TOP_UP_ENDED, write_to_owners
from farebox.store.own_connection import BriefConnection

COLUMNS: Final = ", ".join(Grant._fields)
LOCK: Final = "SELECT has_credit FROM account WHERE id = ?"
# The ledger's own kind of lock, so that neither sees half of what the other does.
LOCK_POSTGRES: Final = f"{LOCK} FOR NO KEY UPDATE"
GRANT: Final = f"""
INSERT INTO credit_grant (source, pack, {COLUMNS}) VALUES ({", ".join("?" * (len(Grant._fields) + 2))})
ON CONFLICT (source) DO NOTHING"""
OWNER: Final = "SELECT account_id FROM credit_grant WHERE source = ?"
BY_SOURCE: Final = f"SELECT {COLUMNS} FROM credit_grant WHERE source = ?"
TAKE: Final = """
UPDATE credit_grant SET taken_back_nanodollars = ?, due_back_nanodollars = ? WHERE account_id = ? AND id = ?"""
LISTED: Final = f"""
SELECT pack, {COLUMNS} FROM credit_grant WHERE account_id = ? ORDER BY expires_us, created_us, id"""
# In the credit's transaction, so that no process sees that the credit is low and buys again.
END_TOP_UP: Final = "UPDATE top_up SET failed = ? WHERE account_id = ? AND pack <> '' AND failed = ''"
AUDIT: Final = "INSERT INTO audit (id, at_us, account_id, person_id, what, network, data) VALUES (?, ?, ?, ?, ?, ?, ?)"


class StoredCredit:
    """The port `Credit` over one database; each verb opens a connection of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._brief = BriefConnection(database)

    def grant(self, account_id: str, source: str, pack: str, amount_nanodollars: int, expires_us: int) -> bool:
        with self._brief.transaction() as cursor:
            if not self._lock(cursor, account_id):
                return False
            now_us = self._brief.now_us(cursor)
            grant_id = f"grant_{secrets.token_hex(8)}"
            row = Grant(account_id, grant_id, amount_nanodollars, 0, 0, 0, 0, expires_us, now_us)
            self._brief.run(cursor, GRANT, source, pack, *row)
            if not cursor.rowcount:
                return False
            self._brief.run(cursor, "UPDATE account SET has_credit = 1 WHERE id = ? AND has_credit = 0", account_id)
            self._note(cursor, now_us, account_id, "credit_granted", pack=pack, grant=grant_id,
                       nanodollars=str(amount_nanodollars))  # fmt: skip
            return True

    def knows(self, source: str) -> bool:
        with self._brief.cursor() as cursor:
            self._brief.run(cursor, OWNER, source)
            return cursor.fetchone() is not None

    def take_back(self, source: str, up_to_nanodollars_total: int, ended: str = "", told: str = "") -> int:
        with self._brief.transaction() as cursor:
            self._brief.run(cursor, OWNER, source)
            owner = cursor.fetchone()
            if owner is None:
                return up_to_nanodollars_total
            self._lock(cursor, owner[0])
            self._brief.run(cursor, BY_SOURCE, source)
            before = Grant(*cursor.fetchone())
            after = take_back(before, up_to_nanodollars_total)
            if after != before:
                sums = (after.taken_back_nanodollars, after.due_back_nanodollars)
                self._brief.run(cursor, TAKE, *sums, after.account_id, after.id)
                now_us = self._brief.now_us(cursor)
                self._note(cursor, now_us, after.account_id, "credit_taken_back", grant=after.id,
                           nanodollars=str(sums[0]), due=str(sums[1]))  # fmt: skip
                if ended and after.due_back_nanodollars > before.due_back_nanodollars:
                    self._end_top_up(cursor, after.account_id, ended, told, now_us)
            return up_to_nanodollars_total - after.taken_back_nanodollars

    def _end_top_up(self, cursor: Cursor, account_id: str, failed: str, told: str, now_us: int) -> None:
        self._brief.run(cursor, END_TOP_UP, failed, account_id)
        if cursor.rowcount:
            write_to_owners(self._brief.run, cursor, account_id, TOP_UP_ENDED, told, now_us)

    def balance(self, account_id: str) -> int:
        return self.purse(account_id).left_nanodollars

    def purse(self, account_id: str) -> Purse:
        with self._brief.cursor() as cursor:
            self._brief.run(cursor, LISTED, account_id)
            found = [(pack, Grant(*row)) for pack, *row in cursor.fetchall()]
            now_us = self._brief.now_us(cursor)
        left = balance((grant for _, grant in found), now_us)
        return Purse(now_us, left, tuple(Granted(pack, grant) for pack, grant in found))

    def _lock(self, cursor: Cursor, account_id: str) -> bool:
        """Lock the account until the end of the transaction; False where there is none."""
        self._brief.run(cursor, LOCK if self._database.is_sqlite else LOCK_POSTGRES, account_id)
        return cursor.fetchone() is not None

    def _note(self, cursor: Cursor, now_us: int, account_id: str, what: str, **facts: str) -> None:
        self._brief.run(
            cursor, AUDIT, f"audit_{secrets.token_hex(16)}", now_us, account_id, None, what, "", json.dumps(facts)
        )
