"""What a month comes to, told in another and simpler way than the product does: by lists, and by counting days.

The rules are those of docs/money.md. A call is charged by its place among the calls of its month; nothing is invoiced
of a free plan, of a trial, or after a payment's grace. What is invoiced comes onto the line whose period admitted the
call if Stripe hears of it within 50 minutes of that period's end and 34 days of the call, and else onto the line of the
moment when it does.
What was admitted while Stripe had no subscription any more, or in a period that Stripe ended without an invoice, comes
onto no line; unless it is told so late that it comes onto the line of the moment.
"""

from calendar import monthrange
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from math import ceil
from typing import Final, NamedTuple

from farebox.domain.period import MICROSECONDS
from farebox.domain.plan import Plan

DRAFT_US: Final = 50 * 60 * MICROSECONDS
TOO_OLD_US: Final = 34 * 86_400 * MICROSECONDS
INPUT_MAX: Final = 40
OUTPUT_MAX: Final = 60
USD_PER_INPUT: Final = Fraction(150, 10**9)
USD_PER_OUTPUT: Final = Fraction(600, 10**9)
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Line(NamedTuple):
    """A line about usage of an invoice at Stripe, in seconds."""

    subscription: str
    start: int
    end: int
    quantity: int


class Replaced(NamedTuple):
    """When a subscription began, at Stripe, and when it was heard of."""

    begins_us: int
    heard_us: int


@dataclass
class Call:
    id: str
    admitted_us: int
    plan: Plan
    place: int
    """Among the calls of its month, from one."""
    tokens_left: int
    included: int
    """Nanodollars of model use."""
    is_open: bool = True
    tokens: int = INPUT_MAX + OUTPUT_MAX
    charge: int = 0
    invoiced: int = 0
    counts: bool = True


@dataclass
class Account:
    """As the model sees it; `began_us` are the moments at which a month began by a purchase."""

    anchor_us: int
    began_us: int = 0
    calls: list[Call] = field(default_factory=list)

    def month(self, now_us: int) -> int:
        """When the month under way began."""
        return max(self.began_us, self._last_anniversary(now_us))

    def _last_anniversary(self, now_us: int) -> int:
        anchor, now = _date(self.anchor_us), _date(now_us)
        year, month = now.year, now.month
        while (found := _on(year, month, anchor)) > now:
            year, month = (year, month - 1) if month > 1 else (year - 1, 12)
        return _us(found)

    def admit(self, call_id: str, plan: Plan, now_us: int, *, is_trial: bool) -> Call | None:
        """The call that passes; None where it is refused."""
        mine = [call for call in self.calls if call.counts and call.admitted_us >= self.month(now_us)]
        call = Call(call_id, now_us, plan, len(mine) + 1, 0, 0)
        if plan.tokens is not None:
            call.tokens_left = max(plan.tokens - sum(each.tokens for each in mine), 0)
        call.charge = _charge(call, INPUT_MAX, OUTPUT_MAX)
        if plan.credit_nanodollars is not None:
            call.included = min(call.charge, max(plan.credit_nanodollars - sum(each.charge for each in mine), 0))
        is_beyond = call.charge > call.included
        over = plan.calls is not None and call.place > plan.calls and not plan.is_invoiced
        if over or (is_beyond and is_trial):
            return None
        self.calls.append(call)
        return call

    def end(self, call: Call, input_tokens: int, output_tokens: int, *, answered: bool) -> int:
        """The call ends; what comes onto the invoice."""
        call.is_open, call.counts = False, answered
        call.tokens = input_tokens + output_tokens if answered else 0
        call.charge = _charge(call, input_tokens, output_tokens) if answered else 0
        call.invoiced = max(call.charge - call.included, 0)
        return call.invoiced


def _charge(call: Call, input_tokens: int, output_tokens: int) -> int:
    plan = call.plan
    if plan.overage_usd is not None and plan.calls is not None:
        return int(Fraction(str(plan.overage_usd)) * 10**9) if call.place > plan.calls else 0
    if plan.overage_usd_per_1k_tokens is not None:
        beyond = max(input_tokens + output_tokens - call.tokens_left, 0)
        return ceil(beyond * Fraction(str(plan.overage_usd_per_1k_tokens)) * 10**6)
    if plan.credit_usd is not None:
        cost = input_tokens * USD_PER_INPUT + output_tokens * USD_PER_OUTPUT
        return ceil(cost * (1 + Fraction(str(plan.markup))) * 10**9)
    return 0


def line_of(
    admitted_us: int, sent_us: int, lines: list[Line], replaced: list[Replaced], broken_off: list[Line]
) -> Line | None:
    """The line that a call comes onto; None where it comes onto none, as its subscription is over.

    `replaced` are the subscriptions, and anchors, that came after others; `broken_off` the periods that were ended,
    with an invoice or without.
    """
    own = _at(admitted_us, lines)
    is_replaced = any(admitted_us < begins_us and heard_us <= sent_us for begins_us, heard_us in replaced)
    if own is not None and not is_replaced and _is_in_time(admitted_us, sent_us, own):
        return own
    is_late = any(not _is_in_time(admitted_us, sent_us, one) for one in broken_off if _is_within(admitted_us, one))
    is_late = is_late or sent_us - admitted_us >= TOO_OLD_US  # then it counts when it is sent, whatever was then
    return _at(sent_us, lines) if own is not None or is_replaced or is_late else None


def _is_in_time(admitted_us: int, sent_us: int, own: Line) -> bool:
    return sent_us < own.end * MICROSECONDS + DRAFT_US and sent_us - admitted_us < TOO_OLD_US


def _at(moment_us: int, lines: list[Line]) -> Line | None:
    found = [line for line in lines if _is_within(moment_us, line)]
    assert len(found) <= 1, f"billed twice: {found}"
    return found[0] if found else None


def _is_within(moment_us: int, line: Line) -> bool:
    return line.start <= moment_us // MICROSECONDS < line.end


def _on(year: int, month: int, anchor: datetime) -> datetime:
    return anchor.replace(year=year, month=month, day=min(anchor.day, monthrange(year, month)[1]))


def _date(us: int) -> datetime:
    return EPOCH + timedelta(microseconds=us)


def _us(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)
