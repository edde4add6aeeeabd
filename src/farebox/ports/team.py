"""What the use cases around an account need of the outside: its people, its plan, its limits, its end."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple, Protocol

from farebox.domain.ledger import Meter
from farebox.domain.limits import Limit
from farebox.domain.people import Client, Link, Mail, Role
from farebox.domain.period import Period
from farebox.ports.calls import AccountRow
from farebox.ports.people import Arrival, Entered, Visit


class TeamMember(NamedTuple):
    """A person in an account, as the others see them."""

    person_id: str
    email: str
    role: Role
    joined_us: int


class Invitation(NamedTuple):
    """An invitation that can still be accepted."""

    id: str
    email: str
    role: Role
    created_us: int
    expires_us: int


class Invited(NamedTuple):
    """An invitation as the holder of its link sees it. A new person sets a password on the way in."""

    invitation: Invitation
    account: AccountRow
    is_new: bool


class Joined(NamedTuple):
    """Who accepted an invitation. Only a new person is logged in by it."""

    person_id: str
    account: AccountRow
    entered: Entered | None


class Team(Protocol):
    """The people of an account. Each verb is one transaction; one that changes something checks the person again.

    Raises:
        NotAllowed: they may not do it (any more), or it would leave the account without an owner.
        LedgerUnavailable: the database cannot be asked.
    """

    def members(self, account_id: str) -> list[TeamMember]:
        """Owners first, then in the order in which they came."""
        ...

    def invitations(self, account_id: str) -> list[Invitation]:
        """The open invitations, the newest first."""
        ...

    def invite(self, here: Visit, link: Link, mail: Mail, client: Client) -> None:
        """Note an invitation and the mail that brings it; an older one to the same address no longer works.

        Raises:
            PersonError: the address is in the account already, or the account is full.
        """
        ...

    def revoke(self, here: Visit, link_id: str, client: Client) -> bool:
        """End an invitation; False where the account has no such open one."""
        ...

    def invited(self, link_id: str) -> Invited | None: ...
    def accept(self, link_id: str, password_hash: str | None, arrival: Arrival) -> Joined | None:
        """Let the invited address join. Without a password only a known person can; None where the link is gone.

        Raises:
            PersonError: somebody new needs a password.
        """
        ...

    def set_role(self, here: Visit, person_id: str, role: Role, client: Client) -> bool:
        """Change a role; who is no owner any more has no open invitations. False where there is no such member."""
        ...

    def remove(self, here: Visit, person_id: str, client: Client) -> bool:
        """Take a person (oneself, too) out of the account; their sessions in it, and their open invitations, end.

        A person in no other account is deleted. False where the account has no such member.
        """
        ...

    def switch(self, here: Visit, account_id: str, client: Client) -> bool:
        """Have this session work in another account of its person; False where they have no such account."""
        ...


class AccountUse(NamedTuple):
    """What an account has used in the period under way, and what it may."""

    account_id: str
    email: str
    plan: str
    spend_cap_nanodollars: int | None
    meter: Meter
    grace_until_us: int | None
    now_us: int


class LimitMarks(Protocol):
    """Which marks on the way to a limit were reported. Without SQLAlchemy: serving processes look here.

    Raises:
        LedgerUnavailable: the database cannot be asked.
    """

    def use(self, account_ids: Sequence[str]) -> list[AccountUse]:
        """The live use of those that have called in this period."""
        ...

    def use_of_all(self, after: str) -> list[AccountUse]:
        """The same for the next accounts after this id; none at the end."""
        ...

    def noted(self, account_id: str, period_start_us: int) -> set[tuple[Limit, int]]: ...
    def note(self, use: AccountUse, limit: Limit, percents: Sequence[int], told: str) -> int:
        """Note marks and, if the last one is new, mail the owners who want that; return how many mails."""
        ...


class PlanView(NamedTuple):
    """An account's plan page, in one state of the database."""

    now_us: int
    period: Period
    meter: Meter | None
    marks: set[tuple[Limit, int]]
    has_limit_mails: bool


class Plans(Protocol):
    """What an account chose. Each verb is one transaction.

    Raises:
        NotAllowed: they may not do it (any more).
        LedgerUnavailable: the database cannot be asked.
    """

    def view(self, here: Visit) -> PlanView: ...
    def choose(self, here: Visit, plan: str, client: Client) -> None:
        """Choose a plan, unless the account pays for one."""
        ...

    def set_spend_cap(self, here: Visit, nanodollars: int | None, client: Client) -> None: ...
    def set_limit_mails(self, here: Visit, client: Client, *, wanted: bool) -> None:
        """Choose whether this person gets this account's limit mails."""
        ...


ACTIVITY_MAX: Final = 50
Row = dict[str, Any]


class Part(NamedTuple):
    """A table of an export; a page of its rows is read when it is asked for."""

    name: str
    pages: Callable[[], Iterator[Sequence[Row]]]


class Happened(NamedTuple):
    """A line of the audit log. Addresses are those that its people have now; people who are gone have none."""

    id: str
    at_us: int
    what: str
    email: str | None
    """Who did it."""
    network: str
    facts: dict[str, str]
    about: str
    """Who it was done to."""


class Archive(Protocol):
    """What is kept of an account or of a person, for exports and pages: no secret, and nothing of others.

    Raises:
        LedgerUnavailable: the database cannot be asked.
    """

    def of_account(self, account_id: str) -> list[Part]: ...
    def of_person(self, person_id: str) -> list[Part]: ...
    def happened(self, account_id: str, before: tuple[int, str] | None) -> list[Happened]:
        """The next lines of its audit log, the newest first: at most `ACTIVITY_MAX`."""
        ...

    def note(self, here: Visit, what: str, client: Client) -> None:
        """Write into the audit log."""
        ...


class Closing(Protocol):
    """The end of an account."""

    def refuse_calls(self, here: Visit, client: Client) -> int:
        """Refuse all working keys of the account; return the moment, by which `take_calls` has them work again.

        Keys that a broken-off deletion had refused are included: from then on this deletion holds them.

        Raises:
            NotAllowed: the person is no owner any more, or another deletion has just refused the keys.
            LedgerUnavailable: the database cannot be asked.
        """
        ...

    def take_calls(self, here: Visit, client: Client, refused_us: int) -> None:
        """Have the keys that were refused at this moment work again, unless the account is closed.

        Those that somebody has revoked meanwhile stay revoked.
        """
        ...

    def close(self, here: Visit, client: Client) -> None:
        """Close it for good, in one transaction; what it was charged stays, without a name.

        Raises:
            NotAllowed: they are no owner any more.
            LedgerUnavailable: the database cannot be asked.
        """
        ...
