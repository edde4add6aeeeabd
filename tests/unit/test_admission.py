"""The one decision: who may pass, what the customer allows, and what is held for a call."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox.domain.admission import Admitted, Ask, Caller, Cap, Standing, seconds_up
from farebox.domain.decide import decide, identify
from farebox.domain.errors import (
    AccountSuspended,
    BurstExceeded,
    CallError,
    InsufficientPermissions,
    InvalidApiKey,
    PaymentRequired,
    PriceUnknown,
    QuotaExceeded,
)
from farebox.domain.ledger import Meter
from farebox.domain.plan import Plan
from farebox.domain.prices import FREE, Price
from tests.unit.decided import ASK, CALLER, END_US, METER, MINI, NOW_US, START_US, admitted, refused

# -- Who is it?


@pytest.mark.parametrize(
    ("caller", "error", "sentence"),
    [
        (None, InvalidApiKey, "not valid"),
        (CALLER._replace(revoked_us=NOW_US - 1), InvalidApiKey, "not valid"),
        (CALLER._replace(revoked_us=NOW_US + 10**9), InvalidApiKey, "not valid"),
        (CALLER._replace(expires_us=NOW_US), InvalidApiKey, "has expired"),
        (CALLER._replace(state="suspended"), AccountSuspended, "is suspended"),
    ],
    ids=["no such key", "revoked", "revoked by a clock ahead", "expired this microsecond", "suspended"],
)
def test_a_stranger_is_refused_before_anything_is_told(
    caller: Caller | None, error: type[CallError], sentence: str
) -> None:
    told = refused(Plan("pro"), caller=caller)
    assert type(told.error) is error
    assert sentence in told.error.detail
    assert told.standing is None
    assert type(identify(caller, NOW_US)) is error


def test_a_revoked_key_is_told_the_same_as_one_that_never_was() -> None:
    revoked = refused(Plan("pro"), caller=CALLER._replace(revoked_us=1))
    assert revoked.error.detail == refused(Plan("pro"), caller=None).error.detail


def test_a_key_works_until_the_microsecond_of_its_end() -> None:
    admitted(Plan("pro"), caller=CALLER._replace(expires_us=NOW_US + 1))
    assert identify(CALLER._replace(expires_us=NOW_US + 1), NOW_US) is None


def test_a_plan_that_is_no_longer_offered_is_refused_by_name() -> None:
    told = refused(None)
    assert type(told.error) is PaymentRequired
    assert "'pro' is no longer offered" in told.error.detail


def test_a_payment_that_failed_is_refused_and_told_where_it_stands() -> None:
    told = refused(Plan("pro", calls=10), caller=CALLER._replace(state="past_due"))
    assert type(told.error) is PaymentRequired
    assert told.standing == Standing(Plan("pro", calls=10), METER, NOW_US)


def test_a_plan_in_money_refuses_a_model_without_a_price_and_others_admit_it() -> None:
    unpriced = ASK._replace(price=None)
    told = refused(Plan("pro", credit_usd=5), ask=unpriced)
    assert type(told.error) is PriceUnknown
    assert "'gpt-4o-mini'" in told.error.detail
    assert admitted(Plan("pro", calls=1, tokens=10_000), ask=unpriced).hold.price is None


def test_what_is_wrong_first_is_told_first() -> None:
    """Key, account, endpoint, plan, payment, price, the month's limits; the burst last: it is not taken in vain."""
    broke = METER._replace(posted_calls=1, burst_tat_us=NOW_US + 3_600_000_000)
    plan = Plan("pro", calls=1, credit_usd=0, burst="1/h")
    caller = Caller("key_1", "acct_1", "live", NOW_US, NOW_US, "pro", "suspended", START_US, "/v1/other")
    ask = ASK._replace(price=None)
    told: list[type[CallError]] = []

    def ask_again(plan: Plan | None, meter: Meter = broke) -> None:
        told.append(type(refused(plan, meter, ask, caller).error))

    ask_again(None)
    caller = caller._replace(revoked_us=None)
    ask_again(None)
    caller = caller._replace(expires_us=None)
    ask_again(None)
    caller = caller._replace(state="past_due")
    ask_again(None)
    caller = caller._replace(scopes="")
    ask_again(None)
    ask_again(plan)
    caller = caller._replace(state="active")
    ask_again(plan)
    ask = ask._replace(price=FREE)
    ask_again(plan)
    ask_again(plan, broke._replace(posted_calls=0))
    assert told == [
        InvalidApiKey, InvalidApiKey, AccountSuspended, InsufficientPermissions, PaymentRequired, PaymentRequired,
        PriceUnknown, QuotaExceeded, BurstExceeded,
    ]  # fmt: skip


# -- What the customer allows


SCOPED = CALLER._replace(scopes="/v1/tagline,/v1/generate")


def test_a_key_may_call_the_endpoints_it_was_made_for_and_no_others() -> None:
    admitted(Plan("pro"), caller=SCOPED)
    admitted(Plan("pro"), caller=SCOPED, ask=ASK._replace(endpoint="/v1/tagline"))
    for endpoint in ("/v1/embeddings", "/v1/gen", "/v1/generate/more", "/v1/tagline,/v1/generate", "/V1/GENERATE"):
        told = refused(Plan("pro"), caller=SCOPED, ask=ASK._replace(endpoint=endpoint))
        assert type(told.error) is InsufficientPermissions
        assert f"may not call {endpoint}, only /v1/tagline, /v1/generate." in told.error.detail
    # Where it stands, it may know.
    assert identify(SCOPED, NOW_US) is None


def test_the_last_call_of_a_keys_cap_passes_and_the_next_is_refused() -> None:
    cap = Cap(50, METER._replace(name="key_1", posted_calls=40, held_calls=9))
    after = admitted(Plan("pro", calls=100), METER._replace(posted_calls=49), cap=cap).standing
    assert after.cap == Cap(50, cap.meter._replace(held_calls=10, held_tokens=500))
    assert (after.meter.posted_calls, after.meter.held_calls) == (49, 1)
    told = refused(Plan("pro", calls=100), cap=after.cap)
    assert told.error.detail == (
        "This API key's limit of 50 calls a month is used up. It resets at 2026-12-23T09:07:58Z. You can create a "
        "key with another limit at /keys."
    )
    assert isinstance(told.error, QuotaExceeded)
    assert told.error.policy == "key"
    assert told.standing == Standing(Plan("pro", calls=100), METER, NOW_US, after.cap)


def test_a_call_of_several_units_does_not_pass_what_a_key_has_left() -> None:
    cap = Cap(50, METER._replace(name="key_1", posted_calls=48))
    admitted(Plan("pro"), cap=cap, ask=ASK._replace(calls=2))
    assert type(refused(Plan("pro"), cap=cap, ask=ASK._replace(calls=3)).error) is QuotaExceeded


def test_a_spend_cap_lets_the_last_nanodollar_pass_and_not_one_more() -> None:
    plan, caller = Plan("pro", credit_usd=5), CALLER._replace(spend_cap_nanodollars=1_000_000_000)
    charge = 100 * 150 + 400 * 600
    left = METER._replace(posted_nanodollars=900_000_000, held_nanodollars=100_000_000 - charge)
    admitted(plan, left, caller=caller)
    told = refused(plan, left._replace(posted_nanodollars=900_000_001), caller=caller)
    assert told.error.detail == (
        "This account's spend cap has $0.000254999 of $1.00 left this month, and this call can come to $0.000255; "
        "a shorter prompt or a lower max_tokens may fit. It resets at 2026-12-23T09:07:58Z. An owner can change the "
        "cap at /plan."
    )
    assert isinstance(told.error, QuotaExceeded)
    assert told.error.policy == "spend-cap"


def test_a_spend_cap_stops_overage_and_never_a_call_that_costs_nothing() -> None:
    plan, caller = Plan("pro", calls=10, overage_usd=0.01), CALLER._replace(spend_cap_nanodollars=0)
    admitted(plan, METER._replace(posted_calls=9, posted_nanodollars=77), caller=caller)
    assert type(refused(plan, METER._replace(posted_calls=10), caller=caller).error) is QuotaExceeded
    admitted(plan, METER._replace(posted_calls=10), caller=caller, ask=ASK._replace(is_billed=False))
    test_mode = caller._replace(mode="test")
    admitted(Plan("pro", credit_usd=5), METER._replace(name="test"), caller=test_mode)


# -- What is held


@pytest.mark.parametrize(("wanted", "longest"), [(None, 300), (1, 1), (299, 299), (300, 300), (301, 300), (2**31, 300)])
def test_the_plan_bounds_the_answer_and_a_caller_may_only_ask_for_less(wanted: int | None, longest: int) -> None:
    plan = Plan("pro", tokens=10_000, max_output_tokens=300)
    hold = admitted(plan, ask=ASK._replace(output_tokens_wanted=wanted)).hold
    assert (hold.output_tokens_max, hold.held_tokens) == (longest, 100 + longest)


def test_a_hold_has_the_worst_case_and_everything_the_row_will_need() -> None:
    plan = Plan("pro", credit_usd=5, markup=0.2)
    hold = admitted(plan).hold
    charge = (100 * 150 + 400 * 600) * 12 // 10
    assert hold == (
        "acct_1", "req_1", "key_1", "live", "pro", "/v1/generate", "gpt-4o-mini", START_US, NOW_US,
        NOW_US + 180_000_000, 1, 500, charge, 100, 400, 150_000_000, 75_000_000, 600_000_000, 0, 2_000, "", None,
        "", "", None, None, charge,
    )  # fmt: skip


def test_a_cached_token_that_costs_more_than_a_fresh_one_is_held_for() -> None:
    dearer = ASK._replace(price=Price(1_000_000, 3_000_000, 0))
    assert admitted(Plan("pro", credit_usd=5), ask=dearer).hold.held_nanodollars == 300


def test_a_plan_without_money_holds_no_money_and_keeps_the_price_for_its_cost() -> None:
    hold = admitted(Plan("pro", calls=5)).hold
    assert (hold.held_nanodollars, hold.charge_markup_basis_points, hold.price) == (0, None, MINI)


@pytest.mark.parametrize("wanted", [None, 10, 300, 10_000])
@pytest.mark.parametrize("answers", [1, 2, 128])
def test_several_answers_are_held_each_with_the_bound_of_one(answers: int, wanted: int | None) -> None:
    plan = Plan("pro", tokens=10**6, credit_usd=5, max_output_tokens=300)
    hold = admitted(plan, ask=ASK._replace(answers=answers, output_tokens_wanted=wanted)).hold
    longest = answers * min(wanted or 300, 300)
    assert (hold.output_tokens_max, hold.held_tokens) == (longest, 100 + longest)
    assert hold.held_nanodollars == 100 * 150 + longest * 600


@pytest.mark.parametrize("total", [0, 1, 299, 5_000])
def test_what_bounds_all_answers_together_counts_instead_of_the_bound_of_one(total: int) -> None:
    ask = ASK._replace(answers=3, output_tokens_wanted=10, output_tokens_total=total)
    hold = admitted(Plan("pro", tokens=10**6, max_output_tokens=300), ask=ask).hold
    assert (hold.output_tokens_max, hold.held_tokens) == (total, 100 + total)


sums = st.integers(0, 2_000)
money = st.integers(0, 10**9)
meters = st.builds(
    Meter, st.just("acct_1"), st.just("live"), st.just(START_US), st.just(END_US), sums, sums, sums, sums, money, money,
    st.integers(START_US, END_US),
)  # fmt: skip
plans = st.builds(
    lambda overage, **limits: (
        Plan("pro", overage_usd=0.01, **{**limits, "credit_usd": None})
        if overage and limits["calls"] is not None
        else Plan("pro", **limits)
    ),
    st.booleans(),
    calls=st.none() | st.integers(0, 2_000),
    tokens=st.none() | st.integers(0, 3_000),
    credit_usd=st.sampled_from([None, None, 0, "0.0005", 1]),
    burst=st.sampled_from([None, "1/s", "5/10s", "100/h"]),
    max_output_tokens=st.integers(1, 500),
)
asks = st.builds(
    lambda read_max, wanted, calls: ASK._replace(input_tokens_max=read_max, output_tokens_wanted=wanted, calls=calls),
    st.integers(0, 2_000),
    st.none() | st.integers(1, 600),
    st.integers(1, 3),
)


callers = st.builds(
    lambda spend_cap, mode: CALLER._replace(spend_cap_nanodollars=spend_cap, mode=mode),
    st.none() | st.sampled_from([0, 300_000, 10_000_000, 500_000_000]),
    st.sampled_from(["live", "live", "test"]),
)
caps = st.none() | st.builds(
    lambda calls, posted, held: Cap(calls, METER._replace(name="key_1", posted_calls=posted, held_calls=held)),
    *(st.integers(0, 8),) * 3,
)


@given(callers, plans, meters, caps, asks, st.integers(START_US, END_US - 1))
def test_no_admission_passes_a_limit_and_no_refusal_was_needless(
    caller: Caller, plan: Plan, meter: Meter, cap: Cap | None, ask: Ask, now_us: int
) -> None:
    decision = decide(caller, plan, meter, cap, ask, now_us)
    longest = min(ask.output_tokens_wanted or plan.max_output_tokens, plan.max_output_tokens)
    money = ask.input_tokens_max * 150 + longest * 600 if plan.credit_nanodollars is not None else 0
    if plan.overage_nanodollars is not None and plan.calls is not None and caller.mode == "live":
        before = meter.posted_calls + meter.held_calls
        money += 10_000_000 * sum(place >= plan.calls for place in range(before, before + ask.calls))
    worst = {"calls": ask.calls, "tokens": ask.input_tokens_max + longest, "nanodollars": money}
    limits: dict[str, Any] = {
        "calls": None if plan.overage_nanodollars is not None else plan.calls,
        "tokens": plan.tokens,
        "nanodollars": plan.credit_nanodollars,
    }
    sums = meter._asdict()
    over = [
        unit
        for unit, limit in limits.items()
        if limit is not None and sums[f"posted_{unit}"] + sums[f"held_{unit}"] + worst[unit] > limit
    ]
    spend_cap = caller.spend_cap_nanodollars if caller.mode == "live" and money else None
    if spend_cap is not None and meter.posted_nanodollars + meter.held_nanodollars + money > spend_cap:
        over.append("spend cap")
    if cap is not None and cap.meter.posted_calls + cap.meter.held_calls + ask.calls > cap.calls:
        over.append("key")
    if isinstance(decision, Admitted):
        assert not over
        after = decision.standing.meter._asdict()
        assert after["held_calls"] - meter.held_calls == worst["calls"]
        assert after["held_tokens"] - meter.held_tokens == worst["tokens"]
        assert after["held_nanodollars"] - meter.held_nanodollars == decision.hold.held_nanodollars
        assert [after[f"posted_{unit}"] for unit in limits] == [sums[f"posted_{unit}"] for unit in limits]
        of_key = decision.standing.cap
        assert (of_key is None) == (cap is None)
        if cap is not None and of_key is not None:
            assert of_key.calls_left == cap.calls_left - ask.calls
            assert of_key.meter.held_nanodollars - cap.meter.held_nanodollars == money
    elif isinstance(decision.error, QuotaExceeded):
        assert over
    else:
        assert isinstance(decision.error, BurstExceeded)
        assert not over
        assert plan.burst_limit is not None
        assert decision.error.retry_after_seconds is not None
        later_us = now_us + decision.error.retry_after_seconds * 10**6
        assert isinstance(decide(caller, plan, meter, cap, ask, later_us), Admitted)


@pytest.mark.parametrize(("us", "seconds"), [(-5, 1), (0, 1), (1, 1), (10**6, 1), (10**6 + 1, 2), (59_999_999, 60)])
def test_seconds_to_wait_are_whole_enough_and_never_none(us: int, seconds: int) -> None:
    assert seconds_up(us) == seconds
