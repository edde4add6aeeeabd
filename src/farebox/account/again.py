"""Show again who one is, before changing what a log-in needs."""

from typing import NamedTuple

from farebox.account.desk import Desk
from farebox.account.passkeys import look_at_passkey
from farebox.account.second_factor import WRONG, look_at_code
from farebox.account.sessions import show_password
from farebox.domain.people import Client, NotAllowed, PersonError
from farebox.ports.people import Visit
from farebox.ports.proofs import Place


class Ways(NamedTuple):
    """How somebody can show again who they are. Without any of these, by a mailed link."""

    has_password: bool
    has_code: bool
    has_passkey: bool


def ways_of(desk: Desk, here: Visit) -> Ways:
    """The ways open to a person. With a second factor, a password alone will not do: it may be stolen."""
    has_code = here.person.totp_secret is not None
    has_password = here.person.password_hash is not None and not has_code
    return Ways(has_password, has_code, bool(desk.proofs.passkeys.of(here.person.id)))


def show_password_again(desk: Desk, here: Visit, client: Client, password: str) -> None:
    """Show again who one is by the password.

    Raises:
        NotAllowed: it is not enough for them.
        WrongPassword: it is wrong, or there were too many guesses to look at this one.
        Busy: too many passwords are being hashed.
    """
    if not ways_of(desk, here).has_password:
        raise NotAllowed("Use your second factor or a passkey.")
    show_password(desk, here, client, password)


def show_code_again(desk: Desk, here: Visit, client: Client, code: str) -> None:
    """Show again who one is by the second factor, or a recovery code.

    Raises:
        PersonError: it is wrong, or there were too many guesses to look at this one.
    """
    shown = look_at_code(desk, here.person, client, code)
    if not desk.proofs.second_factors.show_again(here.session, shown, client):
        raise PersonError(WRONG, field="code")
    desk.mail_written()


def show_passkey_again(desk: Desk, here: Visit, client: Client, place: Place, *, token: str, answer: str) -> None:
    """Show again who one is by a passkey.

    Raises:
        PersonError: the answer does not hold.
        LinkGone: it was not asked for in this browser, or too long ago.
    """
    passkey, sign_count = look_at_passkey(desk, place, token, answer, here.person)
    if not desk.proofs.passkeys.show_again(here.session, passkey, sign_count, client):
        raise PersonError("This passkey was used just now. Try again.")
