"""The OpenAI wire: POST /v1/chat/completions, /v1/responses and /v1/embeddings, as bytes, so that nothing is lost."""

import re
from collections.abc import Mapping
from typing import Any, Final

from pydantic_core import to_json

from farebox.call import CallRequest, Listener, Receipt, Wire
from farebox.call.metered import MeteredStream
from farebox.call.service import Chain
from farebox.call.wire import Question
from farebox.domain.apikey import Mode
from farebox.domain.dialects import Dialect
from farebox.domain.dialects.base import flag, request_tokens_max
from farebox.domain.errors import CallError, ModelNotFound
from farebox.domain.providers import ModelName
from farebox.web.endpoint import House, PaidEndpoint, PlainCall, StreamedCall
from farebox.web.problem import problem
from farebox.web.request import Head, once_of, read_writable

EXAMPLE = '{"model": "…", "messages": [{"role": "user", "content": "…"}]}'
NUMBER: Final = re.compile(rb'"sequence_number": ?(\d{1,15})')


def chains_by_name(listed: tuple[ModelName, ...], chain: Chain) -> dict[str, Chain]:
    """The models that answer for each name: the one that is named, then those that the founder lists after it."""
    found: dict[str, Chain] = {}
    for place, model in enumerate(listed):
        rest = {(other.provider, other.name) for other in listed[place:]}
        names = tuple(known for known in chain if (known.provider, known.name) in rest) or chain
        found.setdefault(model.name, names)
        found[f"{model.provider}:{model.name}"] = names
    return found


class RelayEndpoint(PaidEndpoint):
    """One endpoint of the OpenAI wire.

    Args:
        dialect: how its requests and answers are read.
        listed: the models that the founder lists for it; customers can choose no others.
        chains: the models behind it, for each mode.
    """

    def __init__(
        self, house: House, dialect: Dialect, listed: tuple[ModelName, ...], chains: Mapping[Mode, Chain]
    ) -> None:
        super().__init__(house)
        self.path = f"/v1{dialect.path}"
        self._dialect = dialect
        self._chains = chains
        self._by_name = {mode: chains_by_name(listed, chain) for mode, chain in chains.items()}

    async def read(self, call_id: str, head: Head, body: bytes) -> PlainCall | StreamedCall:
        dialect, service = self._dialect, self.house.service
        request = read_writable(body, EXAMPLE)
        dialect.check(request)
        is_stream = flag(request, "stream") and dialect.stream is not None
        models = self._models(request, head.key.mode)
        size_bytes = max(len(body), len(to_json(request))) if dialect.may_grow(request) else len(body)
        question = Question.of(dialect, request, models, request_tokens_max(size_bytes, request))
        call = CallRequest(
            call_id=call_id,
            key=head.key,
            endpoint=self.path,
            models=models,
            input_tokens_max=question.input_tokens_max,
            output_tokens_wanted=question.output_tokens_wanted,
            answers=question.answers,
            once=once_of(head, self.path, body, service.idempotency_seconds, is_stream=is_stream),
        )
        if is_stream:
            return StreamedCall(call, RelayStream(question, self.house.public_url))

        async def work(wire: Wire) -> bytes:
            wire.is_relay = True
            reply, completion = await wire.ask(question)
            wire.is_empty = not completion.has_message
            return reply.body

        return PlainCall(call, work, _render)

    def _models(self, request: Mapping[str, Any], mode: Mode) -> Chain:
        name = request.get("model")
        if name is None and self._chains[mode]:
            return self._chains[mode]
        found = self._by_name[mode].get(name) if isinstance(name, str) else None
        if not found:
            listed = ", ".join(known for known in self._by_name[mode] if ":" not in known)
            if not listed:  # only embeddings may be without a model
                raise ModelNotFound("This service offers no embeddings.", param="model")
            raise ModelNotFound(f"There is no model {str(name)[:100]!r} here. Choose one of: {listed}.", param="model")
        return found


def _render(receipt: Receipt) -> tuple[str, bytes]:
    return "application/json", receipt.content


class RelayStream:
    """The provider's events, as they come; the last ones when the call is recorded."""

    def __init__(self, question: Question, public_url: str) -> None:
        options = question.request.get("stream_options")
        self._with_usage = isinstance(options, dict) and options.get("include_usage") is True
        self._question = question
        self._public_url = public_url
        self._tail: list[bytes] = []
        self._last = b""

    async def run(self, wire: Wire, listener: Listener) -> None:
        wire.is_relay = True
        last = b""
        try:
            async with MeteredStream(wire, self._question, with_usage=self._with_usage) as stream:
                async for passed, _ in stream:
                    if passed:
                        last = passed
                        await listener.send(passed)
        finally:
            self._last = last
        self._tail = stream.tail

    def end(self, receipt: Receipt) -> bytes:
        del receipt
        return b"".join(self._tail)

    def broken(self, error: CallError, call_id: str) -> bytes:
        body = problem(error, call_id, self._public_url)[2]
        if self._question.dialect.path == "/responses":
            return b"event: error\ndata: " + to_json(self._error_event(error)) + b"\n\n"
        return b"data: " + body + b"\n\n"

    def _error_event(self, error: CallError) -> dict[str, Any]:
        """The error as OpenAI sends it, with its number; its Python client raises only for what is in `error`."""
        told: dict[str, Any] = {"code": error.code, "message": error.detail, "param": error.param}
        numbers = NUMBER.findall(self._last)
        number = int(numbers[-1]) + 1 if numbers else 0
        return {"type": "error", "sequence_number": number, **told, "error": {**told, "type": error.kind}}
