"""What a call costs, what it is charged, and how its hold ends: the money table of the design, row by row."""

from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox.domain.ledger import (
    NOTHING_SPENT,
    TOKENS_MAX,
    Ending,
    Hold,
    Mark,
    Meter,
    Outcome,
    Spent,
    State,
    charge_for_cost,
    end_hold,
    hold_on,
    release,
)
from farebox.domain.money import NANODOLLARS_PER_USD, USD_MAX
from farebox.domain.prices import FREE, Price, cost_nanodollars, dearest, price_of_usd, worst_cost_nanodollars

COLUMN_MAX = 2**63 - 1
NOW_US = 1_800_000_000_000_000
MINI = price_of_usd(0.15, 0.6, 0.075)

per_mtok = st.integers(0, USD_MAX * NANODOLLARS_PER_USD)
prices = st.builds(Price, per_mtok, per_mtok, per_mtok, st.just(0), st.just(()))
tokens = st.integers(0, 3_000) | st.integers(0, TOKENS_MAX)
markups = st.none() | st.integers(0, 10**7)
endings = st.sampled_from(["post", "post_free", "void", "expire"])


def a_hold(
    price: Price | None = MINI, markup: int | None = None, read_max: int = 1_000, written_max: int = 400, fixed: int = 0
) -> Hold:
    """A hold as admission makes it."""
    held = fixed
    if markup is not None and price is not None:
        held += charge_for_cost(worst_cost_nanodollars(price, read_max, written_max), markup)
    hold = Hold(
        "acct", "req", "key", "live", "pro", "/v1/generate", "gpt-4o-mini", NOW_US - 10**9, NOW_US,
        NOW_US + 180 * 10**6, 1, read_max + written_max, held, read_max, written_max, None, None, None, fixed, markup,
    )  # fmt: skip
    if price is None:
        return hold
    return hold._replace(
        price_input_per_mtok=price.input_per_mtok,
        price_cached_per_mtok=price.cached_per_mtok,
        price_output_per_mtok=price.output_per_mtok,
    )


@st.composite
def spents(draw: st.DrawFn) -> Spent:
    read = draw(tokens)
    return Spent(read, min(draw(tokens), read), draw(tokens))


@st.composite
def holds(draw: st.DrawFn) -> Hold:
    price = draw(st.none() | prices)
    fixed = draw(st.sampled_from([0, 0, 10_000_000]))
    return a_hold(price, draw(markups), draw(tokens), draw(tokens), fixed)


# -- Prices


def test_a_price_is_what_providers_publish() -> None:
    assert price_of_usd(0.15, "0.60", 0.075) == Price(150_000_000, 75_000_000, 600_000_000)


def test_a_cached_token_without_a_price_costs_what_a_fresh_one_does() -> None:
    assert price_of_usd(2, 8) == Price(2_000_000_000, 2_000_000_000, 8_000_000_000)


@given(prices, spents())
def test_a_cost_is_exact_and_rounded_up_once(price: Price, spent: Spent) -> None:
    fresh = spent.input_tokens - spent.cached_tokens
    exact = Fraction(
        fresh * price.input_per_mtok
        + spent.cached_tokens * price.cached_per_mtok
        + spent.output_tokens * price.output_per_mtok,
        10**6,
    )
    assert cost_nanodollars(price, spent.input_tokens, spent.cached_tokens, spent.output_tokens) == ceil(exact)


def test_one_token_of_a_cheap_model_has_a_cost() -> None:
    assert cost_nanodollars(MINI, 1, 0, 0) == 150
    assert cost_nanodollars(MINI, 1, 1, 0) == 75
    assert cost_nanodollars(Price(1, 1, 1), 1, 0, 0) == 1


@given(prices, spents(), st.integers(0, 1_000), st.integers(0, 1_000))
def test_the_worst_case_is_never_below_what_a_call_within_it_costs(
    price: Price, spent: Spent, more_read: int, more_written: int
) -> None:
    worst = worst_cost_nanodollars(price, spent.input_tokens + more_read, spent.output_tokens + more_written)
    assert worst >= cost_nanodollars(price, spent.input_tokens, spent.cached_tokens, spent.output_tokens)


def test_the_dearest_call_there_can_be_fits_its_column() -> None:
    most = USD_MAX * NANODOLLARS_PER_USD
    highest = Price(most, most, most)
    assert cost_nanodollars(highest, TOKENS_MAX, 0, TOKENS_MAX) <= COLUMN_MAX
    assert worst_cost_nanodollars(highest, TOKENS_MAX, TOKENS_MAX) <= COLUMN_MAX


@given(st.lists(prices, min_size=1, max_size=4), spents())
def test_no_model_of_several_costs_more_than_the_dearest_price(known: list[Price], spent: Spent) -> None:
    price = dearest(known)
    assert price is not None
    assert all(price[part] == max(one[part] for one in known) for part in range(3))
    used = spent.input_tokens, spent.cached_tokens, spent.output_tokens
    worst = worst_cost_nanodollars(price, spent.input_tokens, spent.output_tokens)
    assert all(cost_nanodollars(one, *used) <= cost_nanodollars(price, *used) <= worst for one in known)


def test_a_dearest_price_is_only_known_where_all_are() -> None:
    assert dearest([MINI]) == MINI
    assert dearest([Price(1, 9, 5), Price(3, 2, 4)]) == Price(3, 9, 5)
    assert dearest([FREE, MINI]) == MINI
    for prices_known_in_part in ([], [None], [MINI, None], [None, FREE]):
        assert dearest(prices_known_in_part) is None


@pytest.mark.parametrize(
    ("cost", "markup", "charge"),
    [(1_000, None, 0), (1_000, 0, 1_000), (1_000, 2_000, 1_200), (1, 2_000, 2), (0, 2_000, 0), (10_000, 1, 10_001)],
)
def test_a_charge_is_the_cost_with_its_markup_rounded_up(cost: int, markup: int | None, charge: int) -> None:
    assert charge_for_cost(cost, markup) == charge


# -- Settling: whatever happens


@given(holds(), endings, spents(), st.integers(-(10**12), 10**12))
def test_no_outcome_is_above_its_hold_or_below_nothing(hold: Hold, ending: Ending, spent: Spent, later_us: int) -> None:
    outcome = end_hold(hold, ending, spent, NOW_US + later_us)
    assert 0 <= outcome.calls <= hold.held_calls
    assert 0 <= outcome.tokens <= hold.held_tokens
    assert 0 <= outcome.charge_nanodollars <= hold.held_nanodollars
    assert 0 <= outcome.cost_nanodollars <= COLUMN_MAX
    assert outcome.recorded_us == max(NOW_US + later_us, hold.admitted_us)
    if ending != "post":
        assert (outcome.calls, outcome.tokens, outcome.charge_nanodollars) == (0, 0, 0)


@given(holds(), spents())
def test_usage_within_the_bounds_of_admission_is_charged_as_it_is_and_never_over_the_hold(
    hold: Hold, spent: Spent
) -> None:
    within = Spent(
        min(spent.input_tokens, hold.input_tokens_max),
        min(spent.cached_tokens, hold.input_tokens_max),
        min(spent.output_tokens, hold.output_tokens_max),
    )
    outcome = end_hold(hold, "post", within, NOW_US)
    assert Mark.OVER_HOLD not in outcome.marks.split()
    assert outcome.tokens == within.input_tokens + within.output_tokens
    expected = hold.charge_fixed_nanodollars
    if hold.charge_markup_basis_points is not None:
        share = Fraction(10_000 + hold.charge_markup_basis_points, 10_000)
        expected += ceil(outcome.cost_nanodollars * share)
    assert outcome.charge_nanodollars == expected


@given(holds(), endings, spents())
def test_what_the_provider_reported_is_in_the_row_whatever_is_charged(hold: Hold, ending: Ending, spent: Spent) -> None:
    outcome = end_hold(hold, ending, spent._replace(attempts="[{}]", error="upstream_failed"), NOW_US)
    assert (outcome.input_tokens, outcome.cached_tokens, outcome.output_tokens) == spent[:3]
    assert (outcome.attempts, outcome.error) == ("[{}]", "upstream_failed")


@given(holds(), endings, spents(), st.integers(0, 10**12), st.integers(0, 10**12))
def test_a_known_cost_is_the_founders_and_what_was_in_vain_is_nobody_elses(
    hold: Hold, ending: Ending, spent: Spent, answered: int, wasted: int
) -> None:
    spent = spent._replace(cost_nanodollars=answered + wasted, wasted_nanodollars=wasted)
    outcome = end_hold(hold, ending, spent, NOW_US)
    if ending != "expire":
        assert outcome.cost_nanodollars == answered + wasted
    if ending == "post":
        charge = hold.charge_fixed_nanodollars + charge_for_cost(answered, hold.charge_markup_basis_points)
        assert outcome.charge_nanodollars == min(charge, hold.held_nanodollars)


def test_a_known_cost_counts_even_where_it_is_nothing_or_the_tokens_would_cost_more() -> None:
    for cost in (0, 1, 10**9):
        outcome = end_hold(a_hold(), "post", Spent(100, 0, 50, cost_nanodollars=cost), NOW_US)
        assert outcome.cost_nanodollars == cost


# -- The money table of DESIGN.md, row by row


def settled(ending: Ending, spent: Spent, fixed: int = 0) -> Outcome:
    return end_hold(a_hold(markup=2_000, fixed=fixed), ending, spent, NOW_US + 1)


def test_a_delivered_answer_is_a_call_its_tokens_and_its_charge() -> None:
    outcome = settled("post", Spent(100, 40, 50))
    cost = 60 * 150 + 40 * 75 + 50 * 600
    assert outcome == (State.POSTED, 1, 150, 100, 40, 50, cost * 12 // 10, cost, "", "[]", "", NOW_US + 1, 0, 0, "")


def test_a_call_of_a_plan_without_money_is_charged_nothing_and_its_cost_is_known() -> None:
    outcome = end_hold(a_hold(), "post", Spent(100, 0, 50), NOW_US)
    assert (outcome.calls, outcome.tokens, outcome.charge_nanodollars) == (1, 150, 0)
    assert outcome.cost_nanodollars == 100 * 150 + 50 * 600


def test_a_call_beyond_the_plan_is_charged_its_overage() -> None:
    outcome = end_hold(a_hold(fixed=10_000_000), "post", Spent(100, 0, 50), NOW_US)
    assert outcome.charge_nanodollars == 10_000_000


def test_a_provider_that_failed_before_any_token_costs_nobody_anything() -> None:
    outcome = settled("void", NOTHING_SPENT)
    assert outcome.state is State.VOIDED
    assert (outcome.calls, outcome.tokens, outcome.charge_nanodollars, outcome.cost_nanodollars) == (0, 0, 0, 0)


def test_a_provider_that_failed_and_reports_usage_costs_the_founder_that() -> None:
    outcome = settled("void", Spent(100, 0, 0))
    assert outcome.state is State.VOIDED
    assert (outcome.calls, outcome.tokens, outcome.charge_nanodollars) == (0, 0, 0)
    assert outcome.cost_nanodollars == 100 * 150


def test_an_answer_without_a_message_is_posted_and_free_and_costs_the_founder_what_is_reported() -> None:
    outcome = settled("post_free", Spent(100, 0, 7, (Mark.NO_MESSAGE,)), fixed=10_000_000)
    assert (outcome.state, outcome.marks) == (State.POSTED, "no_message")
    assert (outcome.calls, outcome.tokens, outcome.charge_nanodollars) == (0, 0, 0)
    assert outcome.cost_nanodollars == 100 * 150 + 7 * 600


def test_a_dead_process_costs_the_customer_nothing_and_the_founder_the_estimate_marked_unknown() -> None:
    outcome = settled("expire", NOTHING_SPENT)
    assert (outcome.state, outcome.marks) == (State.EXPIRED, "unknown_cost")
    assert (outcome.calls, outcome.tokens, outcome.charge_nanodollars) == (0, 0, 0)
    assert outcome.cost_nanodollars == 1_000 * 150 + 400 * 600


def test_an_estimate_stays_marked() -> None:
    assert settled("post", Spent(10, 0, 5, (Mark.ESTIMATED,))).marks == "estimated"


def test_usage_above_the_hold_is_charged_up_to_the_hold_and_marked_and_costs_what_is_reported() -> None:
    hold = a_hold(markup=2_000)
    outcome = end_hold(hold, "post", Spent(1_001, 0, 400), NOW_US)
    assert (outcome.tokens, outcome.charge_nanodollars) == (hold.held_tokens, hold.held_nanodollars)
    assert outcome.marks == "over_hold"
    assert outcome.cost_nanodollars == 1_001 * 150 + 400 * 600


def test_tokens_that_only_moved_from_input_to_output_are_over_the_money_and_not_over_the_tokens() -> None:
    hold = a_hold(markup=0)
    outcome = end_hold(hold, "post", Spent(0, 0, 1_400), NOW_US)
    assert outcome.marks == "over_hold"
    assert (outcome.tokens, outcome.charge_nanodollars) == (1_400, hold.held_nanodollars)


def test_a_model_without_a_price_has_an_unknown_cost_and_says_so() -> None:
    for ending in ("post", "post_free", "void", "expire"):
        outcome = end_hold(a_hold(price=None), ending, Spent(10, 0, 5), NOW_US)
        assert outcome.cost_nanodollars == 0
        assert Mark.UNPRICED in outcome.marks.split()


def test_a_free_model_has_a_known_cost_of_nothing() -> None:
    outcome = end_hold(a_hold(price=FREE, markup=0), "post", Spent(10, 0, 5), NOW_US)
    assert (outcome.cost_nanodollars, outcome.charge_nanodollars, outcome.marks) == (0, 0, "")


def test_an_answer_is_never_recorded_before_its_question() -> None:
    assert end_hold(a_hold(), "post", Spent(1, 0, 1), NOW_US - 86_400 * 10**6).recorded_us == NOW_US


# -- The meter


@given(holds(), endings, spents())
def test_a_hold_put_on_and_taken_off_leaves_the_meter_with_its_outcome_only(
    hold: Hold, ending: Ending, spent: Spent
) -> None:
    meter = Meter("acct", "live", 0, 10**18, 5, 2, 700, 90, 11, 3, 77)
    held = hold_on(meter, hold, 78)
    assert (held.held_calls, held.held_tokens, held.held_nanodollars) == (
        2 + hold.held_calls,
        90 + hold.held_tokens,
        3 + hold.held_nanodollars,
    )
    outcome = end_hold(hold, ending, spent, NOW_US)
    after = release(held, hold, outcome)
    assert after == meter._replace(
        posted_calls=5 + outcome.calls,
        posted_tokens=700 + outcome.tokens,
        posted_nanodollars=11 + outcome.charge_nanodollars,
        burst_tat_us=78,
    )


# -- Prices that are more than three figures


SOL = price_of_usd(4, 20, "0.4", 5)._replace(tiers=((272_000, price_of_usd(8, 30, "0.8", 10)),))


def test_input_that_is_written_to_the_cache_costs_what_its_provider_asks_for_that() -> None:
    assert cost_nanodollars(SOL, 2_000, 0, 0, 2_000) == cost_nanodollars(SOL, 2_000, 0, 0) * 5 // 4
    assert cost_nanodollars(SOL, 3_000, 1_000, 10, 1_500) == 500 * 4_000 + 1_000 * 400 + 1_500 * 5_000 + 10 * 20_000
    assert cost_nanodollars(MINI, 2_000, 0, 0, 2_000) == cost_nanodollars(MINI, 2_000, 0, 0)
    assert price_of_usd(4, 20, 1, 4).cache_write_per_mtok == price_of_usd(4, 20, 1, 3).cache_write_per_mtok == 0


def test_all_tokens_of_a_long_prompt_have_the_price_of_its_tier() -> None:
    assert SOL.of_input(272_000) is SOL
    assert SOL.of_input(272_001) == price_of_usd(8, 30, "0.8", 10)
    longest = price_of_usd(16, 45)
    both = SOL._replace(tiers=(*SOL.tiers, (500_000, longest)))
    assert [both.of_input(tokens) for tokens in (272_000, 500_000, 500_001)] == [both, SOL.tiers[0][1], longest]


@given(st.integers(0, 600_000), st.data(), st.integers(0, 10**6))
def test_no_call_costs_more_than_the_price_that_is_frozen_for_it(most: int, data: st.DataObject, written: int) -> None:
    read = data.draw(st.integers(0, most))
    kept = data.draw(st.integers(0, read))
    cached = data.draw(st.integers(0, read - kept))
    frozen = dearest([SOL, MINI], most)
    assert frozen is not None
    assert frozen[3:] == (0, ())  # the row has three columns for it
    used = cost_nanodollars(SOL.of_input(read), read, cached, written, kept)
    assert used <= worst_cost_nanodollars(frozen, most, written)
