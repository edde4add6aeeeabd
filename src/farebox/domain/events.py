"""What a founder can listen to."""

from dataclasses import dataclass
from typing import Final

from farebox.domain.admission import Standing
from farebox.domain.ledger import Hold, Outcome
from farebox.domain.limits import Limit, steps

NEAR_PERCENT: Final = 80
ALL_PERCENT: Final = 100


@dataclass(frozen=True, slots=True)
class SignedUp:
    """An account was opened."""

    account: str
    plan: str
    email: str


@dataclass(frozen=True, slots=True)
class LimitNear:
    """With this call, an account has used 80 % of one of its plan's limits; credit is in 10⁻⁹ USD."""

    account: str
    plan: str
    limit: Limit
    used: int
    most: int


@dataclass(frozen=True, slots=True)
class LimitReached:
    """With this call, an account has used all of one of its plan's limits; credit is in 10⁻⁹ USD."""

    account: str
    plan: str
    limit: Limit
    used: int
    most: int


@dataclass(frozen=True, slots=True)
class PaymentFailed:
    """A payment did not go through."""

    account: str
    plan: str


Event = SignedUp | LimitNear | LimitReached | PaymentFailed
NAMES: Final[dict[str, type[Event]]] = {
    "signed_up": SignedUp,
    "limit_near": LimitNear,
    "limit_reached": LimitReached,
    "payment_failed": PaymentFailed,
}
NAME_OF: Final = {event: name for name, event in NAMES.items()}


def crossed(hold: Hold, outcome: Outcome, after: Standing) -> list[Event]:
    """The events of limits that this very call has come near to, or reached; none for a test key."""
    plan, meter = after.plan, after.meter
    if hold.mode != "live" or meter.period_start_us != hold.period_start_us:
        return []
    found: list[Event] = []
    for now, percent in steps(plan, meter, outcome):
        if percent == ALL_PERCENT:
            found.append(LimitReached(hold.account_id, plan.name, *now))
        elif percent == NEAR_PERCENT:
            found.append(LimitNear(hold.account_id, plan.name, *now))
    return found
