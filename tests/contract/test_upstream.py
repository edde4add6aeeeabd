"""The way to a provider, on real sockets: whole answers, answers in pieces, and every way that one can end."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import Any, Final

import psutil
import pytest

from farebox.adapters.openai_http import PATHS, OpenAIUpstream
from farebox.domain.errors import FounderError, UpstreamFailed, UpstreamTimeout
from farebox.domain.providers import PROVIDERS
from farebox.ports.calls import Reply, Streamed, Upstream
from tests.contract.answering import SOON_SECONDS, break_off

CHAT: Final = "/chat/completions"
HEAD: Final = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
PIECE: Final = b"data: {}\n\n"

Answers = Callable[["Provider"], Awaitable[None]]


class Provider:
    """One connection to a server that answers a request as a test says, and what it saw."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.head, self.body = b"", b""
        self.sent_bytes = 0

    async def take(self) -> None:
        self.head = await self.reader.readuntil(b"\r\n\r\n")
        lengths = [line for line in self.head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        self.body = await self.reader.readexactly(int(lengths[0].split(b":")[1]))

    async def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            await self.writer.drain()
            self.sent_bytes += len(piece)

    async def begin(self) -> None:
        self.writer.write(HEAD)
        await self.writer.drain()

    async def gone(self) -> bool:
        """Wait until the other side has closed the connection; a request that follows is none."""
        return await self.reader.read(1) == b""


@asynccontextmanager
async def provider(
    answers: Answers, idle_seconds_max: float = 30
) -> AsyncIterator[tuple[OpenAIUpstream, list[Provider]]]:
    """The way to a provider that answers so, and its connections so far."""
    connections: list[Provider] = []
    tasks: set[asyncio.Task[Any]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        connections.append(Provider(reader, writer))
        try:
            await connections[-1].take()
            await answers(connections[-1])
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/"
    upstream = OpenAIUpstream(url, "sk-of-the-tests", idle_seconds_max=idle_seconds_max)
    try:
        yield upstream, connections
    finally:
        await upstream.close()
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def hang(provider: Provider) -> None:
    await provider.gone()


async def begin_and_hang(provider: Provider) -> None:
    await provider.begin()
    await provider.send(PIECE)
    await provider.gone()


def plain(head: bytes, body: bytes = b"{}") -> Answers:
    async def answer(provider: Provider) -> None:
        provider.writer.write(head + b"content-length: %d\r\n\r\n" % len(body) + body)
        await provider.writer.drain()

    return answer


async def all_of(stream: Streamed) -> list[bytes]:
    pieces = []
    while piece := await stream.read():
        pieces.append(piece)
    return pieces


# -- A whole answer


@pytest.mark.parametrize("path", PATHS)
def test_a_request_goes_to_its_path_with_the_key(path: str) -> None:
    async def scene() -> None:
        async with provider(plain(b"HTTP/1.1 200 OK\r\n", b'{"a": 1}')) as (upstream, connections):
            port: Upstream = upstream
            assert await port.send(path, b'{"b": 2}', SOON_SECONDS) == Reply(200, {}, b'{"a": 1}')
            head = connections[0].head
            assert head.startswith(b"POST /v1%s HTTP/1.1\r\n" % path.encode())
            assert b"\r\nAuthorization: Bearer sk-of-the-tests\r\n" in head
            assert b"\r\nContent-Type: application/json\r\n" in head
            assert connections[0].body == b'{"b": 2}'

    asyncio.run(scene())


def test_any_status_is_an_answer_and_a_redirect_is_not_followed() -> None:
    async def scene() -> None:
        refused = b"HTTP/1.1 429 Slow down\r\nretry-after: 7\r\nset-cookie: a=b\r\n"
        async with provider(plain(refused, b"no")) as (upstream, _):
            assert await upstream.send(CHAT, b"{}", SOON_SECONDS) == Reply(429, {"retry-after": "7"}, b"no")
        moved = b"HTTP/1.1 307 Elsewhere\r\nlocation: http://127.0.0.1:9/\r\nretry-after: \xff\r\n"
        async with provider(plain(moved)) as (upstream, _):
            assert await upstream.send(CHAT, b"{}", SOON_SECONDS) == Reply(307, {}, b"{}")
            stream = await upstream.stream(CHAT, b"{}", SOON_SECONDS)
            assert (stream.status, await all_of(stream)) == (307, [b"{}"])
            await stream.close()

    asyncio.run(scene())


def test_a_provider_that_does_not_answer_in_time_and_one_that_is_not_there_are_told_apart() -> None:
    async def scene() -> None:
        async with provider(hang) as (upstream, _):
            for ask in (upstream.send, upstream.stream):
                started = monotonic()
                with pytest.raises(UpstreamTimeout):
                    await ask(CHAT, b"{}", 0.3)
                assert 0.25 < monotonic() - started < 10
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        nobody = OpenAIUpstream(f"http://127.0.0.1:{port}/v1", None)
        for ask in (nobody.send, nobody.stream):
            with pytest.raises(UpstreamFailed):
                await ask(CHAT, b"{}", SOON_SECONDS)
        await nobody.close()

    asyncio.run(scene())


# -- An answer in pieces


def test_the_head_comes_before_the_body_and_each_piece_as_it_is_sent() -> None:
    async def scene() -> None:
        go_on = asyncio.Event()

        async def answers(provider: Provider) -> None:
            await provider.begin()
            for _ in range(3):
                await go_on.wait()
                go_on.clear()
                await provider.send(PIECE)
            provider.writer.write(b"0\r\n\r\n")
            await provider.gone()

        async with provider(answers) as (upstream, _):
            stream = await asyncio.wait_for(upstream.stream(CHAT, b"{}", 30), SOON_SECONDS)
            assert (stream.status, dict(stream.headers)) == (200, {"content-type": "text/event-stream"})
            for _ in range(3):
                go_on.set()
                assert await asyncio.wait_for(stream.read(), SOON_SECONDS) == PIECE
            assert await stream.read() == await stream.read() == b""
            await stream.close()
            await stream.close()

    asyncio.run(scene())


def test_a_connection_whose_answer_was_read_to_its_end_is_used_again() -> None:
    async def scene() -> None:
        async def answers(provider: Provider) -> None:
            while True:
                await provider.begin()
                await provider.send(PIECE)
                provider.writer.write(b"0\r\n\r\n")
                await provider.take()

        async with provider(answers) as (upstream, connections):
            for _ in range(5):
                stream = await upstream.stream(CHAT, b"{}", SOON_SECONDS)
                assert b"".join(await all_of(stream)) == PIECE
                await stream.close()
            assert len(connections) == 1

    asyncio.run(scene())


def test_to_leave_an_unfinished_stream_closes_its_connection_at_once() -> None:
    async def scene() -> None:
        left = asyncio.Event()

        async def answers(provider: Provider) -> None:
            await begin_and_hang(provider)
            left.set()

        async with provider(answers) as (upstream, _):
            for is_reading in (False, True):
                left.clear()
                stream = await upstream.stream(CHAT, b"{}", 60)
                assert await stream.read() == PIECE
                if is_reading:
                    with pytest.raises(TimeoutError):
                        await asyncio.wait_for(stream.read(), 0.1)
                await stream.close()
                await asyncio.wait_for(left.wait(), SOON_SECONDS)
                await stream.close()

    asyncio.run(scene())


def test_a_caller_who_leaves_before_the_head_is_gone_at_once() -> None:
    async def scene() -> None:
        asked, left = asyncio.Event(), asyncio.Event()

        async def answers(provider: Provider) -> None:
            asked.set()
            assert await provider.reader.read() == b""
            left.set()

        async with provider(answers) as (upstream, _):
            waiting = asyncio.create_task(upstream.stream(CHAT, b"{}", 60))
            await asyncio.wait_for(asked.wait(), SOON_SECONDS)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            await asyncio.wait_for(left.wait(), SOON_SECONDS)

    asyncio.run(scene())


@pytest.mark.parametrize("with_reset", [True, False])
def test_a_stream_that_breaks_off_has_failed(with_reset: bool) -> None:  # noqa: FBT001  # a parameter
    async def scene() -> None:
        go_on = asyncio.Event()

        async def answers(provider: Provider) -> None:
            await provider.begin()
            await provider.send(PIECE)
            await go_on.wait()
            if with_reset:
                break_off(provider.writer)

        async with provider(answers) as (upstream, _):
            stream = await upstream.stream(CHAT, b"{}", 60)
            assert await stream.read() == PIECE
            go_on.set()
            with pytest.raises(UpstreamFailed):
                await stream.read()
            await stream.close()

    asyncio.run(scene())


def test_a_stream_ends_at_its_time_whatever_comes() -> None:
    async def scene() -> None:
        async def answers(provider: Provider) -> None:
            await provider.begin()
            while True:
                await provider.send(PIECE)
                await asyncio.sleep(0.05)

        async with provider(answers) as (upstream, _):
            started = monotonic()
            stream = await upstream.stream(CHAT, b"{}", 1.5)
            with pytest.raises(UpstreamTimeout):
                await all_of(stream)
            assert 1.4 < monotonic() - started < 10
            await stream.close()

    asyncio.run(scene())


def test_a_stream_that_falls_silent_is_left_but_not_before_it_has_begun() -> None:
    async def scene() -> None:
        left = asyncio.Event()

        async def answers(provider: Provider) -> None:
            await provider.begin()
            await asyncio.sleep(0.5)  # a model may think for longer than it may then be silent
            await provider.send(PIECE)
            await provider.gone()
            left.set()

        async with provider(answers, idle_seconds_max=0.2) as (upstream, _):
            stream = await upstream.stream(CHAT, b"{}", 60)
            assert await stream.read() == PIECE
            await asyncio.sleep(0.5)  # nobody waits for the model, so that it is not its silence
            with pytest.raises(UpstreamTimeout, match="fell silent"):
                await stream.read()
            await asyncio.wait_for(left.wait(), SOON_SECONDS)
            await stream.close()

    asyncio.run(scene())


def test_a_stream_that_nobody_reads_holds_its_provider_back() -> None:
    async def scene() -> None:
        async def answers(provider: Provider) -> None:
            await provider.begin()
            while True:
                await provider.send(b"x" * 65_536)

        async with provider(answers) as (upstream, connections):
            stream = await upstream.stream(CHAT, b"{}", 60)
            assert await stream.read()
            before, sent = psutil.Process().memory_info().rss, -1
            while sent != connections[0].sent_bytes:  # until both sockets are full
                sent = connections[0].sent_bytes
                await asyncio.sleep(0.3)
            assert sent < 32 * 2**20
            assert psutil.Process().memory_info().rss - before < 16 * 2**20
            await stream.close()

    asyncio.run(scene())


# -- What a founder set up wrongly


def test_a_mistake_names_the_variable_of_its_own_provider(tmp_path: Path) -> None:
    groq = PROVIDERS["groq"]
    with pytest.raises(
        FounderError, match=r"^GROQ_BASE_URL='api\.groq\.com' is not a web address; write it as https://"
    ):
        OpenAIUpstream("api.groq.com", None, groq)
    with pytest.raises(FounderError, match=r"^GROQ_BASE_URL='http://\[' cannot be read as a web address"):
        OpenAIUpstream("http://[", None, groq)
    for key in ("gsk_ä", "gsk 1", "gsk\n1", str(tmp_path) + "\x00"):
        with pytest.raises(FounderError, match=r"^GROQ_API_KEY has a character that no key has") as told:
            OpenAIUpstream(groq.base_url, key, groq)
        assert key not in str(told.value)
    with pytest.raises(FounderError, match=r"^OPENAI_BASE_URL="):
        OpenAIUpstream("ftp://host", None)
    for url in ("https://me:secret@host/v1", "https://me:secret@höst/v1", "https://secret@host", "me:secret@host"):
        with pytest.raises(FounderError, match=r"^OPENAI_BASE_URL ") as told:
            OpenAIUpstream(url, None)
        assert "secret" not in str(told.value)
