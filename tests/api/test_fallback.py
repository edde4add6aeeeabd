"""Several models and providers: where one fails the next is asked, and each attempt is on record with its cost."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

from tests.api.conftest import empty_database
from tests.api.shop import Shop, ask, assert_problem, get, send
from tests.services.load import Reply, Request
from tests.services.process import wait_until
from tests.services.served import Served
from tests.services.upstream import Behaviour, FakeUpstream

APP = """
from farebox import Farebox, Plan

app = Farebox(
    "Till",
    model=["openai:gpt-4o-mini", "anthropic:claude-haiku-4-5", "mine:llama"],
    providers={"mine": "http://127.0.0.1:9/v1"},
    prices={"gpt-4o-mini": (0.15, 0.60), "claude-haiku-4-5": (1, 5), "llama": (0, 0)},
    plans=[Plan("hundred", calls=100), Plan("credit", credit_usd=5, markup=0.2)],
)
"""
MESSAGES = [{"role": "user", "content": "Say hello"}]


@pytest.fixture(scope="module")
def second() -> Iterator[FakeUpstream]:
    """Another provider."""
    with FakeUpstream() as other:
        yield other


@pytest.fixture(scope="module")
def two(
    database_kind: str,
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    upstream_process: FakeUpstream,
    second: FakeUpstream,
) -> Iterator[tuple[Shop, Served]]:
    """A shop with two providers that answer, and a third that nobody listens for."""
    folder = tmp_path_factory.mktemp("two")
    with empty_database(database_kind, folder, request) as url:
        shop = Shop(folder, url, upstream_process, APP)
        settings = {
            "ANTHROPIC_API_KEY": "sk-ant-of-the-tests",
            "ANTHROPIC_BASE_URL": second.base_url,
            "FAREBOX_BREAKER_FAILURES": "0",
        }
        with shop.served(workers=1, **settings) as served:
            yield shop, served


@pytest.fixture(autouse=True)
def fresh(second: FakeUpstream, upstream: FakeUpstream) -> None:
    del upstream
    second.reset()


def chat(served: Served, key: str, model: str, **more: object) -> Reply:
    body = {"model": model, "messages": MESSAGES, **more}
    return send(Request(f"{served.url}/v1/chat/completions", body, {"x-api-key": key}))


def only_row(shop: Shop, key: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    names = "state, calls, input_tokens, output_tokens, charge_nanodollars, cost_nanodollars, attempts, error"
    [found] = shop.records(names, key)
    row = dict(zip(names.split(", "), found, strict=True))
    return row, json.loads(row["attempts"])


FAILURES = [Behaviour(status=500), Behaviour(status=429), Behaviour(status=401), Behaviour(fault="reset")]
# A stream that has begun is not begun again; it has by its first event, unless that is an error.
UNBEGUN = [Behaviour(fault="error_event", cut_after_chunks=0), Behaviour(fault="plain_json")]


@pytest.mark.parametrize(
    ("how", "is_stream"),
    [
        *((how, is_stream) for how in FAILURES for is_stream in (False, True)),
        *((how, True) for how in UNBEGUN),
        (Behaviour(fault="bad_json"), False),
    ],
    ids=str,
)
def test_where_one_provider_fails_the_next_one_answers(
    two: tuple[Shop, Served],
    upstream: FakeUpstream,
    second: FakeUpstream,
    how: Behaviour,
    is_stream: bool,  # noqa: FBT001
) -> None:
    shop, served = two
    upstream.program(how)
    key = shop.new_key("credit")
    reply = chat(served, key, "gpt-4o-mini", stream=is_stream)
    assert reply.status == 200, reply.body
    row, attempts = only_row(shop, key)
    [call] = second.calls()
    assert call.authorization == "Bearer sk-ant-of-the-tests"
    assert call.model == "claude-haiku-4-5"
    assert [attempt["model"] for attempt in attempts] == ["gpt-4o-mini", "claude-haiku-4-5"]
    assert (row["state"], row["calls"]) == ("posted", 1)
    cost = row["input_tokens"] * 1_000 + row["output_tokens"] * 5_000
    assert row["cost_nanodollars"] == attempts[1]["cost_nanodollars"] == cost
    assert row["charge_nanodollars"] == -(-cost * 12 // 10)
    receipt = get(f"{served.url}/v1/usage/calls/{reply.headers['x-request-id']}", key).json()
    assert (receipt["model"], receipt["answered_by"]) == ("gpt-4o-mini", ["claude-haiku-4-5"])
    shop.assert_sums()


def test_an_unreadable_answer_that_reports_its_usage_costs_the_founder_alone(
    two: tuple[Shop, Served], upstream: FakeUpstream
) -> None:
    shop, served = two
    upstream.program(Behaviour(fault="no_choices"))
    key = shop.new_key("credit")
    assert chat(served, key, "gpt-4o-mini").status == 200
    row, (first, answered) = only_row(shop, key)
    assert first["wasted"] is True
    assert first["cost_nanodollars"] > 0
    assert row["cost_nanodollars"] == first["cost_nanodollars"] + answered["cost_nanodollars"]
    assert row["charge_nanodollars"] == -(-answered["cost_nanodollars"] * 12 // 10)
    assert row["output_tokens"] == answered["output_tokens"]
    shop.assert_sums()


def test_where_all_fail_the_customer_pays_nothing(
    two: tuple[Shop, Served], upstream: FakeUpstream, second: FakeUpstream
) -> None:
    shop, served = two
    upstream.program(Behaviour(status=500))
    second.program(Behaviour(status=503, retry_after=9))
    key = shop.new_key("hundred")
    assert_problem(send(ask(served, key)), 502, "upstream_failed")
    row, attempts = only_row(shop, key)
    assert (row["state"], row["calls"], row["charge_nanodollars"]) == ("voided", 0, 0)
    assert [attempt.get("status") for attempt in attempts] == [500, 503, None]


def test_a_request_that_is_wrong_is_not_sent_to_everybody(
    two: tuple[Shop, Served], upstream: FakeUpstream, second: FakeUpstream
) -> None:
    shop, served = two
    key = shop.new_key("hundred")
    assert_problem(chat(served, key, "gpt-4o-mini", messages=[]), 400, "request_refused")
    assert (upstream.count(), second.count()) == (1, 0)


def test_the_model_that_is_named_is_asked_first(
    two: tuple[Shop, Served], upstream: FakeUpstream, second: FakeUpstream
) -> None:
    shop, served = two
    key = shop.new_key("hundred")
    for name in ("claude-haiku-4-5", "anthropic:claude-haiku-4-5"):
        assert chat(served, key, name).json()["model"] == "claude-haiku-4-5"
    assert (upstream.count(), second.count()) == (0, 2)


def test_the_worst_case_of_the_dearest_model_is_held(two: tuple[Shop, Served]) -> None:
    shop, served = two
    key = shop.new_key("credit")
    chat(served, key, "gpt-4o-mini", max_tokens=100)
    [(read, written, held)] = shop.records("input_tokens_max, output_tokens_max, held_nanodollars", key)
    assert held == -(-(read * 1_000 + written * 5_000) * 12 // 10)
    [(charged,)] = shop.records("charge_nanodollars", key)
    assert charged < held / 5


def test_a_provider_that_fails_again_and_again_is_left_alone_for_a_while(
    two: tuple[Shop, Served], upstream: FakeUpstream, second: FakeUpstream
) -> None:
    shop, _ = two
    upstream.program(Behaviour(status=500))
    key = shop.new_key("hundred")
    settings = {
        "ANTHROPIC_API_KEY": "sk-ant-of-the-tests",
        "ANTHROPIC_BASE_URL": second.base_url,
        "FAREBOX_BREAKER_FAILURES": "3",
    }
    with shop.served(workers=1, FAREBOX_BREAKER_SECONDS="3600", **settings) as served:
        for _ in range(8):
            assert send(ask(served, key)).status == 200
        assert (upstream.count(), second.count()) == (3, 8)
        attempts = json.loads(shop.records("attempts", key)[-1][0])
        assert attempts[0]["error"] == "upstream_busy"
        upstream.reset()
        assert send(ask(served, key)).status == 200
        assert upstream.count() == 0
    upstream.program(Behaviour(status=500))
    with shop.served(workers=1, FAREBOX_BREAKER_SECONDS="0.5", **settings) as served:
        for _ in range(3):
            assert send(ask(served, key)).status == 200
        upstream.reset()
        wait_until(lambda: send(ask(served, key)).status == 200 and upstream.count() > 0, "it to be asked again")


@pytest.mark.parametrize("tls", ["self_signed", "garbage"])
@pytest.mark.parametrize("is_stream", [False, True])
def test_a_provider_that_cannot_be_trusted_is_not_told_anything(
    tmp_path: Path, tls: Literal["self_signed", "garbage"], *, is_stream: bool
) -> None:
    with FakeUpstream(tls=tls) as liar:
        shop = Shop(tmp_path, f"sqlite:///{tmp_path}/farebox.db", liar)
        key = shop.new_key("hundred")
        with shop.served(workers=1) as served:
            reply = send(ask(served, key, stream=is_stream))
            printed = served.output()
        assert_problem(reply, 502, "upstream_failed")
        assert b"Traceback" not in reply.body
        assert shop.records("state, calls, error", key) == [("voided", 0, "upstream_failed")]
        assert "Traceback" not in printed
        assert liar.calls() == []
