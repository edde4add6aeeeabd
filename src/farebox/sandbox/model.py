"""A model for the day without a provider key, and for test keys: the same words for the same prompt, at no cost.

It speaks the OpenAI wire, so that all that reads a provider's answer is used for this one too.
"""

import asyncio
import hashlib
import json
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final, NamedTuple

from farebox.ports import Reply

SANDBOX_MODEL: Final = "farebox-sandbox"
NAME_TOKEN: Final = f"[{SANDBOX_MODEL}]"  # one token, so that the shortest answer still says who gave it
TOKENS_DEFAULT: Final = 400
ECHO_CHARS: Final = 160
ASIDES: Final = (
    "No provider was called and nothing was spent.",
    "A real model would answer here.",
    "The same prompt always gets these same words.",
    "Set OPENAI_API_KEY to hear from a real model.",
)
_TOKEN = re.compile(rf"{re.escape(NAME_TOKEN)}|\s*\w{{1,6}}|\s*[^\w\s]|\s+")


def tokens_of(text: str) -> list[str]:
    """The sandbox's tokens: up to six letters, or one other character, with the space before them."""
    return _TOKEN.findall(text)


class SandboxModel:
    """A deterministic model in this process."""

    async def complete(self, body: bytes, seconds_max: float) -> Reply:
        del seconds_max  # it answers at once
        try:
            return Reply(200, {}, _json(_completion(_read(body))))
        except ValueError as error:
            return Reply(400, {}, _refusal(error))

    async def stream(self, body: bytes) -> AsyncIterator[bytes]:
        """The same answer as server-sent events, a token at a time, with the usage at the end if asked for.

        Raises:
            ValueError: the body is not one that this model takes.
        """
        for event in _events(_read(body)):
            yield b"data: " + event + b"\n\n"
            await asyncio.sleep(0)


class _Request(NamedTuple):
    prompt: str
    tokens_max: int
    with_usage: bool


def _read(body: bytes) -> _Request:
    request = json.loads(body)
    messages = request.get("messages") if isinstance(request, dict) else None
    if not isinstance(messages, list) or not messages or not all(isinstance(m, dict) for m in messages):
        raise ValueError("messages has to be a list of messages, as [{'role': 'user', 'content': 'Hello'}]")
    limit = request.get("max_completion_tokens", request.get("max_tokens"))
    if limit is not None and (type(limit) is not int or limit < 1):
        raise ValueError("max_completion_tokens has to be a whole number of 1 or more")
    options = request.get("stream_options")
    with_usage = isinstance(options, dict) and options.get("include_usage") is True
    prompt = "\n".join(_text(message.get("content")) for message in messages)
    return _Request(prompt, limit or TOKENS_DEFAULT, with_usage)


def _text(content: object) -> str:
    """A message's text: the content itself, or its parts of text; images and the like have none."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "".join(str(part.get("text") or "") for part in parts if isinstance(part, dict))


def _answer(request: _Request) -> tuple[dict[str, Any], list[str], str, dict[str, int]]:
    """What every form of the answer has: its head, its tokens, why it ends, and what it used."""
    prompt = request.prompt
    digest = hashlib.sha256(prompt.encode("utf-8", "replace")).digest()
    echo = prompt if len(prompt) <= ECHO_CHARS else prompt[: ECHO_CHARS - 1] + "…"
    tokens = tokens_of(f"{NAME_TOKEN} You wrote: “{echo}” {ASIDES[digest[0] % len(ASIDES)]}")
    written, read = tokens[: request.tokens_max], len(tokens_of(prompt))
    head = {"id": f"chatcmpl-sandbox-{digest.hex()[:16]}", "created": 0, "model": SANDBOX_MODEL}
    usage = {"prompt_tokens": read, "completion_tokens": len(written), "total_tokens": read + len(written)}
    return head, written, "stop" if len(written) == len(tokens) else "length", usage


def _completion(request: _Request) -> dict[str, Any]:
    head, tokens, reason, usage = _answer(request)
    message = {"role": "assistant", "content": "".join(tokens), "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reason}
    return {**head, "object": "chat.completion", "choices": [choice], "usage": usage}


def _events(request: _Request) -> Iterator[bytes]:
    head, tokens, reason, usage = _answer(request)
    head["object"] = "chat.completion.chunk"
    if request.with_usage:
        head["usage"] = None

    def event(delta: dict[str, str], finish_reason: str | None = None) -> bytes:
        return _json({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}]})

    yield event({"role": "assistant", "content": ""})
    yield from (event({"content": token}) for token in tokens)
    yield event({}, reason)
    if request.with_usage:
        yield _json({**head, "choices": [], "usage": usage})
    yield b"[DONE]"


def _refusal(error: ValueError) -> bytes:
    kind = "invalid_request_error"
    return _json({"error": {"message": f"{SANDBOX_MODEL}: {error}.", "type": kind, "param": None, "code": None}})


def _json(value: object) -> bytes:
    return json.dumps(value).encode()
