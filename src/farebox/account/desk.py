"""The desk, with which the use cases of people work, and the result of a log-in."""

import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from farebox.domain import people as rules
from farebox.domain.apikey import ALPHABET
from farebox.domain.events import Event
from farebox.domain.people import (
    LINK_US,
    Allowance,
    Began,
    Ceremony,
    CeremonyKind,
    Client,
    Link,
    LinkGone,
    Mail,
    Purpose,
    TooOften,
)
from farebox.domain.period import MICROSECONDS
from farebox.domain.product import Product
from farebox.ports.people import Arrival, Entered, Keys, Passwords, People
from farebox.ports.proofs import (
    Addresses,
    Authenticators,
    Ceremonies,
    Identities,
    OtherService,
    Passkeys,
    SecondFactors,
    Vault,
)
from farebox.ports.team import Archive, Closing, Plans, Team

GONE = "This link has been used, has expired, was withdrawn, or a newer one was sent. Ask for a new one."


@dataclass(frozen=True, slots=True)
class Proofs:
    """The means by which people prove who they are, besides a password and their mailbox."""

    ceremonies: Ceremonies
    second_factors: SecondFactors
    passkeys: Passkeys
    identities: Identities
    addresses: Addresses
    vault: Callable[[], Vault]
    authenticators: Callable[[], Authenticators]
    """This and the vault are loaded when they are first used: most pages need neither."""
    services: Mapping[str, OtherService]
    """The services that the settings name, by the name in their address."""


@dataclass(frozen=True, slots=True)
class Upkeep:
    """The means by which people look after the accounts that they are in."""

    team: Team
    plans: Plans
    archive: Archive
    closing: Closing
    limits_changed: Callable[[str], None]
    """Have the limits of an account looked at soon."""


@dataclass(frozen=True, slots=True)
class Desk:
    """Where people are let in, and their accounts are looked after."""

    people: People
    keys: Keys
    passwords: Passwords
    secret: bytes
    product: Product
    mail_written: Callable[[], None]
    """Have the outbox looked into soon."""
    tell: Callable[[Event], None]
    """Tell the founder's listeners."""
    proofs: Proofs
    upkeep: Upkeep


class LoggedIn(NamedTuple):
    """Somebody came in. `cookie` is their session's; it is empty while the second factor that `code` is for is due."""

    entered: Entered
    cookie: str
    code: str


def arrive(
    desk: Desk, began: Began, client: Client, enter: Callable[[Arrival], Entered | None], token: str = ""
) -> LoggedIn | None:
    """Let somebody in under a new session, whose token exists here and in the cookie only.

    Raises:
        NotAllowed: they may not come in; of a suspension, they are told whom to write to.
    """
    token = token or new_token()
    try:
        entered = enter(Arrival(rules.digest(desk.secret, "session", token), began, client))
    except rules.Suspended as error:
        whom = desk.product.contact or "the people who run this service"
        raise rules.NotAllowed(f"{error.detail} Write to {whom}.") from None
    if entered is None:
        return None
    if entered.code_id is not None:
        return LoggedIn(entered, "", rules.link_token(desk.secret, entered.code_id))
    return LoggedIn(entered, token, "")


def find_link(desk: Desk, token: str) -> Link:
    """Look up the link of a token, without using it.

    Raises:
        LinkGone: it does not work, or never did.
    """
    link_id = rules.link_id_of(desk.secret, token)
    link = desk.people.link(link_id) if link_id is not None else None
    if link is None:
        raise LinkGone(GONE)
    return link


def token_by_link(desk: Desk, link: Link, opened: str) -> str:
    """The token of the session that a link begins. The cookie of the browser that opened the link can make it again."""
    return rules.session_token(desk.secret, link.id, opened) if opened else new_token()


def mail_link(
    desk: Desk, purpose: Purpose, email: str, *notices: Mail, person_id: str | None = None, **data: str
) -> None:
    """Have a link mailed to an address. The same is done for every address: only the sender looks who has it."""
    now_us = desk.people.now_us()
    until_us = now_us + LINK_US[purpose]
    link = Link(secrets.token_hex(16), purpose, email, person_id, None, json.dumps(data), now_us, until_us, None)
    desk.people.ask(link, new_mail(email, purpose, now_us, link.id), *notices)
    desk.mail_written()


def new_mail(email: str, template: str, now_us: int, link_id: str | None = None, **data: str) -> Mail:
    """A mail that is to be sent at once."""
    new_id = f"mail_{secrets.token_hex(16)}"
    return Mail(new_id, email, template, json.dumps(data), link_id, now_us, now_us, 0, None, "")


def begin_ceremony(desk: Desk, client: Client, kind: CeremonyKind, person_id: str | None = None, **data: str) -> str:
    """Note what a browser begins; return the token for its cookie, without which it cannot be ended.

    Raises:
        TooOften: this client has begun too often.
    """
    if desk.people.take([rules.ceremonies_from(client)]) is not None:
        raise TooOften("Too many tries from your network. Try again in a few minutes.")
    token = new_token()
    until_us = desk.people.now_us() + rules.CEREMONY_US
    desk.proofs.ceremonies.begin(Ceremony(ceremony_digest(desk, token), kind, person_id, json.dumps(data), until_us))
    return token


def ceremony_digest(desk: Desk, token: str) -> str:
    return rules.digest(desk.secret, "ceremony", token)


def take(desk: Desk, allowances: Sequence[Allowance], told: str) -> None:
    """Count something that may be done only so often.

    Raises:
        TooOften: it was done too often; the error is `told`, and when it can be done again.
    """
    room_us = desk.people.take(allowances)
    if room_us is None:
        return
    seconds = max(1, -((desk.people.now_us() - room_us) // MICROSECONDS))
    minutes = -(-seconds // 60)
    again = f"Try again in {minutes} minute{'' if minutes == 1 else 's'}."
    raise TooOften(f"{told} {again}", retry_after_seconds=seconds)


def new_token() -> str:
    """256 random bits."""
    return "".join(ALPHABET[secrets.randbelow(62)] for _ in range(rules.TOKEN_CHARS))
