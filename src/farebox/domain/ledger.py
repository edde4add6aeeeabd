"""The ledger's rows and its one transition: a hold becomes posted, voided or expired, once.

Reserve, then post or void, after TigerBeetle's two-phase transfers
(https://docs.tigerbeetle.com/coding/two-phase-transfers/). An outcome is a new row; a hold is never edited.
"""

from enum import StrEnum
from typing import Final, Literal, NamedTuple

from farebox.domain import wallet
from farebox.domain.apikey import Mode
from farebox.domain.money import BASIS_POINTS, TOKENS_PER_MTOK, divide_up
from farebox.domain.prices import Price, cost_nanodollars, worst_cost_nanodollars

# Of one call, in or out: above any model, and low enough that their cost at any price fits a 64-bit column.
TOKENS_MAX: Final = 10**9


class State(StrEnum):
    HELD = "held"
    POSTED = "posted"
    VOIDED = "voided"
    EXPIRED = "expired"


class Mark(StrEnum):
    """What is out of the ordinary about a row."""

    CUT = "cut"  # a stream ended early: the client left, or the provider broke off
    ESTIMATED = "estimated"  # the provider sent no usage: tokens counted from the bytes
    NO_MESSAGE = "no_message"  # the model answered without a message: nothing is charged
    OVER_HOLD = "over_hold"  # the usage came out above the hold: charged up to the hold
    UNKNOWN_COST = "unknown_cost"  # the process died: what the provider charged is not known
    UNPRICED = "unpriced"  # the model's price is not known, so neither is the cost


class Meter(NamedTuple):
    """What one account has used in one period. The sum of its rows, kept beside them.

    `name` says of which rows: all of a mode, "live" or "test", or those that count on one key's cap, by its `cap_id`.
    """

    account_id: str
    name: str
    period_start_us: int
    period_end_us: int
    posted_calls: int = 0
    held_calls: int = 0
    posted_tokens: int = 0
    held_tokens: int = 0
    posted_nanodollars: int = 0
    held_nanodollars: int = 0
    burst_tat_us: int = 0


class Hold(NamedTuple):
    """A call under way: who, what, and the most that it can come to. Written before the model is called."""

    account_id: str
    call_id: str
    key_id: str
    mode: Mode
    plan: str
    endpoint: str
    model: str
    period_start_us: int
    admitted_us: int
    expires_us: int
    held_calls: int
    held_tokens: int
    held_nanodollars: int
    input_tokens_max: int
    output_tokens_max: int
    price_input_per_mtok: int | None
    price_cached_per_mtok: int | None
    price_output_per_mtok: int | None
    charge_fixed_nanodollars: int
    charge_markup_basis_points: int | None
    cap_id: str = ""
    """The meter of the key's own cap; empty where the key has none."""
    cap_calls: int | None = None
    customer: str = ""
    """Whose invoice at Stripe gets what neither the plan nor credit pays; empty where there is none."""
    credit: str = ""
    """What is held on credit grants, as in domain.wallet."""
    included_tokens: int | None = None
    """How many included tokens this call may still use, if the plan charges for tokens beyond them."""
    overage_per_mtok: int | None = None
    included_nanodollars: int = 0
    """How much of the charge the plan's credit still pays, if the plan has credit."""

    @property
    def price(self) -> Price | None:
        if self.price_input_per_mtok is None:
            return None
        return Price(self.price_input_per_mtok, self.price_cached_per_mtok or 0, self.price_output_per_mtok or 0)


class Spent(NamedTuple):
    """What a call used, as the providers report it (or as estimated: then it is marked).

    Tokens are those of the answers that the customer got. `cost_nanodollars` is the sum of all attempts, each at the
    price of its own model; where it is None, it is the tokens' cost at the hold's price. `wasted_nanodollars` is the
    part of it that went into attempts without an answer, for which no customer is charged.
    """

    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    marks: tuple[Mark, ...] = ()
    attempts: str = "[]"
    error: str = ""
    cost_nanodollars: int | None = None
    wasted_nanodollars: int = 0


class Outcome(NamedTuple):
    """How a call ended. Together with its hold it is the usage record, which the database keeps for ever."""

    state: State
    calls: int
    tokens: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    charge_nanodollars: int
    cost_nanodollars: int
    marks: str
    attempts: str
    error: str
    recorded_us: int
    prepaid_nanodollars: int = 0
    """What credit grants pay of the charge; `spent_credit` says which."""
    invoiced_nanodollars: int = 0
    """What comes onto the invoice."""
    spent_credit: str = ""


NOTHING_SPENT: Final = Spent()
Ending = Literal["post", "post_free", "void", "expire"]


def end_hold(hold: Hold, ending: Ending, spent: Spent, now_us: int) -> Outcome:
    """The outcome of a hold: never more calls, tokens or money than the hold, whatever the provider reports."""
    # A clock that was set back must not show an answer before its question.
    recorded_us = max(now_us, hold.admitted_us)
    marks = spent.marks
    if hold.price_input_per_mtok is None:
        marks = (*marks, Mark.UNPRICED)
    if ending == "expire":
        price = hold.price
        cost = worst_cost_nanodollars(price, hold.input_tokens_max, hold.output_tokens_max) if price else 0
        return _outcome(State.EXPIRED, spent, cost, (*marks, Mark.UNKNOWN_COST), recorded_us)
    known = spent.cost_nanodollars
    cost = known if known is not None else _cost(hold.price, spent)
    if ending != "post":
        state = State.POSTED if ending == "post_free" else State.VOIDED
        return _outcome(state, spent, cost, marks, recorded_us)
    tokens = spent.input_tokens + spent.output_tokens
    charged = cost - spent.wasted_nanodollars
    charge = hold.charge_fixed_nanodollars + charge_for_cost(charged, hold.charge_markup_basis_points)
    charge += charge_for_tokens(tokens, hold.included_tokens, hold.overage_per_mtok)
    if tokens > hold.held_tokens or charge > hold.held_nanodollars:
        marks = (*marks, Mark.OVER_HOLD)
        tokens, charge = min(tokens, hold.held_tokens), min(charge, hold.held_nanodollars)
    posted = _outcome(State.POSTED, spent, cost, marks, recorded_us, hold.held_calls, tokens, charge)
    return _paid(hold, posted) if hold.credit or hold.customer else posted


def _paid(hold: Hold, outcome: Outcome) -> Outcome:
    """The outcome, with its charge split among the payers: what is included first, then credit, then the invoice."""
    beyond = max(outcome.charge_nanodollars - hold.included_nanodollars, 0)
    spent_credit = wallet.spend(hold.credit, beyond)
    prepaid = wallet.total(spent_credit)
    invoiced = beyond - prepaid if hold.customer else 0
    return outcome._replace(prepaid_nanodollars=prepaid, invoiced_nanodollars=invoiced, spent_credit=spent_credit)


def _cost(price: Price | None, spent: Spent) -> int:
    if price is None:
        return 0
    return cost_nanodollars(price, spent.input_tokens, spent.cached_tokens, spent.output_tokens)


def charge_for_cost(cost: int, markup_basis_points: int | None) -> int:
    """What a customer is charged for a cost, in nanodollars; nothing where the plan does not charge by cost."""
    if markup_basis_points is None:
        return 0
    return divide_up(cost * (BASIS_POINTS + markup_basis_points), BASIS_POINTS)


def charge_for_tokens(tokens: int, included: int | None, per_mtok: int | None) -> int:
    """What a customer is charged for the tokens beyond those included; nothing where the plan does not charge so."""
    if per_mtok is None or included is None:
        return 0
    return divide_up(max(tokens - included, 0) * per_mtok, TOKENS_PER_MTOK)


def _outcome(
    state: State, spent: Spent, cost: int, marks: tuple[Mark, ...], recorded_us: int,
    calls: int = 0, tokens: int = 0, charge: int = 0,
) -> Outcome:  # fmt: skip
    return Outcome(
        state, calls, tokens, spent.input_tokens, spent.cached_tokens, spent.output_tokens,
        charge, cost, " ".join(marks), spent.attempts, spent.error, recorded_us,
    )  # fmt: skip


def hold_on(meter: Meter, hold: Hold, burst_tat_us: int) -> Meter:
    """The meter with one more hold on it."""
    return Meter(
        meter.account_id, meter.name, meter.period_start_us, meter.period_end_us,
        meter.posted_calls, meter.held_calls + hold.held_calls,
        meter.posted_tokens, meter.held_tokens + hold.held_tokens,
        meter.posted_nanodollars, meter.held_nanodollars + hold.held_nanodollars,
        burst_tat_us,
    )  # fmt: skip


def release(meter: Meter, hold: Hold, outcome: Outcome) -> Meter:
    """The meter with the hold turned into its outcome."""
    return Meter(
        meter.account_id, meter.name, meter.period_start_us, meter.period_end_us,
        meter.posted_calls + outcome.calls, meter.held_calls - hold.held_calls,
        meter.posted_tokens + outcome.tokens, meter.held_tokens - hold.held_tokens,
        meter.posted_nanodollars + outcome.charge_nanodollars, meter.held_nanodollars - hold.held_nanodollars,
        meter.burst_tat_us,
    )  # fmt: skip
