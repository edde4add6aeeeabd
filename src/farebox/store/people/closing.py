"""The end of an account in the database: one transaction. Loaded by pages only."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy import Connection, case, delete, select, update

from farebox.domain.people import Client, NotAllowed
from farebox.ports.people import Visit
from farebox.store.audit import write_down
from farebox.store.database import Database
from farebox.store.people.deleting import GIVEN_BACK, REFUSED, is_under_way, last_refusal, unrevoked_of
from farebox.store.people.members import lock_own, say_farewell, take_out
from farebox.store.tables import account, api_key, idempotency
from farebox.store.tables_money import top_up
from farebox.store.tables_people import limit_mark, link, mail, member

UNDER_WAY: Final = (
    "This account is being deleted, or that was interrupted. Look again in five minutes: if the account is still "
    "there, delete it again."
)


class StoredClosing:
    """The port `Closing` over one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def refuse_calls(self, here: Visit, client: Client) -> int:
        with self._database.write() as connection:
            theirs = lock_own(connection, here)
            now_us = self._database.now_us(connection)
            if is_under_way(connection, theirs.id, now_us):
                raise NotAllowed(UNDER_WAY, field="address")
            working = unrevoked_of(connection, theirs.id)
            theirs_working = update(api_key).where(api_key.c.account_id == theirs.id, working)
            connection.execute(theirs_working.values(revoked_us=now_us))
            write_down(connection, REFUSED, client, now_us, person_id=here.person.id, account_id=theirs.id)
            return now_us

    def take_calls(self, here: Visit, client: Client, refused_us: int) -> None:
        account_id = here.account.id
        with self._patient() as connection:
            closed = select(account.c.closed_us).where(account.c.id == account_id).with_for_update()
            if connection.execute(closed).scalar() is not None:
                return
            if connection.execute(last_refusal(account_id)).scalar() != refused_us:
                return  # another deletion has refused the keys since
            refused = api_key.c.account_id == account_id, api_key.c.revoked_us == refused_us
            connection.execute(update(api_key).where(*refused).values(revoked_us=None))
            now_us = self._database.now_us(connection)
            write_down(connection, GIVEN_BACK, client, now_us, person_id=here.person.id, account_id=account_id)

    def close(self, here: Visit, client: Client) -> None:
        with self._patient() as connection:
            # The ledger locks the same row before it admits a call: none is admitted after this, and those under way
            # are recorded as usual.
            theirs = lock_own(connection, here)
            now_us = self._database.now_us(connection)
            _end_keys(connection, theirs.id, now_us)
            for table in (link, mail, limit_mark, idempotency, top_up):
                connection.execute(delete(table).where(table.c.account_id == theirs.id))
            _send_away(connection, theirs.id, theirs.email, now_us)
            closed = {"email": f"(deleted) {theirs.id}", "closed_us": now_us, "spend_cap_nanodollars": None}
            connection.execute(update(account).where(account.c.id == theirs.id).values(closed))
            write_down(
                connection, "account_deleted", client, now_us, person_id=here.person.id, account_id=theirs.id
            )  # fmt: skip

    @contextmanager
    def _patient(self) -> Iterator[Connection]:
        """A transaction that waits for locked rows: what was paid for has ended, and the account has to follow."""
        with self._database.write() as connection:
            if not self._database.is_sqlite:
                connection.exec_driver_sql("SET LOCAL lock_timeout = '15s'")
            yield connection


def _end_keys(connection: Connection, account_id: str, now_us: int) -> None:
    """Revoke the keys, and delete their names and digests; calls still lead to their ids."""
    ended = {
        "revoked_us": case((unrevoked_of(connection, account_id), now_us), else_=api_key.c.revoked_us),
        "name": "", "digest": api_key.c.id + " (deleted)",
    }  # fmt: skip
    connection.execute(update(api_key).where(api_key.c.account_id == account_id).values(ended))


def _send_away(connection: Connection, account_id: str, name: str, now_us: int) -> None:
    people = select(member.c.person_id).where(member.c.account_id == account_id).order_by(member.c.person_id)
    for person_id in connection.execute(people).scalars().all():
        who = take_out(connection, account_id, person_id)
        if who is not None:
            say_farewell(connection, who, "account_deleted", now_us, account=name)
