"""Accounts and keys in the database."""

from typing import Final

from sqlalchemy import ColumnElement, Connection, Table, and_, case, delete, func, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from farebox.domain.errors import FounderError
from farebox.domain.people import Client
from farebox.domain.subscribing import NOT_BEGUN
from farebox.ports.calls import AccountRow, KeyRow
from farebox.store.audit import write_down
from farebox.store.database import Database
from farebox.store.people.deleting import is_refused_only, lock_keys, why_no_key
from farebox.store.tables import account, api_key
from farebox.store.tables_money import subscription
from farebox.store.tables_people import limit_mark

FOUNDER: Final = Client("", "")  # by the command line: nobody who logs in


class StoredAccounts:
    """The port `Accounts` over one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def now_us(self) -> int:
        with self._database.read() as connection:
            return self._database.now_us(connection)

    def account_by_email(self, email: str) -> AccountRow | None:
        with self._database.read() as connection:
            row = connection.execute(select(account).where(account.c.email == _address(email))).first()
        return AccountRow(*row) if row is not None else None

    def add_account(self, row: AccountRow) -> bool:
        with self._database.write() as connection:
            is_new = self._insert(connection, account, row._asdict())
            if is_new:
                self._note(connection, "account_opened", row.id)
            return is_new

    def set_plan(self, account_id: str, plan: str) -> None:
        with self._database.write() as connection:
            connection.execute(update(account).where(account.c.id == account_id).values(plan=plan))

    def list_accounts(self) -> list[tuple[AccountRow, str]]:
        theirs = subscription.c.account_id == account.c.id
        found = select(func.coalesce(subscription.c.status, ""), account).outerjoin_from(account, subscription, theirs)
        found = found.where(account.c.closed_us.is_(None)).order_by(account.c.email)
        with self._database.read() as connection:
            return [(AccountRow(*row), status) for status, *row in connection.execute(found)]

    def move(self, account_id: str, plan: str) -> bool:
        with self._database.write() as connection:
            before = connection.execute(select(account).where(account.c.id == account_id).with_for_update()).one()
            theirs = subscription.c.account_id == account_id
            begun = select(subscription.c.id).where(theirs, subscription.c.status.not_in(NOT_BEGUN))
            if before.is_subscribed or connection.execute(begun).first() is not None:
                return False
            moved = {"plan": plan, "grace_until_us": None, "trial_end_us": None}
            connection.execute(update(account).where(account.c.id == account_id).values(moved))
            if plan != before.plan:
                # So that its owners are told of the new plan's limits. Their own cap is the same as before.
                old = (limit_mark.c.account_id == account_id, limit_mark.c.name != "spend_cap")
                connection.execute(delete(limit_mark).where(*old))
                self._note(connection, "plan_changed", account_id, **{"from": before.plan, "to": plan})
            return True

    def set_suspended(self, account_id: str, *, is_suspended: bool) -> bool:
        is_now = account.c.state == "suspended"
        which = and_(account.c.id == account_id, ~is_now if is_suspended else is_now)
        after = {"state": "suspended" if is_suspended else "active"}
        with self._database.write() as connection:
            changed = connection.execute(update(account).where(which).values(after)).rowcount > 0
            if changed:
                self._note(connection, "account_suspended" if is_suspended else "account_resumed", account_id)
            return changed

    def list_keys(self, email: str | None = None) -> list[tuple[str, KeyRow]]:
        found = select(account.c.email, api_key).join(account, account.c.id == api_key.c.account_id)
        found = found.where(account.c.closed_us.is_(None))
        if email is not None:
            found = found.where(account.c.email == _address(email))
        found = found.order_by(account.c.email, api_key.c.created_us, api_key.c.id)
        with self._database.read() as connection:
            return [(row[0], KeyRow(*row[1:])) for row in connection.execute(found)]

    def find_keys(self, what: str, digest: str) -> list[KeyRow]:
        ends_so = (api_key.c.last4 == what) & _is_unrevoked()
        meant = or_(api_key.c.id == what, api_key.c.digest == digest, ends_so)
        with self._database.read() as connection:
            return [KeyRow(*row) for row in connection.execute(select(api_key).where(meant).order_by(api_key.c.id))]

    def add_key(self, row: KeyRow) -> bool:
        with self._database.write() as connection:
            self._allow_key(connection, row)
            is_new = self._insert(connection, api_key, row._asdict())
            if is_new:
                self._note(connection, "key_created", row.account_id, key=row.id)
            return is_new

    def revoke_key(self, account_id: str, key_id: str) -> bool:
        with self._database.write() as connection:
            lock_keys(connection, account_id)
            revoked = revoke(connection, account_id, key_id, self._database.now_us(connection))
            if revoked:
                self._note(connection, "key_revoked", account_id, key=key_id)
            return revoked

    def replace_key(self, old: KeyRow, new: KeyRow, grace_us: int) -> bool:
        with self._database.write() as connection:
            self._allow_key(connection, new)
            if not end_for_successor(connection, old, grace_us, self._database.now_us(connection)):
                return False
            connection.execute(insert(api_key).values(new._asdict()))
            self._note(connection, "key_rotated", new.account_id, key=old.id, successor=new.id)
            return True

    def _allow_key(self, connection: Connection, new: KeyRow) -> None:
        lock_keys(connection, new.account_id)
        refused = why_no_key(connection, new.account_id, self._database.now_us(connection))
        if refused is not None:
            raise FounderError(refused)

    def _note(self, connection: Connection, what: str, account_id: str, **facts: str) -> None:
        now_us = self._database.now_us(connection)
        write_down(connection, what, FOUNDER, now_us, account_id=account_id, by="founder", **facts)

    def _insert(self, connection: Connection, table: Table, values: dict[str, object]) -> bool:
        dialect = sqlite if self._database.is_sqlite else postgresql
        statement = dialect.insert(table).values(values).on_conflict_do_nothing()
        return connection.execute(statement.execution_options(preserve_rowcount=True)).rowcount > 0


def _address(email: str) -> str:
    return email.strip().lower()


def is_key(account_id: str, key_id: str) -> ColumnElement[bool]:
    return (api_key.c.account_id == account_id) & (api_key.c.id == key_id)


def works(now_us: int) -> ColumnElement[bool]:
    """Whether a key is neither revoked nor expired."""
    return api_key.c.revoked_us.is_(None) & or_(api_key.c.expires_us.is_(None), api_key.c.expires_us > now_us)


def revoke(connection: Connection, account_id: str, key_id: str, now_us: int) -> bool:
    """Revoke a key, also one that a deletion only refuses; False where it was revoked before. The keys are locked."""
    return _changes(connection, is_key(account_id, key_id) & _is_unrevoked(), revoked_us=now_us)


def end_for_successor(connection: Connection, old: KeyRow, grace_us: int, now_us: int) -> bool:
    """Let a key expire that another one replaces; False where it no longer works."""
    end_us = now_us + grace_us
    # A key that is being replaced already keeps its end, or rotating it again would prolong it.
    ends = case((api_key.c.expires_us < end_us, api_key.c.expires_us), else_=end_us)
    return _changes(connection, is_key(old.account_id, old.id) & works(now_us), expires_us=ends)


def _is_unrevoked() -> ColumnElement[bool]:
    return or_(api_key.c.revoked_us.is_(None), is_refused_only())


def _changes(connection: Connection, which: ColumnElement[bool], **values: object) -> bool:
    return connection.execute(update(api_key).where(which).values(values)).rowcount > 0
