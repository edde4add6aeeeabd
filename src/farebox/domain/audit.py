"""Check a row against itself: its usage, at its frozen price, has to give its charge."""

import json
from typing import Any, Final, NamedTuple

from farebox.domain.ledger import (
    Ending,
    Hold,
    Mark,
    Outcome,
    Spent,
    State,
    charge_for_cost,
    charge_for_tokens,
    end_hold,
)
from farebox.domain.prices import Price, cost_nanodollars, worst_cost_nanodollars
from farebox.domain.wallet import parts_of, text_of

# The marks that `end_hold` adds itself; the others are part of what a call spent.
SETTLED_MARKS: Final = frozenset({Mark.OVER_HOLD, Mark.UNKNOWN_COST, Mark.UNPRICED})


class Misfit(NamedTuple):
    """A figure of a row that does not fit the others."""

    name: str
    expected: object
    found: object


def audit_hold(hold: Hold) -> list[Misfit]:
    """What is wrong with a hold, which has to be the worst case of its own bounds."""
    tokens = hold.input_tokens_max + hold.output_tokens_max
    price, markup = hold.price, hold.charge_markup_basis_points
    money = hold.charge_fixed_nanodollars + charge_for_tokens(tokens, hold.included_tokens, hold.overage_per_mtok)
    if price is not None and markup is not None:
        money += charge_for_cost(worst_cost_nanodollars(price, hold.input_tokens_max, hold.output_tokens_max), markup)
    held = (("held_tokens", tokens, hold.held_tokens), ("held_nanodollars", money, hold.held_nanodollars))
    return [Misfit(*figure) for figure in held if figure[1] != figure[2]] + _payers(hold)


def _payers(hold: Hold) -> list[Misfit]:
    """What is wrong with the payers of a hold: the included part and the credit together may not exceed it."""
    found = []
    if not 0 <= hold.included_nanodollars <= hold.held_nanodollars:
        found.append(Misfit("included_nanodollars", f"0 to {hold.held_nanodollars}", hold.included_nanodollars))
    if (hold.included_tokens is None) != (hold.overage_per_mtok is None) or (hold.included_tokens or 0) < 0:
        found.append(Misfit("included_tokens", "a number of them where they have a price", hold.included_tokens))
    beyond = hold.held_nanodollars - hold.included_nanodollars
    try:
        parts = parts_of(hold.credit)
    except ValueError:
        return [*found, Misfit("credit", "grants, and what is held of each", hold.credit)]
    if text_of(parts) != hold.credit or len({grant_id for grant_id, _ in parts}) < len(parts):
        found.append(Misfit("credit", "each grant once", hold.credit))
    if sum(nanodollars for _, nanodollars in parts) > max(beyond, 0):
        found.append(Misfit("credit", f"{beyond} at most", hold.credit))
    return found


def audit_row(hold: Hold, outcome: Outcome) -> list[Misfit]:
    """What is wrong with a usage record: settled again from what it used, it has to come out the same."""
    found = audit_hold(hold) + _out_of_hold(hold, outcome)
    try:
        metered = [attempt for attempt in json.loads(outcome.attempts) if "cost_nanodollars" in attempt]
        found += _attempts(hold, outcome, metered)
        spent = _spent(hold, outcome, metered)
    except (ValueError, TypeError, LookupError):
        return [*found, Misfit("attempts", "a list of attempts with their figures", outcome.attempts)]
    try:
        again = end_hold(hold, _ending(outcome), spent, outcome.recorded_us)
    except ValueError:  # the hold's credit cannot be read, which is found already
        return found
    if again != outcome:
        pairs = zip(Outcome._fields, again, outcome, strict=True)
        found += [Misfit(name, expected, value) for name, expected, value in pairs if expected != value]
    return found


def _out_of_hold(hold: Hold, outcome: Outcome) -> list[Misfit]:
    bounds = (
        ("calls", outcome.calls, hold.held_calls),
        ("tokens", outcome.tokens, hold.held_tokens),
        ("charge_nanodollars", outcome.charge_nanodollars, hold.held_nanodollars),
    )
    return [Misfit(name, f"0 to {most}", value) for name, value, most in bounds if not 0 <= value <= most]


def _ending(outcome: Outcome) -> Ending:
    if outcome.state is State.EXPIRED:
        return "expire"
    if outcome.state is State.VOIDED:
        return "void"
    return "post_free" if Mark.NO_MESSAGE in outcome.marks.split() else "post"


def _attempts(hold: Hold, outcome: Outcome, metered: list[dict[str, Any]]) -> list[Misfit]:
    """What is wrong with the attempts: each costs what its tokens do, and those with an answer sum up to the row's."""
    if not metered:
        return []
    answered = [attempt for attempt in metered if "wasted" not in attempt]
    pairs = [
        ("attempts.cost_nanodollars", _cost_again(hold, attempt), attempt["cost_nanodollars"]) for attempt in metered
    ] + [
        (name, sum(attempt[name] for attempt in answered), getattr(outcome, name))
        for name in ("input_tokens", "cached_tokens", "output_tokens")
    ]  # fmt: skip
    return [Misfit(*pair) for pair in pairs if pair[1] != pair[2]]


def _spent(hold: Hold, outcome: Outcome, metered: list[dict[str, Any]]) -> Spent:
    marks = outcome.marks.split()
    used = tuple(mark for mark in Mark if mark in marks and mark not in SETTLED_MARKS) if marks else ()
    tokens = outcome.input_tokens, outcome.cached_tokens, outcome.output_tokens
    spent = Spent(*tokens, used, outcome.attempts, outcome.error)
    if not metered:
        return spent
    costs = [(_cost_again(hold, attempt), "wasted" in attempt) for attempt in metered]
    return spent._replace(
        cost_nanodollars=sum(cost for cost, _ in costs),
        wasted_nanodollars=sum(cost for cost, is_wasted in costs if is_wasted),
    )


def price_of_attempt(hold: Hold, attempt: dict[str, Any]) -> Price | None:
    """The price that is frozen into an attempt, or into its row."""
    if "price" not in attempt:
        return hold.price
    return Price(*attempt["price"]) if attempt["price"] else None


def _cost_again(hold: Hold, attempt: dict[str, Any]) -> int:
    """What an attempt cost, by its tokens and its price."""
    price = price_of_attempt(hold, attempt)
    if price is None:
        return 0
    tokens = attempt["input_tokens"], attempt["cached_tokens"], attempt["output_tokens"]
    return cost_nanodollars(price, *tokens, attempt.get("cache_write_tokens", 0))
