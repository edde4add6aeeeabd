"""The error tree: each leaf a customer can see has a code of its own and a status that the contract knows."""

import json
import re
from typing import Any

import pytest

from farebox.domain import errors
from farebox.domain.admission import Standing
from farebox.domain.errors import BurstExceeded, CallError, InvalidApiKey, InvalidRequest, QuotaExceeded, all_errors
from farebox.domain.ledger import Meter
from farebox.domain.plan import Plan
from farebox.web.problem import problem

# DESIGN.md's contract, and what HTTP itself asks for: 400 a body that is no JSON, 405, 500.
STATUSES = {400, 401, 402, 403, 404, 405, 409, 413, 422, 429, 500, 502, 503}
CONTRACT = {
    "invalid_api_key": 401,
    "payment_required": 402,
    "account_suspended": 403,
    "not_found": 404,
    "model_not_found": 404,
    "idempotency_in_flight": 409,
    "body_too_large": 413,
    "invalid_request_error": 422,
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
    "upstream_failed": 502,
    "upstream_no_message": 502,
    "upstream_busy": 503,
    "upstream_timeout": 503,
    "ledger_unavailable": 503,
}


def descendants(cls: type[CallError]) -> list[type[CallError]]:
    return [cls, *(leaf for child in cls.__subclasses__() for leaf in descendants(child))]


def leaves() -> list[type[CallError]]:
    """Those of the error module itself; tests elsewhere may have made others."""
    return [cls for cls in all_errors() if cls.__module__ == errors.__name__]


def test_no_two_errors_have_one_code() -> None:
    codes = [leaf.code for leaf in leaves()]
    assert len(set(codes)) == len(codes)


def test_the_contracts_codes_have_the_contracts_statuses() -> None:
    assert {leaf.code: leaf.status for leaf in leaves()}.items() >= CONTRACT.items()


@pytest.mark.parametrize("leaf", leaves(), ids=lambda leaf: leaf.__name__)
def test_an_error_has_all_that_its_body_needs(leaf: type[CallError]) -> None:
    assert leaf.status in STATUSES
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", leaf.code)
    assert re.fullmatch(r"[A-Z][^.]+", leaf.title)
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", leaf.kind)
    raised = leaf("Do this.", retry_after_seconds=3, param="prompt")
    assert (raised.detail, raised.retry_after_seconds, raised.param, raised.standing) == ("Do this.", 3, "prompt", None)
    assert str(raised) == "Do this."


def test_every_class_of_the_tree_is_a_leaf_or_has_leaves_below_it() -> None:
    named = set(leaves())
    for cls in descendants(CallError):
        if cls.__module__ == errors.__name__:
            assert cls in named or cls.__subclasses__(), f"{cls.__name__} has no code, and nothing below it has one"


def test_a_class_that_only_groups_is_not_shown_to_customers() -> None:
    assert not {CallError, errors.RequestError, errors.UpstreamError} & set(leaves())


def test_only_what_cannot_succeed_by_trying_again_tells_clients_not_to() -> None:
    told = {leaf.code for leaf in leaves() if leaf.should_retry is False}
    assert told == {"insufficient_quota", "idempotency_streamed", "upstream_no_message", "price_unknown"}


def test_a_lost_hold_is_an_outage_to_whoever_handles_those() -> None:
    assert issubclass(errors.HoldLost, errors.LedgerUnavailable)
    assert errors.HoldLost.code != errors.LedgerUnavailable.code


def told(error: CallError) -> tuple[int, dict[str, str], dict[str, Any]]:
    """An error's status, the headers that not all of them have, and its body, of which all have the same."""
    status, headers, body = problem(error, "req_1", "https://till.example")
    found, members = {name.decode(): value.decode() for name, value in headers}, json.loads(body)
    for name, value in (
        ("content-type", "application/problem+json"), ("cache-control", "no-store"), ("x-request-id", "req_1")
    ):  # fmt: skip
        assert found.pop(name) == value
    assert members.pop("type") == f"https://till.example/errors/{error.code}"
    assert [members.pop(name) for name in ("title", "status", "detail", "instance")] == [
        error.title, status, "Do this.", "req_1"
    ]  # fmt: skip
    assert [members["error"].pop(name) for name in ("message", "type", "code")] == ["Do this.", error.kind, error.code]
    return status, found, members


def test_an_answer_tells_what_an_error_knows_and_nothing_else() -> None:
    plain: dict[str, Any] = {"error": {"param": None}}
    assert told(InvalidApiKey("Do this.")) == (401, {"www-authenticate": "Bearer"}, plain)
    wrong = InvalidRequest("Do this.", param="prompt")
    assert told(wrong) == (422, {}, {"error": {"param": "prompt"}, "param": "prompt"})
    burst = BurstExceeded("Do this.", retry_after_seconds=3)
    assert told(burst) == (429, {"retry-after": "3"}, plain | {"violated-policies": ["burst"]})
    quota = QuotaExceeded("Do this.")
    quota.policy, quota.page = "tokens", "/plan?account=acct_1"
    quota.standing = Standing(Plan("free", calls=1), Meter("acct_1", "live", 0, 60 * 10**6), 0)
    status, headers, members = told(quota)
    assert (status, headers.pop("x-should-retry"), headers["ratelimit"]) == (429, "false", '"monthly";r=1;t=60')
    page = "https://till.example/plan?account=acct_1"
    assert members == plain | {"violated-policies": ["tokens"], "page": page}
