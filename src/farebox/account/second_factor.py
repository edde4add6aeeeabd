"""The second factor: turn it on and off, show it at a log-in, and what stands in for it when the device is lost."""

import json
import secrets
from typing import Final, NamedTuple, NoReturn

from farebox.account.desk import Desk, LoggedIn, arrive, begin_ceremony, ceremony_digest, new_token
from farebox.account.log_in import take_guess
from farebox.account.own_keys import FormUsed
from farebox.domain import people as rules
from farebox.domain.people import Began, Client, LinkGone, NotAllowed, Person, PersonError, codes_of
from farebox.domain.second_factor import (
    RECOVERY_CODES,
    SECRET_BYTES,
    key_uri,
    read_code,
    recovery_code,
    secret_text,
    step_shown,
)
from farebox.ports.people import Visit
from farebox.ports.proofs import Shown

AGAIN: Final = "Your log-in took too long, or was started again elsewhere. Log in once more."
TURN_ON_AGAIN: Final = "This took too long. Start again, and remove the entry that your app has now."
WRONG: Final = "This code does not work. Each one works once, and for a minute. Wait for the next one."
NONE: Final = "Your second factor is off."
ON_ALREADY: Final = "The second factor is already on. Keep its entry in your app."
INSTEAD: Final = "log in with a passkey, if you have one."


class Enrolment(NamedTuple):
    """A secret for an app; it does not count before the app has shown a code."""

    text: str
    uri: str


def begin_second_factor(desk: Desk, here: Visit, client: Client) -> str:
    """Make a secret; return the token of the cookie by which it is found.

    Raises:
        NotAllowed: there is a second factor already.
        TooOften: this client has begun too often.
    """
    if here.person.totp_secret is not None:
        raise NotAllowed(ON_ALREADY)
    sealed = desk.proofs.vault().seal(secrets.token_bytes(SECRET_BYTES), here.person.id)
    return begin_ceremony(desk, client, "totp", here.person.id, sealed=sealed.hex())


def enrolment(desk: Desk, here: Visit, token: str) -> Enrolment:
    """The secret, as the app is told it.

    Raises:
        LinkGone: it took too long, or was somebody else's.
        NotAllowed: there is a second factor already.
    """
    if here.person.totp_secret is not None:
        raise NotAllowed(ON_ALREADY)
    secret = _begun(desk, here, token)[0]
    return Enrolment(secret_text(secret), key_uri(secret, here.person.email, desk.product.name))


def turn_on_second_factor(desk: Desk, here: Visit, client: Client, *, token: str, code: str) -> list[str]:
    """Turn the second factor on, now that the app shows its code; return the recovery codes.

    A request that is sent again gets the same codes while the ceremony lives: a browser whose button is pressed twice
    throws the first answer away. They are kept nowhere: the ceremony's token, from its cookie, makes them again.

    Raises:
        PersonError: the code is wrong, or there were too many guesses to look at this one.
        LinkGone: it took too long, or was somebody else's.
        NotAllowed: there is a second factor already.
    """
    secret, sealed = _begun(desk, here, token)
    codes, digests = _codes_of(desk, here.person, token)
    if here.person.totp_secret is None:
        take_guess(desk, [codes_of(here.person.id)], INSTEAD)
        step = step_shown(secret, read_code(code).text, desk.people.now_us(), None)
        if step is None:
            raise PersonError(WRONG, field="code")
        if desk.proofs.second_factors.turn_on(here.person, sealed, step, digests, client):
            desk.mail_written()
            return codes
    if not desk.proofs.second_factors.is_on(here.person, sealed, digests):
        raise NotAllowed(ON_ALREADY)
    return codes


def turn_off_second_factor(desk: Desk, here: Visit, client: Client) -> None:
    """Turn the second factor off; its recovery codes are gone."""
    desk.proofs.second_factors.turn_off(here.person, client)
    desk.mail_written()


def form_of_codes(desk: Desk, here: Visit) -> str:
    """The token in a form that asks for new recovery codes: a mark of those that it replaces, and random bits."""
    return f"{_mark(desk, here.person, desk.proofs.second_factors.codes(here.person.id))}.{new_token()}"


def new_recovery_codes(desk: Desk, here: Visit, client: Client, form: str) -> list[str]:
    """Replace all recovery codes; a form that comes again gets the same new ones.

    A form without its token, as in an older template, makes new codes each time it comes.

    Raises:
        NotAllowed: there is no second factor.
        FormUsed: there are other codes since the form was shown.
    """
    if here.person.totp_secret is None:
        raise NotAllowed(NONE)
    old = desk.proofs.second_factors.codes(here.person.id)
    form = form or f"{_mark(desk, here.person, old)}.{new_token()}"
    codes, digests = _codes_of(desk, here.person, form)
    if old == set(digests):
        return codes
    is_of_these = form.partition(".")[0] == _mark(desk, here.person, old)
    if not is_of_these or not desk.proofs.second_factors.replace_codes(here.person, old, digests, client):
        raise FormUsed("There are newer recovery codes, so nothing was done.")
    desk.mail_written()
    return codes


def log_in_by_code(desk: Desk, client: Client, *, token: str, code: str) -> LoggedIn:
    """Let in whoever has shown the first factor and now shows the second, or a recovery code.

    Raises:
        LinkGone: the first factor was not shown, or too long ago.
        PersonError: the code is wrong, or there were too many guesses to look at this one.
        NotAllowed: it is right, and they may not come in.
    """
    link_id = rules.link_id_of(desk.secret, token)
    link = desk.people.link(link_id) if link_id is not None else None
    person = desk.proofs.second_factors.person(link.person_id) if link is not None and link.person_id else None
    if link is None or person is None or link.purpose != "code":
        raise LinkGone(AGAIN)
    began: Began = json.loads(link.data)["began"]
    shown = look_at_code(desk, person, client, code)
    came = arrive(desk, began, client, lambda arrival: desk.proofs.second_factors.log_in(link.id, shown, arrival))
    if came is None:
        _refuse(desk, person, client)
    desk.mail_written()
    return came


def look_at_code(desk: Desk, person: Person, client: Client, code: str) -> Shown:
    """Check a code; what it shows counts only when it is used up.

    Raises:
        PersonError: the code is wrong, or there were too many guesses to look at this one.
    """
    take_guess(desk, [codes_of(person.id)], INSTEAD)
    sealed = person.totp_secret
    secret = desk.proofs.vault().unseal(sealed, person.id) if sealed is not None else None
    if sealed is None or secret is None:
        _refuse(desk, person, client)
    typed = read_code(code)
    if typed.is_recovery:
        return Shown(sealed, None, _digest(desk, person, typed.text))
    step = step_shown(secret, typed.text, desk.people.now_us(), person.totp_last_step)
    if step is None:
        _refuse(desk, person, client)
    return Shown(sealed, step, "")


def _begun(desk: Desk, here: Visit, token: str) -> tuple[bytes, bytes]:
    found = desk.proofs.ceremonies.look(ceremony_digest(desk, token), "totp")
    sealed = bytes.fromhex(json.loads(found.data)["sealed"]) if found is not None else b""
    secret = desk.proofs.vault().unseal(sealed, here.person.id)
    if found is None or found.person_id != here.person.id or secret is None:
        if here.person.totp_secret is not None:
            raise NotAllowed(ON_ALREADY)
        raise LinkGone(TURN_ON_AGAIN)
    return secret, sealed


def _codes_of(desk: Desk, person: Person, token: str) -> tuple[list[str], list[str]]:
    """The recovery codes that a random token stands for, and what is stored of them."""
    seals = [
        rules.digest(desk.secret, f"new codes of {person.id}", f"{token} {each}") for each in range(RECOVERY_CODES)
    ]
    codes = [recovery_code(int(seal, 16)) for seal in seals]
    return codes, [_digest(desk, person, read_code(code).text) for code in codes]


def _mark(desk: Desk, person: Person, digests: set[str]) -> str:
    """A mark that tells these recovery codes from later ones."""
    return rules.digest(desk.secret, f"mark of codes of {person.id}", " ".join(sorted(digests)))


def _digest(desk: Desk, person: Person, plain: str) -> str:
    return rules.digest(desk.secret, f"recovery {person.id}", plain)


def _refuse(desk: Desk, person: Person, client: Client) -> NoReturn:
    desk.people.note("code_wrong", client, person_id=person.id)
    raise PersonError(WRONG, field="code")
