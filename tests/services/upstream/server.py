"""The fake provider's connections."""

import asyncio
import contextlib
import json
import socket
import struct
import time
from collections.abc import Mapping
from typing import Any

from tests.services.upstream.behaviour import Behaviour
from tests.services.upstream.provider import CHAT, MODELS, Call, Outcome, Provider, Reply
from tests.services.upstream.wire import Request, head, take_request

SERVED = {("POST", CHAT), ("GET", MODELS)}
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Connection(asyncio.Protocol):
    """One request after the other, each answered by a task that ends when the client leaves."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._buffer = bytearray()
        self._task: asyncio.Task[None] | None = None
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._serve_next()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        if self._task is not None:
            self._task.cancel()

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
        except (ValueError, TypeError) as mistake:  # a test's marker or programme makes no sense
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
            call.outcome = outcome
            call.ended_at = time.time()

    async def _deliver(self, call: Call, how: Behaviour) -> Outcome:
        if (seconds := self._provider.latency(how)) > 0:
            await asyncio.sleep(seconds)
        if how.fault in {"reset", "close", "hang"}:
            return await self._break(how)
        reply = self._provider.reply(call, how)
        if not await self._send(call, reply):
            return await self._break(how)
        return "complete"

    async def _send(self, call: Call, reply: Reply) -> bool:
        """False if the fault is to strike."""
        waiting = reply.head
        for index, piece in enumerate(reply.pieces):
            if index == reply.cut_at:
                return False
            if index:
                await asyncio.sleep(reply.pause_seconds)  # even for 0 seconds: a client that left is noticed
            self._transport.write(waiting + piece)
            waiting = b""
            call.bytes_sent += len(piece)
            call.tokens_streamed += index in reply.token_pieces
        return True

    async def _break(self, how: Behaviour) -> Outcome:
        match how.fault.partition("_")[0]:
            case "hang":
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
                return [vars(call) for call in self._provider.calls]
            case "stats":
                return self._stats(wanted["path"])
            case "reset":
                self._provider.reset(wanted["seed"])
            case "program":
                self._provider.program(wanted["path"], Behaviour(**wanted["behaviour"]))
            case "program_next":
                self._provider.program_next(wanted["path"], [Behaviour(**how) for how in wanted["behaviours"]])
            case unknown:
                raise ValueError(f"unknown control {unknown!r}")
        return {}

    def _stats(self, path: str) -> Mapping[str, int]:
        calls = [call for call in self._provider.calls if call.path == path]
        return {"count": len(calls), "in_flight": sum(call.outcome == "pending" for call in calls)}


async def serve(port: int) -> None:
    provider = Provider()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(provider), "127.0.0.1", port, backlog=4096)
    with contextlib.suppress(asyncio.CancelledError):
        await server.serve_forever()
