"""The people of an account in the database: who is in it, who is invited, who comes and goes. Loaded by pages only."""

import json
from typing import Final

from sqlalchemy import ColumnElement, Connection, and_, delete, exists, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from farebox.domain.people import Client, Link, Mail, NotAllowed, Person, PersonError, Role
from farebox.ports.calls import AccountRow
from farebox.ports.people import Arrival, Visit
from farebox.ports.team import Invitation, Invited, Joined, TeamMember
from farebox.store.audit import write_down
from farebox.store.database import Database
from farebox.store.people.arrivals import let_in, person_for
from farebox.store.people.members import (
    end_invitations,
    end_invitations_by,
    keep_an_owner,
    lock_account,
    lock_own,
    role_of,
    say_farewell,
    take_out,
)
from farebox.store.people.people import is_open, lock_asker, usable, use_link
from farebox.store.tables import account
from farebox.store.tables_people import link, mail, member, person, session

TEAM_MAX: Final = 200
FULL: Final = f"An account can have {TEAM_MAX} people, including those invited. Remove somebody first."


class StoredTeam:
    """The port `Team` over one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def members(self, account_id: str) -> list[TeamMember]:
        found = select(person.c.id, person.c.email, member.c.role, member.c.joined_us)
        found = found.join(member, member.c.person_id == person.c.id).where(member.c.account_id == account_id)
        ordered = found.order_by(member.c.role.desc(), member.c.joined_us, person.c.id)
        with self._database.read() as connection:
            return [TeamMember(*row) for row in connection.execute(ordered)]

    # -- Invitations

    def invitations(self, account_id: str) -> list[Invitation]:
        with self._database.read() as connection:
            now_us = self._database.now_us(connection)
            found = select(link).where(link.c.account_id == account_id, link.c.purpose == "invite", is_open(now_us))
            rows = connection.execute(found.order_by(link.c.created_us.desc(), link.c.id))
            return [_invitation(Link(*row)) for row in rows]

    def invite(self, here: Visit, asked: Link, letter: Mail, client: Client) -> None:
        with self._database.write() as connection:
            account_id = lock_own(connection, here).id
            now_us = self._database.now_us(connection)
            known = select(exists().where(member.c.account_id == account_id, _has_address(asked.email)))
            if connection.execute(known).scalar():
                raise PersonError(f"{asked.email} is already in this account.", field="email")
            if _people_and_invited(connection, account_id, now_us) >= TEAM_MAX:
                raise PersonError(FULL, field="email")
            # Ended, so that none of them works again when the rows of the newer ones are gone.
            end_invitations(connection, account_id, link.c.email == asked.email, now_us)
            connection.execute(insert(link).values(asked._asdict() | {"created_us": now_us}))
            connection.execute(insert(mail).values(letter._asdict()))
            facts = {"link": asked.id, "role": _role(asked)}
            write_down(connection, "invited", client, now_us, person_id=here.person.id, account_id=account_id, **facts)

    def revoke(self, here: Visit, link_id: str, client: Client) -> bool:
        with self._database.write() as connection:
            account_id = lock_own(connection, here).id
            now_us = self._database.now_us(connection)
            one = and_(usable(link_id, now_us), link.c.account_id == account_id, link.c.purpose == "invite")
            if connection.execute(update(link).where(one).values(used_us=now_us)).rowcount == 0:
                return False
            write_down(
                connection, "invitation_revoked", client, now_us,
                person_id=here.person.id, account_id=account_id, link=link_id,
            )  # fmt: skip
            return True

    def invited(self, link_id: str) -> Invited | None:
        with self._database.read() as connection:
            now_us = self._database.now_us(connection)
            asked = _find(connection, link_id, now_us)
            if asked is None:
                return None
            row = connection.execute(select(account).where(account.c.id == asked.account_id)).one()
            is_known = connection.execute(select(exists().where(person.c.email == asked.email))).scalar()
            return Invited(_invitation(asked), AccountRow(*row), not is_known)

    def accept(self, link_id: str, password_hash: str | None, arrival: Arrival) -> Joined | None:
        with self._database.write() as connection:
            asked = _find(connection, link_id, self._database.now_us(connection))
            if asked is None or asked.account_id is None:
                return None
            theirs = lock_account(connection, asked.account_id)  # before the link, as revoking it does
            known = lock_asker(connection, link_id)
            now_us = self._database.now_us(connection)
            if use_link(connection, link_id, "invite", now_us) is None:
                return None
            if known is None and password_hash is None:
                raise PersonError("Choose a password for your log-in.", field="password")
            is_sqlite = self._database.is_sqlite
            who = person_for(connection, asked.email, password_hash, now_us, is_sqlite=is_sqlite)
            self._add(connection, theirs.id, who, _role(asked), now_us)
            write_down(
                connection, "joined", arrival.client, now_us,
                person_id=who.id, account_id=theirs.id, role=_role(asked),
            )  # fmt: skip
            entered = let_in(connection, who, arrival, now_us, into=theirs) if known is None else None
            return Joined(who.id, theirs, entered)

    def _add(self, connection: Connection, account_id: str, who: Person, role: Role, now_us: int) -> None:
        dialect = sqlite if self._database.is_sqlite else postgresql
        row = {"account_id": account_id, "person_id": who.id, "role": role, "joined_us": now_us}
        connection.execute(dialect.insert(member).values(row).on_conflict_do_nothing())
        # A session that began while they were being taken out earlier would live again.
        stale = and_(session.c.account_id == account_id, session.c.person_id == who.id, session.c.created_us < now_us)
        connection.execute(delete(session).where(stale))

    # -- Members

    def set_role(self, here: Visit, person_id: str, role: Role, client: Client) -> bool:
        with self._database.write() as connection:
            account_id = lock_own(connection, here).id
            before = role_of(connection, account_id, person_id)
            if before is None or before == role:
                return before is not None
            now_us = self._database.now_us(connection)
            if before == "owner":
                keep_an_owner(connection, account_id, person_id, now_us)
            one = and_(member.c.account_id == account_id, member.c.person_id == person_id)
            connection.execute(update(member).where(one).values(role=role))
            if before == "owner":
                end_invitations_by(connection, here, person_id, before, client, now_us)
            facts = {"person": person_id, "role": role}
            write_down(
                connection, "role_changed", client, now_us, person_id=here.person.id, account_id=account_id, **facts
            )
            return True

    def remove(self, here: Visit, person_id: str, client: Client) -> bool:
        with self._database.write() as connection:
            is_leaving = person_id == here.person.id
            theirs = lock_own(connection, here, as_owner=not is_leaving)
            role = role_of(connection, theirs.id, person_id)
            if role is None:
                return False
            now_us = self._database.now_us(connection)
            if role == "owner":
                keep_an_owner(connection, theirs.id, person_id, now_us)
            end_invitations_by(connection, here, person_id, role, client, now_us)
            who = take_out(connection, theirs.id, person_id)
            if who is not None:
                say_farewell(connection, who, "removed", now_us, account=theirs.email)
            what = "left" if is_leaving else "removed"
            facts = {} if is_leaving else {"person": person_id}
            write_down(connection, what, client, now_us, person_id=here.person.id, account_id=theirs.id, **facts)
            return True

    def switch(self, here: Visit, account_id: str, client: Client) -> bool:
        with self._database.write() as connection:
            # A shared lock: a removal under way ends before this, and no session there is left after it.
            mine = and_(member.c.account_id == account_id, member.c.person_id == here.person.id)
            if connection.execute(select(member.c.role).where(mine).with_for_update(read=True)).first() is None:
                return False
            found = connection.execute(select(account).where(account.c.id == account_id)).one()
            theirs = AccountRow(*found)
            if theirs.closed_us is not None or theirs.state == "suspended":
                raise NotAllowed("Nobody can work in this account now: it is closed, or suspended.")
            now_us = self._database.now_us(connection)
            this = session.c.digest == here.session.digest
            connection.execute(update(session).where(this).values(account_id=account_id))
            write_down(connection, "switched", client, now_us, person_id=here.person.id, account_id=account_id)
            return True


def _find(connection: Connection, link_id: str, now_us: int) -> Link | None:
    row = connection.execute(select(link).where(usable(link_id, now_us), link.c.purpose == "invite")).first()
    return Link(*row) if row is not None else None


def _has_address(email: str) -> ColumnElement[bool]:
    return member.c.person_id == select(person.c.id).where(person.c.email == email).scalar_subquery()


def _people_and_invited(connection: Connection, account_id: str, now_us: int) -> int:
    people = select(func.count()).select_from(member).where(member.c.account_id == account_id)
    invited = select(func.count()).select_from(link)
    invited = invited.where(link.c.account_id == account_id, link.c.purpose == "invite", is_open(now_us))
    return int(connection.execute(people).scalar_one()) + int(connection.execute(invited).scalar_one())


def _invitation(asked: Link) -> Invitation:
    return Invitation(asked.id, asked.email, _role(asked), asked.created_us, asked.expires_us)


def _role(asked: Link) -> Role:
    role: Role = json.loads(asked.data)["role"]
    return role
