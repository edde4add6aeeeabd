"""The one decision: what is left of a plan, and what is charged beyond it."""

from math import ceil

import pytest

from farebox.domain.admission import Standing
from farebox.domain.errors import BurstExceeded, QuotaExceeded
from farebox.domain.plan import Plan
from tests.unit.decided import ASK, CALLER, END_US, METER, NOW_US, admitted, refused

# -- Is there any left?


@pytest.mark.parametrize(("posted", "held"), [(9, 0), (0, 9), (4, 5)])
def test_the_last_call_passes_and_the_next_is_refused(posted: int, held: int) -> None:
    plan = Plan("pro", calls=10)
    before = METER._replace(posted_calls=posted, held_calls=held)
    after = admitted(plan, before).standing.meter
    assert (after.posted_calls, after.held_calls) == (posted, held + 1)
    told = refused(plan, after)
    assert told.error.detail == (
        "Plan 'pro' includes 10 calls a month, and they are used up. It resets at 2026-12-23T09:07:58Z."
    )
    assert type(told.error) is QuotaExceeded
    assert told.standing == Standing(plan, after, NOW_US)


def test_a_call_that_counts_for_more_than_is_left_is_told_so() -> None:
    told = refused(Plan("pro", calls=10), METER._replace(posted_calls=7), ASK._replace(calls=4))
    assert told.error.detail == (
        "Plan 'pro' has 3 of 10 calls left this month, and this one counts for 4. It resets at 2026-12-23T09:07:58Z."
    )


def test_one_call_is_told_as_one() -> None:
    one = Plan("one", calls=1)
    assert refused(one, METER._replace(posted_calls=1)).error.detail.startswith(
        "Plan 'one' includes 1 call a month, and it is used up. It resets at"
    )
    assert refused(one, ask=ASK._replace(calls=2)).error.detail.startswith(
        "Plan 'one' has 1 of 1 call left this month, and this one counts for 2."
    )


def test_a_plan_of_nothing_passes_nothing() -> None:
    assert type(refused(Plan("pro", calls=0)).error) is QuotaExceeded
    assert type(refused(Plan("pro", tokens=0)).error) is QuotaExceeded
    assert type(refused(Plan("pro", credit_usd=0)).error) is QuotaExceeded


def test_a_call_that_may_use_the_last_token_passes_and_one_token_more_is_refused() -> None:
    plan = Plan("pro", tokens=1_500, max_output_tokens=400)
    meter = METER._replace(posted_tokens=600, held_tokens=400)
    assert admitted(plan, meter).standing.meter.held_tokens == 900
    told = refused(plan, meter._replace(posted_tokens=601))
    assert told.error.detail == (
        "Plan 'pro' has 499 of 1,500 tokens left this month, and this call can come to 500; a shorter prompt or a "
        "lower max_tokens may fit. It resets at 2026-12-23T09:07:58Z."
    )
    # And that is true.
    admitted(plan, meter._replace(posted_tokens=601), ASK._replace(output_tokens_wanted=399))
    # What a function of the founder's can come to is no matter of its caller's.
    told = refused(plan, meter._replace(posted_tokens=601), ASK._replace(endpoint="/v1/tagline"))
    assert "left this month, and this call can come to 500. It resets at" in told.error.detail


def test_a_call_that_may_use_the_last_nanodollar_passes_and_one_more_is_refused() -> None:
    plan = Plan("pro", credit_usd="0.001", markup=0.2)
    charge = (100 * 150 + 400 * 600) * 12 // 10
    left = METER._replace(posted_nanodollars=1_000_000 - charge)
    assert admitted(plan, left).hold.held_nanodollars == charge
    told = refused(plan, left._replace(held_nanodollars=1))
    assert told.error.detail == (
        "Plan 'pro' has $0.000305999 of $0.001 left this month, and this call can come to $0.000306; a shorter "
        "prompt or a lower max_tokens may fit. It resets at 2026-12-23T09:07:58Z."
    )
    admitted(plan, left._replace(held_nanodollars=1), ASK._replace(output_tokens_wanted=399))


def test_who_is_over_a_limit_that_the_founder_lowered_has_nothing_left_and_not_less() -> None:
    used = METER._replace(posted_calls=50, posted_tokens=5_000, posted_nanodollars=5_000_000_000)
    assert " 0 of 1,000 tokens left" in refused(Plan("pro", tokens=1_000), used).error.detail
    assert " $0.00 of $1.00 left" in refused(Plan("pro", credit_usd=1), used).error.detail
    assert type(refused(Plan("pro", calls=10), used).error) is QuotaExceeded


def test_every_limit_of_a_plan_counts_and_the_first_one_reached_stops() -> None:
    plan = Plan("pro", calls=10, tokens=10_000, credit_usd=1)
    admitted(plan)
    for used in (
        METER._replace(posted_calls=10),
        METER._replace(held_calls=10),
        METER._replace(posted_tokens=9_501),
        METER._replace(held_tokens=9_501),
        METER._replace(posted_nanodollars=999_999_999),
        METER._replace(held_nanodollars=999_999_999),
    ):
        assert type(refused(plan, used).error) is QuotaExceeded


@pytest.mark.parametrize(
    ("plan", "policy"),
    [(Plan("pro", calls=0), "monthly"), (Plan("pro", tokens=0), "tokens"), (Plan("pro", credit_usd=0), "credit")],
    ids=lambda value: getattr(value, "name", value),
)
def test_a_refusal_over_the_plan_names_the_limit_as_the_headers_do(plan: Plan, policy: str) -> None:
    error = refused(plan).error
    assert isinstance(error, QuotaExceeded)
    assert error.policy == policy


def test_a_refusal_over_the_plan_says_when_the_month_is_over() -> None:
    assert refused(Plan("pro", calls=0)).error.retry_after_seconds == ceil((END_US - NOW_US) / 10**6)
    assert refused(Plan("pro", calls=0), now_us=END_US - 1).error.retry_after_seconds == 1


def test_a_refusal_over_the_burst_says_when_the_next_call_passes() -> None:
    plan = Plan("pro", calls=100, burst="5/10s")
    meter = METER
    for _ in range(5):
        meter = admitted(plan, meter).standing.meter
    told = refused(plan, meter, now_us=NOW_US + 500_000)
    assert type(told.error) is BurstExceeded
    assert told.error.detail == "Too many calls at once: plan 'pro' allows 5/10s. Try again in 2 s."
    assert told.error.retry_after_seconds == 2
    assert told.standing == Standing(plan, meter, NOW_US + 500_000)
    admitted(plan, meter, now_us=NOW_US + 2_500_000)


def test_a_refusal_over_the_plan_takes_nothing_from_the_bucket() -> None:
    plan = Plan("pro", calls=1, burst="5/10s")
    used = METER._replace(posted_calls=1, burst_tat_us=NOW_US + 2_000_000)
    told = refused(plan, used)
    assert told.standing is not None
    assert told.standing.meter == used


def test_a_plan_without_a_burst_leaves_the_bucket_alone() -> None:
    assert admitted(Plan("pro"), METER._replace(burst_tat_us=77)).standing.meter.burst_tat_us == 77


# -- Overage


@pytest.mark.parametrize(
    ("posted", "held", "calls", "charged"),
    [(8, 1, 1, 0), (9, 1, 1, 1), (0, 10, 1, 1), (1_000, 3, 1, 1), (8, 0, 5, 3), (10, 0, 5, 5), (0, 0, 10, 0)],
)
def test_a_plan_with_overage_charges_for_each_call_beyond_and_for_none_within(
    posted: int, held: int, calls: int, charged: int
) -> None:
    plan = Plan("pro", calls=10, overage_usd=0.01)
    hold = admitted(plan, METER._replace(posted_calls=posted, held_calls=held), ASK._replace(calls=calls)).hold
    assert hold.charge_fixed_nanodollars == hold.held_nanodollars == charged * 10_000_000


def test_a_test_key_is_never_charged_overage() -> None:
    plan = Plan("pro", calls=10, overage_usd=0.01)
    caller, meter = CALLER._replace(mode="test"), METER._replace(name="test", posted_calls=10)
    assert admitted(plan, meter, caller=caller).hold.held_nanodollars == 0


def test_a_call_that_is_not_billed_is_never_charged_overage_and_counts_all_the_same() -> None:
    plan = Plan("pro", calls=10, overage_usd=0.01)
    after = admitted(plan, METER._replace(posted_calls=10), ASK._replace(is_billed=False))
    assert (after.hold.held_nanodollars, after.hold.held_calls) == (0, 1)


def test_overage_is_for_calls_and_the_plans_other_limits_stay() -> None:
    plan = Plan("pro", calls=1, overage_usd=0.01, tokens=600, burst="1/h")
    over = METER._replace(posted_calls=5)
    after = admitted(plan, over).standing.meter
    assert type(refused(plan, over._replace(posted_tokens=101)).error) is QuotaExceeded
    assert type(refused(Plan("pro", calls=1, overage_usd=0.01, burst="1/h"), after).error) is BurstExceeded
