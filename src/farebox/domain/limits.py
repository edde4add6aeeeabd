"""How much of its limits an account has used, and which marks on the way are reported."""

from typing import Final, Literal, NamedTuple

from farebox.domain.ledger import Hold, Meter, Outcome
from farebox.domain.plan import Plan

PERCENTS: Final = (50, 80, 100)

Limit = Literal["calls", "tokens", "credit", "spend_cap"]


class Used(NamedTuple):
    """A limit, and how much of it is used; money is in nanodollars."""

    limit: Limit
    used: int
    most: int

    @property
    def percent(self) -> int:
        return reached(self.used, self.most)


def reached(used: int, most: int) -> int:
    """The highest mark that is reached, in per cent; 0 before the first one, and where there is nothing to use."""
    if not most or used * 100 < most * PERCENTS[0]:
        return 0
    return max(percent for percent in PERCENTS if used * 100 >= most * percent)


def marks_up_to(percent: int) -> tuple[int, ...]:
    """A mark, and those that lie before it."""
    return tuple(each for each in PERCENTS if each <= percent)


def used_of(plan: Plan, meter: Meter, spend_cap_nanodollars: int | None) -> list[Used]:
    """All limits, the plan's and the customer's own, and what is used of them. What is only held is not used yet."""
    limits: tuple[tuple[Limit, int, int | None], ...] = (
        ("calls", meter.posted_calls, plan.calls),
        ("tokens", meter.posted_tokens, plan.tokens),
        ("credit", meter.posted_nanodollars, plan.credit_nanodollars),
        ("spend_cap", meter.posted_nanodollars, spend_cap_nanodollars if plan.charges_by_use else None),
    )
    return [Used(name, used, most) for name, used, most in limits if most is not None]


class Step(NamedTuple):
    """A limit of the plan, with the mark that this very call has reached."""

    now: Used
    percent: int


def steps(plan: Plan, meter: Meter, outcome: Outcome) -> list[Step]:
    """The marks of the plan's limits that a call has reached, by the meter as the call left it."""
    by_call = {"calls": outcome.calls, "tokens": outcome.tokens, "credit": outcome.charge_nanodollars}
    found = []
    for now in used_of(plan, meter, None):
        percent = now.percent
        if percent and reached(now.used - by_call[now.limit], now.most) < percent:
            found.append(Step(now, percent))
    return found


def may_matter(hold: Hold, outcome: Outcome, plan: Plan | None, meter: Meter | None) -> bool:
    """Whether this call may have reached a mark; calls of test keys never do.

    The customer's own cap is not known here, so every call that costs something may matter.
    """
    if hold.mode != "live":
        return False
    if plan is None or meter is None or outcome.charge_nanodollars:
        return True
    calls, tokens = plan.calls, plan.tokens
    if (calls is None or meter.posted_calls * 100 < calls * PERCENTS[0]) and (
        tokens is None or meter.posted_tokens * 100 < tokens * PERCENTS[0]
    ):
        return False  # before the first mark, as nearly always
    return bool(steps(plan, meter, outcome))
