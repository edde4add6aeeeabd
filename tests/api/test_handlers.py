"""A founder's functions as endpoints, over real sockets: what they answer, and what is written of it."""

import json
from pathlib import Path

import pytest

from tests.api.functions import APP, call
from tests.api.shop import Shop, assert_problem, get, send
from tests.services.command import farebox
from tests.services.load import Request
from tests.services.served import Served
from tests.services.upstream import Behaviour, FakeUpstream, expected_answer

# -- Plain answers


def test_a_functions_answer_and_its_row(till: Shop, server: Served, upstream: FakeUpstream) -> None:
    key = till.new_key("ten")
    reply = call(server, key, "tagline", {"product": "tea", "tone": "bold"})
    [asked] = upstream.calls()
    honest = expected_answer(asked.body)
    assert asked.body["messages"] == [{"role": "user", "content": "Write a bold tagline for tea."}]
    assert (reply.status, reply.json()) == (200, {"text": honest.text})
    assert (reply.headers["x-charged-calls"], reply.headers["x-ratelimit-remaining-requests"]) == ("1", "9")
    columns = "call_id, state, endpoint, model, calls, input_tokens, output_tokens"
    assert till.records(columns, key) == [
        (
            reply.headers["x-request-id"], "posted", "/v1/tagline", "gpt-4o-mini", 1, honest.input_tokens,
            honest.output_tokens,
        )
    ]  # fmt: skip


def test_all_questions_of_a_call_are_one_row(till: Shop, server: Served, upstream: FakeUpstream) -> None:
    key = till.new_key("credit")
    reply = call(server, key, "pair", {"topic": "tea"})
    honest = [expected_answer(asked.body) for asked in upstream.calls()]
    assert len(honest) == 2
    assert sorted(reply.json()) == ["first", "second"]
    [(calls, tokens, attempts)] = till.records("calls, output_tokens, attempts", key)
    assert (calls, tokens) == (1, sum(answer.output_tokens for answer in honest))
    assert len(attempts if isinstance(attempts, list) else json.loads(attempts)) == 2


def test_a_prompt_without_a_body_and_the_openai_client(till: Shop, server: Served, upstream: FakeUpstream) -> None:
    key = till.new_key("open")
    assert call(server, key, "haiku", {"topic": "tea"}).status == 200
    assert call(server, key, "client").status == 200
    asked = [made.body["messages"][0]["content"] for made in upstream.calls()]
    assert asked == ["Write a {good} haiku about tea.", "hi"]
    assert all(tokens > 0 for (tokens,) in till.records("output_tokens", key))


def test_a_model_of_a_functions_own(till: Shop, server: Served, upstream: FakeUpstream) -> None:
    key = till.new_key("open")
    assert call(server, key, "dear").status == 200
    assert [made.model for made in upstream.calls()] == ["gpt-4o"]
    [(model, cost, tokens)] = till.records("model, cost_nanodollars, output_tokens", key)
    assert (model, cost > tokens * 10_000) == ("gpt-4o", True)
    listed = [found["id"] for found in get(f"{server.url}/v1/models", key).json()["data"]]
    assert listed == ["gpt-4o-mini"]
    chosen = call(server, key, "chat/completions", {"model": "gpt-4o", "messages": [{"role": "user", "content": "x"}]})
    assert_problem(chosen, 404, "model_not_found")


def test_a_test_key_is_answered_by_the_sandbox(till: Shop, server: Served, upstream: FakeUpstream) -> None:
    key = till.new_key("ten", "test")
    for name, body in (("tagline", {"product": "tea"}), ("dear", {}), ("client", {})):
        assert "[farebox-sandbox]" in call(server, key, name, body).json()["text"]
    assert upstream.count() == 0
    assert {model for (model,) in till.records("model", key)} == {"farebox-sandbox"}


def test_a_call_counts_for_its_units(till: Shop, server: Served, upstream: FakeUpstream) -> None:
    key = till.new_key("ten")
    reply = call(server, key, "counted", {"words": ["a", "b", "c"]})
    assert (reply.json(), reply.headers["x-charged-calls"]) == ({"result": 3}, "3")
    assert call(server, key, "counted", {"words": []}).headers["x-charged-calls"] == "0"
    assert_problem(call(server, key, "counted", {"words": ["a"] * 8}), 429, "insufficient_quota")
    assert_problem(call(server, key, "miscounted"), 500, "internal_error")
    assert till.records("calls", key) == [(3,), (0,)]
    assert (till.held(), upstream.count()) == (0, 0)


@pytest.mark.parametrize("asked", [{}, {"model": "text-embedding-3-small"}])
def test_a_product_without_embeddings_says_so(till: Shop, server: Served, asked: dict[str, str]) -> None:
    told = assert_problem(
        call(server, till.new_key("open"), "embeddings", {"input": "tea", **asked}), 404, "model_not_found"
    )
    assert told["detail"] == "This service offers no embeddings."


def test_the_founders_own_router_goes_on(server: Served) -> None:
    assert get(f"{server.url}/hello").json() == {"hello": "you"}
    assert_problem(send(Request(f"{server.url}/v1/tagline", method="GET")), 405, "method_not_allowed")


# -- What goes wrong


def test_a_wrong_request_is_refused_before_anything_is_held(till: Shop, server: Served, upstream: FakeUpstream) -> None:
    key = till.new_key("ten")
    assert assert_problem(call(server, key, "tagline", {"tone": "warm"}), 422, "invalid_request_error")["error"][
        "param"
    ] == "product"  # fmt: skip
    assert_problem(call(server, key, "tagline", b"rubbish"), 422, "invalid_request_error")
    assert (till.records("state", key), upstream.count()) == ([], 0)


@pytest.mark.parametrize(
    ("name", "body", "status", "code"),
    [
        ("refusing", {"status": 404}, 404, "request_refused"),
        ("refusing", {"status": 422}, 422, "request_refused"),
        ("refusing", {"status": 503}, 500, "internal_error"),
        ("broken", {}, 500, "internal_error"),
        ("wrong", {}, 500, "internal_error"),
        ("exiting", {}, 500, "internal_error"),
        ("threaded", {}, 500, "internal_error"),
    ],
)
def test_a_function_that_fails_charges_nothing_and_its_cost_is_known(
    till: Shop, server: Served, upstream: FakeUpstream, name: str, body: object, status: int, code: str
) -> None:
    key = till.new_key("credit")
    told = assert_problem(call(server, key, name, body), status, code)
    assert "secret" not in json.dumps(told)
    if code == "request_refused":
        assert told["detail"] == "No such order."
    [(state, calls, charge, cost)] = till.records("state, calls, charge_nanodollars, cost_nanodollars", key)
    assert (state, calls, charge, cost > 0) == ("voided", 0, 0, True)
    assert upstream.count() == 1
    till.assert_sums()


def test_the_founder_finds_what_broke_in_the_log(server: Served, till: Shop) -> None:
    call(server, till.new_key("open"), "broken")
    assert "KeyError: 'a secret'" in server.output()


def test_what_does_not_fit_is_refused_unsent(till: Shop, server: Served, upstream: FakeUpstream) -> None:
    key = till.new_key("open")
    assert call(server, key, "greedy", {"size": 100}).status == 200
    assert_problem(call(server, key, "greedy", {"size": 1000}), 422, "call_too_large")
    assert upstream.count() == 1
    assert "Raise max_input_tokens or max_output_tokens of its decorator" in server.output()


def test_questions_that_a_function_does_not_wait_for_are_recorded_and_bounded(
    till: Shop, server: Served, upstream: FakeUpstream
) -> None:
    upstream.program(Behaviour(latency_seconds=5))
    asked, insisting = till.new_key("credit"), till.new_key("credit")
    assert call(server, asked, "hasty", {"times": 2}).json() == {"text": "no answer"}
    [(state, tokens, marks, attempts)] = till.records("state, input_tokens, marks, attempts", asked)
    assert (state, 100 <= tokens < 340, marks) == ("posted", True, "cut estimated")
    assert [one["cut"] for one in json.loads(attempts)] == [True, True]
    assert upstream.count() == 2
    assert_problem(call(server, insisting, "hasty", {"times": 9}), 422, "call_too_large")
    assert upstream.count() < 9
    [(state, charge, cost)] = till.records("state, charge_nanodollars, cost_nanodollars", insisting)
    assert (state, charge, cost > 0) == ("voided", 0, True)
    till.assert_sums()


def test_a_function_ends_with_the_calls_deadline(till: Shop) -> None:
    key = till.new_key("open")
    with till.served(workers=1, FAREBOX_CALL_SECONDS_MAX="0.5") as server:
        assert_problem(call(server, key, "slow"), 503, "upstream_timeout")
    assert till.records("state", key) == [("voided",)]


def test_what_the_provider_failed_with_is_told(till: Shop, server: Served, upstream: FakeUpstream) -> None:
    key = till.new_key("open")
    upstream.program(Behaviour(status=429))
    assert_problem(call(server, key, "tagline", {"product": "tea"}), 503, "upstream_busy")
    assert_problem(call(server, key, "client"), 503, "upstream_busy")
    upstream.program(Behaviour(status=400))
    assert_problem(call(server, key, "tagline", {"product": "tea"}), 502, "upstream_failed")


# -- The page, and the start


def test_the_openapi_page_has_every_function(server: Served) -> None:
    page = get(f"{server.url}/openapi.json").json()
    tagline = page["paths"]["/v1/tagline"]["post"]
    assert (tagline["summary"], tagline["operationId"]) == ("Write a tagline", "tagline")
    assert tagline["requestBody"]["content"]["application/json"]["schema"] == {
        "$ref": "#/components/schemas/TaglineIn"
    }  # fmt: skip
    assert page["components"]["schemas"]["TaglineIn"]["required"] == ["product"]
    assert list(page["paths"]["/v1/sized"]["post"]["requestBody"]["content"]) == ["multipart/form-data"]
    assert list(page["paths"]["/v1/story"]["post"]["responses"]["200"]["content"]) == ["text/event-stream"]
    pair = page["paths"]["/v1/pair"]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert pair == {"$ref": "#/components/schemas/Pair"}
    assert page["paths"]["/v1/client"]["post"]["requestBody"]["required"] is False
    assert {"/v1/chat/completions", "/v1/responses", "/v1/generate"} <= page["paths"].keys()


def test_under_middleware_the_functions_are_the_same(till: Shop, tmp_path: Path, upstream: FakeUpstream) -> None:
    more = '\n@app.middleware("http")\nasync def mark(request, call_next):\n    answer = await call_next(request)\n'
    more += '    answer.headers["x-mark"] = "1"\n    return answer\n'
    shop = Shop(tmp_path, f"sqlite:///{tmp_path}/farebox.db", upstream, APP + more)
    with shop.served(workers=1) as served:
        reply = call(served, shop.new_key("ten"), "tagline", {"product": "tea"})
        assert (reply.status, reply.headers["x-mark"]) == (200, "1")
    del till


@pytest.mark.parametrize("command", ["serve", "dev", "migrate"])
def test_a_mistake_is_told_before_anything_is_served(tmp_path: Path, upstream: FakeUpstream, command: str) -> None:
    shop = Shop(tmp_path, f"sqlite:///{tmp_path}/farebox.db", upstream)
    small = APP.replace('Plan("open"),', 'Plan("small", tokens=20_000),')
    (tmp_path / "app.py").write_text(small)
    done = farebox(shop.folder, command, **shop.settings)
    line = next(number for number, text in enumerate(small.splitlines(), 1) if "def tagline" in text) - 1
    assert done.returncode == 1
    assert f"app.py, line {line}: a call of tagline can come to 32,400 tokens, and Plan('small')" in done.stderr
    assert "Traceback" not in done.stderr
