"""The values of the one decision (`decide.py`): who asks, for what, what has been used, and the result."""

from typing import NamedTuple

from farebox.domain.apikey import Mode
from farebox.domain.errors import (
    CallError,
)
from farebox.domain.ledger import Hold, Meter
from farebox.domain.period import MICROSECONDS
from farebox.domain.plan import Plan
from farebox.domain.prices import Price


class Caller(NamedTuple):
    """A key and the account it belongs to, as the database has them."""

    key_id: str
    account_id: str
    mode: Mode
    expires_us: int | None
    revoked_us: int | None
    plan: str
    state: str
    anchor_us: int
    scopes: str = ""
    """The endpoints that the key may call, with a comma between; empty for all of them."""
    cap_calls: int | None = None
    cap_id: str = ""
    """The meter of the key's own cap, which a rotated key shares with its successor; empty where it has none."""
    spend_cap_nanodollars: int | None = None
    customer: str = ""
    """Whose invoice at Stripe pays for overage; empty where the account has no subscription."""
    has_credit: int = 0
    grace_until_us: int | None = None
    """A payment has failed: from this moment on the free plan is in force."""
    trial_end_us: int | None = None
    """Until then there is no invoice, so only credit pays for what is beyond the plan."""


class Once(NamedTuple):
    """An Idempotency-Key: a request that comes again under it is neither run nor charged again.

    `id` is the key's digest, with the mode; `fingerprint` is the digest of the request.
    """

    id: str
    fingerprint: str
    is_stream: bool
    ttl_us: int


class Ask(NamedTuple):
    """A call that asks for admission. Sizes are worst cases: the answers can only be smaller.

    `output_tokens_wanted` and the plan bound each of its `answers`; `output_tokens_total`, if given, bounds all of a
    handler's model calls together.
    """

    call_id: str
    key_digest: str
    endpoint: str
    model: str
    price: Price | None
    input_tokens_max: int
    output_tokens_wanted: int | None
    hold_ttl_us: int
    calls: int = 1
    is_billed: bool = True
    answers: int = 1
    output_tokens_total: int | None = None
    once: Once | None = None


class Cap(NamedTuple):
    """A key's own limit: calls a month, and what has been used of them."""

    calls: int
    meter: Meter

    @property
    def calls_left(self) -> int:
        return max(self.calls - self.meter.posted_calls - self.meter.held_calls, 0)


class Standing(NamedTuple):
    """Where a caller stands: the plan, what it has used, and when. The source of every limit header.

    `cap` is the key's own, if it has one; `prepaid_nanodollars` is the credit left, if the account has bought any and
    it was read.
    """

    plan: Plan
    meter: Meter
    now_us: int
    cap: Cap | None = None
    prepaid_nanodollars: int | None = None

    @property
    def calls_left(self) -> int | None:
        """The plan's calls that are neither used nor held; None, here and below, where it has no such limit."""
        return _left(self.plan.calls, self.meter.posted_calls, self.meter.held_calls)

    @property
    def tokens_left(self) -> int | None:
        return _left(self.plan.tokens, self.meter.posted_tokens, self.meter.held_tokens)

    @property
    def credit_left(self) -> int | None:
        """Nanodollars."""
        meter = self.meter
        return _left(self.plan.credit_nanodollars, meter.posted_nanodollars, meter.held_nanodollars)


class Admitted(NamedTuple):
    hold: Hold
    standing: Standing


class Refused(NamedTuple):
    error: CallError
    standing: Standing | None = None


class Answered(NamedTuple):
    """The answer to the first call with an Idempotency-Key, kept as it was sent."""

    call_id: str
    content_type: str
    body: bytes
    standing: Standing


class Earlier(NamedTuple):
    """What is known of the call that first came with an Idempotency-Key."""

    fingerprint: str
    call_id: str
    is_stream: bool
    expires_us: int
    content_type: str
    body: bytes | None
    is_open: bool
    state: str | None
    is_silent: bool = False
    """The model said nothing: the customer got an error, and the call was free."""


def _left(limit: int | None, posted: int, held: int) -> int | None:
    return None if limit is None else max(limit - posted - held, 0)


def seconds_up(us: int) -> int:
    """Whole seconds to wait, at least one, rounded up: a caller who waits them does not come too early."""
    return max(1, -(-us // MICROSECONDS))
