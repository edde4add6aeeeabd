"""Second factors and recovery codes in the database. Loaded by pages only."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, Update, and_, delete, exists, func, insert, select, update

from farebox.domain.people import Client, Person, Session
from farebox.ports.people import Arrival, Entered
from farebox.ports.proofs import Shown
from farebox.store.audit import write_down
from farebox.store.database import Database
from farebox.store.people.arrivals import let_in
from farebox.store.people.people import locked, tell_of, usable, use_link
from farebox.store.tables_people import ceremony, link, person, recovery_code, session

ON = "A second factor was turned on: from now on you need a code at each log-in."
OFF = "The second factor was turned off."
CODES = "New recovery codes were made. The old ones no longer work."
USED = "A recovery code was used in place of the second factor. It no longer works."


class StoredSecondFactors:
    """The port `SecondFactors` over one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def person(self, person_id: str) -> Person | None:
        with self._database.read() as connection:
            row = connection.execute(select(person).where(person.c.id == person_id)).first()
        return Person(*row) if row is not None else None

    def codes_left(self, person_id: str) -> int:
        with self._database.read() as connection:
            left = and_(recovery_code.c.person_id == person_id, recovery_code.c.used_us.is_(None))
            return connection.execute(select(func.count()).select_from(recovery_code).where(left)).scalar_one()

    def codes(self, person_id: str) -> set[str]:
        with self._database.read() as connection:
            return _codes(connection, person_id)

    def turn_on(self, who: Person, sealed: bytes, step: int, codes: Sequence[str], client: Client) -> bool:
        with self._database.write() as connection:
            found = locked(connection, person.c.id == who.id)
            if found is None or found.totp_secret is not None:
                return False
            now_us = self._database.now_us(connection)
            connection.execute(_is(who).values(totp_secret=sealed, totp_last_step=step))
            _set_codes(connection, who, codes)
            tell_of(connection, found, ON, now_us)
            write_down(connection, "second_factor_on", client, now_us, person_id=who.id)
            return True

    def is_on(self, who: Person, sealed: bytes, codes: Sequence[str]) -> bool:
        with self._database.read() as connection:
            found = connection.execute(select(person.c.totp_secret).where(person.c.id == who.id)).scalar()
            return found == sealed and _codes(connection, who.id) == set(codes)

    def turn_off(self, who: Person, client: Client) -> None:
        with self._database.write() as connection:
            found = locked(connection, person.c.id == who.id)
            if found is None or found.totp_secret is None:
                return
            now_us = self._database.now_us(connection)
            connection.execute(_is(who).values(totp_secret=None, totp_last_step=None))
            _set_codes(connection, who, ())
            begun = and_(ceremony.c.person_id == who.id, ceremony.c.kind == "totp")
            connection.execute(delete(ceremony).where(begun))
            tell_of(connection, found, OFF, now_us)
            write_down(connection, "second_factor_off", client, now_us, person_id=who.id)

    def replace_codes(self, who: Person, old: set[str], codes: Sequence[str], client: Client) -> bool:
        with self._database.write() as connection:
            found = locked(connection, person.c.id == who.id)
            if found is None or found.totp_secret is None:
                return False
            present = _codes(connection, who.id)
            if present != old:
                return present == set(codes)
            now_us = self._database.now_us(connection)
            _set_codes(connection, who, codes)
            tell_of(connection, found, CODES, now_us)
            write_down(connection, "recovery_codes_made", client, now_us, person_id=who.id)
            return True

    def log_in(self, link_id: str, shown: Shown, arrival: Arrival) -> Entered | None:
        with self._database.write() as connection:
            now_us = self._database.now_us(connection)
            asked = select(link.c.person_id).where(usable(link_id, now_us), link.c.purpose == "code")
            # Whatever uses up a code does so under this lock.
            who = locked(connection, person.c.id == asked.scalar_subquery())
            if who is None or not _is_unused(connection, who, shown):
                return None
            if use_link(connection, link_id, "code", now_us) is None:
                return None
            _use_up(connection, who, shown, arrival.client, now_us)
            return let_in(connection, who, arrival, now_us, is_proven=True)

    def show_again(self, here: Session, shown: Shown, client: Client) -> bool:
        with self._database.write() as connection:
            now_us = self._database.now_us(connection)
            who = locked(connection, person.c.id == here.person_id)
            if who is None or not _is_unused(connection, who, shown):
                return False
            _use_up(connection, who, shown, client, now_us)
            connection.execute(update(session).where(session.c.digest == here.digest).values(authenticated_us=now_us))
            return True


def _is(who: Person) -> Update:
    return update(person).where(person.c.id == who.id)


def _codes(connection: Connection, person_id: str) -> set[str]:
    return set(connection.scalars(select(recovery_code.c.digest).where(recovery_code.c.person_id == person_id)))


def _set_codes(connection: Connection, who: Person, codes: Sequence[str]) -> None:
    connection.execute(delete(recovery_code).where(recovery_code.c.person_id == who.id))
    if codes:
        rows = [{"person_id": who.id, "digest": code, "used_us": None} for code in codes]
        connection.execute(insert(recovery_code), rows)


def _is_unused(connection: Connection, who: Person, shown: Shown) -> bool:
    if who.totp_secret != shown.sealed:  # another one meanwhile, or none
        return False
    if shown.step is not None:
        return who.totp_last_step is None or shown.step > who.totp_last_step
    return bool(connection.execute(select(exists().where(_is_code(who, shown)))).scalar())


def _use_up(connection: Connection, who: Person, shown: Shown, client: Client, now_us: int) -> None:
    if shown.step is not None:
        connection.execute(_is(who).values(totp_last_step=shown.step))
        return
    connection.execute(update(recovery_code).where(_is_code(who, shown)).values(used_us=now_us))
    tell_of(connection, who, USED, now_us)
    write_down(connection, "recovery_code_used", client, now_us, person_id=who.id)


def _is_code(who: Person, shown: Shown) -> ColumnElement[bool]:
    digest = recovery_code.c.digest == shown.recovery_digest
    return and_(recovery_code.c.person_id == who.id, digest, recovery_code.c.used_us.is_(None))
