"""A genuine OpenAI client whose requests go through a call's wire, so that any library over it is metered."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

import httpx2
from openai import AsyncOpenAI
from pydantic_core import from_json

from farebox.adapters.openai_http import too_late
from farebox.call.handling import Choice, own_question
from farebox.call.metered import MeteredStream
from farebox.call.prompt import CARRIED
from farebox.call.wire import Question, Wire
from farebox.domain.dialects import CHAT, EMBEDDINGS, RESPONSES
from farebox.domain.errors import CallError, InvalidRequest, NotFound

BASE_URL: Final = "http://farebox.metered/v1"  # no host has this name: requests can only go through the wire
DIALECTS: Final = {f"/v1{dialect.path}": dialect for dialect in (CHAT, RESPONSES, EMBEDDINGS)}
JSON: Final = "application/json"


def openai_client(wire: Wire, models: Choice, embedding: Choice) -> AsyncOpenAI:
    """The client of one call. What fails is tried again by the wire, and not by the client."""
    transport = MeteredTransport(wire, models, embedding)
    # Otherwise proxies of the environment would be asked before the transport.
    http = httpx2.AsyncClient(transport=transport, trust_env=False)
    return AsyncOpenAI(api_key="farebox", base_url=BASE_URL, max_retries=0, http_client=http)


class MeteredTransport(httpx2.AsyncBaseTransport):
    """A transport that looks like HTTP to the client; behind it is the call's wire."""

    def __init__(self, wire: Wire, models: Choice, embedding: Choice) -> None:
        self._wire = wire
        self._choices = {CHAT.path: models, RESPONSES.path: models, EMBEDDINGS.path: embedding}

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        seconds = request.extensions.get("timeout", {}).get("read")  # the client's own, as httpx hands it on
        try:
            async with asyncio.timeout(seconds):
                return await self._answer(request)
        except TimeoutError:
            raise httpx2.ReadTimeout("The model did not answer in time.", request=request) from too_late()
        except CallError as error:
            return _refusal(error)

    async def _answer(self, request: httpx2.Request) -> httpx2.Response:
        """The wire's answer; for a stream, once its first piece has come."""
        question = self._question(request.url.path, await request.aread())
        if question.dialect.stream is not None and question.request.get("stream"):
            stream = MeteredBody(self._wire, question)
            await stream.open()
            return httpx2.Response(200, headers={"content-type": "text/event-stream"}, stream=stream)
        answer = await self._wire.ask(question)
        return httpx2.Response(200, headers={"content-type": JSON}, content=answer.reply.body)

    def _question(self, path: str, body: bytes) -> Question:
        dialect = DIALECTS.get(path)
        if dialect is None:
            raise NotFound(f"{path} is not metered, and so not offered. What is: {', '.join(DIALECTS)}.")
        try:
            request = from_json(body)
        except ValueError:
            request = None
        if not isinstance(request, dict):
            raise InvalidRequest("The request is no JSON object.")
        return own_question(dialect, request, self._choices[dialect.path].of(request.get("model")))


class MeteredBody(httpx2.AsyncByteStream):
    """A model's stream as the body of an answer; closing it closes the provider's connection."""

    def __init__(self, wire: Wire, question: Question) -> None:
        options = question.request.get("stream_options")
        with_usage = isinstance(options, dict) and options.get("include_usage") is True
        self._stream = MeteredStream(wire, question, with_usage=with_usage)

    async def open(self) -> None:
        """Wait for the stream's first piece.

        Raises:
            CallError: there is no stream.
        """
        await self._stream.__aenter__()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        stream = self._stream
        try:
            async for passed, _ in stream:
                if passed:
                    yield passed
        except CallError as error:
            await stream.finish(error)
            raise
        # Added up before the end goes out: a reader of the end may ask at once what it came to.
        await stream.finish(None)
        if stream.tail:
            yield b"".join(stream.tail)

    async def aclose(self) -> None:
        await self._stream.finish(None)


def _refusal(error: CallError) -> httpx2.Response:
    """An error as OpenAI sends it; our own goes along, in case the handler lets it pass."""
    told = {"message": error.detail, "type": error.kind, "param": error.param, "code": error.code}
    headers = {} if error.retry_after_seconds is None else {"retry-after": str(error.retry_after_seconds)}
    # A request that cannot be metered is the handler's mistake, and not its customer's.
    is_own = isinstance(error, InvalidRequest | NotFound) or error.code == "model_not_found"
    extensions: dict[str, Any] = {} if is_own else {CARRIED: error}
    return httpx2.Response(error.status, headers=headers, json={"error": told}, extensions=extensions)
