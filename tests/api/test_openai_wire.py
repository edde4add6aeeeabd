"""The OpenAI wire: fields and answers pass, and what would cost the founder more than its tokens does not."""

import json
from typing import Any

import pytest
from pydantic_core import to_json

from tests.api.shop import Shop, assert_problem, get, send
from tests.services.load import Reply, Request
from tests.services.served import Served
from tests.services.upstream import CHAT, Behaviour, FakeUpstream, expected_answer

MESSAGES = [{"role": "user", "content": "Say hello"}]
BODY: dict[str, Any] = {"model": "gpt-4o-mini", "messages": MESSAGES}
RESPONSES = {"model": "gpt-4o-mini", "input": "Say hello"}
PATHS = ("/v1/chat/completions", "/v1/responses")


def post(served: Served, key: str, path: str, body: object) -> Reply:
    return send(Request(f"{served.url}{path}", body, {"authorization": f"Bearer {key}"}))


def chat(served: Served, key: str, **more: object) -> Reply:
    return post(served, key, "/v1/chat/completions", {**BODY, **more})


def body_for(path: str, **more: object) -> dict[str, Any]:
    return {**(BODY if path.endswith("completions") else RESPONSES), **more}


def events(reply: Reply) -> list[Any]:
    """The data of a stream's events; None is the end's mark."""
    lines = [line[5:].strip() for line in reply.body.split(b"\n") if line.startswith(b"data:")]
    return [None if line == b"[DONE]" else json.loads(line) for line in lines]


# -- What passes


def test_an_answer_is_the_providers_own_bytes(shop: Shop, served: Served, upstream: FakeUpstream) -> None:
    key = shop.new_key("hundred")
    reply = chat(served, key)
    answer = expected_answer(BODY)
    body = reply.json()
    assert reply.status == 200
    assert body["choices"][0]["message"]["content"] == answer.text
    assert body["system_fingerprint"] == "fp_fake"
    assert body["usage"]["prompt_tokens"] == answer.input_tokens
    columns = "endpoint, model, state, input_tokens, output_tokens, calls"
    assert shop.records(columns, key) == [
        ("/v1/chat/completions", "gpt-4o-mini", "posted", answer.input_tokens, answer.output_tokens, 1)
    ]
    assert upstream.count() == 1


def test_fields_that_nobody_knows_reach_the_provider(shop: Shop, served: Served, upstream: FakeUpstream) -> None:
    more = {"seed": 7, "brand_new": {"a": [1, 2.5, None, "ü"]}, "temperature": 0.3, "logit_bias": {"50256": -100}}
    chat(served, shop.new_key("hundred"), **more)
    [call] = upstream.calls()
    assert {name: call.body[name] for name in more} == more
    assert call.body["messages"] == MESSAGES


def test_the_plan_bounds_the_answer(shop: Shop, served: Served, upstream: FakeUpstream) -> None:
    key = shop.new_key("hundred")
    for asked in ({}, {"max_tokens": 10**9}, {"max_completion_tokens": 10**7}, {"max_tokens": 5}):
        chat(served, key, **asked)
    assert [call.max_tokens for call in upstream.calls()] == [400, 400, 400, 5]


def test_several_answers_are_held_and_paid_as_several(shop: Shop, served: Served, upstream: FakeUpstream) -> None:
    key = shop.new_key("hundred")
    chat(served, key, n=3, max_tokens=7)
    [(held, spent)] = shop.records("output_tokens_max, output_tokens", key)
    assert held == 21
    assert spent <= 21
    assert upstream.calls()[0].body["n"] == 3


@pytest.mark.parametrize("field", ["tools", "response_format"])
def test_numbers_that_grow_when_they_are_written_again_are_held_as_they_are_sent(
    shop: Shop, served: Served, upstream: FakeUpstream, field: str
) -> None:
    key = shop.new_key("hundred")
    schema = {"type": "number", "enum": [0.5] * 500}
    value: object = {"type": "json_schema", "json_schema": {"name": "f", "schema": schema}}
    if field == "tools":
        value = [{"type": "function", "function": {"name": "f", "parameters": schema}}]
    body = to_json({"messages": MESSAGES, field: value}).replace(b"0.5", b"1e15")
    assert post(served, key, "/v1/chat/completions", body).status == 200
    [call] = upstream.calls()
    [(held,)] = shop.records("input_tokens_max", key)
    assert held >= len(to_json(call.body[field])) > 2 * len(body)


@pytest.mark.parametrize("path", PATHS)
def test_a_stream_is_the_providers_events_and_is_recorded(shop: Shop, served: Served, path: str) -> None:
    key = shop.new_key("hundred")
    reply = post(served, key, path, body_for(path, stream=True))
    assert reply.status == 200
    assert reply.headers["content-type"].startswith("text/event-stream")
    found = events(reply)
    if path.endswith("completions"):
        assert found[-1] is None
        text = "".join(event["choices"][0]["delta"].get("content") or "" for event in found[:-1] if event["choices"])
        assert text == expected_answer(BODY).text
    else:
        assert found[-1]["type"] == "response.completed"
        text = "".join(event["delta"] for event in found if event["type"] == "response.output_text.delta")
        assert text == found[-1]["response"]["output"][0]["content"][0]["text"]
    [(state, marks, written)] = shop.records("state, marks, output_tokens", key)
    assert (state, marks) == ("posted", "")
    assert written == -(-len(text) // 4)


@pytest.mark.parametrize("asked", [True, False])
def test_usage_is_asked_of_the_provider_and_shown_if_asked_for(
    shop: Shop, served: Served, upstream: FakeUpstream, *, asked: bool
) -> None:
    options = {"stream_options": {"include_usage": True}} if asked else {}
    reply = chat(served, shop.new_key("hundred"), stream=True, **options)
    assert upstream.calls()[0].body["stream_options"] == {"include_usage": True}
    shown = [event for event in events(reply) if event and event.get("usage")]
    assert bool(shown) is asked
    assert all(event is None or event["choices"] or asked for event in events(reply))


def test_embeddings_are_priced_by_their_own_model(shop: Shop, served: Served) -> None:
    key = shop.new_key("hundred")
    reply = post(served, key, "/v1/embeddings", {"model": "text-embedding-3-small", "input": ["one", "two"]})
    assert [len(row["embedding"]) > 0 for row in reply.json()["data"]] == [True, True]
    [row] = shop.records("endpoint, model, input_tokens, output_tokens, cost_nanodollars", key)
    read = reply.json()["usage"]["prompt_tokens"]
    assert row == ("/v1/embeddings", "text-embedding-3-small", read, 0, read * 20)


def test_the_listed_models_are_told_and_no_others(shop: Shop, served: Served) -> None:
    key = shop.new_key("hundred")
    listed = get(f"{served.url}/v1/models", key).json()
    assert [model["id"] for model in listed["data"]] == ["gpt-4o-mini", "text-embedding-3-small"]
    assert get(f"{served.url}/v1/models/gpt-4o-mini", key).json() == listed["data"][0]
    for other in ("gpt-4o", "meta/llama", "meta%2Fllama"):  # many models have a slash in their name
        assert_problem(get(f"{served.url}/v1/models/{other}", key), 404, "model_not_found")
    for path in ("/v1/models", "/v1/models/gpt-4o-mini"):
        assert_problem(get(f"{served.url}{path}"), 401, "invalid_api_key")


def test_a_test_key_hears_from_the_sandbox(shop: Shop, served: Served, upstream: FakeUpstream) -> None:
    key = shop.new_key("hundred", "test")
    assert chat(served, key).json()["model"] == "farebox-sandbox"
    assert events(chat(served, key, stream=True))[0]["model"] == "farebox-sandbox"
    assert post(served, key, "/v1/responses", RESPONSES).json()["model"] == "farebox-sandbox"
    assert upstream.count() == 0


# -- What does not


@pytest.mark.parametrize("path", [*PATHS, "/v1/embeddings"])
@pytest.mark.parametrize("name", ["gpt-4o", "openai:gpt-4o", "", "../gpt-4o-mini", "x" * 5000])
def test_a_model_that_is_not_listed_is_refused(
    shop: Shop, served: Served, upstream: FakeUpstream, path: str, name: str
) -> None:
    key = shop.new_key("hundred")
    body = assert_problem(post(served, key, path, {**body_for(path), "model": name}), 404, "model_not_found")
    assert body["error"]["param"] == "model"
    assert (upstream.count(), shop.records("state", key)) == (0, [])


@pytest.mark.parametrize(
    ("path", "field", "value"),
    [
        ("/v1/chat/completions", "web_search_options", {"search_context_size": "low"}),
        ("/v1/chat/completions", "audio", {"voice": "alloy"}),
        ("/v1/chat/completions", "service_tier", "priority"),
        ("/v1/chat/completions", "n", 1000),
        ("/v1/chat/completions", "max_tokens", 0),
        ("/v1/chat/completions", "max_tokens", "many"),
        ("/v1/chat/completions", "stream", "yes"),
        ("/v1/chat/completions", "tools", [{"type": "web_search"}]),
        ("/v1/responses", "tools", [{"type": "code_interpreter", "container": {"type": "auto"}}]),
        ("/v1/responses", "previous_response_id", "resp_1"),
        ("/v1/responses", "background", True),
        ("/v1/responses", "input", [{"type": "item_reference", "id": "msg_1"}]),
        ("/v1/responses", "max_output_tokens", -1),
        ("/v1/responses", "plugins", [{"id": "web", "max_results": 50}]),
        ("/v1/embeddings", "models", ["text-embedding-3-large"]),
    ],
)
def test_what_costs_more_than_its_tokens_is_refused(
    shop: Shop, served: Served, upstream: FakeUpstream, path: str, field: str, value: object
) -> None:
    key = shop.new_key("hundred")
    body = assert_problem(post(served, key, path, body_for(path, **{field: value})), 422, "invalid_request_error")
    assert body["error"]["param"] == field
    assert (upstream.count(), upstream.count(path=path), shop.records("state", key)) == (0, 0, [])


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b'{"messages": NaN}', b'{"seed": 1e999}', b"\xff", b'{"a":1,"a":2}', b"[" * 100_000]
)
@pytest.mark.parametrize("path", [*PATHS, "/v1/embeddings"])
def test_a_body_that_is_no_json_object_is_refused(shop: Shop, served: Served, path: str, body: bytes) -> None:
    assert_problem(post(served, shop.new_key("hundred"), path, body), 422, "invalid_request_error")


@pytest.mark.parametrize("inside", ['{"a":' * 300 + "1" + "}" * 300, '"\\ud800"'])
def test_json_that_cannot_be_written_again_is_refused(shop: Shop, served: Served, inside: str) -> None:
    key = shop.new_key("hundred")
    body = f'{{"model": "gpt-4o-mini", "messages": [], "extra": {inside}}}'.encode()
    assert_problem(post(served, key, "/v1/chat/completions", body), 422, "invalid_request_error")
    assert shop.records("state", key) == []


def test_what_the_provider_has_against_a_request_is_told(shop: Shop, served: Served) -> None:
    key = shop.new_key("hundred")
    body = assert_problem(chat(served, key, messages=[]), 400, "request_refused")
    assert "messages" in body["detail"]
    assert shop.records("state, calls, charge_nanodollars, error", key) == [("voided", 0, 0, "request_refused")]


@pytest.mark.parametrize("status", [401, 403, 404])
def test_the_founders_trouble_with_the_provider_is_not_the_customers(
    shop: Shop, served: Served, upstream: FakeUpstream, status: int
) -> None:
    upstream.program_next(Behaviour(status=status))
    body = assert_problem(chat(served, shop.new_key("hundred")), 502, "upstream_failed")
    assert "sk-" not in json.dumps(body)


def test_a_refusal_of_the_model_passes_and_is_free(shop: Shop, served: Served, upstream: FakeUpstream) -> None:
    key = shop.new_key("hundred")
    upstream.program_next(Behaviour(fault="null_content"))
    reply = chat(served, key)
    assert reply.status == 200
    assert reply.json()["choices"][0]["message"]["refusal"]
    [(state, calls, charge, marks)] = shop.records("state, calls, charge_nanodollars, marks", key)
    assert (state, calls, charge, marks) == ("posted", 0, 0, "no_message")


# -- Receipts


def test_a_receipt_says_what_a_call_came_to(shop: Shop, served: Served) -> None:
    key, other = shop.new_keys("credit", 2)
    reply = chat(served, key)
    charge = int(reply.headers["x-charge-nanodollars"])
    assert charge > 0
    receipt = get(f"{served.url}/v1/usage/calls/{reply.headers['x-request-id']}", key)
    found = receipt.json()
    usage = reply.json()["usage"]
    assert found["charge_nanodollars"] == charge
    assert (found["input_tokens"], found["output_tokens"]) == (usage["prompt_tokens"], usage["completion_tokens"])
    assert (found["state"], found["endpoint"], found["calls"]) == (
        "posted",
        CHAT,
        int(reply.headers["x-charged-calls"]),
    )
    assert "cost" not in receipt.body.decode()
    left = get(f"{served.url}/v1/usage", key).json()["credit_remaining_nanodollars"]
    assert left == int(reply.headers["x-credit-remaining-nanodollars"])
    for stranger in (other, shop.new_key("credit", "test")):
        assert_problem(get(f"{served.url}/v1/usage/calls/{found['id']}", stranger), 404, "call_not_found")
    assert_problem(get(f"{served.url}/v1/usage/calls/{found['id']}"), 401, "invalid_api_key")
    for none in ("a%00b", "%ff", "req_x", f"{found['id']}%00"):
        assert_problem(get(f"{served.url}/v1/usage/calls/{none}", key), 404, "call_not_found")
