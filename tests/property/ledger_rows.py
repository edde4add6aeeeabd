"""What the model of the ledger writes down: accounts, their keys, what they bought, and their calls."""

from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from farebox.domain.admission import Ask
from farebox.domain.plan import Plan

Row = tuple[Any, ...]
Owner = tuple[str, str]  # account and mode
Sums = tuple[int, ...]  # calls, tokens, nanodollars

HOLD_COLUMNS: Final = 27
CAP_CALLS: Final = 21  # a column of a hold
STATES: Final = {"post": "posted", "post_free": "posted", "void": "voided", "expire": "expired"}
NONE: Final[Sums] = (0, 0, 0)


@dataclass
class Key:
    account: str
    key_id: str
    mode: str
    expires_us: int | None = None
    revoked_us: int | None = None
    scopes: frozenset[str] = frozenset()
    cap_calls: int | None = None
    cap_id: str = ""


@dataclass
class Account:
    plan: str
    anchor_us: int
    state: str = "active"
    spend_cap: int | None = None
    customer: str = ""
    has_lapsed_from_us: int | None = None
    is_trying_until_us: int = 0
    grants: "list[Bought]" = field(default_factory=list)


@dataclass
class Bought:
    """A grant. What is spent and held of it is counted call by call; what is taken back follows from that."""

    name: str
    amount: int
    expires_us: int
    created_us: int
    due: int = 0
    spent: int = 0
    held: int = 0

    @property
    def taken(self) -> int:
        return min(self.due, self.amount - self.spent - self.held)

    @property
    def left(self) -> int:
        return self.amount - self.spent - self.held - self.taken


class Call(NamedTuple):
    """A call that was admitted: its row as far as it is known then, and where its sums count.

    `of_key` is the meter of its key's cap; None where the key has none.
    """

    row: Row
    meter: Row
    of_key: Row | None
    most: Sums
    ask: Ask
    plan: Plan
    longest: int
    fixed: int
    credit: tuple[tuple[Bought, int], ...]


class Told(NamedTuple):
    """A refusal by the burst: when its caller may try again, and what it was told of."""

    until_us: int
    steps_back: int
    meter: Row


@dataclass
class Passed:
    """What an owner's bucket has passed: the time that had flowed by then, the clock's steps back, and the meter."""

    admitted: list[tuple[int, int, Row]] = field(default_factory=list)
    told: Told | None = None  # since the last admission


def limits(plan: Plan) -> tuple[int | None, int | None, int | None]:
    """What a plan's meter may not pass: calls, tokens, nanodollars."""
    return (
        None if plan.overage_nanodollars is not None else plan.calls,
        None if plan.overage_per_mtok is not None else plan.tokens,
        None if plan.credit_overage else plan.credit_nanodollars,
    )
