"""How a person gets another address. Loaded by pages only."""

from typing import Final

from sqlalchemy import Connection, Select, and_, exists, func, select, update
from sqlalchemy.exc import IntegrityError

from farebox.domain.people import Client, Link, NotAllowed, Person, Session
from farebox.store.audit import write_down
from farebox.store.database import Database
from farebox.store.people.people import locked, tell_of, usable, use_link
from farebox.store.tables import account
from farebox.store.tables_people import link, member, person

CHANGED: Final = "The address of your account was changed to {email}. E-mails go there from now on."
TAKEN: Final = "Somebody else has an account with this address."


class StoredAddresses:
    """The port `Addresses` over one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def change(self, link_id: str, here: Session, client: Client) -> bool:
        try:
            with self._database.write() as connection:
                return self._change(connection, link_id, here, client)
        except IntegrityError:  # somebody else got the address at this very moment
            raise NotAllowed(TAKEN) from None

    def _change(self, connection: Connection, link_id: str, here: Session, client: Client) -> bool:
        now_us = self._database.now_us(connection)
        found = connection.execute(select(link).where(usable(link_id, now_us), link.c.purpose == "change")).first()
        asked = Link(*found) if found is not None else None
        _lock_owned(connection, here.person_id)
        who = locked(connection, person.c.id == here.person_id)
        if asked is None or who is None or asked.person_id != who.id or _has_newer(connection, asked):
            return False
        if connection.execute(select(exists().where(person.c.email == asked.email))).scalar():
            raise NotAllowed(TAKEN)
        _take_along(connection, who, asked.email)
        if use_link(connection, link_id, "change", now_us) is None:
            return False
        connection.execute(update(person).where(person.c.id == who.id).values(email=asked.email))
        tell_of(connection, who, CHANGED.format(email=asked.email), now_us)  # to the address of before
        write_down(connection, "address_changed", client, now_us, person_id=who.id, account_id=here.account_id)
        return True


def _has_newer(connection: Connection, asked: Link) -> bool:
    """Whether they have asked for another address since."""
    newest = select(func.max(link.c.created_us)).where(link.c.person_id == asked.person_id, link.c.purpose == "change")
    return bool(connection.execute(newest).scalar_one() > asked.created_us)


def _lock_owned(connection: Connection, person_id: str) -> None:
    """Lock the accounts before the person, as removing people and deleting accounts do: else they would deadlock."""
    theirs = account.c.id.in_(_owned(person_id))
    connection.execute(select(account.c.id).where(theirs).order_by(account.c.id).with_for_update())


def _owned(person_id: str) -> Select[str]:
    return select(member.c.account_id).where(member.c.person_id == person_id, member.c.role == "owner")


def _take_along(connection: Connection, who: Person, email: str) -> None:
    """Give the new address to the account that has its owner's address, too.

    Raises:
        NotAllowed: another account has it.
    """
    theirs = and_(account.c.email == who.email, account.c.id.in_(_owned(who.id)))
    if not connection.execute(select(exists().where(theirs))).scalar():
        return
    if connection.execute(select(exists().where(account.c.email == email))).scalar():
        raise NotAllowed(TAKEN)
    connection.execute(update(account).where(theirs).values(email=email))
