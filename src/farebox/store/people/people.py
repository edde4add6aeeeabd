"""People, their sessions and their links in the database. Loaded by pages only."""

import json
import secrets
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, delete, exists, insert, or_, select, text, update

from farebox.domain.people import (
    SEEN_EVERY_US,
    SESSION_IDLE_US,
    USED_LATELY_US,
    Allowance,
    Client,
    Link,
    Mail,
    NotAllowed,
    Person,
    Purpose,
    Session,
    is_alive,
)
from farebox.ports.calls import AccountRow
from farebox.ports.people import Arrival, Entered, OtherAccount, Visit
from farebox.store.audit import write_down
from farebox.store.database import Database
from farebox.store.people.arrivals import Start, is_awaited, let_in, open_account, person_for
from farebox.store.tables import account
from farebox.store.tables_people import guess, link, mail, member, person, session

MAILED: tuple[Purpose, ...] = ("confirm", "magic", "reset", "code", "change")
OTHERS_MAX = 50
NOBODY = "You are no longer in any account, so your log-in was deleted. Nothing was done here."
USED = '{"used": true}'  # the data of a link that was used; one that was ended unused keeps its own


class StoredPeople:
    """The port `People` over one database."""

    def __init__(self, database: Database, *, must_pay: bool = False) -> None:
        self._database = database
        self._must_pay = must_pay

    def now_us(self) -> int:
        with self._database.read() as connection:
            return self._database.now_us(connection)

    def take(self, allowances: Sequence[Allowance]) -> int | None:
        with self._database.write() as connection:
            # Locked one by one, in the same order everywhere: a count must not change between reading and writing.
            for each in sorted(allowances):
                self._one_by_one(connection, each.subject)
            now_us = self._database.now_us(connection)
            free_us = [_free_us(connection, each, now_us) for each in allowances]
            if any(moment > now_us for moment in free_us):
                return max(free_us)
            rows = [{"subject": each.subject, "id": secrets.token_hex(8), "at_us": now_us} for each in allowances]
            connection.execute(insert(guess), rows)
            return None

    def _one_by_one(self, connection: Connection, subject: str) -> None:
        if not self._database.is_sqlite:  # SQLite has one writer at a time
            locked = text("SELECT pg_advisory_xact_lock(hashtextextended(:subject, 0))")
            connection.execute(locked, {"subject": subject})

    # -- Who is there

    def person_by_email(self, email: str) -> Person | None:
        with self._database.read() as connection:
            row = connection.execute(select(person).where(person.c.email == email)).first()
        return Person(*row) if row is not None else None

    def visit(self, digest: str) -> Visit | None:
        with self._database.read() as connection:
            now_us = self._database.now_us(connection)
            found = _visit(connection, digest)
        if found is None:
            return None
        if not is_alive(found.session, now_us) or found.account.state == "suspended" or found.account.closed_us:
            self.log_out(digest)
            return None
        if now_us >= found.session.seen_us + SEEN_EVERY_US:
            with self._database.write() as connection:
                connection.execute(update(session).where(session.c.digest == digest).values(seen_us=now_us))
        return found

    def sessions(self, person_id: str) -> list[Session]:
        with self._database.read() as connection:
            now_us = self._database.now_us(connection)
            alive = and_(session.c.expires_us > now_us, session.c.seen_us > now_us - SESSION_IDLE_US)
            found = select(session).where(session.c.person_id == person_id, alive)
            rows = connection.execute(found.order_by(session.c.created_us.desc(), session.c.id))
            return [Session(*row) for row in rows]

    # -- Links

    def ask(self, asked: Link, *letters: Mail) -> None:
        with self._database.write() as connection:
            connection.execute(insert(link).values(asked._asdict()))
            connection.execute(insert(mail), [letter._asdict() for letter in letters])

    def link(self, link_id: str) -> Link | None:
        with self._database.read() as connection:
            is_usable = usable(link_id, self._database.now_us(connection))
            row = connection.execute(select(link).where(is_usable)).first()
        return Link(*row) if row is not None else None

    def used_lately(self, link_id: str) -> Link | None:
        with self._database.read() as connection:
            since_us = self._database.now_us(connection) - USED_LATELY_US
            is_used = and_(link.c.id == link_id, link.c.used_us > since_us, link.c.data == USED)
            row = connection.execute(select(link).where(is_used)).first()
        return Link(*row) if row is not None else None

    def confirm(self, link_id: str, password_hash: str | None, plan: str, arrival: Arrival) -> Entered | None:
        with self._database.write() as connection:
            lock_asker(connection, link_id)
            now_us = self._database.now_us(connection)
            used = use_link(connection, link_id, "confirm", now_us)
            if used is None:
                return None
            who = person_for(connection, used.email, password_hash, now_us, is_sqlite=self._database.is_sqlite)
            opened = open_account(
                connection, who, Start(plan, self._must_pay), now_us, arrival.client,
                is_sqlite=self._database.is_sqlite, is_asked=True,
            )  # fmt: skip
            return let_in(connection, who, arrival, now_us, is_new_account=opened)

    def come_in(self, link_id: str, purpose: Purpose, arrival: Arrival, password_hash: str | None) -> Entered | None:
        with self._database.write() as connection:
            who = lock_asker(connection, link_id)
            now_us = self._database.now_us(connection)
            used = use_link(connection, link_id, purpose, now_us)
            if used is None or (who is None and not is_awaited(connection, used.email)):
                return None
            if who is None:
                who = person_for(connection, used.email, password_hash, now_us, is_sqlite=self._database.is_sqlite)
                # Another link may have just made them. Whoever uses a third one holds it, and waits for this person.
                if password_hash is not None and who.password_hash != password_hash:
                    _replace_password(connection, who, password_hash, arrival.client, now_us)
            elif password_hash is not None:
                _set_password(connection, who, password_hash, arrival.client, now_us)
            return let_in(connection, who, arrival, now_us)

    # -- Sessions

    def log_in(self, who: Person, arrival: Arrival) -> Entered | None:
        with self._database.write() as connection:
            now_us = self._database.now_us(connection)
            # Locked: a new password either comes before, and refuses this log-in, or comes after, and ends its session.
            if locked(connection, _is_still(who)) is None:
                return None
            return let_in(connection, who, arrival, now_us)

    def log_out(self, digest: str) -> None:
        with self._database.write() as connection:
            connection.execute(delete(session).where(session.c.digest == digest))

    def end_session(self, person_id: str, session_id: str) -> bool:
        with self._database.write() as connection:
            one = and_(session.c.person_id == person_id, session.c.id == session_id)
            return connection.execute(delete(session).where(one)).rowcount > 0

    def end_other_sessions(self, person_id: str, session_id: str) -> int:
        with self._database.write() as connection:
            others = and_(session.c.person_id == person_id, session.c.id != session_id)
            return connection.execute(delete(session).where(others)).rowcount

    def authenticated(self, here: Session) -> None:
        with self._database.write() as connection:
            now_us = self._database.now_us(connection)
            connection.execute(update(session).where(session.c.digest == here.digest).values(authenticated_us=now_us))

    # -- Passwords

    def set_password(self, who: Person, password_hash: str, kept: Session, client: Client) -> bool:
        with self._database.write() as connection:
            if locked(connection, _is_still(who)) is None:
                return False
            _set_password(connection, who, password_hash, client, self._database.now_us(connection), kept.digest)
            return True

    def rehash(self, who: Person, password_hash: str) -> None:
        with self._database.write() as connection:
            connection.execute(update(person).where(_is_still(who)).values(password_hash=password_hash))

    # -- What happened

    def count(self, allowance: Allowance) -> None:
        with self._database.write() as connection:
            now_us = self._database.now_us(connection)
            row = {"subject": allowance.subject, "id": secrets.token_hex(8), "at_us": now_us}
            connection.execute(insert(guess), row)

    def note(self, what: str, client: Client, *, person_id: str, account_id: str | None = None) -> None:
        with self._database.write() as connection:
            now_us = self._database.now_us(connection)
            write_down(connection, what, client, now_us, person_id=person_id, account_id=account_id)


def _free_us(connection: Connection, allowance: Allowance, now_us: int) -> int:
    """When there is, or was, room for one more."""
    subject, most, window_us = allowance
    since_us = now_us - window_us
    counted = select(guess.c.at_us).where(guess.c.subject == subject, guess.c.at_us > since_us)
    # The one that has to leave the window first.
    hindering = connection.execute(counted.order_by(guess.c.at_us.desc()).limit(1).offset(most - 1)).scalar()
    return now_us if hindering is None else hindering + window_us


def _visit(connection: Connection, digest: str) -> Visit | None:
    joined = (
        select(session, person, account, member.c.role)
        .join(person, person.c.id == session.c.person_id)
        .join(account, account.c.id == session.c.account_id)
        .join(member, and_(member.c.account_id == account.c.id, member.c.person_id == person.c.id))
    )
    row = connection.execute(joined.where(session.c.digest == digest)).first()
    if row is None:
        return None
    parts = iter(row)

    def take(count: int) -> list[Any]:
        return [next(parts) for _ in range(count)]

    return Visit(
        Session(*take(len(Session._fields))),  # the columns of the table are its fields
        Person(*take(len(Person._fields))),
        AccountRow(*take(len(AccountRow._fields))),
        row[-1],
        _others(connection, row.person_id, row.account_id),
    )


def _others(connection: Connection, person_id: str, account_id: str) -> tuple[OtherAccount, ...]:
    found = select(account.c.id, account.c.email).join(member, member.c.account_id == account.c.id)
    open_ones = and_(account.c.id != account_id, account.c.state != "suspended", account.c.closed_us.is_(None))
    found = found.where(member.c.person_id == person_id, open_ones).order_by(account.c.email).limit(OTHERS_MAX)
    return tuple(OtherAccount(*row) for row in connection.execute(found))


def usable(link_id: str, now_us: int) -> ColumnElement[bool]:
    """Whether it is this link, and open."""
    return and_(link.c.id == link_id, is_open(now_us))


def is_open(now_us: int) -> ColumnElement[bool]:
    """Whether a link is unused, not too old, and the newest of its purpose, address and account."""
    newer = link.alias("newer")
    is_newer = or_(
        newer.c.created_us > link.c.created_us,
        and_(newer.c.created_us == link.c.created_us, newer.c.id > link.c.id),
    )
    of_its_kind = and_(
        newer.c.email == link.c.email,
        newer.c.purpose == link.c.purpose,
        newer.c.account_id.is_not_distinct_from(link.c.account_id),
        is_newer,
    )
    return and_(link.c.used_us.is_(None), link.c.expires_us > now_us, ~exists().where(of_its_kind))


def use_link(connection: Connection, link_id: str, purpose: Purpose, now_us: int) -> Link | None:
    """Use a link, which works once: another request at the same moment waits, and finds it used."""
    is_usable = and_(usable(link_id, now_us), link.c.purpose == purpose)
    row = connection.execute(select(link).where(is_usable)).first()
    # Its data is not needed any more, and may be a password's hash, which should not be left there.
    done = update(link).where(is_usable).values(used_us=now_us, data=USED)
    if row is None or connection.execute(done).rowcount == 0:
        return None
    return Link(*row)


def _is_still(who: Person) -> ColumnElement[bool]:
    return and_(person.c.id == who.id, person.c.password_hash.is_not_distinct_from(who.password_hash))


def locked(connection: Connection, which: ColumnElement[bool]) -> Person | None:
    """A person whom nobody else changes until the transaction's end."""
    row = connection.execute(select(person).where(which).with_for_update()).first()
    return Person(*row) if row is not None else None


def lock_asker(connection: Connection, link_id: str) -> Person | None:
    """Lock the person before their link, as removing people and setting passwords do: else they would deadlock."""
    asked = select(link.c.email).where(link.c.id == link_id)
    return locked(connection, person.c.email == asked.scalar_subquery())


def still_there(connection: Connection, who: Person) -> Person:
    """Lock a person who was there a moment ago, so that nothing is stored for them after they were deleted.

    Raises:
        NotAllowed: they were deleted meanwhile.
    """
    found = locked(connection, person.c.id == who.id)
    if found is None:
        raise NotAllowed(NOBODY)
    return found


def _set_password(
    connection: Connection, who: Person, password_hash: str, client: Client, now_us: int, kept_digest: str = ""
) -> None:
    """Set a password, and end all that somebody who knew the old one may have opened: sessions and mailed links."""
    _replace_password(connection, who, password_hash, client, now_us, kept_digest)
    theirs = or_(link.c.email == who.email, link.c.person_id == who.id)  # a new address is not yet theirs
    mailed = and_(theirs, link.c.purpose.in_(MAILED), link.c.used_us.is_(None))
    connection.execute(update(link).where(mailed).values(used_us=now_us))


def _replace_password(
    connection: Connection, who: Person, password_hash: str, client: Client, now_us: int, kept_digest: str = ""
) -> None:
    connection.execute(update(person).where(person.c.id == who.id).values(password_hash=password_hash))
    others = and_(session.c.person_id == who.id, session.c.digest != kept_digest)
    connection.execute(delete(session).where(others))
    connection.execute(insert(mail).values(notice(who.email, "password_changed", now_us)._asdict()))
    write_down(connection, "password_changed", client, now_us, person_id=who.id)


def notice(email: str, template: str, now_us: int, **data: str) -> Mail:
    """A mail without a link."""
    new_id = f"mail_{secrets.token_hex(16)}"
    return Mail(new_id, email, template, json.dumps(data), None, now_us, now_us, 0, None, "")


def tell_of(connection: Connection, who: Person, what: str, now_us: int) -> None:
    """Mail a person about a change to how they log in, which they may not have made themselves."""
    connection.execute(insert(mail).values(notice(who.email, "changed", now_us, what=what)._asdict()))
