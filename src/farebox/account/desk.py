"""What the use cases of people work with, and what a log-in gives."""

import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from farebox.domain import people as rules
from farebox.domain.apikey import ALPHABET
from farebox.domain.events import Event
from farebox.domain.people import LINK_US, Began, Client, Link, LinkGone, Mail, Purpose
from farebox.domain.product import Product
from farebox.ports import Accounts
from farebox.ports_people import Arrival, Entered, Keys, Passwords, People

GONE = "This link has been used, has expired, or a newer one was sent. Ask for a new one."


@dataclass(frozen=True, slots=True)
class Desk:
    """Where people are let in."""

    people: People
    accounts: Accounts
    keys: Keys
    passwords: Passwords
    secret: bytes
    product: Product
    mail_written: Callable[[], None]
    """Have the outbox looked into soon."""
    tell: Callable[[Event], None]
    """Tell the founder's listeners."""


class LoggedIn(NamedTuple):
    """Somebody came in. `cookie` is their session's; it is empty while the second factor that `code` is for is due."""

    entered: Entered
    cookie: str
    code: str


def arrive(desk: Desk, began: Began, client: Client, enter: Callable[[Arrival], Entered | None]) -> LoggedIn | None:
    """Let somebody in under a new session, whose token exists here and in the cookie only."""
    token = new_token()
    entered = enter(Arrival(rules.digest(desk.secret, "session", token), began, client))
    if entered is None:
        return None
    if entered.code_id is not None:
        return LoggedIn(entered, "", rules.link_token(desk.secret, entered.code_id))
    return LoggedIn(entered, token, "")


def find_link(desk: Desk, token: str) -> Link:
    """The link whose token this is, looked at and not used.

    Raises:
        LinkGone: it does not work, or never did.
    """
    link_id = rules.link_id_of(desk.secret, token)
    link = desk.people.link(link_id) if link_id is not None else None
    if link is None:
        raise LinkGone(GONE)
    return link


def mail_link(desk: Desk, purpose: Purpose, email: str, **data: str) -> None:
    """Have a link mailed to an address. What is done is the same for every address: the sender looks who has it."""
    now_us = desk.people.now_us()
    link = Link(
        secrets.token_hex(16), purpose, email, None, None, json.dumps(data), now_us, now_us + LINK_US[purpose], None
    )
    mail = Mail(f"mail_{secrets.token_hex(16)}", email, purpose, "{}", link.id, now_us, now_us, 0, None, "")
    desk.people.ask(link, mail)
    desk.mail_written()


def new_token() -> str:
    """256 random bits."""
    return "".join(ALPHABET[secrets.randbelow(62)] for _ in range(rules.TOKEN_CHARS))
