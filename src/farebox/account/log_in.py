"""Log in by password or by a mailed link, and reset a forgotten password."""

from collections.abc import Sequence
from typing import Literal, NoReturn

from farebox.account.desk import GONE, Desk, LoggedIn, arrive, find_link, mail_link, token_by_link
from farebox.domain.passwords import CHARS_MAX, check_password
from farebox.domain.people import (
    Allowance,
    Client,
    LinkGone,
    Person,
    TooOften,
    WrongPassword,
    address_of,
    guesses_from,
    guesses_of,
    guesses_of_nobody,
    mails_from,
    mails_to,
)
from farebox.domain.period import MICROSECONDS

WRONG = "The address or the password is not right."
INSTEAD = "get a link by e-mail to log in or to set a new password."


def log_in(desk: Desk, client: Client, *, email: str, password: str) -> LoggedIn:
    """Let in whoever knows the password.

    Raises:
        WrongPassword: it is wrong, or there were too many guesses to look at this one.
        NotAllowed: it is right, and they may not come in.
        Busy: too many passwords are being hashed.
    """
    address = address_of(email)
    take_guess(desk, [guesses_of(address), guesses_from(client)])
    person = desk.people.person_by_email(address)
    if not is_password(desk, person, password) or person is None:
        _refuse(desk, client, address, person)
    came = arrive(desk, "password", client, lambda arrival: desk.people.log_in(person, arrival))
    if came is None:  # the password was changed while we looked
        _refuse(desk, client, address, person)
    if person.password_hash is not None and desk.passwords.is_outdated(person.password_hash):
        desk.people.rehash(person, desk.passwords.hash(password))
    return came


def ask_for_link(
    desk: Desk, client: Client, *, email: str, purpose: Literal["magic", "reset"], next_path: str = ""
) -> None:
    """Have a link mailed that logs in, or that sets a password; the client learns nothing about the address.

    The link leads on to `next_path`.

    Raises:
        PersonError: it is no address, or this client has asked too often.
    """
    address = address_of(email)
    if desk.people.take([mails_from(client)]) is not None:
        raise TooOften("Too many e-mails were requested from your network. Try again in an hour.")
    if desk.people.take([mails_to(address, purpose)]) is None:
        mail_link(desk, purpose, address, **({"next": next_path} if next_path else {}))


def log_in_by_link(desk: Desk, client: Client, *, token: str, opened: str = "") -> LoggedIn:
    """Let in whoever reads the mail of this address.

    Raises:
        LinkGone: the link does not work.
        NotAllowed: they may not come in.
    """
    link = find_link(desk, token)
    came = arrive(
        desk, "mail", client, lambda arrival: desk.people.come_in(link.id, "magic", arrival, None),
        token_by_link(desk, link, opened),
    )  # fmt: skip
    if came is None:
        raise LinkGone(GONE)
    return came


def reset_password(desk: Desk, client: Client, *, token: str, password: str, opened: str = "") -> LoggedIn:
    """Set a new password and let its owner in; every other session of theirs ends.

    Raises:
        PersonError: the password cannot be taken.
        LinkGone: the link does not work.
        NotAllowed: they may not come in.
        Busy: too many passwords are being hashed.
    """
    link = find_link(desk, token)
    if link.purpose != "reset":
        raise LinkGone(GONE)
    check_password(password, email=link.email, product=desk.product.name)
    password_hash = desk.passwords.hash(password)
    came = arrive(
        desk, "mail", client, lambda arrival: desk.people.come_in(link.id, "reset", arrival, password_hash),
        token_by_link(desk, link, opened),
    )  # fmt: skip
    if came is None:
        raise LinkGone(GONE)
    desk.mail_written()
    return came


def take_guess(desk: Desk, allowances: Sequence[Allowance], instead: str = INSTEAD) -> None:
    """Count a guess before it is looked at, so that neither a crash nor many requests at once give more guesses.

    Raises:
        WrongPassword: there were too many: this one is not looked at.
    """
    room_us = desk.people.take(allowances)
    if room_us is None:
        return
    seconds = max(1, -((desk.people.now_us() - room_us) // MICROSECONDS))
    minutes = -(-seconds // 60)
    raise WrongPassword(
        f"Too many tries, so this one was not checked. Try again in {minutes} minute{'' if minutes == 1 else 's'}, "
        f"or {instead} That works now.",
        retry_after_seconds=seconds,
    )


def is_password(desk: Desk, person: Person | None, password: str) -> bool:
    """Whether it is this person's password. It takes as long where there is no person, or no password."""
    return desk.passwords.check(person.password_hash if person is not None else None, password[: CHARS_MAX + 1])


def _refuse(desk: Desk, client: Client, address: str, person: Person | None) -> NoReturn:
    if person is not None:
        desk.people.note("log_in_failed", client, person_id=person.id)
    else:
        # As much is written, so that it takes as long; but the audit log is kept for ever, and this for a day.
        desk.people.count(guesses_of_nobody(address))
    raise WrongPassword(WRONG)
