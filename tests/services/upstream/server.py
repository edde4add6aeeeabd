"""The fake provider's connections."""

import asyncio
import contextlib
import json
import socket
import ssl
import struct
from typing import Any

from tests.services.upstream.behaviour import Behaviour
from tests.services.upstream.paths import SERVED
from tests.services.upstream.provider import Call, Outcome, Provider
from tests.services.upstream.replies import Reply, reply_to
from tests.services.upstream.wire import Request, head, take_request

RESET_ON_CLOSE = struct.pack("ii", 1, 0)
CLIENT_HELLO = b"\x16\x03"
# At most so much goes to a client that does not read: the kernel would take megabytes by default.
SEND_BUFFER_BYTES = 1 << 16


class Connection(asyncio.Protocol):
    """One request after the other, each answered by a task that ends when the client leaves."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._buffer = bytearray()
        self._task: asyncio.Task[None] | None = None
        self._transport: asyncio.Transport
        self._taken = asyncio.Event()  # set while the socket has taken all that was written
        self._taken.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=1, low=0)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._buffer.startswith(CLIENT_HELLO):
            self._transport.write(head(400, {"content-length": "0"}))
            self._transport.close()
            return
        self._serve_next()

    def pause_writing(self) -> None:
        self._taken.clear()

    def resume_writing(self) -> None:
        self._taken.set()

    def eof_received(self) -> None:
        """A client that left is noticed here, even while bytes wait that it will never read."""
        if self._task is not None:
            self._task.cancel()
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        if self._task is not None:
            self._task.cancel()
        self._task = None  # the task knows this connection: a circle would outlive both

    def _serve_next(self) -> None:
        if self._task is None and (request := take_request(self._buffer)) is not None:
            self._task = asyncio.get_running_loop().create_task(self._serve(request))

    async def _serve(self, request: Request) -> None:
        try:
            if request.path.startswith("/_control/"):
                self._send_json(200, self._control(request))
            elif (request.method, request.path) in SERVED:
                await self._answer(request)
            else:
                message = f"Invalid URL ({request.method} {request.path})"
                error = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
                self._send_json(404, {"error": error})
        except (ValueError, TypeError, LookupError) as mistake:  # a test's marker or programme makes no sense
            self._send_json(418, {"error": {"message": f"the fake provider cannot do this: {mistake}"}})
        self._task = None
        self._serve_next()

    def _send_json(self, status: int, value: object) -> None:
        body = json.dumps(value).encode()
        headers = {"content-type": "application/json", "content-length": str(len(body))}
        self._transport.write(head(status, headers) + body)

    # -- calls

    async def _answer(self, request: Request) -> None:
        call = self._provider.record(request)
        outcome: Outcome = "client_left"
        try:
            how = self._provider.choose(call, request.body)
            outcome = await self._deliver(call, how)
        finally:
            self._provider.finish(call, outcome)

    async def _deliver(self, call: Call, how: Behaviour) -> Outcome:
        if (seconds := self._provider.latency(how)) > 0:
            await asyncio.sleep(seconds)
        if how.fault in {"reset", "close", "hang"}:
            return await self._break(how)
        reply = reply_to(call, how)
        if not await self._send(call, reply):
            return await self._break(how)
        return "cut" if reply.ends_early else "complete"

    async def _send(self, call: Call, reply: Reply) -> bool:
        """False if the fault is to strike."""
        waiting = reply.head
        for index, (data, tokens) in enumerate(reply.pieces):
            if index == reply.cut_at:
                await self._write(waiting)
                return False
            if index:
                await asyncio.sleep(reply.pause_seconds)  # even for 0 seconds: a client that left is noticed
            await self._write(waiting + data)
            waiting = b""
            call.bytes_sent += len(data)
            call.tokens_streamed += tokens
        return True

    async def _write(self, data: bytes) -> None:
        """Until the socket has taken all of it."""
        for start in range(0, len(data), SEND_BUFFER_BYTES):
            self._transport.write(data[start : start + SEND_BUFFER_BYTES])
            if not self._taken.is_set():
                await self._taken.wait()

    async def _break(self, how: Behaviour) -> Outcome:
        match how.fault.partition("_")[0]:
            case "hang" | "stall":
                await asyncio.Event().wait()
            case "reset":
                await asyncio.sleep(0.02)  # a reset overtakes bytes that were sent just before it
                connection = self._transport.get_extra_info("socket")
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
                self._transport.abort()
            case _:
                self._transport.close()
        return "cut"

    # -- the test's own requests

    def _control(self, request: Request) -> Any:  # noqa: ANN401 - JSON
        wanted = request.json() or {}
        match request.path.removeprefix("/_control/"):
            case "calls":
                return list(self._provider.calls(wanted["path"]))
            case "stats":
                return self._provider.stats(wanted["path"])
            case "reset":
                self._provider.reset(wanted["seed"])
            case "program":
                self._provider.program(wanted["path"], Behaviour(**wanted["behaviour"]))
            case "program_next":
                self._provider.program_next(wanted["path"], [Behaviour(**how) for how in wanted["behaviours"]])
            case unknown:
                raise ValueError(f"unknown control {unknown!r}")
        return {}


async def serve(port: int, certificate: str | None = None) -> None:
    """With a certificate, a file that holds its key as well, over TLS."""
    provider = Provider()
    loop = asyncio.get_running_loop()
    tls = None
    if certificate is not None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate)
    listening = socket.create_server(("127.0.0.1", port), backlog=4096)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)  # its connections inherit it
    server = await loop.create_server(lambda: Connection(provider), sock=listening, backlog=4096, ssl=tls)
    with contextlib.suppress(asyncio.CancelledError):
        await server.serve_forever()
