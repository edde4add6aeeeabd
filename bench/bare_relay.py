"""The least that a streaming relay can do: bytes in, bytes out, nothing looked at and nothing kept.

It has Farebox's server (uvicorn) and Farebox's client for streams (aiohttp), so that what is left is Farebox's own.
"""

import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from aiohttp import ClientSession, TCPConnector

Message = MutableMapping[str, Any]
HEAD = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]}


class Relay:
    """Passes a POST on."""

    def __init__(self) -> None:
        self._session: ClientSession | None = None
        self._url = f"{os.environ['OPENAI_BASE_URL']}/chat/completions"
        self._headers = {"authorization": f"Bearer {os.environ['OPENAI_API_KEY']}", "content-type": "application/json"}

    async def __call__(
        self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        if scope["type"] != "http":
            return
        if self._session is None:
            self._session = ClientSession(connector=TCPConnector(limit=0), headers=self._headers, read_bufsize=16_384)
        body = (await receive())["body"]
        async with self._session.post(self._url, data=body) as response:
            await send(HEAD)
            while piece := await response.content.readany():
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})


app = Relay()
