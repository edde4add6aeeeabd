"""Passkeys: make, name and remove them, and log in by one."""

import json
from typing import Final, NamedTuple

from farebox.account.desk import Desk, LoggedIn, arrive, begin_ceremony, ceremony_digest
from farebox.domain import people as rules
from farebox.domain.people import Client, LinkGone, NotAllowed, Passkey, Person, PersonError
from farebox.ports.people import Visit
from farebox.ports.proofs import Place

NAME_CHARS_MAX: Final = 60
PASSKEYS_MAX: Final = 20
AGAIN: Final = "This took too long, or was started in another browser. Try again."
UNKNOWN: Final = "This passkey is not known here. Log in another way, and add it under Settings, Security."
USED: Final = "This passkey was used or removed just now. Try again."
THEIRS: Final = "This passkey belongs to another account."
TOO_MANY: Final = f"You can have at most {PASSKEYS_MAX} passkeys. Remove one first."
MAKE: Final = "make"
SHOW: Final = "show"


class Asked(NamedTuple):
    """The question to an authenticator, as JSON, and the token of the cookie that its answer is tied to."""

    options: str
    token: str


def ask_to_make_passkey(desk: Desk, here: Visit, client: Client, place: Place) -> Asked:
    """Ask an authenticator for a passkey.

    Raises:
        NotAllowed: they have as many as they may have.
        TooOften: this client has begun too often.
    """
    others = desk.proofs.passkeys.of(here.person.id)
    if len(others) >= PASSKEYS_MAX:
        raise NotAllowed(TOO_MANY)
    token = begin_ceremony(desk, client, "passkey", here.person.id, what=MAKE)
    options = desk.proofs.authenticators().ask_to_make(place, _challenge(desk, token), here.person, others)
    return Asked(options, token)


def add_passkey(desk: Desk, here: Visit, client: Client, place: Place, *, token: str, answer: str, name: str) -> None:
    """Keep the passkey that an authenticator made.

    Raises:
        PersonError: the name cannot be used, or the answer does not hold.
        LinkGone: it was not asked for in this browser, or too long ago.
        NotAllowed: another account has it.
    """
    name = check_name(name)
    _end(desk, token, MAKE, here.person)
    new = desk.proofs.authenticators().made(place, _challenge(desk, token), answer)
    row = Passkey(
        new.id, here.person.id, new.public_key, new.sign_count, new.transports, name, desk.people.now_us(), None
    )
    if not desk.proofs.passkeys.add(here.person, row, client):
        raise NotAllowed(THEIRS)
    desk.mail_written()


def rename_passkey(desk: Desk, here: Visit, passkey_id: str, name: str) -> None:
    """Rename one of their passkeys.

    Raises:
        PersonError: the name cannot be used, or they have no such passkey.
    """
    if not desk.proofs.passkeys.rename(here.person.id, passkey_id, check_name(name)):
        raise PersonError(UNKNOWN)


def remove_passkey(desk: Desk, here: Visit, client: Client, passkey_id: str) -> None:
    """Remove one of their passkeys, which opens nothing any more."""
    if desk.proofs.passkeys.remove(here.person, passkey_id, client):
        desk.mail_written()


def ask_for_passkey(desk: Desk, client: Client, place: Place, person: Person | None = None) -> Asked:
    """Ask an authenticator to show a passkey: any that it has for this site, or one of a person's.

    Raises:
        TooOften: this client has begun too often.
    """
    token = begin_ceremony(desk, client, "passkey", person.id if person is not None else None, what=SHOW)
    passkeys = desk.proofs.passkeys.of(person.id) if person is not None else []
    return Asked(desk.proofs.authenticators().ask_to_show(place, _challenge(desk, token), passkeys), token)


def log_in_by_passkey(desk: Desk, client: Client, place: Place, *, token: str, answer: str) -> LoggedIn:
    """Let in the owner of a passkey. It is something they have, opened by what they know or are: no code is asked for.

    Raises:
        PersonError: the answer does not hold.
        LinkGone: it was not asked for in this browser, or too long ago.
        NotAllowed: it holds, and they may not come in.
    """
    passkey, sign_count = look_at_passkey(desk, place, token, answer, None)
    came = arrive(desk, "passkey", client, lambda arrival: desk.proofs.passkeys.log_in(passkey, sign_count, arrival))
    if came is None:
        raise PersonError(USED)
    return came


def look_at_passkey(desk: Desk, place: Place, token: str, answer: str, person: Person | None) -> tuple[Passkey, int]:
    """The passkey that was shown, and how often it has signed, which the caller has to note.

    Raises:
        PersonError: the answer does not hold.
        LinkGone: it was not asked for in this browser, or too long ago.
    """
    _end(desk, token, SHOW, person)
    passkey = desk.proofs.passkeys.find(desk.proofs.authenticators().passkey_id(answer))
    if passkey is None or (person is not None and passkey.person_id != person.id):
        raise PersonError(UNKNOWN)
    return passkey, desk.proofs.authenticators().shown(place, _challenge(desk, token), answer, passkey)


def check_name(name: str) -> str:
    """A name as it is kept.

    Raises:
        PersonError: it cannot be shown in a list.
    """
    name = " ".join(name.split())
    if not name or len(name) > NAME_CHARS_MAX or not name.isprintable():
        raise PersonError(f"A name has to be one line of 1 to {NAME_CHARS_MAX} characters.", field="name")
    return name


def _end(desk: Desk, token: str, what: str, person: Person | None) -> None:
    """End a challenge: each is good for one answer, right or wrong."""
    ended = desk.proofs.ceremonies.end(ceremony_digest(desk, token), "passkey") if token else None
    person_id = person.id if person is not None else None
    if ended is None or ended.person_id != person_id or json.loads(ended.data) != {"what": what}:
        raise LinkGone(AGAIN)


def _challenge(desk: Desk, token: str) -> bytes:
    """The challenge, derived from the cookie's token, so that no other browser has it."""
    return bytes.fromhex(rules.digest(desk.secret, "challenge", token))
