"""What calls need of the outside: the ledger, providers, accounts and keys; and what customers read of their use."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from farebox.domain.admission import Admitted, Answered, Ask, Refused, Standing
from farebox.domain.apikey import Mode
from farebox.domain.ledger import Ending, Hold, Meter, Outcome, Spent
from farebox.domain.period import Period
from farebox.domain.reading import Search, Sums


class Recorded(NamedTuple):
    """A call's outcome as it stands in the database, and where its caller stands after it."""

    outcome: Outcome
    standing: Standing | None


class Kept(NamedTuple):
    """The answer to keep for an Idempotency-Key, in the transaction that records its call."""

    once_id: str
    render: Callable[[Outcome, Standing | None], tuple[str, bytes]]
    """Its content type and body, which may say where the caller stands: only that transaction knows it."""


class CallRow(NamedTuple):
    """A call as it is stored; without an outcome it is under way."""

    hold: Hold
    outcome: Outcome | None


class Ledger(Protocol):
    """The one authority on what may pass and what was used."""

    async def admit(self, ask: Ask) -> Admitted | Refused | Answered:
        """Decide; the hold of an admitted call is committed when this returns, and outlives the process.

        It is on the disk as well, or a few milliseconds later, where the call is the only one (decision 32).

        Raises:
            LedgerUnavailable: the database cannot be asked; nothing may be spent.
        """
        ...

    async def record(
        self, hold: Hold, ending: Ending, spent: Spent, deadline: float, kept: Kept | None = None
    ) -> Recorded:
        """Write the outcome to disk; tries again until `deadline` (monotonic seconds) while the database is away.

        Raises:
            LedgerUnavailable: the database did not come back in time; the hold will expire.
            HoldLost: the hold has another outcome already.
        """
        ...

    async def expire(self) -> int:
        """Expire the holds whose time to live is over; return how many."""
        ...

    async def forget(self) -> bool:
        """Delete answers whose time to be kept is over; return whether there is more to delete, soon."""
        ...

    async def standing(self, key_digest: str) -> Standing:
        """Where the holder of a key stands; puts nothing on hold.

        Raises:
            CallError: the key is not valid, its account is suspended, or its plan is gone.
            LedgerUnavailable: the database cannot be asked.
        """
        ...

    async def find(self, key_digest: str, call_id: str) -> CallRow | None:
        """A call of the key's account, in the key's mode.

        Raises:
            CallError: the key is not valid, or its account is suspended.
            LedgerUnavailable: the database cannot be asked.
        """
        ...

    async def check(self) -> None:
        """Check that the database answers and, unless it took a call lately, that it takes writes.

        Raises:
            LedgerUnavailable: it does not, or its schema is not the one that this code needs.
        """
        ...


class Reply(NamedTuple):
    """What a provider answered, as bytes."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Streamed(Protocol):
    """An answer that comes in pieces."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]:
        """`retry-after` and `content-type`, where they were sent."""
        ...

    async def read(self) -> bytes:
        """The next piece, or nothing at the end. The provider is held back while nobody reads.

        Raises:
            UpstreamTimeout: the stream took longer than it may, or fell silent after its first piece.
            UpstreamFailed: it broke off.
        """
        ...

    async def close(self) -> None:
        """Close the stream, any number of times; if its body was not read to the end, the connection is closed at once.

        The caller cancels a read under way first: beside one, this waits for the provider.
        """
        ...


class Upstream(Protocol):
    """A model provider behind the OpenAI wire. `path` is "/chat/completions", "/responses" or "/embeddings"."""

    async def send(self, path: str, body: bytes, seconds_max: float) -> Reply:
        """Send one request and read the whole answer; any status is an answer.

        Raises:
            UpstreamTimeout: no whole answer within `seconds_max`.
            UpstreamFailed: no answer came: refused, reset, not resolved, not trusted.
        """
        ...

    async def stream(self, path: str, body: bytes, seconds_max: float) -> Streamed:
        """Send one request and read the answer's head; `seconds_max` bounds the head and the whole stream after it.

        Raises:
            UpstreamTimeout: no head within `seconds_max`.
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
    spend_cap_nanodollars: int | None = None
    closed_us: int | None = None
    customer_id: str = ""
    is_subscribed: int = 0
    has_credit: int = 0
    grace_until_us: int | None = None
    trial_end_us: int | None = None


class KeyRow(NamedTuple):
    """A key as it is stored: its digest, and what a list may show."""

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
    scopes: str = ""
    """The endpoints that it may call, with a comma between; empty for all of them."""
    cap_calls: int | None = None
    """The most calls a month, chosen when the key is made and never changed."""
    cap_id: str = ""
    """Where its cap is counted: its own id, or that of the key that it replaced; empty without a cap."""


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

    def list_accounts(self) -> Sequence[tuple[AccountRow, str]]:
        """Those that are open, in the order of addresses, with the status of their last subscription, or ''."""
        ...

    def set_plan(self, account_id: str, plan: str) -> None: ...
    def move(self, account_id: str, plan: str) -> bool:
        """Move the account to a plan that it did not buy, and forget which marks of the old one's limits were told of.

        False, and nothing done, where a subscription ever began.
        """
        ...

    def set_suspended(self, account_id: str, *, is_suspended: bool) -> bool:
        """Suspend it in whichever state it is, or have it active; False where it was, or was not, suspended before."""
        ...

    def list_keys(self, email: str | None = None) -> list[tuple[str, KeyRow]]:
        """The keys, with the address of their account, in the order of addresses and of age."""
        ...

    def find_keys(self, what: str, digest: str) -> list[KeyRow]:
        """The keys with this id or digest, and the unrevoked keys that end in these four characters."""
        ...

    def add_key(self, row: KeyRow) -> bool:
        """False, and nothing added, where the key is there already.

        Raises:
            FounderError: the account was deleted, or is being deleted.
        """
        ...

    def revoke_key(self, account_id: str, key_id: str) -> bool:
        """Revoke a key; False where it was revoked before: that moment stays."""
        ...

    def replace_key(self, old: KeyRow, new: KeyRow, grace_us: int) -> bool:
        """Add a key, and have the old one expire; False, and nothing done, where the old one no longer works.

        Raises:
            FounderError: the account was deleted, or is being deleted.
        """
        ...


class Summary(NamedTuple):
    """Where an account stands, in one state of the database."""

    now_us: int
    period: Period
    """The one under way for live calls."""
    meters: Mapping[str, Meter]
    """The meters under way, by mode, if anything was called."""
    days: Sequence[Sums]
    """What the live calls of the last days came to; a day without any is left out."""
    calls: Sequence[CallRow]
    """The last ones, the newest first."""
    keys: Mapping[str, KeyRow]
    """The keys of these calls, by their ids."""
    has_key: bool


class PeriodUse(NamedTuple):
    """What an account used in one billing period, in one mode, in one state of the database."""

    now_us: int
    periods: Sequence[Period]
    """All that there were, the newest first."""
    current: Period
    """The one under way for calls of this mode."""
    period: Period
    meter: Meter | None
    days: Sequence[Sums]
    endpoints: Sequence[Sums]
    """These, and the two below, cover the whole period; the one with the most calls comes first."""
    keys: Sequence[Sums]
    models: Sequence[Sums]
    key_rows: Mapping[str, KeyRow]


class DayUse(NamedTuple):
    """The sums of one key's calls of one endpoint on one day."""

    mode: Mode
    endpoint: str
    key_id: str
    sums: Sums


class Found(NamedTuple):
    """The result of a search."""

    calls: Sequence[CallRow]
    older: str
    """Where to go on, as `Search.before`; empty at the end."""
    searched_to_us: int | None
    """How far back the search has looked, if it stopped before the end."""
    now_us: int
    keys: Mapping[str, KeyRow]
    """The keys of these calls, and the account's newest."""
    endpoints: Sequence[str]
    """The endpoints called lately."""


class Readings(Protocol):
    """What an account has used, as its customer reads it. Each verb is one transaction, and sees one account only.

    No verb looks at more than a bounded number of calls, however many there are.

    Raises:
        LedgerUnavailable: the database cannot be asked.
    """

    def summary(self, account_id: str, anchor_us: int) -> Summary: ...
    def period(self, account_id: str, anchor_us: int, mode: Mode, start_us: int | None) -> PeriodUse | None:
        """The use of the period that starts then, or of the one under way; None where no period starts then."""
        ...

    def find(self, account_id: str, search: Search) -> Found: ...
    def call(self, account_id: str, call_id: str) -> tuple[CallRow, KeyRow | None] | None:
        """One call, with its key."""
        ...

    def has_calls(self, account_id: str) -> bool:
        """Whether the account has ever made a call."""
        ...

    def keys(self, account_id: str, key_ids: Sequence[str]) -> Mapping[str, KeyRow]: ...
    def all_use(self, account_id: str, period: Period) -> Iterator[Sequence[DayUse]]:
        """The use of each day of a period; a day is one transaction, read when it is asked for."""
        ...

    def all_calls(self, account_id: str, period: Period) -> Iterator[Sequence[CallRow]]:
        """All calls that a period admitted, in their order; a page is one transaction, read when it is asked for."""
        ...
