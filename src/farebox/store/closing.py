"""The end of an account in the database: one transaction. Loaded by pages only."""

from sqlalchemy import Connection, delete, func, select, update

from farebox.domain.people import Client, mails_to
from farebox.ports_people import Visit
from farebox.store.audit import write_down
from farebox.store.database import Database
from farebox.store.household import forget_counts, lock_own, say_farewell, take_out
from farebox.store.tables import account, api_key, idempotency
from farebox.store.tables_money import top_up
from farebox.store.tables_people import limit_mark, link, mail, member


class StoredClosing:
    """The port `Closing` over one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def refuse_calls(self, here: Visit) -> int:
        with self._database.write() as connection:
            theirs = lock_own(connection, here)
            now_us = self._database.now_us(connection)
            working = api_key.c.account_id == theirs.id, api_key.c.revoked_us.is_(None)
            connection.execute(update(api_key).where(*working).values(revoked_us=now_us))
            return now_us

    def take_calls(self, account_id: str, refused_us: int) -> None:
        refused = api_key.c.account_id == account_id, api_key.c.revoked_us == refused_us
        with self._database.write() as connection:
            connection.execute(update(api_key).where(*refused).values(revoked_us=None))

    def close(self, here: Visit, client: Client) -> None:
        with self._database.write() as connection:
            # The ledger takes the same row before it admits a call: none is admitted after this, and those under way
            # are recorded as ever.
            theirs = lock_own(connection, here)
            now_us = self._database.now_us(connection)
            _end_keys(connection, theirs.id, now_us)
            _forget_invited(connection, theirs.id)
            for table in (link, mail, limit_mark, idempotency, top_up):
                connection.execute(delete(table).where(table.c.account_id == theirs.id))
            _send_away(connection, theirs.id, theirs.email, now_us)
            closed = {"email": f"(deleted) {theirs.id}", "closed_us": now_us, "spend_cap_nanodollars": None}
            connection.execute(update(account).where(account.c.id == theirs.id).values(closed))
            write_down(
                connection, "account_deleted", client, now_us, person_id=here.person.id, account_id=theirs.id
            )  # fmt: skip


def _end_keys(connection: Connection, account_id: str, now_us: int) -> None:
    """Revoke them, and forget what they were called and what they were; calls still lead to their ids."""
    ended = {
        "revoked_us": func.coalesce(api_key.c.revoked_us, now_us), "name": "", "digest": api_key.c.id + " (deleted)"
    }  # fmt: skip
    connection.execute(update(api_key).where(api_key.c.account_id == account_id).values(ended))


def _forget_invited(connection: Connection, account_id: str) -> None:
    invited = connection.execute(select(link.c.email).where(link.c.account_id == account_id)).scalars()
    forget_counts(connection, *(mails_to(email, "invite") for email in invited))


def _send_away(connection: Connection, account_id: str, name: str, now_us: int) -> None:
    people = select(member.c.person_id).where(member.c.account_id == account_id).order_by(member.c.person_id)
    for person_id in connection.execute(people).scalars().all():
        who = take_out(connection, account_id, person_id)
        if who is not None:
            say_farewell(connection, who, "account_deleted", now_us, account=name)
