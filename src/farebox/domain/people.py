"""People who log in: their rows as they are stored, and the rules that need no clock and no database."""

import hmac
import ipaddress
import re
from typing import Final, Literal, NamedTuple

from farebox.domain.apikey import base62
from farebox.domain.period import MICROSECONDS

Role = Literal["owner", "member"]
Began = Literal["password", "mail", "oauth", "passkey"]
Purpose = Literal["confirm", "magic", "reset", "invite", "change", "code"]
CeremonyKind = Literal["passkey", "totp", "oauth"]

MINUTE_US: Final = 60 * MICROSECONDS
HOUR_US: Final = 60 * MINUTE_US
DAY_US: Final = 24 * HOUR_US

SESSION_IDLE_US: Final = 14 * DAY_US
SESSION_MAX_US: Final = 90 * DAY_US
SEEN_EVERY_US: Final = 10 * MINUTE_US  # so that most visits write nothing
FRESH_US: Final = 10 * MINUTE_US
LINK_US: Final[dict[Purpose, int]] = {
    "confirm": DAY_US,
    "magic": 10 * MINUTE_US,
    "reset": 30 * MINUTE_US,
    "invite": 7 * DAY_US,
    "change": HOUR_US,
    "code": 10 * MINUTE_US,  # the second step of a log-in: never mailed
}

COUNTED_US: Final = 15 * MINUTE_US
"""How long it is counted what was done with an address, at most: that count names it."""

USED_LATELY_US: Final = 2 * MINUTE_US
"""How long a used link still works for the browser that used it: its button may have been pressed twice."""

LAST_MAILS: Final = frozenset({"removed", "account_deleted"})
"""Mails whose address and data are deleted once they are sent: the person may be deleted, too."""

CEREMONY_US: Final = 10 * MINUTE_US

TOKEN_CHARS: Final = 43  # 256 bits
EMAIL_CHARS_MAX: Final = 254
USER_AGENT_CHARS_MAX: Final = 300
# As browsers check it (HTML, "valid e-mail address"): nothing that could be two addresses, or a header.
_EMAIL = re.compile(
    r"[a-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*",
    re.ASCII,
)
_LINK_TOKEN = re.compile(r"([0-9a-f]{32})-([0-9A-Za-z]{43})", re.ASCII)


class Person(NamedTuple):
    """A human who logs in."""

    id: str
    email: str
    password_hash: str | None
    confirmed_us: int
    totp_secret: bytes | None
    totp_last_step: int | None
    created_us: int


class Member(NamedTuple):
    """A person in an account."""

    account_id: str
    person_id: str
    role: Role
    joined_us: int
    has_limit_mails: int = 1
    """Whether an owner is written to when a limit comes near."""


class Session(NamedTuple):
    """A browser that is logged in as a person, working in one account."""

    digest: str
    id: str
    person_id: str
    account_id: str
    began: Began
    created_us: int
    seen_us: int
    expires_us: int
    authenticated_us: int
    address: str
    user_agent: str


class Link(NamedTuple):
    """A link that works once. Only the newest of a purpose, an address and an account works."""

    id: str
    purpose: Purpose
    email: str
    person_id: str | None
    """Whose it is, where that is known; of an invitation, who made it."""
    account_id: str | None
    data: str
    created_us: int
    expires_us: int
    used_us: int | None


class Passkey(NamedTuple):
    """A key pair whose other half never leaves a person's device."""

    id: str
    person_id: str
    public_key: bytes
    sign_count: int
    transports: str
    name: str
    created_us: int
    used_us: int | None


class Identity(NamedTuple):
    """Who a person is at another service. The subject alone names nobody: it is the issuer's."""

    issuer: str
    subject: str
    person_id: str
    created_us: int


class Ceremony(NamedTuple):
    """Something that a browser began elsewhere, as at an authenticator or another service, and comes back from once."""

    digest: str
    kind: CeremonyKind
    person_id: str | None
    data: str
    expires_us: int


class Mail(NamedTuple):
    """A mail to send; it contains no token. `next_us` is None once it was sent or given up."""

    id: str
    email: str
    template: str
    data: str
    link_id: str | None
    created_us: int
    next_us: int | None
    tries: int
    sent_us: int | None
    failed: str
    account_id: str | None = None
    """The account that it is about, and with which it is deleted."""


class Client(NamedTuple):
    """Who asks: the address, and what the browser calls itself."""

    address: str
    user_agent: str

    @property
    def network(self) -> str:
        """The client's network, an IPv4 /24 or an IPv6 /48, which may be kept when the customer has gone."""
        try:
            address = ipaddress.ip_address(self.address)
        except ValueError:
            return ""
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        address = mapped or address
        bits = 24 if isinstance(address, ipaddress.IPv4Address) else 48
        return str(ipaddress.ip_network((address, bits), strict=False))


class Allowance(NamedTuple):
    """How often something may be done: at most `most` times in any window of this length."""

    subject: str
    most: int
    window_us: int


def guesses_of(email: str) -> Allowance:
    """Guesses at a person's password."""
    return Allowance(f"guess {email}", 10, COUNTED_US)


def guesses_of_nobody(email: str) -> Allowance:
    """The same where nobody has the address, counted once more, without a bound: `guesses_of` has one."""
    return Allowance(f"nobody {email}", 1000, COUNTED_US)


def codes_of(person_id: str) -> Allowance:
    """Guesses at a person's second factor: counted apart, so that they cannot be used up without the first one."""
    return Allowance(f"code {person_id}", 10, 15 * MINUTE_US)


def ceremonies_from(client: Client) -> Allowance:
    """How often one client can begin to log in by a passkey, or at another service."""
    return Allowance(f"ceremony from {_source(client)}", 300, 15 * MINUTE_US)


def guesses_from(client: Client) -> Allowance:
    """Guesses from one client at anybody's password."""
    return Allowance(f"guess from {_source(client)}", 200, 15 * MINUTE_US)


def mails_to(email: str, purpose: Purpose) -> Allowance:
    """Mails that strangers can have sent to an address; once the links in them are over, its owner can have another."""
    return Allowance(f"{purpose} {email}", 5, min(COUNTED_US, LINK_US[purpose]))


def mails_from(client: Client) -> Allowance:
    """Mails that one client can have sent, to whomever."""
    return Allowance(f"mail from {_source(client)}", 60, HOUR_US)


def invitations_by(account_id: str) -> Allowance:
    """Mails that the owners of an account can have sent to whomever."""
    return Allowance(f"invitation by {account_id}", 50, HOUR_US)


def exports_by(person_id: str) -> Allowance:
    """How often a person can export all that is kept."""
    return Allowance(f"export by {person_id}", 10, HOUR_US)


def sign_ups_from(client: Client) -> Allowance:
    return Allowance(f"sign-up from {_source(client)}", 20, HOUR_US)


def _source(client: Client) -> str:
    """What counts as one client: an IPv4 address, or the whole /64 that an IPv6 customer has."""
    try:
        address = ipaddress.ip_address(client.address)
    except ValueError:
        return client.address
    if isinstance(address, ipaddress.IPv6Address):
        return str(address.ipv4_mapped or ipaddress.ip_network((address, 64), strict=False))
    return str(address)


# -- What a person at a page is told --------------------------------------------------------------------------


class PersonError(Exception):
    """A sentence for the person at the page, and the field of the form that it stands beside."""

    status = 422

    def __init__(self, detail: str, *, field: str = "", retry_after_seconds: int | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.field = field
        self.retry_after_seconds = retry_after_seconds


class WrongPassword(PersonError):
    """The address and the password do not belong together, or were not even compared."""


class LinkGone(PersonError):
    """The link was used, is too old, or is not the newest."""

    status = 410


class NotAllowed(PersonError):
    """This person may not do it, or not now."""

    status = 403


class Suspended(NotAllowed):
    """All accounts that this person is in are suspended."""


class TooOften(PersonError):
    """It was done as often as is allowed."""

    status = 429


class Busy(PersonError):
    """So many people log in that this one has to wait."""

    status = 503


# -- Rules ----------------------------------------------------------------------------------------------------


def address_of(text: str) -> str:
    """An e-mail address as it is stored.

    Raises:
        PersonError: it is none.
    """
    written = text.strip()
    address = written.lower()
    # Some other letters become ours in lower case: the Kelvin sign would be a k, and the address somebody else's.
    if not written.isascii() or len(address) > EMAIL_CHARS_MAX or not _EMAIL.fullmatch(address):
        raise PersonError("This is not an e-mail address; write it as name@example.com.", field="email")
    return address


def is_alive(session: Session, now_us: int) -> bool:
    return now_us < session.expires_us and now_us < session.seen_us + SESSION_IDLE_US


def is_fresh(session: Session, now_us: int) -> bool:
    """Whether the person showed who they are a moment ago, as changing the address or deleting asks for."""
    return now_us < session.authenticated_us + FRESH_US


def digest(secret: bytes, kind: str, token: str) -> str:
    """What is stored of a random token: HMAC-SHA-256 under the server's secret, in hex."""
    return hmac.digest(secret, f"{kind} {token}".encode(), "sha256").hex()


def link_token(secret: bytes, link_id: str) -> str:
    """The token of a link, which is made again whenever it is needed, and kept nowhere."""
    seal = hmac.digest(secret, f"link {link_id}".encode(), "sha256")
    return f"{link_id}-{base62(int.from_bytes(seal), TOKEN_CHARS)}"


def session_token(secret: bytes, link_id: str, opened: str) -> str:
    """The token of the session that a link begins in the browser that opened it, which has the cookie `opened`."""
    seal = hmac.digest(secret, f"session of {link_id} {opened}".encode(), "sha256")
    return base62(int.from_bytes(seal), TOKEN_CHARS)


def link_id_of(secret: bytes, token: str) -> str | None:
    """The id of the link whose token this is; None where we did not make it."""
    match = _LINK_TOKEN.fullmatch(token)
    if match is None or not hmac.compare_digest(link_token(secret, match[1]), token):
        return None
    return match[1]
