"""The people in an account: invite, accept, change a role, remove, leave, and work in another account."""

import json
import secrets
from typing import Final, NamedTuple

from farebox.account.desk import GONE, Desk, LoggedIn, find_link, new_mail, take, token_by_link
from farebox.domain.passwords import check_password
from farebox.domain.people import (
    LINK_US,
    Client,
    Link,
    LinkGone,
    PersonError,
    Role,
    address_of,
    digest,
    invitations_by,
    mails_to,
)
from farebox.ports.people import Arrival, Visit
from farebox.ports.team import Invited, Joined

ROLES: Final[dict[str, Role]] = {"owner": "owner", "member": "member"}


class Accepted(NamedTuple):
    """The person who joined; a new person is logged in by it, anybody else has to log in as usual."""

    joined: Joined
    came: LoggedIn | None


def role_of(text: str) -> Role:
    """The role that a form names.

    Raises:
        PersonError: there is no such role.
    """
    role = ROLES.get(text)
    if role is None:
        raise PersonError("A role is owner or member; choose one of them.", field="role")
    return role


def invite(desk: Desk, here: Visit, client: Client, *, email: str, role: str) -> None:
    """Have an invitation mailed to an address, in place of an older one.

    Raises:
        PersonError: it cannot be invited, or too many were.
        NotAllowed: they are no owner (any more).
    """
    address, as_role = address_of(email), role_of(role)
    take(desk, [mails_to(address, "invite")], "This address was invited several times just now.")
    take(desk, [invitations_by(here.account.id)], "That were many invitations.")
    now_us = desk.people.now_us()
    link = Link(
        secrets.token_hex(16), "invite", address, here.person.id, here.account.id, json.dumps({"role": as_role}),
        now_us, now_us + LINK_US["invite"], None,
    )  # fmt: skip
    letter = new_mail(address, "invite", now_us, link.id, account=here.account.email, by=here.email, role=as_role)
    desk.upkeep.team.invite(here, link, letter._replace(account_id=here.account.id), client)
    desk.mail_written()


def look_at_invitation(desk: Desk, token: str) -> Invited:
    """Look up the invitation of a link, without accepting it.

    Raises:
        LinkGone: the link does not work.
    """
    found = desk.upkeep.team.invited(find_link(desk, token).id)
    if found is None:
        raise LinkGone(GONE)
    return found


def accept(desk: Desk, client: Client, *, token: str, password: str, opened: str = "") -> Accepted:
    """Have the invited address join. Anybody who reads its mail can do that; only a new person is logged in by it.

    A known person is not: the link lives for days and may be passed on, so it opens nothing that they have elsewhere.

    Raises:
        LinkGone: the link does not work.
        PersonError: the password of somebody new cannot be taken.
        NotAllowed: nobody can work in the account.
        Busy: too many passwords are being hashed.
    """
    found = look_at_invitation(desk, token)
    password_hash = None
    if found.is_new:
        check_password(password, email=found.invitation.email, product=desk.product.name)
        password_hash = desk.passwords.hash(password)
    cookie = token_by_link(desk, find_link(desk, token), opened)
    arrival = Arrival(digest(desk.secret, "session", cookie), "mail", client)
    joined = desk.upkeep.team.accept(found.invitation.id, password_hash, arrival)
    if joined is None:
        raise LinkGone(GONE)
    return Accepted(joined, LoggedIn(joined.entered, cookie, "") if joined.entered is not None else None)


def remove(desk: Desk, here: Visit, client: Client, person_id: str) -> bool:
    """Take somebody out of the account, or leave it; False where there is no such member.

    Raises:
        NotAllowed: they may not, or the account would have no owner.
    """
    if not desk.upkeep.team.remove(here, person_id, client):
        return False
    desk.mail_written()
    return True
