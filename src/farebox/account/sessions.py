"""Sessions: look one up, end it, show again who one is, change the password."""

from farebox.account.desk import Desk
from farebox.account.log_in import is_password, take_guess
from farebox.domain.passwords import check_password
from farebox.domain.people import Client, NotAllowed, WrongPassword, digest, guesses_from, guesses_of, is_fresh
from farebox.ports.people import Visit

WRONG = "This is not your password."


def visit(desk: Desk, cookie: str) -> Visit | None:
    """The visit of the person with this cookie; None where its session is over."""
    return desk.people.visit(digest(desk.secret, "session", cookie)) if cookie else None


def log_out(desk: Desk, cookie: str) -> None:
    """End the session at the server: its cookie opens nothing from now on."""
    if cookie:
        desk.people.log_out(digest(desk.secret, "session", cookie))


def show_password(desk: Desk, here: Visit, client: Client, password: str) -> None:
    """Have them show again who they are: for a while, the pages that ask for that are open.

    Raises:
        WrongPassword: it is wrong, or there were too many guesses to look at this one.
        Busy: too many passwords are being hashed.
    """
    _check(desk, here, client, password, field="password")
    desk.people.authenticated(here.session)


def change_password(desk: Desk, here: Visit, client: Client, *, current: str, new: str) -> None:
    """Change the password, or set the first one; every other session ends.

    Raises:
        PersonError: the new password cannot be taken.
        WrongPassword: the current one is wrong, or there were too many guesses to look at this one.
        NotAllowed: there is none yet, and they have not shown lately who they are.
        Busy: too many passwords are being hashed.
    """
    check_password(new, email=here.person.email, product=desk.product.name)
    if here.person.password_hash is not None:
        _check(desk, here, client, current, field="current")
    elif not is_fresh(here.session, desk.people.now_us()):
        raise NotAllowed("Log in again with an e-mail link, and set your password then.")
    if not desk.people.set_password(here.person, desk.passwords.hash(new), here.session, client):
        raise NotAllowed("Your password was changed in another window meanwhile.")
    desk.mail_written()


def _check(desk: Desk, here: Visit, client: Client, password: str, *, field: str) -> None:
    take_guess(desk, [guesses_of(here.person.email), guesses_from(client)])
    if not is_password(desk, here.person, password):
        desk.people.note("password_wrong", client, person_id=here.person.id, account_id=here.account.id)
        raise WrongPassword(WRONG, field=field)
