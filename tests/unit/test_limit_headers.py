"""The headers that tell a caller its limits, and what a call came to."""

from typing import Any, Final

import pytest

from farebox.call import Receipt
from farebox.domain.admission import Cap, Standing
from farebox.domain.ledger import Meter, Outcome, State
from farebox.domain.period import MICROSECONDS
from farebox.domain.plan import Plan
from farebox.web.limits import Headers, limit_headers, receipt_headers

NOW_US: Final = 1_000 * MICROSECONDS
ALL: Final = Plan("all", calls=10, tokens=1_000, burst="5/10s")
CAP: Final = Cap(7, Meter("acct_1", "key_1", 0, 1, posted_calls=1, held_calls=2))


def meter(seconds_left: float = 7_383.5, burst_seconds: float = 0, **figures: int) -> Meter:
    ends_us, tat_us = (NOW_US + int(seconds * MICROSECONDS) for seconds in (seconds_left, burst_seconds))
    return Meter("acct_1", "live", 0, ends_us, burst_tat_us=tat_us, **figures)


def told(headers: Headers) -> dict[str, str]:
    found = {name.decode(): value.decode() for name, value in headers}
    assert len(found) == len(headers)
    return found


def requests(limit: int, remaining: int, reset: str, of: str = "requests") -> dict[str, str]:
    figures = {"limit": f"{limit}", "remaining": f"{remaining}", "reset": reset}
    return {f"x-ratelimit-{name}-{of}": value for name, value in figures.items()}


def test_each_limit_is_told_with_what_is_left_and_the_burst_is_what_openais_clients_wait_for() -> None:
    used = meter(burst_seconds=3.5, posted_calls=3, held_calls=2, posted_tokens=600, held_tokens=150)
    assert told(limit_headers(Standing(ALL, used, NOW_US, CAP, 5))) == {
        "ratelimit-policy": '"burst";q=5;w=10, "monthly";q=10, "tokens";q=1000, "key";q=7',
        "ratelimit": '"burst";r=3;t=4, "monthly";r=5;t=7384, "tokens";r=250;t=7384, "key";r=4;t=7384',
        **requests(5, 3, "4s"),
        **requests(1_000, 250, "2h3m4s", "tokens"),
        "x-prepaid-remaining-nanodollars": "5",
    }


def test_of_what_is_used_up_nothing_is_left_and_an_empty_burst_tells_when_a_call_passes() -> None:
    used = meter(360, 9.5, posted_calls=10, held_calls=1, posted_tokens=1_000, held_tokens=1)
    cap = CAP._replace(calls=2)
    assert told(limit_headers(Standing(ALL, used, NOW_US, cap, 0))) == {
        "ratelimit-policy": '"burst";q=5;w=10, "monthly";q=10, "tokens";q=1000, "key";q=2',
        "ratelimit": '"burst";r=0;t=2, "monthly";r=0;t=360, "tokens";r=0;t=360, "key";r=0;t=360',
        **requests(5, 0, "2s"),
        **requests(1_000, 0, "6m0s", "tokens"),
        "x-prepaid-remaining-nanodollars": "0",
    }


@pytest.mark.parametrize(
    ("plan", "cap", "calls", "left", "policy"),
    [
        (Plan("calls", calls=10), None, 10, 10, '"monthly";q=10'),
        (Plan("calls", calls=10), CAP, 10, 10, '"monthly";q=10, "key";q=7'),
        (Plan("tokens", tokens=1_000), CAP, 7, 4, '"tokens";q=1000, "key";q=7'),
        (Plan("open"), CAP, 7, 4, '"key";q=7'),
    ],
)
def test_without_a_burst_the_months_calls_are_told_and_without_these_the_keys(
    plan: Plan, cap: Cap | None, calls: int, left: int, policy: str
) -> None:
    found = told(limit_headers(Standing(plan, meter(0.2), NOW_US, cap)))
    assert {name: value for name, value in found.items() if name.endswith("requests")} == requests(calls, left, "1s")
    assert found["ratelimit-policy"] == policy


def test_what_has_no_limit_has_no_headers_of_limits() -> None:
    assert limit_headers(Standing(Plan("open"), meter(), NOW_US)) == []


@pytest.mark.parametrize(
    ("plan", "left"),
    [
        (Plan("credit", credit_usd="0.000001"), {"x-credit-remaining-nanodollars": "250"}),
        (Plan("little", credit_usd="0.0000005"), {"x-credit-remaining-nanodollars": "0"}),
        (Plan("open"), {}),
    ],
)
def test_a_receipt_tells_the_charge_and_the_credit_that_is_left(plan: Plan, left: dict[str, str]) -> None:
    outcome = Outcome(State.POSTED, 2, 7, 0, 0, 0, 30, 20, "", "[]", "", 0)
    standing = Standing(plan, meter(posted_nanodollars=600, held_nanodollars=150), NOW_US)
    content: Any = None
    assert told(receipt_headers(Receipt("req_1", content, outcome, standing))) == {
        "x-charge-nanodollars": "30", "x-charged-calls": "2", "x-request-id": "req_1", **left
    }  # fmt: skip
