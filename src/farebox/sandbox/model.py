"""A model for use without a provider's key, and for test keys: the same words for the same prompt, at no cost.

It speaks the OpenAI wire, so that its answers take the same way through the code as a provider's.
"""

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from farebox.ports.calls import Reply
from farebox.sandbox import chat, responses
from farebox.sandbox.answer import Say, nothing_said
from farebox.sandbox.embeddings import embed
from farebox.sandbox.request import BadRequest, JsonObject, load
from farebox.sandbox.words import NAME_TOKEN, SANDBOX_MODEL, TOKENS_DEFAULT, tokens_of

__all__ = ["NAME_TOKEN", "SANDBOX_MODEL", "TOKENS_DEFAULT", "SandboxModel", "SandboxStream", "tokens_of"]

ANSWERS: Final[Mapping[str, Callable[[JsonObject, Say], JsonObject]]] = {
    "/chat/completions": chat.complete,
    "/responses": responses.respond,
    "/embeddings": lambda request, _: embed(request),
}
STREAMS: Final[Mapping[str, Callable[[JsonObject, Say], Iterator[bytes]]]] = {
    "/chat/completions": chat.stream,
    "/responses": responses.stream,
}
JSON_HEADERS: Final = {"content-type": "application/json"}
STREAM_HEADERS: Final = {"content-type": "text/event-stream; charset=utf-8"}


class SandboxModel:
    """A deterministic model in this process.

    Args:
        say: gives answers in place of its own words.
    """

    def __init__(self, say: Say = nothing_said) -> None:
        self._say = say

    async def send(self, path: str, body: bytes, seconds_max: float) -> Reply:
        """The whole answer; a request that cannot be answered is refused as OpenAI does."""
        del seconds_max  # it answers at once
        if path not in ANSWERS:
            return Reply(404, JSON_HEADERS, _refusal(f"there is no {path} here", None, "unknown_url"))
        try:
            return Reply(200, JSON_HEADERS, json.dumps(ANSWERS[path](load(body), self._say)).encode())
        except BadRequest as error:
            return Reply(400, JSON_HEADERS, _refusal(str(error), error.param, None))

    async def stream(self, path: str, body: bytes, seconds_max: float) -> "SandboxStream":
        """The same answer, an event at a time; in one piece if it is a refusal, or if the endpoint has no streams."""
        if path in STREAMS:
            try:
                return SandboxStream(200, STREAM_HEADERS, STREAMS[path](load(body), self._say))
            except BadRequest:
                pass  # the plain answer says it
        reply = await self.send(path, body, seconds_max)
        return SandboxStream(reply.status, reply.headers, iter([reply.body]))


class SandboxStream:
    """An answer in pieces."""

    def __init__(self, status: int, headers: Mapping[str, str], pieces: Iterator[bytes]) -> None:
        self.status, self.headers = status, headers
        self._pieces = pieces

    async def read(self) -> bytes:
        await asyncio.sleep(0)  # so that one stream does not keep the others waiting
        return next(self._pieces, b"")

    async def close(self) -> None:
        self._pieces = iter(())


def _refusal(message: str, param: str | None, code: str | None) -> bytes:
    error = {"message": f"{SANDBOX_MODEL}: {message}.", "type": "invalid_request_error", "param": param, "code": code}
    return json.dumps({"error": error}).encode()
