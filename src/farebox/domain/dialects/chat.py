"""POST /chat/completions, as OpenAI and nearly every other provider have it."""

import re
from typing import Any, Final

from pydantic_core import from_json, to_json

from farebox.domain.dialects.base import (
    UNREADABLE,
    Completion,
    Event,
    JsonObject,
    Usage,
    refuse,
    refuse_tools,
    usage_of,
    whole_number,
)

ANSWERS_MAX: Final = 128
TOOL_TYPES: Final = frozenset({"function", "custom"})
UNMETERED: Final = {
    "audio": "audio is billed at other prices.",
    "web_search_options": "the provider bills searches apart.",
    "best_of": "it makes answers that are paid and not shown.",
    "plugins": "the provider bills them apart.",
    "models": "the founder chooses the models.",
    "route": "the founder chooses the models.",
    "provider": "the founder chooses the provider.",
}
_REASONING: Final = re.compile(r"(o\d|gpt-5)", re.ASCII)
_DELTA_TEXTS: Final = ("content", "refusal", "reasoning_content", "reasoning")


def limit_name(model: str) -> str:
    """OpenAI's reasoning models refuse the older name; most other providers know only that one."""
    return "max_completion_tokens" if _REASONING.match(model) else "max_tokens"


class Chat:
    """The chat dialect."""

    path = "/chat/completions"
    is_streamed = True

    def check(self, request: JsonObject) -> None:
        refuse(request, UNMETERED)
        refuse_tools(request.get("tools"), TOOL_TYPES)
        if request.get("service_tier") not in {None, "auto", "default"}:
            refuse(request, {"service_tier": "other tiers have other prices."})
        if "audio" in (request.get("modalities") or ()):
            refuse(request, {"modalities": "audio is billed at other prices."})

    def output_tokens_wanted(self, request: JsonObject) -> int | None:
        wanted = [whole_number(request, name) for name in ("max_completion_tokens", "max_tokens")]
        return min((tokens for tokens in wanted if tokens is not None), default=None)

    def answers(self, request: JsonObject) -> int:
        return whole_number(request, "n", ANSWERS_MAX) or 1

    def body(self, request: JsonObject, model: str, output_tokens_max: int, *, stream: bool) -> bytes:
        sent = {**request, "model": model}
        sent.pop("max_tokens", None)
        sent.pop("max_completion_tokens", None)
        sent[limit_name(model)] = output_tokens_max
        if stream:
            sent["stream"] = True
            options = request.get("stream_options")
            sent["stream_options"] = {**(options if isinstance(options, dict) else {}), "include_usage": True}
        else:
            sent.pop("stream", None)
            sent.pop("stream_options", None)
        return to_json(sent)

    def read(self, content: bytes) -> Completion:
        try:
            answer = from_json(content)
        except ValueError:
            return UNREADABLE
        if not isinstance(answer, dict):
            return UNREADABLE
        usage = _usage(answer.get("usage"))
        choices = answer.get("choices")
        if not isinstance(choices, list):
            return UNREADABLE._replace(usage=usage)
        messages = [choice.get("message") for choice in choices if isinstance(choice, dict)]
        found = [message for message in messages if isinstance(message, dict)]
        text = found[0].get("content") if found else None
        return Completion(
            text if isinstance(text, str) and text else None,
            usage,
            any(map(_says_something, found)),
            sum(map(_bytes_of, found)),
        )

    def stream(self) -> "ChatStream":
        return ChatStream()


CHAT: Final = Chat()


class ChatStream:
    """The events of one streamed chat completion."""

    __slots__ = ("has_message", "is_done", "text_bytes", "usage")

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.text_bytes = 0
        self.has_message = False
        self.is_done = False

    def read(self, data: bytes) -> tuple[Event, str]:
        if data == b"[DONE]":
            self.is_done = True
            return Event.END, ""
        try:
            event = from_json(data)
        except ValueError:
            return Event.ERROR, ""
        if not isinstance(event, dict) or event.get("error"):
            return Event.ERROR, ""
        if event.get("usage"):
            self.usage = _usage(event["usage"]) or self.usage
        choices = event.get("choices")
        if not choices or not isinstance(choices, list):
            return (Event.USAGE_ONLY if event.get("usage") else Event.PASS), ""
        text, is_last = "", False
        for choice in choices:
            if not isinstance(choice, dict):
                continue
            delta = choice.get("delta")
            if delta and isinstance(delta, dict):
                self.text_bytes += _bytes_of(delta)
                self.has_message = self.has_message or _says_something(delta)
                content = delta.get("content")
                text = text or (content if isinstance(content, str) else "")
            is_last = is_last or choice.get("finish_reason") is not None
        return (Event.END if is_last else Event.PASS), text


def _usage(usage: object) -> Usage | None:
    return usage_of(usage, "prompt_tokens", "completion_tokens", "prompt_tokens_details")


def _says_something(message: dict[str, Any]) -> bool:
    return bool(message.get("content") or message.get("tool_calls") or message.get("function_call"))


def _bytes_of(message: dict[str, Any]) -> int:
    """The size of all that the model wrote into a message, or into a part of one."""
    size = 0
    for name in _DELTA_TEXTS:
        text = message.get(name)
        if text and isinstance(text, str):
            size += len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, dict) else None
        if isinstance(function, dict):
            size += sum(len(str(function.get(part) or "").encode("utf-8", "replace")) for part in ("name", "arguments"))
    return size
