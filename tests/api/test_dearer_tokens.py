"""Tokens that cost more than others: those that a provider writes to its cache, as OpenAI bills them since GPT-5.6."""

import json
from collections.abc import Iterator

import pytest

from tests.api.conftest import empty_database
from tests.api.shop import Shop, send
from tests.services.load import Request
from tests.services.served import Served
from tests.services.upstream import Behaviour, FakeUpstream

APP = """
from farebox import Farebox, Plan

app = Farebox(
    "Till",
    model="openai:gpt-5.6",
    prices={"gpt-5.6": (4, 20, "0.4", 5)},
    plans=[Plan("credit", credit_usd=5, markup=0.2)],
)
"""
BODIES: dict[str, dict[str, object]] = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "Say hello " * 200}]},
    "/v1/responses": {"input": "Say hello " * 200},
}


@pytest.fixture(scope="module")
def dear(
    database_kind: str,
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    upstream_process: FakeUpstream,
) -> Iterator[tuple[Shop, Served]]:
    folder = tmp_path_factory.mktemp("dear")
    with empty_database(database_kind, folder, request) as url:
        shop = Shop(folder, url, upstream_process, APP)
        with shop.served(workers=1) as served:
            yield shop, served


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("is_stream", [False, True])
def test_what_is_written_to_the_cache_is_charged_at_its_own_price(
    dear: tuple[Shop, Served], upstream: FakeUpstream, path: str, is_stream: bool  # noqa: FBT001
) -> None:  # fmt: skip
    shop, served = dear
    upstream.program(
        Behaviour(usage={"prompt_tokens": 1_500, "cached_tokens": 200, "cache_write_tokens": 1_024, "total_tokens": 0}),
        path=path,
    )
    key = shop.new_key("credit")
    reply = send(Request(f"{served.url}{path}", {**BODIES[path], "stream": is_stream}, {"x-api-key": key}))
    assert reply.status == 200, reply.body
    columns = "input_tokens, cached_tokens, output_tokens, cost_nanodollars, charge_nanodollars, attempts, marks"
    [(read, cached, written, cost, charge, attempts, marks)] = shop.records(columns, key)
    assert (read, cached, marks) == (1_500, 200, "")
    assert cost == 276 * 4_000 + 200 * 400 + 1_024 * 5_000 + written * 20_000
    assert charge == -(-cost * 12 // 10)
    [attempt] = json.loads(attempts)
    assert attempt["cache_write_tokens"] == 1_024
    shop.assert_sums()
