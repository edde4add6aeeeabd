"""Every client understands a refusal: it tries again where that helps, and only there."""

import pytest

from tests.clients.desk import Desk
from tests.clients.roster import SCENARIOS

TRIES_MAX = 10
AI_SDK = ("ai_sdk_openai", "ai_sdk_compatible")
WRONG_KEY = "till_live_0000000000000000000000000000001234567"

# What each client calls a 401 and a 429.
CLASSES = {
    "openai_sync": ("AuthenticationError", "RateLimitError"),
    "openai_async": ("AuthenticationError", "RateLimitError"),
    "openai_node": ("AuthenticationError", "RateLimitError"),
    "langchain": ("OpenAIAuthenticationError", "OpenAIRateLimitError"),
    "pydantic_ai": ("ModelAuthenticationError", "ModelQuotaExceededError"),
    "instructor": ("AuthenticationError", "RateLimitError"),
    "ai_sdk_openai": ("APICallError", "APICallError"),
    "ai_sdk_compatible": ("APICallError", "APICallError"),
}
PLAIN_AND_STREAM = [
    pytest.param(client, scenario, id=f"{client}-{scenario}")
    for client, scenarios in SCENARIOS.items()
    for scenario in (("plain", "stream") if "plain" in scenarios else ("structured", "structured_stream"))
]
EVERY_PATH = [
    *PLAIN_AND_STREAM,
    *(pytest.param("openai_sync", name, id=f"openai_sync-{name}") for name in ("responses", "responses_stream")),
    pytest.param("openai_node", "embeddings", id="openai_node-embeddings"),
]


@pytest.mark.parametrize(("client", "scenario"), EVERY_PATH)
def test_a_wrong_key_is_told_at_once(desk: Desk, client: str, scenario: str) -> None:
    said = desk.ask(client, scenario, WRONG_KEY)
    assert said == {"error": {"class": CLASSES[client][0], "status": 401, "code": "invalid_api_key"}}
    assert desk.witness.statuses() == [401]
    assert desk.calls() == []


@pytest.mark.parametrize("client", SCENARIOS)
def test_a_burst_is_waited_out(desk: Desk, client: str) -> None:
    key = desk.shop.new_key("slower")
    scenario = "plain" if client != "instructor" else "structured"
    refusals: list[int] = []
    for _ in range(TRIES_MAX):
        desk.take_the_burst(key)
        assert "error" not in desk.ask(client, scenario, key)
        *refusals, status = desk.witness.statuses()
        assert status == 200
        if refusals:  # or the client was so slow that it came when its call had come back
            break
    assert set(refusals) == {429}
    for seen in desk.witness.seen:
        assert "x-should-retry" not in seen.answer_headers
        assert ("retry-after" in seen.answer_headers) == (seen.status == 429)
    desk.assert_ledger(key)


def test_a_burst_at_once_is_waited_out(desk: Desk) -> None:
    key = desk.shop.new_key("burst")
    for _ in range(TRIES_MAX):
        assert "error" not in desk.ask("openai_async", "at_once", key)
        if 429 in desk.witness.statuses():  # or the client was so slow that its calls had come back
            break
    assert desk.witness.statuses().count(429) > 0
    desk.assert_ledger(key)


@pytest.mark.parametrize(("client", "scenario"), EVERY_PATH)
def test_the_end_of_a_plan_is_told_at_once(desk: Desk, client: str, scenario: str) -> None:
    key = desk.shop.new_key("one")
    assert "error" not in desk.ask(client, scenario, key)
    is_ai_sdk = client in AI_SDK
    # The AI SDK tries every 429 again. Ours is made a 402 by a `fetch` of the program's own.
    said = desk.ask(client, f"{scenario}_heeding" if is_ai_sdk else scenario, key)
    status = 402 if is_ai_sdk else 429
    assert said == {"error": {"class": CLASSES[client][1], "status": status, "code": "insufficient_quota"}}
    assert desk.witness.statuses() == [200, 429]
    assert desk.witness.seen[1].answer_headers["x-should-retry"] == "false"
    assert len(desk.rows(key)) == 1


def test_the_ai_sdk_tries_a_plans_end_three_times_for_nothing(desk: Desk) -> None:
    key = desk.shop.new_key("one")
    assert "error" not in desk.ask("ai_sdk_openai", "plain", key)
    said = desk.ask("ai_sdk_openai", "plain", key)
    assert said == {"error": {"class": "RetryError", "status": 429, "code": "insufficient_quota"}}
    assert desk.witness.statuses() == [200, 429, 429, 429]
    assert len(desk.rows(key)) == 1
    assert len(desk.calls()) == 1
