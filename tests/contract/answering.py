"""A server that answers as a test says, byte by byte if need be, and the connections to it."""

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from farebox.adapters.http1 import Connections

OK: Final = b"HTTP/1.1 200 OK\r\n"
SOON_SECONDS: Final = 30  # no measure: only a test that hangs waits as long


def break_off(writer: asyncio.StreamWriter) -> None:
    """Reset the connection, as one that dies on its way."""
    own = writer.get_extra_info("socket")
    own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class Server:
    """A server that answers the n-th request of a connection with the n-th of its answers.

    Args:
        answers: in the place of BODY goes the request's body.
        closes: whether it closes the connection after the last one.
        step_bytes: how much it sends at once.
        resets: whether it breaks the connection off after the last one.
    """

    def __init__(self, answers: Sequence[bytes], *, closes: bool, step_bytes: int, resets: bool) -> None:
        self._answers = answers
        self._closes = closes
        self._step_bytes = step_bytes
        self._resets = resets
        self.port = 0
        self.connections = 0
        self.heads: list[bytes] = []
        self.came, self.gone = asyncio.Event(), asyncio.Event()
        self.tasks: set[asyncio.Task[Any]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.came.set()
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            for programmed in self._answers:
                self.heads.append(await reader.readuntil(b"\r\n\r\n"))
                length = self.heads[-1].lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
                body = await reader.readexactly(int(length))
                answer = programmed.replace(b"BODY", body)
                for place in range(0, len(answer), self._step_bytes):
                    writer.write(answer[place : place + self._step_bytes])
                    await writer.drain()
                    await asyncio.sleep(0)
            if not self._closes and not self._resets:
                await reader.read()
        self.gone.set()
        if self._resets:
            break_off(writer)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


@asynccontextmanager
async def serving(
    *answers: bytes, closes: bool = False, step_bytes: int = 1 << 20, resets: bool = False,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[tuple[Server, Connections]]:  # fmt: skip
    server = Server(answers, closes=closes, step_bytes=step_bytes, resets=resets)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=tls)
    server.port = listening.sockets[0].getsockname()[1]
    connections = Connections("localhost", server.port, is_secure=tls is not None, connect_seconds_max=SOON_SECONDS)
    try:
        yield server, connections
    finally:
        connections.close()
        listening.close()
        if server.tasks:  # each ends as its client has gone
            await asyncio.wait(server.tasks, timeout=SOON_SECONDS)


def request(body: bytes) -> bytes:
    return b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


def sized(body: bytes, *, head: bytes = OK) -> bytes:
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body
