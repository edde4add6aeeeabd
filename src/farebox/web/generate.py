"""POST /v1/generate: one prompt, one answer, plain or streamed."""

from typing import Any, Final

from pydantic_core import to_json

from farebox.call import CallRequest, Listener, Receipt, Wire
from farebox.call.metered import MeteredStream
from farebox.call.wire import Question
from farebox.domain.dialects import CHAT, input_tokens_max
from farebox.domain.dialects.base import flag
from farebox.domain.errors import CallError, InvalidRequest, UpstreamNoMessage
from farebox.web.endpoint import PaidEndpoint, PlainCall, StreamedCall
from farebox.web.problem import problem
from farebox.web.request import Head, once_of, read_json

PROMPT_CHARS_MIN: Final = 3
PROMPT_CHARS_MAX: Final = 2_000
MAX_TOKENS_MAX: Final = 2**31
NO_MESSAGE: Final = "The model returned no message for this prompt. Nothing was charged; change the prompt."


class GenerateEndpoint(PaidEndpoint):
    """One prompt, one answer."""

    path = "/v1/generate"

    async def read(self, call_id: str, head: Head, body: bytes) -> PlainCall | StreamedCall:
        prompt, max_tokens, is_stream = _read(body)
        service = self.house.service
        models = service.models[head.key.mode]
        tokens_max = input_tokens_max(prompt)
        question = Question(CHAT, {"messages": [{"role": "user", "content": prompt}]}, models, tokens_max, max_tokens)
        call = CallRequest(
            call_id=call_id,
            key=head.key,
            endpoint=self.path,
            models=models,
            input_tokens_max=tokens_max,
            output_tokens_wanted=max_tokens,
            once=once_of(head, self.path, body, service.idempotency_seconds, is_stream=is_stream),
        )
        if is_stream:
            return StreamedCall(call, GenerateStream(question, self.house.public_url))

        async def work(wire: Wire) -> str:
            text = (await wire.ask(question)).completion.text
            if text is None:
                raise UpstreamNoMessage(NO_MESSAGE)
            return text

        return PlainCall(call, work, _render)


def _read(body: bytes) -> tuple[str, int | None, bool]:
    request = read_json(body)
    if "prompt" not in request:
        raise InvalidRequest("prompt is missing. Send what the model should answer.", param="prompt")
    prompt = request["prompt"]
    if not isinstance(prompt, str):
        raise InvalidRequest("prompt has to be a string.", param="prompt")
    if not PROMPT_CHARS_MIN <= len(prompt) <= PROMPT_CHARS_MAX:
        raise InvalidRequest(
            f"prompt has {len(prompt):,} characters; send {PROMPT_CHARS_MIN} to {PROMPT_CHARS_MAX:,}.", param="prompt"
        )
    try:
        prompt.encode()
    except UnicodeEncodeError:
        raise InvalidRequest("prompt has half of a surrogate pair, which is not a character.", param="prompt") from None
    max_tokens = request.get("max_tokens")
    if isinstance(max_tokens, float) and max_tokens.is_integer():
        max_tokens = int(max_tokens)  # JSON has one kind of number: 5.0 is a whole one
    if max_tokens is not None and not (type(max_tokens) is int and 1 <= max_tokens <= MAX_TOKENS_MAX):
        raise InvalidRequest("max_tokens has to be a whole number of 1 or more.", param="max_tokens")
    return prompt, max_tokens, flag(request, "stream")


def sums_of(receipt: Receipt) -> dict[str, Any]:
    """What a call used, and what is left after it."""
    outcome, standing = receipt.outcome, receipt.standing
    return {
        "input_tokens": outcome.input_tokens,
        "output_tokens": outcome.output_tokens,
        "tokens": outcome.input_tokens + outcome.output_tokens,
        "calls_used": standing.meter.posted_calls,
        "calls_remaining": standing.calls_left,
    }


def _render(receipt: Receipt) -> tuple[str, bytes]:
    return "application/json", to_json({"text": receipt.content, **sums_of(receipt)})


class OwnStream:
    """Server-sent events in Farebox's own words: pieces of the answer, then `done` with the sums, or `error`."""

    def __init__(self, public_url: str) -> None:
        self._public_url = public_url

    def end(self, receipt: Receipt) -> bytes:
        charge = receipt.outcome.charge_nanodollars
        return b"event: done\ndata: " + to_json({**sums_of(receipt), "charge_nanodollars": charge}) + b"\n\n"

    def broken(self, error: CallError, call_id: str) -> bytes:
        return b"event: error\ndata: " + problem(error, call_id, self._public_url)[2] + b"\n\n"


class GenerateStream(OwnStream):
    """The answer to a prompt, as it comes."""

    def __init__(self, question: Question, public_url: str) -> None:
        super().__init__(public_url)
        self._question = question

    async def run(self, wire: Wire, listener: Listener) -> None:
        async with MeteredStream(wire, self._question) as stream:
            async for _, text in stream:
                if text:
                    await listener.send(b"data: " + to_json({"text": text}) + b"\n\n")
        if not listener.has_begun:
            raise UpstreamNoMessage(NO_MESSAGE)
