"""Who is in an account, and what goes when they go: steps of the transactions in `team.py` and `closing.py`."""

from typing import Final

from sqlalchemy import ColumnElement, Connection, and_, delete, exists, insert, or_, select, update

from farebox.domain.people import (
    LAST_MAILS,
    LINK_US,
    Client,
    NotAllowed,
    Person,
    Role,
    codes_of,
    exports_by,
    guesses_of,
    guesses_of_nobody,
    mails_to,
)
from farebox.ports.calls import AccountRow
from farebox.ports.people import Visit
from farebox.store.audit import write_down
from farebox.store.people.deleting import OWNERS_STAY, is_under_way
from farebox.store.people.people import notice
from farebox.store.tables import account, metadata
from farebox.store.tables_people import audit, guess, link, mail, member, person, session

NO_LONGER: Final = "You can no longer do this. Ask an owner of the account."
CLOSED: Final = "This account is closed, or suspended."
LAST_OWNER: Final = "An account needs an owner. Make somebody else an owner first, or delete the account."
# Every table with a person's id but the audit log: once the person's row is gone, the id there names nobody.
THEIRS: Final = tuple(table for table in metadata.sorted_tables if "person_id" in table.c and table is not audit)


def lock_account(connection: Connection, account_id: str) -> AccountRow:
    """Lock the account: nobody else changes its people until the transaction's end.

    Raises:
        NotAllowed: nobody can work in it.
    """
    row = connection.execute(select(account).where(account.c.id == account_id).with_for_update()).first()
    found = AccountRow(*row) if row is not None else None
    if found is None or found.closed_us is not None or found.state == "suspended":
        raise NotAllowed(CLOSED)
    return found


def lock_own(connection: Connection, here: Visit, *, as_owner: bool = True) -> AccountRow:
    """Lock the account that somebody works in, if they may still work there.

    Raises:
        NotAllowed: they may not (any more).
    """
    found = lock_account(connection, here.account.id)
    role = role_of(connection, found.id, here.person.id)
    if role is None or (as_owner and role != "owner"):
        raise NotAllowed(NO_LONGER)
    return found


def role_of(connection: Connection, account_id: str, person_id: str) -> Role | None:
    one = and_(member.c.account_id == account_id, member.c.person_id == person_id)
    found: Role | None = connection.execute(select(member.c.role).where(one)).scalar()
    return found


def keep_an_owner(connection: Connection, account_id: str, person_id: str, now_us: int) -> None:
    """Check that this person can cease to be an owner of the account.

    Raises:
        NotAllowed: it has no other owner, or one is deleting it, and may have ended its subscription already.
    """
    if is_under_way(connection, account_id, now_us):
        raise NotAllowed(OWNERS_STAY)
    others = and_(member.c.account_id == account_id, member.c.role == "owner", member.c.person_id != person_id)
    if not connection.execute(select(exists().where(others))).scalar():
        raise NotAllowed(LAST_OWNER)


def end_invitations_by(
    connection: Connection, here: Visit, person_id: str, was: Role, client: Client, now_us: int
) -> None:
    """End the invitations of somebody who may invite no longer: else they could come back by one of their own.

    Those that a version before made do not say whose they are, so they end with any owner.
    """
    theirs = link.c.person_id == person_id
    if was == "owner":
        theirs = or_(theirs, link.c.person_id.is_(None))
    for link_id in end_invitations(connection, here.account.id, theirs, now_us):
        write_down(
            connection, "invitation_revoked", client, now_us,
            person_id=here.person.id, account_id=here.account.id, link=link_id,
        )  # fmt: skip


def end_invitations(connection: Connection, account_id: str, which: ColumnElement[bool], now_us: int) -> list[str]:
    """End invitations to an account, which the caller has locked; return the ids of those that were unused till now."""
    unused = and_(link.c.account_id == account_id, link.c.purpose == "invite", link.c.used_us.is_(None), which)
    ids = list(connection.execute(select(link.c.id).where(unused)).scalars())
    connection.execute(update(link).where(link.c.id.in_(ids)).values(used_us=now_us))
    return ids


def take_out(connection: Connection, account_id: str, person_id: str) -> Person | None:
    """Take a person out of an account, and delete them if they are in no other; return the person, if there is one."""
    row = connection.execute(select(person).where(person.c.id == person_id).with_for_update()).first()
    here = (member.c.account_id == account_id, member.c.person_id == person_id)
    connection.execute(delete(member).where(*here))
    connection.execute(delete(session).where(session.c.account_id == account_id, session.c.person_id == person_id))
    who = Person(*row) if row is not None else None
    if who is not None and not connection.execute(select(exists().where(member.c.person_id == person_id))).scalar():
        _forget(connection, who)
    return who


def _forget(connection: Connection, who: Person) -> None:
    """Delete a person with all that is theirs; open invitations to their address belong to other accounts, and stay."""
    # The invitations that they made are of other accounts, which still tell of them.
    made = and_(link.c.person_id == who.id, link.c.purpose == "invite")
    connection.execute(update(link).where(made).values(person_id=None))
    for table in THEIRS:
        connection.execute(delete(table).where(table.c.person_id == who.id))
    others = and_(link.c.purpose == "invite", link.c.used_us.is_(None))
    invitations = select(link.c.id).where(link.c.email == who.email, others)
    connection.execute(delete(link).where(link.c.email == who.email, ~others))
    connection.execute(
        delete(mail).where(mail.c.email == who.email, or_(mail.c.link_id.is_(None), mail.c.link_id.not_in(invitations)))
    )
    counted = [guesses_of(who.email), guesses_of_nobody(who.email), codes_of(who.id), exports_by(who.id)]
    counted += [mails_to(who.email, purpose) for purpose in LINK_US]
    connection.execute(delete(guess).where(guess.c.subject.in_([each.subject for each in counted])))
    connection.execute(delete(person).where(person.c.id == who.id))


def say_farewell(connection: Connection, who: Person, template: str, now_us: int, **data: str) -> None:
    """The last mail: its address is forgotten as soon as it is sent."""
    assert template in LAST_MAILS
    connection.execute(insert(mail).values(notice(who.email, template, now_us, **data)._asdict()))
