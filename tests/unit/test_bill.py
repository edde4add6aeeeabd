"""How a charge came about: the parts come to the charge, whatever a call went through."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from farebox.domain.bill import Bill, Try, bill_of, tries_of
from farebox.domain.ledger import NOTHING_SPENT, Hold, Mark, Outcome, Spent, end_hold
from farebox.domain.prices import Price, cost_nanodollars
from farebox.web.pages.call_words import result_of

PRICE = Price(150_000_000, 75_000_000, 600_000_000)
DEARER = Price(2_500_000_000, 1_250_000_000, 10_000_000_000)
KEEPING = Price(4_000_000_000, 400_000_000, 20_000_000_000, 5_000_000_000)
TOKENS = st.integers(0, 5_000)


def hold(markup: int | None, fixed: int = 0, held: int = 10**12) -> Hold:
    return Hold(
        "a", "req_1", "k", "live", "p", "/v1/x", "m", 0, 0, 9, 1, 10**9, held, 10**6, 10**6, *PRICE[:3], fixed, markup
    )  # fmt: skip


@st.composite
def spendings(draw: st.DrawFn) -> Spent:
    """What several questions came to, as the wire notes it."""
    attempts: list[dict[str, Any]] = []
    sums, cost, wasted = [0, 0, 0], 0, 0
    for _ in range(draw(st.integers(0, 4))):
        if draw(st.booleans()):
            attempts.append({"model": "m", "ms": 5, "error": "upstream_busy", "cause": "HostSecret"})
            continue
        read, written = draw(TOKENS), draw(TOKENS)
        cached = draw(st.integers(0, read))
        price = draw(st.sampled_from([PRICE, DEARER, KEEPING, None]))
        kept = draw(st.integers(0, read - cached)) if price is KEEPING else 0
        came_to = cost_nanodollars(price, read, cached, written, kept) if price else 0
        attempt: dict[str, Any] = {"model": "m", "ms": 9, "status": 200, "input_tokens": read, "cached_tokens": cached}
        attempt |= {"output_tokens": written, "cost_nanodollars": came_to}
        if price != PRICE:
            attempt["price"] = price and price[:4]
        if kept:
            attempt["cache_write_tokens"] = kept
        cost += came_to
        if draw(st.booleans()):
            attempt["wasted"] = True
            wasted += came_to
        else:
            sums = [a + b for a, b in zip(sums, (read, cached, written), strict=True)]
        attempts.append(attempt)
    return Spent(sums[0], sums[1], sums[2], (), json.dumps(attempts), "", cost, wasted)


@given(
    spent=spendings(), ending=st.sampled_from(["post", "post_free", "void", "expire"]),
    markup=st.sampled_from([None, 0, 2_000, 3_333]), fixed=st.sampled_from([0, 10_000_000]),
    held=st.sampled_from([10**12, 20_000_000, 50]),
)  # fmt: skip
def test_the_parts_of_a_bill_come_to_the_charge(
    spent: Spent, ending: Any, markup: int | None, fixed: int, held: int  # noqa: ANN401  # an ending
) -> None:  # fmt: skip
    row = hold(markup, fixed, held)
    marks = (Mark.NO_MESSAGE,) if ending == "post_free" else ()
    outcome = end_hold(row, ending, NOTHING_SPENT if ending == "expire" else spent._replace(marks=marks), 1)
    bill = bill_of(row, outcome)
    parts = sum(used.nanodollars for used in bill.used) + bill.markup_nanodollars + bill.fixed_nanodollars
    assert bill.charge_nanodollars == outcome.charge_nanodollars
    assert parts - bill.waived_nanodollars == bill.charge_nanodollars
    assert bill.waived_nanodollars == 0 or Mark.OVER_HOLD in outcome.marks
    if markup is None:
        assert bill.used == (), "the model's price is the founder's affair"
    for used in bill.used:
        assert used.nanodollars == cost_nanodollars(
            used.price, used.input_tokens, used.cached_tokens, used.output_tokens, used.cache_write_tokens
        )


def test_a_call_without_attempts_is_billed_by_its_tokens() -> None:
    row = hold(2_000)
    bill = bill_of(row, end_hold(row, "post", Spent(1_000, 200, 500), 1))
    [used] = bill.used
    assert (used.model, used.price, used.nanodollars) == ("m", PRICE, 435_000)
    assert (bill.markup_nanodollars, bill.charge_nanodollars) == (87_000, 522_000)


def test_a_charge_that_its_parts_do_not_come_to_is_told_alone() -> None:
    row = hold(2_000)
    outcome = end_hold(row, "post", Spent(1_000, 200, 500), 1)._replace(charge_nanodollars=7)
    assert bill_of(row, outcome) == Bill((), 0, 0, 0, 0, 7)


def outcome_of(attempts: object) -> Outcome:
    return end_hold(hold(None), "post", Spent(attempts=json.dumps(attempts)), 1)


def test_a_customer_sees_how_each_try_ended_and_nothing_of_the_provider() -> None:
    attempts = [
        {"model": "secret", "ms": 7, "error": "upstream_timeout", "cause": "SecretHostError"},
        {"model": "secret", "ms": 8, "status": 429},
        {"model": "secret", "ms": 9, "status": 500},
        {"model": "secret", "ms": 10, "status": 200, "wasted": True, "cost_nanodollars": 77},
        {"model": "secret", "ms": 11, "status": 422},
        {"model": "secret", "ms": 12, "status": 200, "cost_nanodollars": 78},
        {"model": "secret", "cut": True},
    ]  # fmt: skip
    assert tries_of(outcome_of(attempts)) == [
        Try("upstream_timeout", 7), Try("upstream_busy", 8), Try("upstream_failed", 9), Try("upstream_failed", 10),
        Try("refused", 11), Try("answered", 12), Try("cut", None),
    ]  # fmt: skip


def test_a_stream_that_the_provider_broke_off_is_not_told_as_left_by_its_caller() -> None:
    cut = {"model": "m", "ms": 7, "status": 200, "cut": True}
    outcome = outcome_of([cut, cut])
    assert [one.result for one in tries_of(outcome)] == ["cut", "cut"]
    broken = tries_of(outcome._replace(error="upstream_failed"))
    assert [one.result for one in broken] == ["cut", "broke_off"]
    words = [result_of(one) for one in broken]
    assert words == ["It was cut short", "It stopped while it was writing"]
