"""The fake provider is faithful where it should be, and faithless where it is told to be."""

import gzip
import json
from collections.abc import Callable
from typing import Any

import psutil
import pytest

from tests.services.load import Load, Reply, Request, fire_all
from tests.services.process import wait_until
from tests.services.upstream import CHAT, FAULTS, MODELS, Behaviour, FakeUpstream, Fault, expected_answer, provider
from tests.services.upstream.provider import Provider
from tests.services.upstream.wire import Request as WireRequest

KEY = {"authorization": "Bearer sk-test"}


def chat(prompt: str = "Say hello", **fields: object) -> dict[str, object]:
    return {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": prompt}], **fields}


def ask(upstream: FakeUpstream, body: object = None, *, path: str = CHAT, timeout_seconds: float = 30) -> Reply:
    request = Request(f"http://127.0.0.1:{upstream.port}{path}", body or chat(), KEY)
    return fire_all([request], timeout_seconds=timeout_seconds)[0]


def test_an_answer_can_be_worked_out(upstream: FakeUpstream) -> None:
    for body in (chat(), chat("Ünïcode " * 40), chat(max_tokens=5)):
        reply, expected = ask(upstream, body), expected_answer(body)
        answer = reply.json()
        assert answer["choices"][0]["message"]["content"] == expected.text
        assert answer["choices"][0]["finish_reason"] == expected.finish_reason
        assert answer["usage"]["prompt_tokens"] == expected.input_tokens
        assert answer["usage"]["completion_tokens"] == expected.output_tokens
        assert answer["usage"]["total_tokens"] == expected.input_tokens + expected.output_tokens
    call = upstream.calls()[-1]
    assert (call.max_tokens, call.authorization, call.usage["completion_tokens"]) == (5, "Bearer sk-test", 5)
    assert (call.outcome, call.status, upstream.count()) == ("complete", 200, 3)


def test_the_prompt_wins_over_the_queue_and_the_queue_over_the_default(upstream: FakeUpstream) -> None:
    upstream.program(Behaviour(status=503, retry_after=3))
    upstream.program_next(Behaviour(status=500), Behaviour(status=404))
    marked = ask(upstream, chat("Hi [[fault:status=429,retry_after=7]]"))
    assert (marked.status, marked.headers["retry-after"]) == (429, "7")
    assert marked.json()["error"]["code"] == "rate_limit_exceeded"
    assert [ask(upstream).status for _ in range(3)] == [500, 404, 503]
    upstream.reset()
    assert (ask(upstream).status, upstream.count()) == (200, 1)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 503])
def test_errors_look_like_openais(upstream: FakeUpstream, status: int) -> None:
    reply = ask(upstream, chat(Behaviour(status=status).marker()))
    assert reply.status == status
    assert reply.json()["error"].keys() == {"message", "type", "param", "code"}
    assert "retry-after" not in reply.headers


def test_a_request_that_openai_would_refuse_is_refused(upstream: FakeUpstream) -> None:
    assert [ask(upstream, body).status for body in (b"{", {"model": "x"}, chat(max_tokens=0))] == [400] * 3
    nameless = Request(f"http://127.0.0.1:{upstream.port}{CHAT}", chat())
    assert fire_all([nameless])[0].status == 401
    assert ask(upstream, path="/v1/elsewhere").status == 404


def _no_answer(reply: Reply) -> bool:
    return reply.status is None and isinstance(reply.error, ConnectionError | EOFError)


def _cut_answer(reply: Reply) -> bool:
    return reply.status == 200 and reply.error is not None and len(reply.body) > 50


SEEN: dict[str, Callable[[Reply], bool]] = {
    "none": lambda reply: reply.ok,
    "reset": lambda reply: _no_answer(reply) and isinstance(reply.error, ConnectionResetError),
    "close": _no_answer,
    "hang": lambda reply: reply.status is None and isinstance(reply.error, TimeoutError),
    "reset_mid_body": lambda reply: _cut_answer(reply) and isinstance(reply.error, ConnectionResetError),
    "close_mid_body": lambda reply: _cut_answer(reply) and isinstance(reply.error, EOFError),
    "hang_mid_body": lambda reply: _cut_answer(reply) and isinstance(reply.error, TimeoutError),
    "drip": lambda reply: isinstance(reply.error, TimeoutError) and len(reply.body) == 1,
    "gzip": lambda reply: b"usage" in gzip.decompress(reply.body) and "content-encoding" in reply.headers,
    "huge_body": lambda reply: len(reply.body) > 5 * 1024 * 1024 and reply.ok,
    "wrong_content_type": lambda reply: reply.headers["content-type"].startswith("text/html") and reply.ok,
    "bad_json": lambda reply: _is_bad_json(reply.body),
    "not_object": lambda reply: isinstance(reply.json(), list),
    "no_choices": lambda reply: "choices" not in reply.json(),
    "empty_choices": lambda reply: reply.json()["choices"] == [],
    "no_message": lambda reply: "message" not in reply.json()["choices"][0],
    "null_content": lambda reply: reply.json()["choices"][0]["message"]["content"] is None,
    "empty_content": lambda reply: reply.json()["choices"][0]["message"]["content"] == "",
    "no_usage": lambda reply: "usage" not in reply.json(),
    "null_usage": lambda reply: reply.json()["usage"] is None,
    "stall": lambda reply: reply.status == 200 and isinstance(reply.error, TimeoutError) and reply.body == b"",
}
OF_STREAMS = {
    "close_clean",
    "error_event",
    "empty_stream",
    "usage_with_choices",
    "crlf",
    "split",
    "comments",
    "plain_json",
}


def _is_bad_json(body: bytes) -> bool:
    with pytest.raises(json.JSONDecodeError):
        json.loads(body)
    return True


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault not in OF_STREAMS])
def test_each_fault_is_seen_and_recorded(upstream: FakeUpstream, fault: str) -> None:
    left = {"hang", "hang_mid_body", "drip", "stall"}
    reply = ask(upstream, chat(f"Hi [[fault:{fault}]]"), timeout_seconds=1 if fault in left else 30)
    assert SEEN[fault](reply), reply
    wait_until(lambda: upstream.in_flight() == 0, "the provider to see the client leave")
    cut = {"reset", "close", "reset_mid_body", "close_mid_body"}
    outcome = "client_left" if fault in left else "cut" if fault in cut else "complete"
    assert upstream.calls()[0].outcome == outcome


@pytest.mark.parametrize("fault", sorted(OF_STREAMS))
def test_a_whole_answer_has_no_fault_of_streams(upstream: FakeUpstream, fault: str) -> None:
    reply = ask(upstream, chat(f"Hi [[fault:{fault}]]"))
    assert reply.ok
    assert reply.json()["usage"]["completion_tokens"] == upstream.calls()[0].usage["completion_tokens"]


@pytest.mark.parametrize("tokens", [-5, 10**12, 2.5, "12", None, 99_999])
def test_usage_can_lie(upstream: FakeUpstream, tokens: object) -> None:
    lie = Behaviour(usage={"completion_tokens": tokens, "cached_tokens": 3})
    usage = ask(upstream, chat(lie.marker(), max_tokens=4)).json()["usage"]
    assert usage["completion_tokens"] == tokens
    assert usage["prompt_tokens_details"]["cached_tokens"] == 3


def test_latency_is_random_from_a_seed_and_really_passes(upstream: FakeUpstream) -> None:
    how = Behaviour(latency_seconds=0.1, latency_seconds_max=0.2)
    drawn = [Provider().latency(how) for _ in range(2)]
    assert drawn[0] == drawn[1] != pytest.approx(0.1)
    upstream.program(how)
    assert ask(upstream).seconds >= 0.1


@pytest.mark.parametrize("status", [401, 404, 429])
def test_models_are_listed_unless_told_otherwise(upstream: FakeUpstream, status: int) -> None:
    upstream.program_next(Behaviour(status=status), path=MODELS)
    listing = Request(f"{upstream.base_url}/models", headers=KEY, method="GET")
    assert [reply.status for reply in [*fire_all([listing]), *fire_all([listing])]] == [status, 200]
    assert fire_all([listing])[0].json()["data"][0]["id"] == "gpt-4o-mini"
    assert (upstream.count(path=MODELS), upstream.count()) == (3, 0)


# -- streams


def events(reply: Reply) -> list[Any]:
    """Of as much of the stream as came; the end mark is None."""
    lines = [line.removeprefix("data: ") for line in reply.body.decode().split("\n\n") if line]
    return [None if line == "[DONE]" else json.loads(line) for line in lines]


@pytest.mark.parametrize("with_usage", [False, True])
def test_a_stream_is_the_same_answer_in_pieces(upstream: FakeUpstream, *, with_usage: bool) -> None:
    body = chat(stream=True, stream_options={"include_usage": with_usage})
    reply, expected = ask(upstream, body), expected_answer(body)
    *chunks, end = events(reply)
    assert reply.headers["content-type"].startswith("text/event-stream")
    deltas = [choice["delta"].get("content", "") for chunk in chunks for choice in chunk["choices"]]
    assert "".join(deltas) == expected.text
    assert end is None
    usages = [chunk["usage"]["completion_tokens"] for chunk in chunks if chunk.get("usage")]
    assert usages == ([expected.output_tokens] if with_usage else [])
    assert upstream.calls()[0].tokens_streamed == expected.output_tokens


@pytest.mark.parametrize("fault", ["reset_mid_body", "close_mid_body", "hang_mid_body"])
def test_a_stream_can_be_cut(upstream: FakeUpstream, fault: Fault) -> None:
    cut = Behaviour(fault=fault, cut_after_chunks=5)
    seconds_max = 1 if fault == "hang_mid_body" else 30
    reply = ask(upstream, chat(cut.marker(), stream=True), timeout_seconds=seconds_max)
    assert reply.error is not None
    assert len(events(reply)) == 5
    assert upstream.calls()[0].tokens_streamed == 4  # the first chunk names the role


def test_a_client_that_leaves_a_stream_is_noticed_at_once(upstream: FakeUpstream) -> None:
    slow = Behaviour(chunk_seconds=20)
    reply = ask(upstream, chat(slow.marker(), stream=True), timeout_seconds=0.7)
    wait_until(lambda: upstream.in_flight() == 0, "the provider to see the client leave")
    call = upstream.calls()[0]
    assert (call.outcome, isinstance(reply.error, TimeoutError)) == ("client_left", True)
    assert call.ended_at is not None
    assert call.ended_at - (reply.sent_at + reply.seconds) < 10
    assert abs(call.tokens_streamed - (len(events(reply)) - 1)) <= 1


# -- its memory and speed


def test_the_oldest_bodies_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provider, "BODY_BYTES_KEPT", 100)
    memory = Provider()
    for number in range(20):
        memory.finish(memory.record(WireRequest("POST", CHAT, {}, b"[%4d]" % number)), "complete")
    kept = [call["body"] for call in memory.calls(CHAT)]
    assert kept == [None] * 4 + [[number] for number in range(4, 20)]
    assert memory.stats(CHAT) == {"count": 20, "in_flight": 0}


def test_the_provider_is_fast_enough_for_a_benchmark(upstream: FakeUpstream) -> None:
    process = psutil.Process(upstream.pid)
    before = sum(process.cpu_times()[:2])
    with Load(lambda _: Request(f"{upstream.base_url}/chat/completions", chat(), KEY), callers=32) as load:
        wait_until(lambda: len(load.replies) > 2000, "2,000 calls")
    assert all(reply.ok for reply in load.replies)
    assert upstream.count() == len(load.replies)
    assert (sum(process.cpu_times()[:2]) - before) / len(load.replies) < 1 / 3000
