"""The headers that tell a caller its limits. One function writes them, so that a later draft is one change.

Source: draft-ietf-httpapi-ratelimit-headers (structured fields), and OpenAI's `x-ratelimit-*`, which its clients read.
"""

from functools import lru_cache

from farebox.call import Receipt
from farebox.domain.admission import Standing, seconds_up
from farebox.domain.period import MICROSECONDS
from farebox.domain.rate import Burst, look

Headers = list[tuple[bytes, bytes]]


def limit_headers(standing: Standing) -> Headers:
    """RateLimit-Policy, RateLimit and x-ratelimit-* for a caller's plan and key, as far as these have limits.

    The credit that is left as well, where the account has bought any.
    """
    plan, meter, now_us, cap, prepaid = standing
    limits: list[str] = []
    requests: tuple[int, int, int] | None = None
    tokens: tuple[int, int, int] | None = None
    reset_seconds = seconds_up(meter.period_end_us - now_us)
    if plan.burst_limit is not None:
        burst = plan.burst_limit
        seen = look(burst, meter.burst_tat_us, now_us)
        # With nothing left, it is the time until a call passes: Retry-After must not be earlier.
        wait_us = seen.full_after_us if seen.remaining else seen.retry_after_us
        full_seconds = -(-wait_us // MICROSECONDS)
        limits.append(f'"burst";r={seen.remaining};t={full_seconds}')
        requests = (burst.calls, seen.remaining, full_seconds)
    left = standing.calls_left
    if plan.calls is not None and left is not None:
        limits.append(f'"monthly";r={left};t={reset_seconds}')
        # OpenAI's figures are for the short term: the burst, where there is one.
        requests = requests or (plan.calls, left, reset_seconds)
    left = standing.tokens_left
    if plan.tokens is not None and left is not None:
        limits.append(f'"tokens";r={left};t={reset_seconds}')
        tokens = (plan.tokens, left, reset_seconds)
    if cap is not None:
        limits.append(f'"key";r={cap.calls_left};t={reset_seconds}')
        requests = requests or (cap.calls, cap.calls_left, reset_seconds)
    headers: Headers = []
    if limits:
        policies = _policies(plan.burst_limit, plan.calls, plan.tokens, cap.calls if cap is not None else None)
        headers.append((b"ratelimit-policy", policies))
        headers.append((b"ratelimit", ", ".join(limits).encode()))
    if requests is not None:
        headers.append((b"x-ratelimit-limit-requests", b"%d" % requests[0]))
        headers.append((b"x-ratelimit-remaining-requests", b"%d" % requests[1]))
        headers.append((b"x-ratelimit-reset-requests", _duration(requests[2])))
    if tokens is not None:
        headers.append((b"x-ratelimit-limit-tokens", b"%d" % tokens[0]))
        headers.append((b"x-ratelimit-remaining-tokens", b"%d" % tokens[1]))
        headers.append((b"x-ratelimit-reset-tokens", _duration(tokens[2])))
    if prepaid is not None:
        headers.append((b"x-prepaid-remaining-nanodollars", b"%d" % prepaid))
    return headers


def receipt_headers(receipt: Receipt) -> Headers:
    """What a call came to: its charge, how many calls it counts for, the credit that is left, and its id."""
    outcome, credit_left = receipt.outcome, receipt.standing.credit_left
    headers: Headers = [
        (b"x-charge-nanodollars", b"%d" % outcome.charge_nanodollars),
        (b"x-charged-calls", b"%d" % outcome.calls),
    ]
    if credit_left is not None:
        headers.append((b"x-credit-remaining-nanodollars", b"%d" % credit_left))
    headers.append((b"x-request-id", receipt.call_id.encode()))
    return headers


@lru_cache(maxsize=256)
def _policies(burst: Burst | None, calls: int | None, tokens: int | None, cap_calls: int | None) -> bytes:
    policies: list[str] = []
    if burst is not None:
        policies.append(f'"burst";q={burst.calls};w={burst.window_us // MICROSECONDS}')
    if calls is not None:
        policies.append(f'"monthly";q={calls}')
    if tokens is not None:
        policies.append(f'"tokens";q={tokens}')
    if cap_calls is not None:
        policies.append(f'"key";q={cap_calls}')
    return ", ".join(policies).encode()


@lru_cache(maxsize=256)
def _duration(seconds: int) -> bytes:
    """A duration as OpenAI writes it: '1s', '6m0s', '2h0m5s'."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}h{minutes}m{rest}s" if hours else f"{minutes}m{rest}s" if minutes else f"{rest}s").encode()
