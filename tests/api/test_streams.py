"""Streams are exact, whoever hangs up: each has one row, and what was not sent is not paid."""

import asyncio
import json
import random
from collections.abc import Iterator
from typing import Any, Final

import pytest
from openai import APIError, OpenAI

from tests.api.listening import Listening
from tests.api.shop import Shop, assert_problem, send
from tests.services.load import Reply, Request
from tests.services.process import wait_until
from tests.services.served import Served
from tests.services.upstream import Behaviour, FakeUpstream

PATHS = ("/v1/generate", "/v1/chat/completions", "/v1/responses")
UPSTREAM = {
    "/v1/generate": "/v1/chat/completions",
    "/v1/chat/completions": "/v1/chat/completions",
    "/v1/responses": "/v1/responses",
}
SILENCE_SECONDS_MAX: Final = 30  # as it is set where nothing is said of it
BEHIND: Final = b"GET /health HTTP/1.1\r\nhost: here\r\n\r\n"  # it waits for the stream's end, on the same connection
TEXT = "and dog fun joy now our run sun " * 8  # 64 tokens of 4 bytes


def asks(served: Served, path: str, key: str, prompt: str = "Say hello") -> Request:
    body: dict[str, Any] = {"stream": True}
    if path == "/v1/generate":
        body["prompt"] = prompt
    elif path == "/v1/responses":
        body |= {"model": "gpt-4o-mini", "input": prompt}
    else:
        body |= {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": prompt}]}
    return Request(f"{served.url}{path}", body, {"x-api-key": key})


def row(shop: Shop, key: str, columns: str = "state, marks, output_tokens, error") -> tuple[Any, ...]:
    """The one usage row of a key's account, once it is there."""
    wait_until(lambda: len(shop.records("state", key)) == 1, "the call to be recorded")
    [found] = shop.records(columns, key)
    return found


def prompt_of(call: Any) -> str:  # noqa: ANN401
    text = call.body["messages"][0]["content"] if "messages" in call.body else call.body["input"]
    return str(text).partition(" ")[0]


# -- The client leaves


@pytest.mark.alone
def test_200_streams_cut_anywhere_are_paid_as_far_as_they_came(
    shop: Shop, served: Served, upstream: FakeUpstream, seed: int
) -> None:
    chance = random.Random(seed)
    for path in set(UPSTREAM.values()):
        upstream.program(Behaviour(text=TEXT, chunk_seconds=0.03, latency_seconds=0.1), path=path)
    cuts = [
        (
            chance.choice(PATHS),
            chance.choice((None, *range(12))),
            chance.random() < 0.5,
            chance.choice((b"", b"", BEHIND)),
        )
        for _ in range(200)
    ]
    keys = shop.new_keys("open", len(cuts))

    async def listen(number: int, gate: asyncio.Semaphore) -> Listening:
        path, after, rudely, behind = cuts[number]
        async with gate:
            listening = Listening(asks(served, path, keys[number], f"cut{number} short"))
            await listening.open(behind=behind)
            if after is None:
                await asyncio.sleep(chance.uniform(0, 0.08))  # before the first piece
            else:
                await listening.read_head()
                await listening.read_events(after + 1)
            listening.leave(rudely=rudely)
            await listening.close()
            return listening

    async def listen_to_all() -> list[Listening]:
        gate = asyncio.Semaphore(40)
        return await asyncio.gather(*(listen(number, gate) for number in range(len(cuts))))

    left = asyncio.run(listen_to_all())
    wait_until(lambda: shop.held() == 0, "all calls to be recorded")
    calls = {prompt_of(call): call for path in set(UPSTREAM.values()) for call in upstream.calls(path=path)}
    for number, (path, after, _, behind) in enumerate(cuts):
        rows = shop.records("state, marks, input_tokens, output_tokens, endpoint", keys[number])
        call = calls.get(f"cut{number}")
        what = f"stream {number} of {path} cut after {after}, before {behind!r}: {rows}, {call}"
        if call is None:  # left before the request had reached the provider
            assert [written for *_, written, _ in rows] in ([], [0]), what
            continue
        [(state, marks, _, written, endpoint)] = rows
        assert (state, endpoint) == ("posted", path), what
        assert "cut" in marks.split(), what
        # With a request behind it, only a piece that cannot be sent tells; meanwhile the provider may send another two.
        assert abs(written - call.tokens_streamed) <= (3 if behind else 1), what
        assert call.outcome == "client_left", what
        assert (call.ended_at or 0) - (left[number].left_at or 0) <= 1, what
    shop.assert_sums()


@pytest.mark.parametrize("path", PATHS)
def test_a_client_that_leaves_while_the_provider_is_silent_frees_it(
    shop: Shop, served: Served, upstream: FakeUpstream, path: str
) -> None:
    upstream.program(Behaviour(fault="hang_mid_body", text=TEXT), path=UPSTREAM[path])
    key = shop.new_key("open")

    async def listen() -> Listening:
        listening = await Listening(asks(served, path, key)).open()
        await listening.read_head()
        await listening.read_events(1)
        listening.leave()
        await listening.close()
        return listening

    left = asyncio.run(listen())
    state, marks, _, _ = row(shop, key)
    assert (state, "cut" in marks) == ("posted", True)
    wait_until(lambda: upstream.in_flight(path=UPSTREAM[path]) == 0, "the provider to be left")
    [call] = upstream.calls(path=UPSTREAM[path])
    assert left.left_at is not None
    assert call.ended_at is not None
    assert call.ended_at - left.left_at < SILENCE_SECONDS_MAX / 2


# -- The provider fails


@pytest.fixture(scope="module")
def hasty(shop: Shop) -> Iterator[Served]:
    """One process that bears little silence. The others bear more than a busy machine makes."""
    with shop.served(workers=1, FAREBOX_STREAM_IDLE_SECONDS_MAX="1") as served:
        yield served


def whole(served: Served, path: str, key: str) -> Reply:
    return send(asks(served, path, key))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("fault", ["reset_mid_body", "close_mid_body", "close_clean", "error_event", "stall"])
def test_a_stream_that_the_provider_cuts_says_so_and_is_paid_as_far_as_it_came(
    shop: Shop,
    served: Served,
    upstream: FakeUpstream,
    path: str,
    fault: Any,  # noqa: ANN401
    request: pytest.FixtureRequest,
) -> None:
    upstream.program(Behaviour(fault=fault, cut_after_chunks=9, chunk_seconds=0.01, text=TEXT), path=UPSTREAM[path])
    key = shop.new_key("open")
    reply = whole(request.getfixturevalue("hasty") if fault == "stall" else served, path, key)
    assert reply.status == 200
    code = "upstream_timeout" if fault == "stall" else "upstream_failed"
    assert code.encode() in reply.body
    assert b"[DONE]" not in reply.body
    assert b"response.completed" not in reply.body
    assert b"Traceback" not in reply.body
    state, marks, written, error = row(shop, key)
    assert (state, marks.split(), error) == ("posted", ["cut", "estimated"], code)
    [call] = upstream.calls(path=UPSTREAM[path])
    assert abs(written - call.tokens_streamed) <= 1
    shop.assert_sums()


def test_a_response_that_breaks_off_is_an_error_for_openais_client(
    shop: Shop, served: Served, upstream: FakeUpstream
) -> None:
    how = Behaviour(fault="error_event", cut_after_chunks=9, chunk_seconds=0.01, text=TEXT)
    upstream.program(how, path="/v1/responses")
    key = shop.new_key("open")
    with OpenAI(base_url=f"{served.url}/v1", api_key=key, max_retries=0) as client:
        events = client.responses.create(model="gpt-4o-mini", input="Say hello", stream=True)
        with pytest.raises(APIError) as told:
            list(events)
    assert told.value.code == "upstream_failed"
    lines = [line for line in whole(served, "/v1/responses", key).body.splitlines() if line.startswith(b"data:")]
    numbers = [json.loads(line[5:])["sequence_number"] for line in lines]
    assert numbers == list(range(len(lines)))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("how", "status", "code"),
    [
        (Behaviour(status=429, retry_after=7), 503, "upstream_busy"),
        (Behaviour(status=500), 502, "upstream_failed"),
        (Behaviour(fault="reset"), 502, "upstream_failed"),
        (Behaviour(fault="close"), 502, "upstream_failed"),
        (Behaviour(fault="empty_stream"), 502, "upstream_failed"),
        (Behaviour(fault="plain_json"), 502, "upstream_failed"),
    ],
)
def test_a_stream_that_never_began_is_a_plain_error_and_free(
    shop: Shop, served: Served, upstream: FakeUpstream, path: str, how: Behaviour, status: int, code: str
) -> None:
    upstream.program(how, path=UPSTREAM[path])
    key = shop.new_key("hundred")
    reply = whole(served, path, key)
    assert_problem(reply, status, code)
    assert row(shop, key, "state, calls, tokens, charge_nanodollars, error") == ("voided", 0, 0, 0, code)


@pytest.mark.parametrize("fault", ["hang", "stall"])
def test_a_provider_that_says_nothing_is_waited_for_until_the_deadline(
    shop: Shop,
    upstream: FakeUpstream,
    fault: Any,  # noqa: ANN401
) -> None:
    key = shop.new_keys("hundred", len(PATHS))
    with shop.served(workers=1, FAREBOX_CALL_SECONDS_MAX="1") as served:
        for path, own in zip(PATHS, key, strict=True):
            upstream.program(Behaviour(fault=fault, cut_after_chunks=0), path=UPSTREAM[path])
            assert_problem(whole(served, path, own), 503, "upstream_timeout")
            assert row(shop, own, "state, calls, tokens, error") == ("voided", 0, 0, "upstream_timeout")
    wait_until(lambda: upstream.in_flight() == 0, "the provider to be left")


@pytest.mark.parametrize("path", PATHS)
def test_a_stream_without_usage_is_estimated_and_said_to_be(
    shop: Shop, served: Served, upstream: FakeUpstream, path: str
) -> None:
    upstream.program(Behaviour(fault="no_usage", text=TEXT), path=UPSTREAM[path])
    key = shop.new_key("open")
    assert whole(served, path, key).status == 200
    assert row(shop, key)[:3] == ("posted", "estimated", 64)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("oddity", ["usage_with_choices", "crlf", "split", "comments"])
def test_a_provider_with_ways_of_its_own_is_understood(
    shop: Shop,
    served: Served,
    upstream: FakeUpstream,
    path: str,
    oddity: Any,  # noqa: ANN401
) -> None:
    upstream.program(Behaviour(fault=oddity, text="naïve “dogs” run ☀ " * 5), path=UPSTREAM[path])
    key = shop.new_key("open")
    assert whole(served, path, key).status == 200
    [call] = upstream.calls(path=UPSTREAM[path])
    names = ("input_tokens", "output_tokens") if path == "/v1/responses" else ("prompt_tokens", "completion_tokens")
    expected = ("posted", "", *(call.usage[name] for name in names))
    assert row(shop, key, "state, marks, input_tokens, output_tokens") == expected


def test_several_answers_in_one_stream_all_arrive(shop: Shop, served: Served, upstream: FakeUpstream) -> None:
    request = asks(served, "/v1/chat/completions", shop.new_key("open"))
    reply = send(Request(request.url, {**request.body, "n": 3}, request.headers))  # type: ignore[dict-item]
    assert reply.body.count(b'"finish_reason": "stop"') == 3
    assert b"[DONE]" in reply.body
    assert upstream.count() == 1


def test_a_prompt_without_an_answer_is_told_and_free(shop: Shop, served: Served, upstream: FakeUpstream) -> None:
    upstream.program(Behaviour(text=""))
    key = shop.new_key("hundred")
    assert_problem(whole(served, "/v1/generate", key), 502, "upstream_no_message")
    assert row(shop, key, "state, calls, marks") == ("posted", 0, "no_message")


@pytest.mark.parametrize("path", PATHS)
def test_the_answers_end_is_sent_when_the_call_is_recorded(
    shop: Shop, served: Served, upstream: FakeUpstream, path: str
) -> None:
    """At the moment the last event is seen, the row is there: read in one go with it."""
    upstream.program(Behaviour(text=TEXT, chunk_seconds=0.005), path=UPSTREAM[path])
    key = shop.new_key("open")
    ends = {"/v1/generate": b"event: done", "/v1/chat/completions": b'"finish_reason": "stop"'}
    end = ends.get(path, b"response.completed")

    async def listen() -> list[tuple[Any, ...]]:
        listening = await Listening(asks(served, path, key)).open()
        await listening.read_head()
        while end not in listening.body:
            assert not listening.is_over, listening.body
            await listening.read_some()
        found = shop.records("state", key)
        await listening.close()
        return found

    assert asyncio.run(listen()) == [("posted",)]
