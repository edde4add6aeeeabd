"""How people come to an account and into it: steps of the transactions in `people.py`."""

import json
import secrets
from typing import Final, NamedTuple

from sqlalchemy import Connection, Select, case, exists, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from farebox.domain.people import (
    LINK_US,
    SESSION_MAX_US,
    USER_AGENT_CHARS_MAX,
    Client,
    NotAllowed,
    Person,
    Session,
    Suspended,
)
from farebox.ports.calls import AccountRow
from farebox.ports.people import Arrival, Entered
from farebox.store.audit import write_down
from farebox.store.tables import account
from farebox.store.tables_people import link, member, person, session

SUSPENDED: Final = "This account is suspended."


def person_for(
    connection: Connection, email: str, password_hash: str | None, now_us: int, *, is_sqlite: bool
) -> Person:
    """The person with a confirmed address, made if there is none. The password is only set for a new person."""
    dialect = sqlite if is_sqlite else postgresql
    new = Person(f"person_{secrets.token_hex(8)}", email, password_hash, now_us, None, None, now_us)
    found = select(person).where(person.c.email == email).with_for_update()
    while True:
        connection.execute(dialect.insert(person).values(new._asdict()).on_conflict_do_nothing())
        row = connection.execute(found).first()
        if row is not None:  # else they were deleted between the two
            return Person(*row)


class Start(NamedTuple):
    """The plan of a new account, and whether it gives nothing until it is paid for."""

    plan: str
    must_pay: bool


def open_account(
    connection: Connection, who: Person, start: Start, now_us: int, client: Client, *, is_sqlite: bool, is_asked: bool
) -> bool:
    """Make a person the owner of an account: that of their address if nobody is in it yet, else a new one.

    An owner gets no second one, and a member of others' accounts gets one only if they asked for it.

    Raises:
        NotAllowed: they are in none, and the account of this address belongs to others.
    """
    roles = connection.execute(select(member.c.role).where(member.c.person_id == who.id)).scalars().all()
    if "owner" in roles or (roles and not is_asked):
        return False
    if claim_account(connection, who, now_us, client):
        return True
    dialect = sqlite if is_sqlite else postgresql
    new = AccountRow(f"acct_{secrets.token_hex(8)}", who.email, start.plan, "active", now_us, now_us)
    if start.must_pay:
        new = new._replace(grace_until_us=now_us)
    opening = dialect.insert(account).values(new._asdict()).on_conflict_do_nothing()
    if connection.execute(opening.execution_options(preserve_rowcount=True)).rowcount:
        _own(connection, new.id, who, "account_opened", now_us, client)
        return True
    if roles:
        return False
    raise NotAllowed("The account of this address belongs to a team. Ask its owner for an invitation.")


def claim_account(connection: Connection, who: Person, now_us: int, client: Client) -> bool:
    """Make a person the owner of the account of their address, if nobody is in it: the founder opened it for them."""
    account_id = connection.execute(_awaiting(who.email).with_for_update(of=account)).scalar()
    if account_id is None:
        return False
    _own(connection, account_id, who, "account_claimed", now_us, client)
    return True


def is_awaited(connection: Connection, email: str) -> bool:
    """Whether there is an account for whoever has this address, and nobody is in it yet."""
    return connection.execute(_awaiting(email)).first() is not None


def _awaiting(email: str) -> Select[str]:
    is_empty = ~exists().where(member.c.account_id == account.c.id)
    return select(account.c.id).where(account.c.email == email, is_empty)


def _own(connection: Connection, account_id: str, who: Person, what: str, now_us: int, client: Client) -> None:
    owner = {"account_id": account_id, "person_id": who.id, "role": "owner", "joined_us": now_us}
    connection.execute(insert(member).values(owner))
    write_down(connection, what, client, now_us, person_id=who.id, account_id=account_id)


def let_in(
    connection: Connection,
    who: Person,
    arrival: Arrival,
    now_us: int,
    *,
    is_new_account: bool = False,
    is_proven: bool = False,
    into: AccountRow | None = None,
) -> Entered:
    """Begin a session, or note that the second factor is asked for, if they have one and have not shown it.

    The session begins in the account that they have just joined, or else where they work.

    Raises:
        NotAllowed: they have no account that they may work in.
    """
    if who.totp_secret is None or is_proven:
        claim_account(connection, who, now_us, arrival.client)
    is_new_person = who.created_us == now_us
    theirs = into if into is not None else _account_of(connection, who)
    if who.totp_secret is not None and not is_proven:
        return Entered(who, theirs, is_new_account, _ask_for_code(connection, who, arrival, now_us), is_new_person)
    begin_session(connection, who, theirs.id, arrival, now_us)
    return Entered(who, theirs, is_new_account, None, is_new_person)


def begin_session(connection: Connection, who: Person, account_id: str, arrival: Arrival, now_us: int) -> None:
    new = Session(
        digest=arrival.digest,
        id=f"session_{secrets.token_hex(8)}",
        person_id=who.id,
        account_id=account_id,
        began=arrival.began,
        created_us=now_us,
        seen_us=now_us,
        expires_us=now_us + SESSION_MAX_US,
        authenticated_us=now_us,
        address=arrival.client.address,
        user_agent=arrival.client.user_agent[:USER_AGENT_CHARS_MAX],
    )
    connection.execute(insert(session).values(new._asdict()))
    facts = {"began": arrival.began, "session": new.id}
    write_down(connection, "logged_in", arrival.client, now_us, person_id=who.id, account_id=account_id, **facts)


def _account_of(connection: Connection, who: Person) -> AccountRow:
    """The account they work in: one that they own if possible, and of several the one they joined first."""
    joined = select(account).join(member, member.c.account_id == account.c.id)
    found = joined.where(member.c.person_id == who.id, account.c.closed_us.is_(None))
    own_first = (case((member.c.role == "owner", 0), else_=1), member.c.joined_us, account.c.id)
    rows = [AccountRow(*row) for row in connection.execute(found.order_by(*own_first))]
    for row in rows:
        if row.state != "suspended":
            return row
    if rows:
        raise Suspended(SUSPENDED)
    raise NotAllowed("You are no longer in any account. Sign up again to open one, or ask to be invited.")


def _ask_for_code(connection: Connection, who: Person, arrival: Arrival, now_us: int) -> str:
    connection.execute(
        update(link)
        .where(link.c.email == who.email, link.c.purpose == "code", link.c.used_us.is_(None))
        .values(used_us=now_us)
    )
    code_id = secrets.token_hex(16)
    values = {
        "id": code_id,
        "purpose": "code",
        "email": who.email,
        "person_id": who.id,
        "data": json.dumps({"began": arrival.began}),
        "created_us": now_us,
        "expires_us": now_us + LINK_US["code"],
    }
    connection.execute(insert(link).values(values))
    return code_id
