"""What the core needs of the outside. A port is a page of verbs; each adapter passes the same tests."""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from farebox.domain.admission import Admitted, Ask, Refused, Standing
from farebox.domain.apikey import Mode
from farebox.domain.ledger import Ending, Hold, Outcome, Spent


class Recorded(NamedTuple):
    """A call's outcome as it stands in the database, and where its caller stands after it."""

    outcome: Outcome
    standing: Standing | None


class Ledger(Protocol):
    """The one authority on what may pass and what was used."""

    async def admit(self, ask: Ask) -> Admitted | Refused:
        """Decide, and on admission have the hold on the disk.

        Raises:
            LedgerUnavailable: the database cannot be asked; nothing may be spent.
        """
        ...

    async def record(self, hold: Hold, ending: Ending, spent: Spent, deadline: float) -> Recorded:
        """Have the outcome on the disk; tries again until `deadline` (monotonic seconds) while the database is away.

        Raises:
            LedgerUnavailable: the database did not come back in time; the hold will expire.
            HoldLost: the hold has another outcome already.
        """
        ...

    async def expire(self) -> int:
        """Expire the holds whose time to live is over; how many there were."""
        ...

    async def standing(self, key_digest: str) -> Standing:
        """Where the holder of a key stands, holding nothing.

        Raises:
            CallError: the key is not valid, its account is suspended, or its plan is gone.
            LedgerUnavailable: the database cannot be asked.
        """
        ...

    async def check(self) -> None:
        """Ask the database for a sign of life.

        Raises:
            LedgerUnavailable: there is none, or the schema is not the one this code needs.
        """
        ...


class Reply(NamedTuple):
    """What a provider answered, as bytes."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Upstream(Protocol):
    """A model behind the OpenAI wire."""

    async def complete(self, body: bytes, seconds_max: float) -> Reply:
        """Send one chat completion request and read the whole answer; any status is an answer.

        Raises:
            UpstreamTimeout: no whole answer within `seconds_max`.
            UpstreamFailed: no answer came: refused, reset, not resolved, not trusted.
        """
        ...


class AccountRow(NamedTuple):
    """An account as it is stored."""

    id: str
    email: str
    plan: str
    state: str
    anchor_us: int
    created_us: int


class KeyRow(NamedTuple):
    """A key as it is stored: what it was digested to, and what a list may show."""

    account_id: str
    id: str
    digest: str
    name: str
    mode: Mode
    prefix: str
    last4: str
    created_us: int
    expires_us: int | None
    revoked_us: int | None


class Accounts(Protocol):
    """Accounts and their keys. Each verb is one transaction.

    Raises:
        LedgerUnavailable: the database cannot be asked.
    """

    def now_us(self) -> int: ...
    def account_by_email(self, email: str) -> AccountRow | None: ...
    def add_account(self, row: AccountRow) -> bool:
        """False, and nothing added, where the address is taken."""
        ...

    def set_plan(self, account_id: str, plan: str) -> None: ...
    def list_keys(self, email: str | None = None) -> list[tuple[str, KeyRow]]:
        """The keys, with the address of their account, in the order of addresses and of age."""
        ...

    def find_keys(self, what: str, digest: str) -> list[KeyRow]:
        """The keys with this id or digest, and those not revoked that end in these four characters."""
        ...

    def add_key(self, row: KeyRow) -> bool:
        """False, and nothing added, where the key is there already."""
        ...

    def revoke_key(self, account_id: str, key_id: str) -> bool:
        """False where it was revoked before; it keeps that moment."""
        ...

    def replace_key(self, old: KeyRow, new: KeyRow, grace_us: int) -> bool:
        """Add a key, and have the old one expire; False, and nothing done, where the old one no longer works."""
        ...
