"""A paid call that a page makes: it calls the endpoint itself, in this process, with a key, as any client does."""

import asyncio
from dataclasses import dataclass
from http import HTTPStatus
from time import monotonic
from typing import Final, NamedTuple

from fastapi import Response
from starlette.types import Message, Receive, Scope, Send

from farebox.domain.apikey import ApiKey
from farebox.web.endpoint import PaidEndpoint

AGAIN_SECONDS: Final = 0.3


class Came(NamedTuple):
    """An answer, whole."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class PaidRequest:
    """A request, whole."""

    endpoint: PaidEndpoint
    key: ApiKey
    once: str
    """The Idempotency-Key."""
    content_type: bytes
    body: bytes

    async def pass_on(self, receive: Receive, send: Send) -> None:
        """Make the call, and pass its answer on as it comes. `receive` tells when the client leaves.

        If the same call is under way already, as after a double click, wait for it and pass on its answer.
        """
        deadline = monotonic() + self.endpoint.house.service.call_seconds_max
        while True:
            is_early = False

            async def sending(message: Message) -> None:
                nonlocal is_early
                if message["type"] == "http.response.start":
                    is_early = _is_under_way(message) and monotonic() < deadline
                if not is_early:
                    await send(message)

            await self._call(receive, sending)
            if not is_early:
                return
            await asyncio.sleep(AGAIN_SECONDS)

    async def whole(self, receive: Receive) -> Came | None:
        """Make the call, and return its whole answer; None if the client has left."""
        start: Message | None = None
        pieces: list[bytes] = []

        async def sending(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message
            else:
                pieces.append(message.get("body", b""))

        await self.pass_on(receive, sending)
        return None if start is None else Came(start["status"], _headers(start), b"".join(pieces))

    async def _call(self, receive: Receive, send: Send) -> None:
        headers = [
            (b"x-api-key", self.key.text.encode()),
            (b"content-type", self.content_type),
            (b"idempotency-key", self.once.encode("latin-1", "replace")),
        ]
        scope: Scope = {"type": "http", "method": "POST", "path": self.endpoint.path, "headers": headers}
        is_sent = False

        async def receiving() -> Message:
            nonlocal is_sent
            if is_sent:
                return await receive()
            is_sent = True
            return {"type": "http.request", "body": self.body, "more_body": False}

        await self.endpoint(scope, receiving, send)


class PassedOn(Response):
    """The call's answer as the page's own."""

    def __init__(self, request: PaidRequest) -> None:
        super().__init__()
        self._request = request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope
        await self._request.pass_on(receive, send)


def _is_under_way(start: Message) -> bool:
    """Whether the refusal says that the first call with this Idempotency-Key has not ended yet."""
    return start["status"] == HTTPStatus.CONFLICT and "retry-after" in _headers(start)


def _headers(start: Message) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in start["headers"]}
