"""The end of an account in the database: one transaction. Loaded by pages only."""

from typing import Final

from sqlalchemy import Connection, delete, exists, func, or_, select, update

from farebox.domain.people import Client, NotAllowed, mails_to
from farebox.ports_people import Visit
from farebox.store.audit import write_down
from farebox.store.database import Database
from farebox.store.household import forget_counts, lock_own, say_farewell, take_out
from farebox.store.tables import account, api_key, idempotency
from farebox.store.tables_money import top_up
from farebox.store.tables_people import audit, limit_mark, link, mail, member

UNDER_WAY_US: Final = 5 * 60 * 1_000_000  # longer than Stripe is asked: a deletion that is older has broken off
UNDER_WAY: Final = (
    "This account is being deleted at this moment, or that broke off. Look again in five minutes: where the account is "
    "still there, delete it again."
)


class StoredClosing:
    """The port `Closing` over one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def refuse_calls(self, here: Visit, client: Client) -> int:
        with self._database.write() as connection:
            theirs = lock_own(connection, here)
            now_us = self._database.now_us(connection)
            before_us = _refused_before(connection, theirs.id)
            if now_us - before_us < UNDER_WAY_US:
                raise NotAllowed(UNDER_WAY, field="address")
            working = or_(api_key.c.revoked_us.is_(None), api_key.c.revoked_us == before_us)
            theirs_working = update(api_key).where(api_key.c.account_id == theirs.id, working)
            if connection.execute(theirs_working.values(revoked_us=now_us)).rowcount:
                write_down(
                    connection, "keys_refused", client, now_us, person_id=here.person.id, account_id=theirs.id
                )  # fmt: skip
            return now_us

    def take_calls(self, account_id: str, refused_us: int) -> None:
        is_open = exists().where(account.c.id == account_id, account.c.closed_us.is_(None))
        refused = api_key.c.account_id == account_id, api_key.c.revoked_us == refused_us, is_open
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


def _refused_before(connection: Connection, account_id: str) -> int:
    """When the keys were refused by a deletion that has not ended, as far as the database knows; 0 where by none."""
    still = exists().where(api_key.c.account_id == account_id, api_key.c.revoked_us == audit.c.at_us)
    begun = audit.c.account_id == account_id, audit.c.what == "keys_refused", still
    return connection.execute(select(func.max(audit.c.at_us)).where(*begun)).scalar() or 0


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
