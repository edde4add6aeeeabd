"""POST /chat/completions."""

import json
from collections.abc import Iterator
from itertools import zip_longest
from typing import Final, NamedTuple

from farebox.sandbox.answer import Answer, Say, answered, nothing_said
from farebox.sandbox.request import BadRequest, JsonObject, Tool, Wish, flat, read_wish, text_of, whole_number
from farebox.sandbox.words import SANDBOX_MODEL, digest_of, tokens_of

ANSWERS_MAX: Final = 128
TOOL_TEXTS: Final = {"function": "arguments", "custom": "input"}


def complete(request: JsonObject, say: Say = nothing_said) -> JsonObject:
    """A chat completion.

    Raises:
        BadRequest: the request cannot be answered.
    """
    chat = _read(request, say)
    choices = [
        {"index": nth, "message": _message(chat, answer), "logprobs": None, "finish_reason": _reason(chat, answer)}
        for nth, answer in enumerate(chat.answers)
    ]
    return {**chat.head, "object": "chat.completion", "choices": choices, "usage": chat.usage}


def stream(request: JsonObject, say: Say = nothing_said) -> Iterator[bytes]:
    """The same completion as server-sent events, a token at a time, with the usage at the end if asked for.

    Raises:
        BadRequest: the request cannot be answered.
    """
    return _events(_read(request, say))


class _Chat(NamedTuple):
    wish: Wish
    answers: list[Answer]
    with_usage: bool
    head: JsonObject
    usage: JsonObject


def _read(request: JsonObject, say: Say) -> _Chat:
    messages = request.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(message, dict) for message in messages):
        raise BadRequest("messages has to be a list of messages, as [{'role': 'user', 'content': 'Hello'}]", "messages")
    limits = [whole_number(request, name) for name in ("max_completion_tokens", "max_tokens")]
    tools = request.get("tools")
    wish = read_wish(
        "\n".join(text_of(message.get("content")) for message in messages),
        min((limit for limit in limits if limit is not None), default=None),
        flat(request.get("response_format")),
        [flat(tool) for tool in tools] if isinstance(tools, list) else tools,
        flat(request.get("tool_choice")),
        format_name="response_format",
    )
    wish, answers = answered(wish, say, whole_number(request, "n", ANSWERS_MAX) or 1)
    options = request.get("stream_options")
    with_usage = isinstance(options, dict) and options.get("include_usage") is True
    head = {"id": f"chatcmpl-sandbox-{digest_of(wish.prompt).hex()[:16]}", "created": 0, "model": SANDBOX_MODEL}
    return _Chat(wish, answers, with_usage, head, _usage(wish, answers))


def _usage(wish: Wish, answers: list[Answer]) -> JsonObject:
    read, written = len(tokens_of(wish.prompt)), sum(len(answer.tokens) for answer in answers)
    return {
        "prompt_tokens": read,
        "completion_tokens": written,
        "total_tokens": read + written,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }


def _reason(chat: _Chat, answer: Answer) -> str:
    if answer.is_cut:
        return "length"
    return "stop" if chat.wish.tool is None else "tool_calls"


def _message(chat: _Chat, answer: Answer) -> JsonObject:
    tool, text = chat.wish.tool, answer.text
    if tool is None:
        return {"role": "assistant", "content": text, "refusal": None}
    return {"role": "assistant", "content": None, "refusal": None, "tool_calls": [_call(chat, tool, text)]}


def _call(chat: _Chat, tool: Tool, text: str) -> JsonObject:
    call_id = f"call_sandbox_{digest_of(chat.wish.prompt).hex()[:16]}"
    return {"id": call_id, "type": tool.kind, tool.kind: {"name": tool.name, TOOL_TEXTS[tool.kind]: text}}


def _events(chat: _Chat) -> Iterator[bytes]:
    head = {**chat.head, "object": "chat.completion.chunk"}
    if chat.with_usage:
        head["usage"] = None

    def event(nth: int, delta: JsonObject, reason: str | None = None) -> bytes:
        return _sse({**head, "choices": [{"index": nth, "delta": delta, "logprobs": None, "finish_reason": reason}]})

    yield from (event(nth, _first_delta(chat)) for nth in range(len(chat.answers)))
    for tokens in zip_longest(*(answer.tokens for answer in chat.answers)):  # several answers are written side by side
        yield from (event(nth, _delta(chat.wish.tool, token)) for nth, token in enumerate(tokens) if token is not None)
    yield from (event(nth, {}, _reason(chat, answer)) for nth, answer in enumerate(chat.answers))
    if chat.with_usage:
        yield _sse({**head, "choices": [], "usage": chat.usage})
    yield b"data: [DONE]\n\n"


def _first_delta(chat: _Chat) -> JsonObject:
    if chat.wish.tool is None:
        return {"role": "assistant", "content": ""}
    return {"role": "assistant", "content": None, "tool_calls": [{"index": 0, **_call(chat, chat.wish.tool, "")}]}


def _delta(tool: Tool | None, token: str) -> JsonObject:
    if tool is None:
        return {"content": token}
    return {"tool_calls": [{"index": 0, tool.kind: {TOOL_TEXTS[tool.kind]: token}}]}


def _sse(event: JsonObject) -> bytes:
    return b"data: " + json.dumps(event).encode() + b"\n\n"
