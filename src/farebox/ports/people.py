"""What the use cases of people need of the outside: who they are, their passwords, their mail."""

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple, Protocol

from farebox.domain.people import Allowance, Began, Client, Link, Mail, Person, Purpose, Role, Session
from farebox.ports.calls import AccountRow, KeyRow


class OtherAccount(NamedTuple):
    """An account that a person could work in instead."""

    id: str
    email: str


class Visit(NamedTuple):
    """A session with what belongs to it."""

    session: Session
    person: Person
    account: AccountRow
    role: Role
    others: tuple[OtherAccount, ...] = ()

    @property
    def email(self) -> str:
        return self.person.email


class Arrival(NamedTuple):
    """A log-in about to happen: the cookie's digest, how the person proved who they are, and who asks."""

    digest: str
    began: Began
    client: Client


class Entered(NamedTuple):
    """Who came in. With a `code_id` they are not in yet: they have to show their second factor, under this link."""

    person: Person
    account: AccountRow
    is_new_account: bool
    code_id: str | None
    is_new_person: bool


class People(Protocol):
    """People, their sessions and what is mailed to them. Each verb is one transaction.

    Raises:
        LedgerUnavailable: the database cannot be asked.
    """

    def now_us(self) -> int: ...
    def take(self, allowances: Sequence[Allowance]) -> int | None:
        """Count one more of each; where one is full, count none, and say when (µs) there will be room again."""
        ...

    # -- Who is there

    def person_by_email(self, email: str) -> Person | None: ...
    def visit(self, digest: str) -> Visit | None:
        """The session of a cookie, while it lives; one that has ended is deleted."""
        ...

    def sessions(self, person_id: str) -> list[Session]:
        """The sessions that live, the newest first."""
        ...

    # -- Links

    def ask(self, link: Link, *mails: Mail) -> None:
        """Note a link and the mails that go with it: all or nothing."""
        ...

    def link(self, link_id: str) -> Link | None:
        """A link that can be used now: it is unused, not too old, and the newest of its kind."""
        ...

    def used_lately(self, link_id: str) -> Link | None:
        """A link that was used a moment ago, and not just made void."""
        ...

    def confirm(self, link_id: str, password_hash: str | None, plan: str, arrival: Arrival) -> Entered | None:
        """Use a link that confirms an address: find or add the person and their account, and let them in.

        The password is only set for a new person. None where the link cannot be used.

        Raises:
            NotAllowed: they may not come in.
        """
        ...

    def come_in(self, link_id: str, purpose: Purpose, arrival: Arrival, password_hash: str | None) -> Entered | None:
        """Use a link of a known person, and let them in; with a password, set it and end all other sessions.

        Whoever is not known is made a person, where the founder opened an account for their address that nobody is in.
        None where the link cannot be used.

        Raises:
            NotAllowed: they may not come in.
        """
        ...

    # -- Sessions

    def log_in(self, person: Person, arrival: Arrival) -> Entered | None:
        """Let in a person who showed their password; None where it has changed meanwhile.

        Raises:
            NotAllowed: they may not come in.
        """
        ...

    def log_out(self, digest: str) -> None: ...
    def end_session(self, person_id: str, session_id: str) -> bool: ...
    def end_other_sessions(self, person_id: str, session_id: str) -> int: ...
    def authenticated(self, session: Session) -> None:
        """Note that the person of this session has shown again who they are."""
        ...

    # -- Passwords

    def set_password(self, person: Person, password_hash: str, kept: Session, client: Client) -> bool:
        """Set a password, and end all other sessions and open links; False where the old one has changed meanwhile."""
        ...

    def rehash(self, person: Person, password_hash: str) -> None:
        """Store the hash of the same password by today's parameters, unless the password has changed meanwhile."""
        ...

    # -- What happened

    def count(self, allowance: Allowance) -> None:
        """Count one more of something that nobody bounds; it costs as much as `note`."""
        ...

    def note(self, what: str, client: Client, *, person_id: str, account_id: str | None = None) -> None:
        """Write into the audit log, where rows stay: so only of a person, or strangers would fill it."""
        ...


SEEN_DAYS: Final = 90
"""How far back the last use of a key is looked for."""


class KeyUsed(NamedTuple):
    """A key with what it was used for."""

    row: KeyRow
    last_day: str
    """The last UTC day that it was used, as '2026-11-23'; empty if that was long ago, or never."""
    calls: int
    """Since the day that the period began."""
    capped_calls: int
    """What counts on its cap in this period, with calls under way and those of keys that share the cap."""


KeyMade = Literal["made", "again", "full", "gone"]
"""What came of a new key: its id was there already (`again`), the account is `full`, the key to replace is `gone`."""


class Keys(Protocol):
    """The keys of the account that somebody works in. Each verb is one transaction; each change is in the audit log.

    Raises:
        LedgerUnavailable: the database cannot be asked.
    """

    def now_us(self) -> int: ...
    def listed(self, account_id: str, period_start_us: int) -> list[KeyUsed]:
        """The working keys, then some of the others; the newest first in each group."""
        ...

    def named(self, account_id: str, name: str) -> list[KeyRow]:
        """All keys with this name, also those that no longer work; the newest first."""
        ...

    def find(self, account_id: str, key_id: str) -> KeyRow | None: ...
    def add(self, here: Visit, client: Client, new: KeyRow, working_max: int) -> KeyMade:
        """Add a key, unless `working_max` keys work already."""
        ...

    def replace(
        self, here: Visit, client: Client, old: KeyRow, new: KeyRow, grace_us: int, working_max: int
    ) -> KeyMade:
        """Add a key, and have the old one end after the grace; both or neither."""
        ...

    def revoke(self, here: Visit, client: Client, key_id: str) -> bool:
        """False where it was revoked before, or is no key of the account."""
        ...


class Passwords(Protocol):
    """Makes and checks hashes of passwords. Hashing is slow on purpose; only a few are done at once.

    Raises:
        Busy: too many wait already.
    """

    def hash(self, password: str) -> str: ...
    def check(self, password_hash: str | None, password: str) -> bool:
        """Whether the password has this hash; without a hash, False after as much work."""
        ...

    def is_outdated(self, password_hash: str) -> bool: ...


class DueMail(NamedTuple):
    """A mail that this process is to send now."""

    mail: Mail
    is_known: bool
    """Whether a person has this address."""
    is_link_alive: bool
    is_awaited: bool = False
    """Whether the founder opened an account for this address that nobody is in yet."""


class MailOutbox(Protocol):
    """The mails that are to be sent. Looking for them is cheap, as it is done again and again.

    Raises:
        LedgerUnavailable: the database cannot be asked.
    """

    def claim(self) -> DueMail | None:
        """The next mail that is due, which no other process gets for as long as a sending may take."""
        ...

    def sent(self, mail_id: str) -> None: ...
    def put_off(self, mail_id: str, seconds: float, reason: str) -> None: ...
    def give_up(self, mail_id: str, reason: str) -> None: ...
    def forget(self) -> bool:
        """Drop a few mails, links, sessions and counted guesses that have had their time; whether there may be more."""
        ...


class Letter(NamedTuple):
    """A mail, ready to be sent."""

    id: str
    to: str
    subject: str
    text: str
    html: str


class MailRefused(Exception):
    """The server will never take this mail."""


class MailNotSent(Exception):
    """It could not be sent now."""


class Mailer(Protocol):
    """Sends mails."""

    def send(self, letter: Letter) -> None:
        """Hand it over. The same letter has the same Message-ID each time.

        Raises:
            MailRefused: it will never be taken.
            MailNotSent: it may be taken later.
        """
        ...

    def close(self) -> None:
        """Let go of the server: there is nothing more to send for now."""
        ...
