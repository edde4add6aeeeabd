"""A usage record proves itself: a right one passes, and one whose figures were altered does not."""

import json
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox.domain.audit import audit_hold, audit_row
from farebox.domain.ledger import Ending, Hold, Mark, Outcome, Spent, charge_for_cost, end_hold
from farebox.domain.prices import Price, cost_nanodollars, dearest, price_of_usd, worst_cost_nanodollars

NOW_US: Final = 1_800_000_000_000_000
MINI: Final = price_of_usd(0.15, 0.6, 0.075)
LARGE: Final = price_of_usd(2.5, 10, 1.25)

Used = tuple[Price | None, tuple[int, int, int], bool]
"""A model's price, the tokens that it read, those of them from its cache, those that it wrote; and if in vain."""


def a_hold(price: Price | None = MINI, markup: int | None = 2_000, fixed: int = 0) -> Hold:
    held = fixed
    if markup is not None and price is not None:
        held += charge_for_cost(worst_cost_nanodollars(price, 1_000, 400), markup)
    frozen: tuple[int | None, int | None, int | None] = (None, None, None) if price is None else price[:3]
    return Hold(
        "acct", "req", "key", "live", "pro", "/v1/generate", "gpt-4o-mini", NOW_US - 10**9, NOW_US,
        NOW_US + 180 * 10**6, 1, 1_400, held, 1_000, 400, *frozen, fixed, markup,
    )  # fmt: skip


def spent_on(hold: Hold, *calls: Used, marks: tuple[Mark, ...] = ()) -> Spent:
    """What a call used, as the meter on the wire writes it down."""
    attempts: list[dict[str, Any]] = [{"model": "gpt-4o-mini", "ms": 3, "status": 503}]
    sums, cost, wasted = [0, 0, 0], 0, 0
    for price, tokens, is_wasted in calls:
        own = 0 if price is None else cost_nanodollars(price, *tokens)
        read, cached, written = tokens
        attempt = {"model": "m", "ms": 5, "status": 200, "input_tokens": read, "cached_tokens": cached,
                   "output_tokens": written, "cost_nanodollars": own}  # fmt: skip
        if price != hold.price:
            attempt["price"] = price and price[:3]
        if is_wasted:
            attempt["wasted"] = True
            wasted += own
        else:
            sums = [known + more for known, more in zip(sums, tokens, strict=True)]
        cost += own
        attempts.append(attempt)
    return Spent(sums[0], sums[1], sums[2], marks, json.dumps(attempts), "", cost, wasted)


def row(hold: Hold, *calls: Used, ending: Ending = "post") -> Outcome:
    marks = (Mark.NO_MESSAGE,) if ending == "post_free" else ()
    return end_hold(hold, ending, spent_on(hold, *calls, marks=marks), NOW_US + 1)


ONE: Final[tuple[Used, ...]] = ((MINI, (100, 40, 50), False),)
TWO: Final[tuple[Used, ...]] = (*ONE, (MINI, (30, 0, 20), False))
FALLEN_BACK: Final[tuple[Used, ...]] = ((LARGE, (100, 40, 50), False),)
WASTED: Final[tuple[Used, ...]] = ((LARGE, (100, 0, 50), True), *ONE)
UNPRICED: Final[tuple[Used, ...]] = ((None, (100, 0, 50), False),)
KINDS: Final = {"one": ONE, "two": TWO, "another model": FALLEN_BACK, "one in vain": WASTED, "unpriced": UNPRICED}
DEAR: Final = a_hold(dearest([MINI, LARGE]))


@pytest.mark.parametrize("calls", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("ending", ["post", "post_free", "void", "expire"])
@pytest.mark.parametrize("hold", [a_hold(), DEAR, a_hold(markup=None, fixed=10**7), a_hold(price=None)],
                         ids=["own price", "dearest", "a fixed charge", "no price"])  # fmt: skip
def test_a_right_row_passes(hold: Hold, calls: tuple[Used, ...], ending: Ending) -> None:
    assert audit_row(hold, row(hold, *(() if ending == "expire" else calls), ending=ending)) == []


def test_the_customer_pays_the_answer_and_the_founder_all_attempts() -> None:
    outcome = row(DEAR, *WASTED)
    answered, in_vain = cost_nanodollars(MINI, 100, 40, 50), cost_nanodollars(LARGE, 100, 0, 50)
    assert outcome.cost_nanodollars == answered + in_vain
    assert outcome.charge_nanodollars == charge_for_cost(answered, 2_000)
    assert (outcome.input_tokens, outcome.cached_tokens, outcome.output_tokens, outcome.tokens) == (100, 40, 50, 150)


def test_an_answer_of_another_model_is_charged_by_its_own_price() -> None:
    outcome = row(DEAR, *FALLEN_BACK)
    cost = cost_nanodollars(LARGE, 100, 40, 50)
    assert (outcome.cost_nanodollars, outcome.charge_nanodollars) == (cost, charge_for_cost(cost, 2_000))


def test_a_call_that_failed_costs_its_customer_nothing_and_the_founder_its_attempts() -> None:
    outcome = row(a_hold(), *WASTED, ending="void")
    assert (outcome.tokens, outcome.charge_nanodollars) == (0, 0)
    assert outcome.cost_nanodollars == cost_nanodollars(MINI, 100, 40, 50) + cost_nanodollars(LARGE, 100, 0, 50)


def test_attempts_above_the_hold_cost_the_customer_no_more_than_the_hold() -> None:
    outcome = row(a_hold(), (LARGE, (1_000, 0, 400), False))
    assert outcome.marks == "over_hold"
    assert outcome.charge_nanodollars == a_hold().held_nanodollars
    assert outcome.cost_nanodollars == cost_nanodollars(LARGE, 1_000, 0, 400)


FIGURES: Final = (
    "calls", "tokens", "input_tokens", "cached_tokens", "output_tokens", "charge_nanodollars", "cost_nanodollars",
)  # fmt: skip


@pytest.mark.parametrize("ending", ["post", "post_free", "void"])
@pytest.mark.parametrize("calls", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("by", [1, -1])
def test_each_figure_of_a_row_that_is_altered_is_found(
    name: str, calls: tuple[Used, ...], ending: Ending, by: int
) -> None:
    outcome = row(DEAR, *calls, ending=ending)
    altered = outcome._replace(**{name: getattr(outcome, name) + by})
    assert name in {misfit.name for misfit in audit_row(DEAR, altered)}


@pytest.mark.parametrize("calls", [calls for name, calls in KINDS.items() if name != "unpriced"])
@pytest.mark.parametrize("name", ["input_tokens", "cached_tokens", "output_tokens", "cost_nanodollars"])
@pytest.mark.parametrize("ending", ["post", "post_free", "void"])
def test_each_figure_of_an_attempt_that_is_altered_is_found(name: str, calls: tuple[Used, ...], ending: Ending) -> None:
    outcome = row(DEAR, *calls, ending=ending)
    for place in range(1, len(calls) + 1):
        attempts = json.loads(outcome.attempts)
        attempts[place][name] += 1
        assert audit_row(DEAR, outcome._replace(attempts=json.dumps(attempts))), (place, name)


def test_an_attempts_price_that_is_altered_added_or_lost_is_found() -> None:
    outcome = row(a_hold(), *FALLEN_BACK)
    attempts = json.loads(outcome.attempts)
    for price in ([1, 1, 1], None, [LARGE[0] + 1, *LARGE[1:]]):
        attempts[1]["price"] = price
        assert audit_row(a_hold(), outcome._replace(attempts=json.dumps(attempts)))
    del attempts[1]["price"]
    assert audit_row(a_hold(), outcome._replace(attempts=json.dumps(attempts)))


def test_an_attempt_that_is_lost_doubled_or_called_wasted_is_found() -> None:
    outcome = row(DEAR, *WASTED)
    first, in_vain, answered = json.loads(outcome.attempts)
    for attempts in (
        [first, answered],
        [first, in_vain],
        [first, in_vain, answered, answered],
        [first, in_vain, in_vain, answered],
        [first, {**in_vain, "price": None}, answered],
        [first, in_vain, {**answered, "wasted": True}],
        [first, {name: value for name, value in in_vain.items() if name != "wasted"}, answered],
    ):
        assert audit_row(DEAR, outcome._replace(attempts=json.dumps(attempts))), attempts


@pytest.mark.parametrize(
    "attempts",
    ["", "nonsense", "5", "null", "[5]", "[null]", '[{"cost_nanodollars": 5}]',
     '[{"cost_nanodollars": 5, "input_tokens": "x", "cached_tokens": 0, "output_tokens": 0}]',
     '[{"cost_nanodollars": 0, "input_tokens": 0, "cached_tokens": 0, "output_tokens": 0, "price": [1]}]'],
)  # fmt: skip
def test_attempts_that_cannot_be_read_are_found_and_no_exception(attempts: str) -> None:
    found = audit_row(a_hold(), row(a_hold(), *ONE)._replace(attempts=attempts))
    assert found[-1].name == "attempts"


@pytest.mark.parametrize(
    ("name", "wrong"),
    [("held_tokens", "held_tokens"), ("held_nanodollars", "held_nanodollars"), ("input_tokens_max", "held_tokens"),
     ("output_tokens_max", "held_nanodollars"), ("price_output_per_mtok", "held_nanodollars"),
     ("charge_fixed_nanodollars", "held_nanodollars"), ("charge_markup_basis_points", "held_nanodollars")],
)  # fmt: skip
def test_each_figure_of_a_hold_that_is_altered_is_found(name: str, wrong: str) -> None:
    hold = a_hold()
    assert audit_hold(hold) == []
    altered = hold._replace(**{name: getattr(hold, name) + 10_000})
    assert wrong in {misfit.name for misfit in audit_hold(altered)}


@st.composite
def used(draw: st.DrawFn) -> Used:
    read = draw(st.integers(0, 1_500))
    tokens = read, draw(st.integers(0, read)), draw(st.integers(0, 600))
    return draw(st.sampled_from([MINI, LARGE, None])), tokens, draw(st.booleans())


any_hold = st.builds(
    a_hold, st.sampled_from([MINI, LARGE, None]), st.none() | st.integers(0, 10_000), st.sampled_from([0, 10_000_000])
)


@given(any_hold, st.lists(used(), max_size=4), st.sampled_from(["post", "post_free", "void"]))
def test_whatever_a_call_used_its_row_is_within_its_hold_and_proves_itself(
    hold: Hold, calls: list[Used], ending: Ending
) -> None:
    outcome = row(hold, *calls, ending=ending)
    assert audit_row(hold, outcome) == []
    assert 0 <= outcome.charge_nanodollars <= hold.held_nanodollars
    in_vain = sum(cost_nanodollars(price, *tokens) for price, tokens, is_wasted in calls if price and is_wasted)
    assert outcome.cost_nanodollars >= in_vain
    if hold.charge_markup_basis_points is not None and ending == "post":
        answered = charge_for_cost(outcome.cost_nanodollars - in_vain, hold.charge_markup_basis_points)
        assert outcome.charge_nanodollars <= answered + hold.charge_fixed_nanodollars


@given(any_hold, st.lists(used(), min_size=1, max_size=3), st.sampled_from(FIGURES), st.integers(1, 10**6))
def test_no_figure_of_a_row_can_be_raised_unseen(hold: Hold, calls: list[Used], name: str, by: int) -> None:
    outcome = row(hold, *calls)
    assert audit_row(hold, outcome._replace(**{name: getattr(outcome, name) + by}))
