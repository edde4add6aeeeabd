"""What a customer is told of the period, and of one call: each figure is its own."""

from typing import Final

from farebox.domain.admission import Cap, Standing
from farebox.domain.ledger import Meter, Outcome, State
from farebox.domain.plan import Plan
from farebox.ports.calls import CallRow
from farebox.testing import call
from farebox.web.shapes import call_of, usage_of

SECOND: Final = 10**6
METER: Final = Meter("acct_1", "live", SECOND, 2 * SECOND, 1, 2, 30, 40, 500, 600)
HOLD: Final = call()._wire.admitted.hold._replace(
    account_id="acct_1", call_id="req_1", key_id="key_1", mode="test", plan="pro", endpoint="/v1/generate", model="m",
    period_start_us=0, admitted_us=SECOND, held_calls=3,
)  # fmt: skip


def test_the_period_is_told_with_what_is_used_under_way_and_left_of_each_limit() -> None:
    plan = Plan("pro", calls=10, tokens=100, credit_usd="0.000002")
    cap = Cap(9, Meter("acct_1", "key_1", SECOND, 2 * SECOND, 3, 4))
    assert usage_of(Standing(plan, METER, 0, cap, 7)).model_dump() == {
        "plan": "pro", "mode": "live",
        "period_start": "1970-01-01T00:00:01.000000Z", "period_end": "1970-01-01T00:00:02.000000Z",
        "calls_used": 1, "calls_held": 2, "calls_limit": 10, "calls_remaining": 7,
        "tokens_used": 30, "tokens_held": 40, "tokens_limit": 100, "tokens_remaining": 30,
        "charge_nanodollars": 500, "charge_held_nanodollars": 600,
        "credit_nanodollars": 2_000, "credit_remaining_nanodollars": 900, "prepaid_remaining_nanodollars": 7,
        "key_calls_limit": 9, "key_calls_used": 3, "key_calls_held": 4, "key_calls_remaining": 2,
    }  # fmt: skip


def test_a_limit_that_there_is_not_is_null_and_of_one_that_was_passed_nothing_is_left() -> None:
    found = usage_of(Standing(Plan("open"), METER._replace(name="test"), 0)).model_dump()
    limits = {name for name in found if "_limit" in name or "_remaining" in name or name.startswith(("credit", "key_"))}
    nulls = {name for name, value in found.items() if value is None}
    assert (found["mode"], nulls) == ("test", limits)
    small = Plan("small", calls=2, tokens=69, credit_usd="0.000001")
    found = usage_of(Standing(small, METER, 0, Cap(2, METER), 0)).model_dump()
    assert {value for name, value in found.items() if "_remaining" in name} == {0}


def test_a_call_is_told_without_what_it_cost_and_one_under_way_counts_for_what_it_holds() -> None:
    of_both = {
        "id": "req_1", "endpoint": "/v1/generate", "model": "m", "mode": "test", "plan": "pro",
        "admitted_at": "1970-01-01T00:00:01.000000Z",
    }  # fmt: skip
    attempts = '[{"model": "m", "status": 500}, {"model": "next", "cost_nanodollars": 777}]'
    ended = Outcome(State.VOIDED, 1, 9, 4, 2, 5, 60, 777, "cut estimated", attempts, "why", 2 * SECOND, 40, 20)
    assert call_of(CallRow(HOLD, ended)).model_dump() == {
        "state": "voided", "calls": 1, "input_tokens": 4, "cached_tokens": 2, "output_tokens": 5,
        "charge_nanodollars": 60, "prepaid_nanodollars": 40, "invoiced_nanodollars": 20,
        "answered_by": ["next"],
        "marks": ["cut", "estimated"], "error": "why", "recorded_at": "1970-01-01T00:00:02.000000Z", **of_both,
    }  # fmt: skip
    assert call_of(CallRow(HOLD, None)).model_dump() == {
        "state": "held", "calls": 3, "input_tokens": 0, "cached_tokens": 0, "output_tokens": 0,
        "charge_nanodollars": 0, "prepaid_nanodollars": 0, "invoiced_nanodollars": 0,
        "answered_by": [], "marks": [], "error": "", "recorded_at": None, **of_both,
    }  # fmt: skip
