"""Log in at another service: Google, GitHub, or whichever the settings name. The rule is in docs/accounts.md."""

import hmac
import json
from typing import Final, NamedTuple

from farebox.account.desk import Desk, LoggedIn, arrive, begin_ceremony, ceremony_digest
from farebox.domain import people as rules
from farebox.domain.events import SignedUp
from farebox.domain.people import Client, LinkGone, NotAllowed, PersonError, TooOften, sign_ups_from
from farebox.ports.people import Visit
from farebox.ports.proofs import Known, OtherService, Trip

AGAIN: Final = "This log-in was started in another browser or too long ago, or is already finished. Start again here."
NO_SERVICE: Final = "You cannot log in with this here."
TAKEN: Final = "{service} is already connected to another person here. Disconnect it there first."
NOT_IN: Final = "Meanwhile you logged out, or in as somebody else, so nothing was connected."
REFUSED: Final = "{service} did not say who you are. Try again, or log in another way."
UNVERIFIED: Final = (
    "{service} has not confirmed your address. Log in with a password or an e-mail link, or sign up, and connect "
    "{service} under Settings, Security."
)


class SetOff(NamedTuple):
    """The address that the browser is sent to, and the token of the cookie that it must come back with."""

    address: str
    token: str


class CameBack(NamedTuple):
    """The log-in, or None if a service was connected to a person who was logged in; and the path to go on to."""

    logged_in: LoggedIn | None
    next_path: str


class Answer(NamedTuple):
    """What the browser brings back from the service."""

    state: str
    code: str
    issuer: str


def service_of(desk: Desk, name: str) -> OtherService:
    """The service of this name.

    Raises:
        PersonError: there is none.
    """
    service = desk.proofs.services.get(name)
    if service is None:
        raise LinkGone(NO_SERVICE)
    return service


def set_off(desk: Desk, client: Client, name: str, back: str, next_path: str, person_id: str | None = None) -> SetOff:
    """Send a browser to another service; with a person, to connect it to them.

    Raises:
        PersonError: there is no such service, or it cannot be asked.
        TooOften: this client has begun too often.
    """
    service = service_of(desk, name)
    token = begin_ceremony(desk, client, "oauth", person_id, service=name, next=next_path)
    return SetOff(service.address(_trip(desk, token, back)), token)


def come_back(
    desk: Desk, client: Client, name: str, back: str, token: str, answer: Answer, here: Visit | None
) -> CameBack:
    """Let in the person that the service names, or connect the service to the person who is logged in.

    Raises:
        PersonError: the service names nobody, or has not verified their address.
        LinkGone: it was not begun in this browser, too long ago, or is over.
        NotAllowed: they may not come in, or may not connect it.
    """
    service = service_of(desk, name)
    trip = _trip(desk, token, back)
    if not token or not hmac.compare_digest(trip.state.encode(), answer.state.encode("utf-8", "replace")):
        raise LinkGone(AGAIN)
    ceremony = desk.proofs.ceremonies.end(ceremony_digest(desk, token), "oauth")
    begun = json.loads(ceremony.data) if ceremony is not None else {}
    if ceremony is None or begun["service"] != name:
        raise LinkGone(AGAIN)
    if not answer.code:
        raise PersonError(REFUSED.format(service=service.label))
    known = service.known(trip, answer.code, answer.issuer)
    next_path = str(begun["next"])
    if ceremony.person_id is None:
        return CameBack(_log_in(desk, client, service, known), next_path)
    if here is None or here.person.id != ceremony.person_id:
        raise NotAllowed(NOT_IN)
    if not desk.proofs.identities.connect(here.person, known, service.label, client):
        raise NotAllowed(TAKEN.format(service=service.label))
    desk.mail_written()
    return CameBack(None, next_path)


def disconnect(desk: Desk, here: Visit, client: Client, issuer: str, subject: str) -> None:
    """Disconnect an identity of theirs, which lets nobody in any more."""
    label = label_of(desk, issuer)
    if desk.proofs.identities.disconnect(here.person, issuer, subject, label, client):
        desk.mail_written()


def label_of(desk: Desk, issuer: str) -> str:
    """A service as people know it; one that the settings no longer name, by its address."""
    return next((each.label for each in desk.proofs.services.values() if each.issuer == issuer), issuer)


def _log_in(desk: Desk, client: Client, service: OtherService, known: Known) -> LoggedIn:
    is_news = known.email is not None and desk.proofs.identities.is_news(known)
    if is_news and desk.people.take([sign_ups_from(client)]) is not None:
        raise TooOften("Too many sign-ups from your network. Try again in an hour.")
    plan = desk.product.plans[0].name
    came = arrive(
        desk, "oauth", client, lambda arrival: desk.proofs.identities.log_in(known, service.label, plan, arrival)
    )
    if came is None:
        raise PersonError(UNVERIFIED.format(service=service.label))
    account = came.entered.account
    if came.entered.is_new_account:
        desk.tell(SignedUp(account.id, account.plan, account.email))
    desk.mail_written()
    return came


def _trip(desk: Desk, token: str, back: str) -> Trip:
    """The trip, derived from the cookie's token, so that no other browser can come back from it."""
    state, nonce, verifier = (rules.digest(desk.secret, f"oauth {what}", token) for what in ("state", "nonce", "pkce"))
    return Trip(back, state, nonce, verifier)
