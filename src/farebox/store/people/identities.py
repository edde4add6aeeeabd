"""Who people are at other services, in the database. Loaded by pages only."""

from sqlalchemy import Connection, and_, delete, exists, select
from sqlalchemy.dialects import postgresql, sqlite

from farebox.domain.people import Client, Identity, NotAllowed, Person
from farebox.ports.people import Arrival, Entered
from farebox.ports.proofs import Known
from farebox.store.audit import write_down
from farebox.store.database import Database
from farebox.store.people.arrivals import Start, let_in, open_account, person_for
from farebox.store.people.people import locked, still_there, tell_of
from farebox.store.tables_people import identity, person

CONNECTED = "{service} was connected: whoever can log in there can log in here."
DISCONNECTED = "{service} was disconnected."
AT_ONCE = "Another log-in of yours was under way. Try again."


class StoredIdentities:
    """The port `Identities` over one database."""

    def __init__(self, database: Database, *, must_pay: bool = False) -> None:
        self._database = database
        self._must_pay = must_pay

    def of(self, person_id: str) -> list[Identity]:
        with self._database.read() as connection:
            theirs = select(identity).where(identity.c.person_id == person_id)
            rows = connection.execute(theirs.order_by(identity.c.created_us, identity.c.issuer))
            return [Identity(*row) for row in rows]

    def is_news(self, known: Known) -> bool:
        with self._database.read() as connection:
            if _owner_of(connection, known) is not None:
                return False
            return not connection.execute(select(exists().where(person.c.email == known.email))).scalar()

    def log_in(self, known: Known, service: str, plan: str, arrival: Arrival) -> Entered | None:
        with self._database.write() as connection:
            now_us = self._database.now_us(connection)
            owner = _owner_of(connection, known)
            if owner is not None:
                who = locked(connection, person.c.id == owner)
                return let_in(connection, who, arrival, now_us) if who is not None else None
            if known.email is None:
                return None
            is_sqlite = self._database.is_sqlite
            who = person_for(connection, known.email, None, now_us, is_sqlite=is_sqlite)
            opened = open_account(
                connection, who, Start(plan, self._must_pay), now_us, arrival.client,
                is_sqlite=is_sqlite, is_asked=False,
            )  # fmt: skip
            # With a second factor, the same address is not enough to connect the service: they do that themselves.
            if who.totp_secret is None:
                self._note(connection, who, known, service, arrival.client, now_us, is_told=not opened)
            return let_in(connection, who, arrival, now_us, is_new_account=opened)

    def connect(self, who: Person, known: Known, service: str, client: Client) -> bool:
        with self._database.write() as connection:
            found = still_there(connection, who)  # asking the service took time, and they may be gone
            owner = _owner_of(connection, known)
            if owner is None:
                self._note(connection, found, known, service, client, self._database.now_us(connection), is_told=True)
            return owner in {None, who.id}

    def disconnect(self, who: Person, issuer: str, subject: str, service: str, client: Client) -> bool:
        with self._database.write() as connection:
            found = still_there(connection, who)
            one = and_(identity.c.person_id == who.id, identity.c.issuer == issuer, identity.c.subject == subject)
            if connection.execute(delete(identity).where(one)).rowcount == 0:
                return False
            now_us = self._database.now_us(connection)
            tell_of(connection, found, DISCONNECTED.format(service=service), now_us)
            write_down(connection, "identity_removed", client, now_us, person_id=who.id, issuer=issuer)
            return True

    def _note(
        self, connection: Connection, who: Person, known: Known, service: str, client: Client, now_us: int,
        *, is_told: bool,
    ) -> None:  # fmt: skip
        dialect = sqlite if self._database.is_sqlite else postgresql
        new = Identity(known.issuer, known.subject, who.id, now_us)
        connection.execute(dialect.insert(identity).values(new._asdict()).on_conflict_do_nothing())
        if _owner_of(connection, known) != who.id:
            raise NotAllowed(AT_ONCE)
        if is_told:
            tell_of(connection, who, CONNECTED.format(service=service), now_us)
        write_down(connection, "identity_connected", client, now_us, person_id=who.id, issuer=known.issuer)


def _owner_of(connection: Connection, known: Known) -> str | None:
    one = and_(identity.c.issuer == known.issuer, identity.c.subject == known.subject)
    return connection.execute(select(identity.c.person_id).where(one)).scalar()
