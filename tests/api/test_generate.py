"""The contract of POST /v1/generate and of the pages beside it, over real sockets."""

import http.client
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.api.shop import Shop, ask, assert_problem, generate, get, send
from tests.services.load import Reply, Request
from tests.services.served import Served
from tests.services.upstream import FakeUpstream, expected_answer

CALL_ID = r"req_[0-9a-f]{32}"


def test_an_answer_has_every_field_and_the_true_counts(shop: Shop, served: Served, upstream: FakeUpstream) -> None:
    key = shop.new_key("hundred")
    reply = send(ask(served, key, "Write a tagline"))
    [call] = upstream.calls()
    honest = expected_answer(call.body)
    assert reply.status == 200
    assert reply.json() == {
        "text": honest.text,
        "input_tokens": honest.input_tokens,
        "output_tokens": honest.output_tokens,
        "tokens": honest.input_tokens + honest.output_tokens,
        "calls_used": 1,
        "calls_remaining": 99,
    }
    assert call.body["messages"] == [{"role": "user", "content": "Write a tagline"}]
    assert call.model == "gpt-4o-mini"
    [row] = shop.records("call_id, state, input_tokens, output_tokens, calls, charge_nanodollars, marks", key)
    assert row == (reply.headers["x-request-id"], "posted", honest.input_tokens, honest.output_tokens, 1, 0, "")


def test_the_headers_of_an_answer(shop: Shop, served: Served, upstream: FakeUpstream) -> None:
    reply = send(ask(served, shop.new_key("hundred")))
    assert upstream.count() == 1
    headers = reply.headers
    assert headers["content-type"] == "application/json"
    assert headers["cache-control"] == "no-store"
    assert headers["ratelimit-policy"] == '"monthly";q=100'
    name, left, seconds = headers["ratelimit"].split(";")
    assert (name, left) == ('"monthly"', "r=99")
    assert 27 * 86_400 < int(seconds.removeprefix("t=")) <= 31 * 86_400
    assert headers["x-ratelimit-limit-requests"] == "100"
    assert headers["x-ratelimit-remaining-requests"] == "99"
    assert headers["x-ratelimit-reset-requests"].endswith("s")
    assert "server" not in headers


def test_each_answer_counts_one_more_call(shop: Shop, served: Served, upstream: FakeUpstream) -> None:
    key = shop.new_key("hundred")
    replies = [send(ask(served, key)).json() for _ in range(3)]
    assert upstream.count() == 3
    assert [(reply["calls_used"], reply["calls_remaining"]) for reply in replies] == [(1, 99), (2, 98), (3, 97)]


def test_a_plan_without_a_limit_has_null_left_and_no_limit_headers(
    shop: Shop, served: Served, upstream: FakeUpstream
) -> None:
    reply = send(ask(served, shop.new_key("open")))
    assert upstream.count() == 1
    assert reply.json()["calls_remaining"] is None
    assert not [name for name in reply.headers if "ratelimit" in name]


@pytest.mark.parametrize(
    "header", ["X-API-Key: {}", "x-api-key: {}", "Authorization: Bearer {}", "authorization: bearer {}"]
)
def test_the_key_comes_in_either_header(header: str, shop: Shop, served: Served, upstream: FakeUpstream) -> None:
    name, _, value = header.format(shop.new_key("open")).partition(": ")
    reply = send(Request(f"{served.url}/v1/generate", {"prompt": "Say hello"}, {name: value}))
    assert (reply.status, upstream.count()) == (200, 1)


# -- what the prompt and max_tokens may be


@pytest.mark.parametrize("prompt", ["abc", "x" * 2000, "😀" * 2000, "   ", "a\u0000b", "名札", '"}]', "\u202e\ufeff\n"])
def test_a_prompt_of_3_to_2000_characters_reaches_the_model_unchanged(
    prompt: str, shop: Shop, served: Served, upstream: FakeUpstream
) -> None:
    prompt = prompt if len(prompt) >= 3 else prompt + "!"
    assert send(ask(served, shop.new_key("open"), prompt)).status == 200
    assert upstream.calls()[0].body["messages"][0]["content"] == prompt


@pytest.mark.parametrize("prompt", ["", "ab", "😀😀", "x" * 2001, "😀" * 2001])
def test_a_prompt_of_another_length_is_refused_before_the_model(
    prompt: str, shop: Shop, served: Served, upstream: FakeUpstream
) -> None:
    body = assert_problem(send(ask(served, shop.new_key("open"), prompt)), 422, "invalid_request_error")
    assert body["error"]["param"] == body["param"] == "prompt"
    assert "prompt" in body["detail"]
    assert upstream.count() == 0


@pytest.mark.parametrize(("wanted", "sent"), [(None, 30), (1, 1), (29, 29), (30, 30), (31, 30), (2**31, 30)], ids=str)
def test_max_tokens_is_clamped_by_the_plan(
    wanted: int | None, sent: int, shop: Shop, served: Served, upstream: FakeUpstream
) -> None:
    reply = send(ask(served, shop.new_key("short"), max_tokens=wanted))
    assert reply.status == 200
    assert upstream.calls()[0].max_tokens == sent
    assert reply.json()["output_tokens"] <= sent


@pytest.mark.parametrize("wanted", [0, -1, 1.5, "10", True, [], {}, 2**31 + 1, 10**30])
def test_a_max_tokens_that_is_no_count_is_refused(
    wanted: object, shop: Shop, served: Served, upstream: FakeUpstream
) -> None:
    reply = send(ask(served, shop.new_key("short"), max_tokens=wanted))
    assert assert_problem(reply, 422, "invalid_request_error")["param"] == "max_tokens"
    assert upstream.count() == 0


def test_a_body_over_the_limit_is_refused(shop: Shop, served: Served, upstream: FakeUpstream) -> None:
    padded = {"prompt": "Say hello", "padding": "x" * 1_048_576}
    assert_problem(send(generate(served.url, shop.new_key("open"), padded)), 413, "body_too_large")
    assert upstream.count() == 0


def test_a_refused_request_leaves_no_row(shop: Shop, served: Served) -> None:
    key = shop.new_key("open")
    assert send(ask(served, key, "")).status == 422
    assert shop.records("call_id", key) == []
    assert shop.query("SELECT 1 FROM meter WHERE account_id = %s", shop.account_of(key)) == []


# -- the other pages


def test_health_says_exactly_this(served: Served) -> None:
    reply = get(served.url + "/health")
    assert (reply.status, reply.json()) == (200, {"status": "ok", "openai_key_loaded": True})


def test_ready_asks_the_database(served: Served) -> None:
    reply = get(served.url + "/ready")
    assert (reply.status, reply.json()) == (200, {"status": "ready"})


@pytest.mark.parametrize("path", ["/health", "/ready"])
def test_who_watches_the_service_may_ask_for_the_head_alone(path: str, served: Served) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)
    with closing(connection):
        connection.request("HEAD", path)
        reply = connection.getresponse()
        assert (reply.status, reply.read()) == (200, b"")


def test_a_newer_schema_is_served_by_who_runs_already(
    fresh_database_url: str, tmp_path: Path, upstream: FakeUpstream
) -> None:
    """And an older one is not ready: between `farebox migrate` and the last restart are minutes of both."""
    shop = Shop(tmp_path, fresh_database_url, upstream)
    key = shop.new_key("open")
    with shop.served(workers=1) as served:
        for table in ("usage_record", "hold", "meter", "account", "api_key"):
            shop.query(f"ALTER TABLE {table} ADD COLUMN of_a_later_version INTEGER NOT NULL DEFAULT 7")
        shop.query("UPDATE alembic_version SET version_num = '9999'")
        assert get(served.url + "/ready").status == 200
        assert send(ask(served, key)).status == 200
        assert [state for (state,) in shop.records("state", key)] == ["posted"]
        shop.query("UPDATE alembic_version SET version_num = '0001'")
        assert_problem(get(served.url + "/ready"), 503, "ledger_unavailable")


def test_usage_tells_the_period_so_far(shop: Shop, served: Served, upstream: FakeUpstream) -> None:
    key = shop.new_key("tokens")
    fresh = get(served.url + "/v1/usage", key).json()
    assert (fresh["plan"], fresh["mode"], fresh["calls_used"], fresh["calls_limit"]) == ("tokens", "live", 0, None)
    assert (fresh["tokens_used"], fresh["tokens_remaining"], fresh["tokens_limit"]) == (0, 20_000, 20_000)
    tokens = send(ask(served, key)).json()["tokens"]
    assert upstream.count() == 1
    reply = get(served.url + "/v1/usage", key)
    after = reply.json()
    assert (after["calls_used"], after["calls_held"]) == (1, 0)
    assert (after["tokens_used"], after["tokens_remaining"]) == (tokens, 20_000 - tokens)
    assert (after["period_start"], after["period_end"]) == (fresh["period_start"], fresh["period_end"])
    assert reply.headers["x-ratelimit-remaining-tokens"] == str(20_000 - tokens)
    assert reply.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("key", [None, "till_live_wrong"])
def test_usage_wants_a_key(key: str | None, served: Served) -> None:
    reply = get(served.url + "/v1/usage", key)
    assert_problem(reply, 401, "invalid_api_key")
    assert reply.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("path", ["/nothing", "/v1/", "/v1/generate/", "/v1/generate/more", "/%00", "/docs/static/no"])
def test_an_unknown_path_is_a_problem_404(path: str, served: Served) -> None:
    assert_problem(get(served.url + path), 404, "not_found")


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v1/generate"), ("DELETE", "/v1/generate"), ("POST", "/health"), ("PUT", "/v1/usage")],
)
def test_an_unknown_method_is_a_problem_405_that_names_the_known(method: str, path: str, served: Served) -> None:
    reply = send(Request(served.url + path, method=method))
    assert_problem(reply, 405, "method_not_allowed")
    assert reply.headers["allow"]


# -- the sandbox


def said_by_sandbox(reply: Reply, upstream: FakeUpstream) -> bool:
    assert reply.status == 200
    assert upstream.count() == 0
    return "[farebox-sandbox]" in reply.json()["text"]


def test_a_test_key_reaches_the_sandbox_and_is_not_billed(shop: Shop, served: Served, upstream: FakeUpstream) -> None:
    key = shop.new_key("credit", mode="test")
    assert said_by_sandbox(send(ask(served, key)), upstream)
    [row] = shop.records("mode, model, state, charge_nanodollars, cost_nanodollars", key)
    assert row == ("test", "farebox-sandbox", "posted", 0, 0)


def test_a_test_key_takes_nothing_from_the_live_limit(shop: Shop, served: Served, upstream: FakeUpstream) -> None:
    email = "both@example.com"
    live = shop.sign_up(email, "one")
    test = shop.farebox("keys", "create", email, "--test").splitlines()[-1]
    assert test.startswith("till_test_")
    assert said_by_sandbox(send(ask(served, test)), upstream)
    assert send(ask(served, live)).status == 200
    assert send(ask(served, live)).status == 429
    assert upstream.count() == 1


@pytest.fixture
def without_provider(shop: Shop, tmp_path: Path) -> Iterator[Served]:
    alone = Shop(tmp_path, shop.database_url, None)
    with alone.served(workers=1) as served:
        yield served


def test_without_a_provider_live_calls_reach_the_sandbox(
    without_provider: Served, shop: Shop, upstream: FakeUpstream
) -> None:
    key = shop.new_key("open")
    replies = [send(ask(without_provider, key, "Say hello")) for _ in range(2)]
    assert said_by_sandbox(replies[0], upstream)
    assert replies[0].json()["text"] == replies[1].json()["text"]  # the same words for the same prompt
    assert shop.records("model, state", key) == [("farebox-sandbox", "posted")] * 2
    assert get(without_provider.url + "/health").json() == {"status": "ok", "openai_key_loaded": False}


def test_problems_link_to_the_public_address(shop: Shop) -> None:
    with shop.served(workers=1, FAREBOX_PUBLIC_URL="https://api.example.com/") as served:
        replies = [
            send(ask(served, "no key")),
            get(f"{served.url}/nothing"),
            send(Request(f"{served.url}/health", method="BREW")),  # no method of HTTP: refused before the application
        ]
    for reply, code in zip(replies, ["invalid_api_key", "not_found", "bad_request"], strict=True):
        assert reply.json()["type"] == f"https://api.example.com/errors/{code}"
