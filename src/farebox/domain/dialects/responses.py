"""POST /responses, OpenAI's newer form. Keeping things at the provider is not offered: each request is whole."""

import re
from typing import Any, Final

from pydantic_core import from_json, to_json

from farebox.domain.dialects.base import (
    UNREADABLE,
    Completion,
    Event,
    JsonObject,
    Usage,
    json_in_halves,
    json_object,
    text_of,
    usage_of,
    whole_number,
    written_bytes,
)
from farebox.domain.dialects.refusals import COSTLY, KEPT, refuse_costly, refuse_lasting, refuse_parts
from farebox.domain.errors import InvalidRequest

NAMES: Final = COSTLY | {"model", "input", "max_output_tokens", "stream"}
ITEM_TYPES: Final = (
    None, "message", "reasoning", "function_call", "function_call_output",
    "custom_tool_call", "custom_tool_call_output",
)  # fmt: skip
ENDS: Final = frozenset({"response.completed", "response.incomplete", "response.failed"})
TEXT_DELTAS: Final = frozenset({
    "response.output_text.delta", "response.refusal.delta", "response.function_call_arguments.delta",
    "response.custom_tool_call_input.delta", "response.reasoning_text.delta", "response.reasoning_summary_text.delta",
})  # fmt: skip

# The usual event of a stream, whole.
PLAIN_EVENT: Final = re.compile(
    rb'event: ?response\.output_text\.delta\ndata: ?\{"type": ?"response\.output_text\.delta"[^{}\n]*'
    rb'"delta": ?"([^"\\\n]*)"[^{}\n]*\}\n\n'
)


class Responses:
    """The responses dialect."""

    path = "/responses"

    def check(self, request: JsonObject) -> None:
        refuse_costly(request, NAMES)
        items = request.get("input")
        for item in items if isinstance(items, list) else ():
            kind = item.get("type") if isinstance(item, dict) else None
            if kind is None and isinstance(item, dict) and "role" not in item:
                kind = "item_reference"  # as OpenAI takes it
            if kind not in ITEM_TYPES:
                why = KEPT if kind == "item_reference" else "it comes of a tool that the provider runs."
                raise InvalidRequest(f"The item {str(kind)[:100]!r} is not offered here: {why}", param="input")
        refuse_parts(items, "input")
        refuse_lasting(request, items, request.get("tools"))

    def may_grow(self, request: JsonObject) -> bool:
        del request
        return True

    def output_tokens_wanted(self, request: JsonObject) -> int | None:
        return whole_number(request, "max_output_tokens")

    def answers(self, request: JsonObject) -> int:
        del request
        return 1

    def body(self, request: JsonObject, model: str, output_tokens_max: int, *, stream: bool) -> bytes:
        sent = {**request, "model": model, "max_output_tokens": output_tokens_max}
        if stream:
            sent["stream"] = True
        else:
            sent.pop("stream", None)
        return to_json(sent)

    def read(self, content: bytes) -> Completion:
        answer = json_object(content)
        return UNREADABLE if answer is None else _completion(answer)

    def stream(self) -> "ResponsesStream":
        return ResponsesStream()


RESPONSES: Final = Responses()


class ResponsesStream:
    """The events of one streamed response."""

    __slots__ = ("has_message", "is_done", "text_bytes", "usage")

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.text_bytes = 0
        self.has_message = False
        self.is_done = False

    def skim(self, event: bytes) -> str | None:
        found = PLAIN_EVENT.fullmatch(event)
        if found is None:
            return None
        if found[1]:
            self.text_bytes += len(found[1])
            self.has_message = True
        return found[1].decode("utf-8", "replace")

    def read(self, data: bytes) -> tuple[Event, str]:
        try:
            event = from_json(data)
        except ValueError:
            if data == b"[DONE]":
                return Event.END, ""
            event = json_in_halves(data)
        kind = event.get("type") if isinstance(event, dict) else "error"
        if not isinstance(kind, str):
            return Event.PASS, ""
        if kind in TEXT_DELTAS:
            delta = text_of(event.get("delta"))
            self.text_bytes += written_bytes(delta)
            is_text = kind == "response.output_text.delta"
            self.has_message = self.has_message or (bool(delta) and (is_text or "call" in kind))
            return Event.PASS, delta if is_text else ""
        if kind in ENDS:
            return self._end(kind, event.get("response"))
        return (Event.ERROR if kind == "error" else Event.PASS), ""

    def _end(self, kind: str, response: object) -> tuple[Event, str]:
        if isinstance(response, dict):
            whole = _completion(response)
            self.usage = whole.usage
            self.has_message = self.has_message or whole.has_message
        if kind == "response.failed":
            return Event.ERROR, ""
        self.is_done = True
        return Event.END, ""


def _completion(answer: dict[str, Any]) -> Completion:
    usage = usage_of(answer.get("usage"), "input_tokens", "output_tokens", "input_tokens_details")
    output = answer.get("output")
    if not isinstance(output, list) or answer.get("status") == "failed":
        return UNREADABLE._replace(usage=usage)
    text, size, has_call = "", 0, False
    for item in (item for item in output if isinstance(item, dict)):
        text += text_of(item.get("content"))
        has_call = has_call or str(item.get("type")).endswith("_call")
        size += written_bytes(*(item.get(name) for name in ("content", "summary", "name", "arguments", "input")))
    return Completion(text or None, usage, bool(text) or has_call, size)
