"""The fake provider's streams, byte by byte: sound, broken, long, slow and unread."""

import json
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.services.load import Reply, Request, fire_all
from tests.services.process import wait_until
from tests.services.upstream import CHAT, RESPONSES, Behaviour, FakeUpstream, Fault, count_tokens, long_text
from tests.services.upstream.behaviour import SOUND

BOTH = pytest.mark.parametrize("path", [CHAT, RESPONSES])
KEY = {"authorization": "Bearer sk-test"}
MIB = 1 << 20


def body(path: str, prompt: str = "Say hello") -> dict[str, Any]:
    if path == RESPONSES:
        return {"model": "gpt-4o-mini", "input": prompt, "stream": True}
    asked = {"stream": True, "stream_options": {"include_usage": True}}
    return {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": prompt}], **asked}


def stream(upstream: FakeUpstream, path: str, how: Behaviour = SOUND, *, timeout_seconds: float = 30) -> Reply:
    upstream.program_next(how, path=path)
    request = Request(f"http://127.0.0.1:{upstream.port}{path}", body(path), KEY)
    return fire_all([request], timeout_seconds=timeout_seconds)[0]


def events(reply: Reply, end: str = "\n") -> list[Any]:
    """The data of each event; comments and the end mark left out."""
    blocks = reply.body.decode().split(end * 2)
    assert blocks.pop() == ""
    lines = [line for block in blocks for line in block.split(end)]
    data = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
    assert all(line.startswith(("data: ", "event: ", ": ")) for line in lines)
    return [json.loads(line) for line in data if line != "[DONE]"]


def text(found: list[Any]) -> str:
    if "sequence_number" in found[0]:
        return "".join(event["delta"] for event in found if event["type"].endswith(".delta"))
    return "".join(choice["delta"].get("content", "") for event in found for choice in event["choices"])


def is_whole(reply: Reply) -> bool:
    return reply.body.endswith(b"[DONE]\n\n") or b"event: response.completed" in reply.body


@contextmanager
def reader(upstream: FakeUpstream, path: str, how: Behaviour = SOUND) -> Iterator[socket.socket]:
    """A client that has sent its request and reads nothing of its own accord."""
    upstream.program_next(how, path=path)
    request = Request(f"http://127.0.0.1:{upstream.port}{path}", body(path), KEY)
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 14)
        client.connect(("127.0.0.1", upstream.port))
        client.sendall(request.encoded())
        yield client


# -- faults


@BOTH
def test_a_stream_ends_cleanly_but_too_early(upstream: FakeUpstream, path: str) -> None:
    whole = events(stream(upstream, path))
    cut = stream(upstream, path, Behaviour(fault="close_clean", cut_after_chunks=7))
    assert cut.ok
    assert len(events(cut)) == 7
    assert not is_whole(cut)
    marked = stream(upstream, path, Behaviour(fault="close_clean", cut_after_chunks=10**6))
    assert text(events(marked)) == text(whole)
    assert not is_whole(marked)
    calls = upstream.calls(path=path)
    assert [call.outcome for call in calls] == ["complete", "cut", "cut"]
    assert calls[1].tokens_streamed == count_tokens(text(events(cut)))
    assert calls[1].usage == calls[0].usage


@BOTH
def test_a_stream_breaks_off_with_an_error(upstream: FakeUpstream, path: str) -> None:
    reply = stream(upstream, path, Behaviour(fault="error_event", cut_after_chunks=6))
    *_, last = found = events(reply)
    assert reply.ok
    assert len(found) == 7
    assert last["error"]["type"] == "server_error"
    assert path == CHAT or (last["type"], last["sequence_number"]) == ("error", 6)
    assert not is_whole(reply)


@BOTH
def test_a_stream_is_empty(upstream: FakeUpstream, path: str) -> None:
    reply = stream(upstream, path, Behaviour(fault="empty_stream"))
    assert (reply.ok, reply.body) == (True, b"")
    assert reply.headers["content-type"].startswith("text/event-stream")


@BOTH
@pytest.mark.parametrize("fault", ["crlf", "comments", "split", "drip"])
def test_a_stream_is_sound_but_odd(upstream: FakeUpstream, path: str, fault: Fault) -> None:
    said = "Grüße, 世界! " * 4
    reply = stream(upstream, path, Behaviour(fault=fault, text=said, drip_seconds=0))
    assert reply.ok
    found = events(reply, "\r\n" if fault == "crlf" else "\n")
    assert text(found) == said
    assert (b": OPENROUTER PROCESSING\n\n" in reply.body) == (fault == "comments")
    assert upstream.calls(path=path)[0].tokens_streamed == count_tokens(said)


def test_a_split_stream_is_cut_in_events_and_characters(upstream: FakeUpstream) -> None:
    with reader(upstream, CHAT, Behaviour(fault="split", text="世界")) as client:
        data = b""
        while not data.endswith(b"0\r\n\r\n"):
            data += client.recv(1 << 16)
    pieces = data.split(b"\r\n\r\n", 1)[1].split(b"\r\n")[1::2]  # between them: their lengths
    assert any(b"\n\ndat" in piece for piece in pieces)
    with pytest.raises(UnicodeDecodeError):
        [piece.decode() for piece in pieces]


def test_usage_comes_with_choices(upstream: FakeUpstream) -> None:
    found = events(stream(upstream, CHAT, Behaviour(fault="usage_with_choices")))
    [reported] = [event for event in found if event["usage"]]
    assert reported["choices"][0]["finish_reason"] == "stop"
    assert reported["usage"] == upstream.calls()[0].usage


@BOTH
@pytest.mark.parametrize("fault", ["no_usage", "null_usage"])
def test_usage_does_not_come(upstream: FakeUpstream, path: str, fault: Fault) -> None:
    reply = stream(upstream, path, Behaviour(fault=fault))
    assert is_whole(reply)
    assert not any(event.get("usage") or event.get("response", {}).get("usage") for event in events(reply))
    assert upstream.calls(path=path)[0].usage is None


@BOTH
def test_a_whole_answer_comes_instead_of_a_stream(upstream: FakeUpstream, path: str) -> None:
    reply = stream(upstream, path, Behaviour(fault="plain_json"))
    assert reply.headers["content-type"] == "application/json"
    assert reply.json()["usage"] == upstream.calls(path=path)[0].usage


@BOTH
@pytest.mark.parametrize("fault", ["bad_json", "not_object"])
def test_one_event_is_spoilt(upstream: FakeUpstream, path: str, fault: Fault) -> None:
    reply = stream(upstream, path, Behaviour(fault=fault, cut_after_chunks=4))
    lines = [line for line in reply.body.decode().split("\n") if line.startswith("data: {")]
    spoilt = [line for line in reply.body.decode().split("\n") if line.startswith("data: [{")]
    if fault == "bad_json":
        with pytest.raises(json.JSONDecodeError):
            json.loads(lines[4].removeprefix("data: "))
    assert len(spoilt) == (fault == "not_object")
    assert is_whole(reply)


@BOTH
@pytest.mark.parametrize("fault", ["stall", "hang_mid_body", "hang"])
@pytest.mark.parametrize("reset", [False, True])
def test_a_client_that_leaves_a_silent_stream_is_noticed_at_once(
    upstream: FakeUpstream, path: str, fault: Fault, *, reset: bool
) -> None:
    with reader(upstream, path, Behaviour(fault=fault, cut_after_chunks=6)) as client:
        upstream.wait_for_calls(1, path=path)
        expected = 0 if fault == "hang" else 5 if path == CHAT else 2
        wait_until(lambda: upstream.calls(path=path)[0].tokens_streamed == expected, "the stream to stall")
        if reset:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        left_at = time.time()
    wait_until(lambda: upstream.in_flight(path=path) == 0, "the provider to see the client leave")
    call = upstream.calls(path=path)[0]
    assert (call.outcome, call.tokens_streamed) == ("client_left", expected)
    assert call.ended_at is not None
    assert call.ended_at - left_at < 15


# -- length, haste and patience


@BOTH
def test_a_stream_has_exactly_so_many_tokens(upstream: FakeUpstream, path: str) -> None:
    reply = stream(upstream, path, Behaviour(tokens=500))
    deltas = [event for event in events(reply) if text([event])]
    call = upstream.calls(path=path)[0]
    assert len(deltas) == 500 == call.tokens_streamed
    assert call.usage["completion_tokens" if path == CHAT else "output_tokens"] == 500
    assert call.bytes_sent > len(reply.body)


@BOTH
@pytest.mark.parametrize(("chunk_bytes", "chunks"), [(4, 25_000), (1000, 100), (77_777, 2)])
def test_a_stream_has_exactly_so_many_bytes(upstream: FakeUpstream, path: str, chunk_bytes: int, chunks: int) -> None:
    reply = stream(upstream, path, Behaviour(stream_text_bytes=99_999, chunk_bytes=chunk_bytes))
    found = events(reply)
    assert text(found) == long_text(99_999)
    assert len([event for event in found if text([event])]) == chunks
    assert upstream.calls(path=path)[0].tokens_streamed == 25_000


def test_thirty_streams_of_five_mebibytes_at_once(upstream: FakeUpstream) -> None:
    upstream.program(Behaviour(stream_text_bytes=5 * MIB, chunk_bytes=1 << 14))
    request = Request(f"http://127.0.0.1:{upstream.port}{CHAT}", body(CHAT), KEY)
    replies = fire_all([request] * 30)
    assert all(reply.ok and len(reply.body) > 5 * MIB for reply in replies)
    calls = upstream.calls()
    assert {call.tokens_streamed for call in calls} == {5 * MIB // 4}
    assert max(call.arrived_at for call in calls) < min(call.ended_at or 0 for call in calls)


@pytest.mark.alone
def test_a_thousand_slow_streams_at_once(upstream: FakeUpstream) -> None:
    upstream.program(Behaviour(tokens=10, chunk_seconds=0.3))
    request = Request(f"http://127.0.0.1:{upstream.port}{CHAT}", body(CHAT), KEY)
    replies = fire_all([request] * 1000)
    assert all(reply.ok for reply in replies)
    calls = upstream.calls()
    assert {call.tokens_streamed for call in calls} == {10}
    assert max(call.arrived_at for call in calls) < min(call.ended_at or 0 for call in calls)


@BOTH
def test_no_more_is_sent_than_is_read(upstream: FakeUpstream, path: str) -> None:
    long = Behaviour(stream_text_bytes=5 * MIB, chunk_bytes=1 << 12)
    with reader(upstream, path, long) as client:
        upstream.wait_for_calls(1, path=path)
        received = len(client.recv(1 << 12))
        sent = -1
        while sent != (sent := upstream.calls(path=path)[0].bytes_sent):
            time.sleep(0.1)
        assert received <= sent < MIB
        left_at = time.time()
    wait_until(lambda: upstream.in_flight(path=path) == 0, "the provider to see the client leave")
    call = upstream.calls(path=path)[0]
    assert call.outcome == "client_left"
    assert sent <= call.bytes_sent < MIB  # more, where the provider only stood still while it was looked at
    assert 0 < call.tokens_streamed * 4 < call.bytes_sent
    assert call.ended_at is not None
    assert call.ended_at - left_at < 15


# -- TLS


def test_nobody_trusts_a_self_signed_certificate() -> None:
    with FakeUpstream(tls="self_signed") as upstream:
        assert upstream.base_url.startswith("https://")
        with pytest.raises(ssl.SSLError, match=r"self.signed|WRONG_VERSION"):
            _shake_hands(upstream, ssl.create_default_context())
        assert upstream.count() == 0
        if upstream.certificate is not None:  # there is an `openssl` command
            _shake_hands(upstream, ssl.create_default_context(cafile=upstream.certificate))


def test_a_hello_is_answered_with_garbage() -> None:
    with FakeUpstream(tls="garbage") as upstream, pytest.raises(ssl.SSLError):
        _shake_hands(upstream, ssl.create_default_context())


def _shake_hands(upstream: FakeUpstream, context: ssl.SSLContext) -> None:
    with (
        socket.create_connection(("127.0.0.1", upstream.port), timeout=30) as client,
        context.wrap_socket(client, server_hostname="127.0.0.1"),
    ):
        pass
