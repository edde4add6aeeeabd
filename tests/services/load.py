"""Many callers at once, over real sockets, on one thread."""

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import urlsplit

from tests.services.process import allow_open_files

# macOS queues 128 new connections by default, and drops the rest.
CONNECTS_AT_ONCE = 100
HEAD_BYTES_MAX = 1 << 20


@dataclass(frozen=True, slots=True)
class Request:
    """A request to be sent. A body that is not bytes is sent as JSON."""

    url: str
    body: object = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    method: str = "POST"

    def encoded(self) -> bytes:
        body = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        parts = urlsplit(self.url)
        headers = {
            "host": parts.netloc,
            "content-type": "application/json",
            "content-length": str(len(body)),
            **self.headers,
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"{self.method} {parts.path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1") + body


@dataclass(slots=True)
class Reply:
    """What a caller saw. Whole only if `error` is None: a cut answer has both a status and an error."""

    request: Request
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    error: Exception | None = None
    sent_at: float = 0
    seconds: float = 0

    @property
    def ok(self) -> bool:
        return self.status == 200 and self.error is None

    def json(self) -> Any:  # noqa: ANN401 - JSON
        return json.loads(self.body)


def statuses(replies: Sequence[Reply]) -> Counter[Any]:
    """How many ended in each way: by the status, or by the error that kept it from coming whole."""
    return Counter(reply.error or reply.status for reply in replies)


class Caller:
    """One client with one connection, which it opens when it has none."""

    def __init__(self, *, timeout_seconds: float = 60) -> None:
        self._timeout_seconds = timeout_seconds
        self._address: tuple[str | None, int | None] = (None, None)
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def connect(self, url: str) -> None:
        parts = urlsplit(url)
        if self._writer is not None and self._address == (parts.hostname, parts.port):
            return
        self.close()
        self._address = (parts.hostname, parts.port)
        self._reader, self._writer = await asyncio.open_connection(*self._address, limit=HEAD_BYTES_MAX)

    async def send(self, request: Request) -> Reply:
        reply = Reply(request, sent_at=time.time())
        start = time.perf_counter()
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await self._exchange(request, reply)
        except (OSError, EOFError, ValueError, TimeoutError) as error:
            reply.error = error
            self.close()
        reply.seconds = time.perf_counter() - start
        return reply

    def close(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()
        self._reader = self._writer = None

    async def _exchange(self, request: Request, reply: Reply) -> None:
        await self.connect(request.url)
        assert self._reader is not None
        assert self._writer is not None
        self._writer.write(request.encoded())
        reply.status, reply.headers = await _read_head(self._reader)
        await _read_body(self._reader, reply)
        if reply.headers.get("connection", "").lower() == "close":
            self.close()


async def _read_head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    start_line, *lines = head.rstrip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return int(start_line.split(" ")[1]), headers


async def _read_body(reader: asyncio.StreamReader, reply: Reply) -> None:
    """Into the reply piece by piece, so that a cut answer keeps what came."""
    if reply.headers.get("transfer-encoding") != "chunked":
        await _read_exactly(reader, int(reply.headers.get("content-length", "0")), reply)
        return
    while size := int((await reader.readline()) or b"cut", 16):
        await _read_exactly(reader, size, reply)
        await reader.readexactly(2)
    await reader.readline()


async def _read_exactly(reader: asyncio.StreamReader, count: int, reply: Reply) -> None:
    while count:
        part = await reader.read(min(count, 65536))
        if not part:
            raise EOFError(f"{count} bytes are missing")
        reply.body += part
        count -= len(part)


async def fire(requests: Sequence[Request], *, timeout_seconds: float = 60) -> list[Reply]:
    """One caller for each request. All connect, and only then all send at once. Replies in the same order."""
    allow_open_files()
    callers = [Caller(timeout_seconds=timeout_seconds) for _ in requests]
    slots = asyncio.Semaphore(CONNECTS_AT_ONCE)

    async def connect(caller: Caller, request: Request) -> None:
        async with slots:
            await caller.connect(request.url)

    pairs = list(zip(callers, requests, strict=True))
    # A caller that cannot connect tries again when it sends, and its reply then has the error.
    await asyncio.gather(*(connect(caller, request) for caller, request in pairs), return_exceptions=True)
    try:
        return await asyncio.gather(*(caller.send(request) for caller, request in pairs))
    finally:
        for caller in callers:
            caller.close()


def fire_all(requests: Sequence[Request], *, timeout_seconds: float = 60) -> list[Reply]:
    return asyncio.run(fire(requests, timeout_seconds=timeout_seconds))


def spread(
    urls: Sequence[str], path: str, bodies: Sequence[object], headers: Mapping[str, str] | None = None
) -> list[Request]:
    """One POST for each body, over the base URLs in turn."""
    return [Request(urls[i % len(urls)] + path, body, headers or {}) for i, body in enumerate(bodies)]


class Load:
    """Callers that call again and again, on a thread of their own, until stopped.

    `next_request` is given 0, 1, 2, … A caller whose call failed waits a moment, as clients do.
    """

    def __init__(
        self,
        next_request: Callable[[int], Request],
        *,
        callers: int,
        timeout_seconds: float = 60,
        pause: float = 0.05,
    ) -> None:
        self.replies: list[Reply] = []
        self._next_request = next_request
        self._callers = callers
        self._timeout_seconds = timeout_seconds
        self._pause_seconds = pause
        self._count = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="load", daemon=True)

    def start(self) -> Self:
        self._thread.start()
        return self

    def stop(self) -> list[Reply]:
        """Let every call under way end. All replies, in the order of their end."""
        self._stopping.set()
        self._thread.join()
        return self.replies

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def _run(self) -> None:
        await asyncio.gather(*(self._call_on() for _ in range(self._callers)))

    async def _call_on(self) -> None:
        caller = Caller(timeout_seconds=self._timeout_seconds)
        while not self._stopping.is_set():
            number, self._count = self._count, self._count + 1
            reply = await caller.send(self._next_request(number))
            self.replies.append(reply)
            if reply.error is not None:
                await asyncio.sleep(self._pause_seconds)
        caller.close()
