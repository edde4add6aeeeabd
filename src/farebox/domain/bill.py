"""How a call's charge came about, from what is frozen into its row, for the customer who pays it."""

import json
from typing import Any, Final, NamedTuple

from farebox.domain.audit import price_of_attempt
from farebox.domain.errors import UpstreamFailed
from farebox.domain.ledger import Hold, Mark, Outcome, State, charge_for_cost, charge_for_tokens
from farebox.domain.prices import Price, cost_nanodollars

TOKENS: Final = ("input_tokens", "cached_tokens", "output_tokens")
RESULTS: Final = {
    200: "answered", 429: "upstream_busy", 503: "upstream_busy", 400: "refused", 413: "refused", 422: "refused",
}  # fmt: skip


class Used(NamedTuple):
    """The tokens and the cost of one model's answer, at the price that was frozen for it."""

    model: str
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    price: Price
    nanodollars: int
    cache_write_tokens: int = 0


class Bill(NamedTuple):
    """The parts of a charge: used + markup + fixed + tokens - waived = charge = included + prepaid + invoiced + open.

    If the parts before the charge are not known, they are 0.
    """

    used: tuple[Used, ...]
    """Empty unless the plan charges by the model's price: otherwise that price is the founder's own affair."""
    markup_basis_points: int
    markup_nanodollars: int
    fixed_nanodollars: int
    """For calls beyond those that the plan includes."""
    waived_nanodollars: int
    """The part above the hold, which nobody pays."""
    charge_nanodollars: int
    tokens_beyond: int = 0
    tokens_nanodollars: int = 0
    """For tokens beyond those that the plan includes."""
    included_nanodollars: int = 0
    """The part of the charge that the plan's own credit pays."""
    prepaid_nanodollars: int = 0
    """The part that bought credit pays."""
    invoiced_nanodollars: int = 0

    @property
    def open_nanodollars(self) -> int:
        """The part that nobody is billed for, as without a subscription."""
        return (
            self.charge_nanodollars - self.included_nanodollars - self.prepaid_nanodollars - self.invoiced_nanodollars
        )


class Try(NamedTuple):
    """One question to a model, as its customer may see it: no cost of the founder's, and nothing of the provider."""

    result: str
    """"answered", "cut", "broke_off", "refused", or the code of the error that it ended with."""
    milliseconds: int | None


def bill_of(hold: Hold, outcome: Outcome) -> Bill:
    """The bill of a call that has ended."""
    charge = outcome.charge_nanodollars
    plain = Bill((), 0, 0, 0, 0, charge)._replace(
        included_nanodollars=min(charge, hold.included_nanodollars),
        prepaid_nanodollars=outcome.prepaid_nanodollars,
        invoiced_nanodollars=outcome.invoiced_nanodollars,
    )
    if outcome.state is not State.POSTED or Mark.NO_MESSAGE in outcome.marks.split():
        return plain
    used, markup, points = _used(hold, outcome), 0, hold.charge_markup_basis_points
    if points is not None:
        cost = sum(one.nanodollars for one in used)
        markup = charge_for_cost(cost, points) - cost
    fixed = hold.charge_fixed_nanodollars
    tokens = outcome.input_tokens + outcome.output_tokens
    for_tokens = charge_for_tokens(tokens, hold.included_tokens, hold.overage_per_mtok)
    waived = sum(one.nanodollars for one in used) + markup + fixed + for_tokens - charge
    if waived < 0 or (waived and Mark.OVER_HOLD not in outcome.marks.split()):
        return plain
    return plain._replace(
        used=used,
        markup_basis_points=points or 0,
        markup_nanodollars=markup,
        fixed_nanodollars=fixed,
        waived_nanodollars=waived,
        tokens_beyond=max(tokens - hold.included_tokens, 0) if hold.included_tokens is not None else 0,
        tokens_nanodollars=for_tokens,
    )


def tries_of(outcome: Outcome) -> list[Try]:
    """The questions to models that a call took, in their order."""
    tries = [Try(_result(attempt), attempt.get("ms")) for attempt in _attempts(outcome)]
    # The attempt says that it ended early, and the call's error that it was not its listener who left.
    if tries and tries[-1].result == "cut" and outcome.error == UpstreamFailed.code:
        tries[-1] = tries[-1]._replace(result="broke_off")
    return tries


def answered_by(outcome: Outcome) -> list[str]:
    """The models that gave what a call came to, each once, in their order."""
    return list(dict.fromkeys(one["model"] for one in _answers(outcome)))


def _used(hold: Hold, outcome: Outcome) -> tuple[Used, ...]:
    if hold.charge_markup_basis_points is None:
        return ()
    answered = _answers(outcome)
    if answered:
        return tuple(_answer(hold, one) for one in answered)
    whole = {"model": hold.model} | {name: getattr(outcome, name) for name in TOKENS}
    return (_answer(hold, whole),) if outcome.input_tokens or outcome.output_tokens else ()


def _answer(hold: Hold, attempt: dict[str, Any]) -> Used:
    read, cached, written = (attempt[name] for name in TOKENS)
    price = price_of_attempt(hold, attempt) or Price(0, 0, 0)
    cache_written = attempt.get("cache_write_tokens", 0)
    cost = cost_nanodollars(price, read, cached, written, cache_written)
    return Used(attempt["model"], read, cached, written, price, cost, cache_written)


def _answers(outcome: Outcome) -> list[dict[str, Any]]:
    return [one for one in _attempts(outcome) if "cost_nanodollars" in one and "wasted" not in one]


def _attempts(outcome: Outcome) -> list[dict[str, Any]]:
    attempts: list[dict[str, Any]] = json.loads(outcome.attempts)
    return attempts


def _result(attempt: dict[str, Any]) -> str:
    if attempt.get("cut"):
        return "cut"
    if "error" in attempt:
        return str(attempt["error"])
    return "upstream_failed" if attempt.get("wasted") else RESULTS.get(attempt.get("status", 0), "upstream_failed")
