"""POST /chat/completions, as OpenAI and nearly every other provider have it."""

import re
from functools import lru_cache
from typing import Any, Final

from pydantic_core import from_json, to_json

from farebox.domain.dialects.base import (
    UNREADABLE,
    Completion,
    Event,
    JsonObject,
    Usage,
    has_only_texts,
    json_in_halves,
    json_object,
    text_of,
    usage_of,
    whole_number,
    written_bytes,
)
from farebox.domain.dialects.refusals import COSTLY, refuse_costly, refuse_lasting, refuse_parts
from farebox.domain.errors import InvalidRequest

ANSWERS_MAX: Final = 128
LIMITS: Final = frozenset({"max_completion_tokens", "max_tokens"})
# Fields that cost nothing but tokens: where a request has no others, there is less to look at.
ORDINARY: Final = LIMITS | {
    "frequency_penalty", "messages", "model", "n", "presence_penalty", "response_format", "seed", "stop", "stream",
    "stream_options", "temperature", "top_p", "user",
}  # fmt: skip
SCHEMALESS: Final = ORDINARY - {"response_format"}  # numbers in these are no part of the prompt, except in messages
NAMES: Final = COSTLY | {
    "model", "messages", "max_tokens", "max_completion_tokens", "n", "functions", "stream", "stream_options",
}  # fmt: skip
_REASONING: Final = re.compile(r"(ft:)?(o\d|gpt-[5-9])", re.ASCII)
_WRITTEN: Final = ("content", "refusal", "reasoning_content", "reasoning")

# The usual event of a stream: what is before its text, the text, what is after it, and the meaningless letters at the
# end with which some providers hide the text's length.
PLAIN_EVENT: Final = re.compile(
    rb'(data: ?\{[^{}\n]*"choices": ?\[\{"index": ?0, ?"delta": ?\{(?:"role": ?"assistant", ?)?"content": ?")'
    rb'([^"\\\n]*+)"'
    rb'(\}(?:, ?"logprobs": ?null)?, ?"finish_reason": ?null[^{}\n]*\}\](?:[^{}\n]*": ?"|[^{}\n]*\}\n\n))'
    rb'(|\w*"\}\n\n)'
)
PADDING: Final = re.compile(rb'\w*"\}\n\n')
UNKNOWN: Final = b"\0"
ESCAPE, NEWLINE = b"\\\n"
PLAIN_KEYS: Final = frozenset({"role", "content", "annotations", "refusal"})  # as OpenAI has them, with no refusal


@lru_cache(maxsize=256)
def limit_name(model: str) -> str:
    """OpenAI's reasoning models refuse the older name; most other providers know only that one."""
    return "max_completion_tokens" if _REASONING.match(model) else "max_tokens"


class Chat:
    """The chat dialect."""

    path = "/chat/completions"

    def check(self, request: JsonObject) -> None:
        if not request.keys() <= ORDINARY:
            refuse_costly(request, NAMES)
            refuse_lasting(request, request.get("tools"))
        messages = request.get("messages")
        if has_only_texts(messages):
            return
        refuse_parts(messages, "messages")
        refuse_lasting({}, messages)
        for message in messages if isinstance(messages, list) else ():
            if isinstance(message, dict) and message.get("audio") is not None:
                raise InvalidRequest("audio is not offered here: it is billed at other prices.", param="messages")

    def may_grow(self, request: JsonObject) -> bool:
        return not (request.keys() <= SCHEMALESS and has_only_texts(request.get("messages")))

    def output_tokens_wanted(self, request: JsonObject) -> int | None:
        if LIMITS.isdisjoint(request):
            return None
        wanted = [whole_number(request, name) for name in LIMITS]
        return min((tokens for tokens in wanted if tokens is not None), default=None)

    def answers(self, request: JsonObject) -> int:
        return 1 if "n" not in request else whole_number(request, "n", ANSWERS_MAX) or 1

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
        answer = json_object(content)
        if answer is None:
            return UNREADABLE
        usage = _usage(answer.get("usage"))
        choices = answer.get("choices")
        if not isinstance(choices, list):
            return UNREADABLE._replace(usage=usage)
        if len(choices) == 1:  # as nearly always, and then with a text and nothing else
            choice = choices[0]
            message = choice.get("message") if isinstance(choice, dict) else None
            if isinstance(message, dict) and message.keys() <= PLAIN_KEYS and not message.get("refusal"):
                said = message.get("content")
                if said and isinstance(said, str) and said.isascii():
                    return Completion(said, usage, True, len(said))  # noqa: FBT003  # by name it takes twice as long
        messages = [choice.get("message") for choice in choices if isinstance(choice, dict)]
        found = [message for message in messages if isinstance(message, dict)]
        text = text_of(found[0].get("content")) if found else ""
        return Completion(text or None, usage, any(map(_says_something, found)), sum(map(_bytes_of, found)))

    def stream(self) -> "ChatStream":
        return ChatStream()


CHAT: Final = Chat()


class ChatStream:
    """The events of one streamed chat completion."""

    __slots__ = ("_after", "_before", "_open", "_unpadded", "has_message", "is_done", "text_bytes", "usage")

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.text_bytes = 0
        self.has_message = False
        self.is_done = False
        self._open: set[object] = set()  # the answers under way: there may be several
        # What is around the text of the last plain event: in most streams nothing but the text changes.
        self._before = self._after = self._unpadded = UNKNOWN

    def skim(self, event: bytes) -> str | None:
        text, _, rest = event.removeprefix(self._before).partition(b'"')
        if ESCAPE in text or NEWLINE in text or not (rest == self._after or self._is_padded(rest)):
            # Several events at once cannot match, which the expression would take long to find out.
            found = None if NEWLINE in event[:-2] or b'"error"' in event else PLAIN_EVENT.fullmatch(event)
            if found is None:
                return None
            self._before, text, self._unpadded, padding = found.groups()
            self._after = self._unpadded + padding
            self._open.add(0)
        try:
            said = text.decode()
        except UnicodeDecodeError:
            return None
        if said:
            self.text_bytes += len(text)
            self.has_message = True
        return said

    def _is_padded(self, rest: bytes) -> bool:
        """Whether `rest` differs only in its padding from what came after the last text."""
        return rest.startswith(self._unpadded) and PADDING.fullmatch(rest, len(self._unpadded)) is not None

    def read(self, data: bytes) -> tuple[Event, str]:
        if data == b"[DONE]":
            self.is_done = True
            return Event.END, ""
        try:
            event = from_json(data)
        except ValueError:
            event = json_in_halves(data)
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
                text += self._take(delta)
            if choice.get("finish_reason") is None:
                self._open.add(_index(choice))
            else:
                is_last = True
                self._open.discard(_index(choice))
                self._before = UNKNOWN  # the next plain event opens the answer again, so it has to be matched anew
        return (Event.END if is_last and not self._open else Event.PASS), text

    def _take(self, delta: dict[str, Any]) -> str:
        content = delta.get("content")
        if type(content) is str and len(delta) == 1:  # nearly every event
            self.text_bytes += len(content) if content.isascii() else len(content.encode("utf-8", "replace"))
            self.has_message = self.has_message or bool(content)
            return content
        self.text_bytes += _bytes_of(delta)
        self.has_message = self.has_message or _says_something(delta)
        return text_of(content)


def _usage(usage: object) -> Usage | None:
    return usage_of(usage, "prompt_tokens", "completion_tokens", "prompt_tokens_details")


def _index(choice: dict[str, Any]) -> int:
    index = choice.get("index")
    return index if isinstance(index, int) else 0


def _says_something(message: dict[str, Any]) -> bool:
    return bool(text_of(message.get("content")) or message.get("tool_calls") or message.get("function_call"))


def _bytes_of(message: dict[str, Any]) -> int:
    """The size of all that the model wrote into a message, or into a part of one."""
    size = sum(written_bytes(message[name]) for name in _WRITTEN if name in message)
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        if isinstance(call, dict):
            size += _call_bytes(call.get("function")) + _call_bytes(call.get("custom"))
    return size + _call_bytes(message.get("function_call"))


def _call_bytes(call: object) -> int:
    if not isinstance(call, dict):
        return 0
    return written_bytes(call.get("name"), call.get("arguments"), call.get("input"))
