"""Passkeys in the database. Loaded by pages only."""

from sqlalchemy import ColumnElement, Connection, and_, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from farebox.domain.people import Client, Passkey, Person, Session
from farebox.ports.people import Arrival, Entered
from farebox.store.audit import write_down
from farebox.store.database import Database
from farebox.store.people.arrivals import let_in
from farebox.store.people.people import locked, still_there, tell_of
from farebox.store.tables_people import passkey, person, session

ADDED = "A passkey was added. Its name: {name}"
REMOVED = "A passkey was removed. Its name: {name}"


class StoredPasskeys:
    """The port `Passkeys` over one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, person_id: str) -> list[Passkey]:
        with self._database.read() as connection:
            theirs = select(passkey).where(passkey.c.person_id == person_id)
            return [Passkey(*row) for row in connection.execute(theirs.order_by(passkey.c.created_us, passkey.c.id))]

    def find(self, passkey_id: str) -> Passkey | None:
        with self._database.read() as connection:
            row = connection.execute(select(passkey).where(passkey.c.id == passkey_id)).first()
        return Passkey(*row) if row is not None else None

    def add(self, who: Person, new: Passkey, client: Client) -> bool:
        dialect = sqlite if self._database.is_sqlite else postgresql
        statement = dialect.insert(passkey).values(new._asdict()).on_conflict_do_nothing()
        with self._database.write() as connection:
            found = still_there(connection, who)
            if connection.execute(statement.execution_options(preserve_rowcount=True)).rowcount == 0:
                return False
            now_us = self._database.now_us(connection)
            tell_of(connection, found, ADDED.format(name=new.name), now_us)
            write_down(connection, "passkey_added", client, now_us, person_id=who.id)
            return True

    def rename(self, person_id: str, passkey_id: str, name: str) -> bool:
        with self._database.write() as connection:
            renamed = update(passkey).where(_is_theirs(person_id, passkey_id)).values(name=name)
            return connection.execute(renamed).rowcount > 0

    def remove(self, who: Person, passkey_id: str, client: Client) -> bool:
        with self._database.write() as connection:
            found = still_there(connection, who)
            is_it = _is_theirs(who.id, passkey_id)
            name = connection.execute(select(passkey.c.name).where(is_it)).scalar()
            if name is None or connection.execute(delete(passkey).where(is_it)).rowcount == 0:
                return False
            now_us = self._database.now_us(connection)
            tell_of(connection, found, REMOVED.format(name=name), now_us)
            write_down(connection, "passkey_removed", client, now_us, person_id=who.id)
            return True

    def log_in(self, used: Passkey, sign_count: int, arrival: Arrival) -> Entered | None:
        with self._database.write() as connection:
            now_us = self._database.now_us(connection)
            who = locked(connection, person.c.id == used.person_id)
            if who is None or not _use(connection, used, sign_count, now_us):
                return None
            return let_in(connection, who, arrival, now_us, is_proven=True)

    def show_again(self, here: Session, used: Passkey, sign_count: int, client: Client) -> bool:
        with self._database.write() as connection:
            now_us = self._database.now_us(connection)
            if used.person_id != here.person_id or not _use(connection, used, sign_count, now_us):
                return False
            connection.execute(update(session).where(session.c.digest == here.digest).values(authenticated_us=now_us))
            write_down(connection, "passkey_shown", client, now_us, person_id=here.person_id)
            return True


def _is_theirs(person_id: str, passkey_id: str) -> ColumnElement[bool]:
    return and_(passkey.c.person_id == person_id, passkey.c.id == passkey_id)


def _use(connection: Connection, used: Passkey, sign_count: int, now_us: int) -> bool:
    """Note the passkey's new sign count, unless another request has noted one since it was read."""
    as_seen = and_(_is_theirs(used.person_id, used.id), passkey.c.sign_count == used.sign_count)
    noted = update(passkey).where(as_seen).values(sign_count=sign_count, used_us=now_us)
    return connection.execute(noted).rowcount > 0
