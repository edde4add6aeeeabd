"""Clients that read a stream piece by piece, slowly, or not to its end."""

import asyncio
import contextlib
import json
import socket
import time
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import urlsplit

from tests.services.load import Request

READ_BYTES = 65_536


@dataclass
class Listening:
    """One open stream over a socket of its own."""

    request: Request
    status: int | None = None
    head: bytes = b""
    body: bytearray = field(default_factory=bytearray)
    is_over: bool = False
    left_at: float | None = None
    _reader: asyncio.StreamReader = field(init=False, repr=False)
    _writer: asyncio.StreamWriter = field(init=False, repr=False)

    async def open(self, *, receive_bytes: int | None = None, behind: bytes = b"") -> Self:
        """Connect and send the request, and what comes behind it on the same connection.

        `receive_bytes` bounds what the system takes without being read.
        """
        parts = urlsplit(self.request.url)
        self._reader, self._writer = await asyncio.open_connection(parts.hostname, parts.port, limit=READ_BYTES)
        if receive_bytes is not None:
            connection = self._writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self._writer.write(self.request.encoded() + behind)
        await self._writer.drain()
        return self

    async def read_head(self) -> None:
        self.head = await self._reader.readuntil(b"\r\n\r\n")
        self.status = int(self.head.split()[1])

    async def read_events(self, count: int) -> None:
        """Read until so many events have come, or the stream is over."""
        while self.events < count and not self.is_over:
            await self.read_some()

    async def read_some(self) -> None:
        piece = await self._reader.read(READ_BYTES)
        self.body += piece
        self.is_over = not piece or self.body.endswith(b"0\r\n\r\n")

    @property
    def events(self) -> int:
        return self.body.count(b"\ndata:") + self.body.startswith(b"data:")

    @property
    def call_id(self) -> str:
        for line in self.head.decode("latin-1").splitlines():
            name, _, value = line.partition(": ")
            if name.lower() == "x-request-id":
                return value
        raise AssertionError(self.head)

    def data(self) -> list[Any]:
        """The data of its events, without the marks of the chunked body."""
        lines = [line[5:].strip() for line in self.body.split(b"\n") if line.startswith(b"data:")]
        return [None if line == b"[DONE]" else json.loads(line) for line in lines]

    def leave(self, *, rudely: bool = False) -> None:
        """Close the connection, with or without a farewell."""
        self.left_at = time.time()
        if rudely:
            self._writer.transport.abort()
        else:
            self._writer.close()

    async def close(self) -> None:
        with contextlib.suppress(OSError):
            self._writer.close()
            await self._writer.wait_closed()
