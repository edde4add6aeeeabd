"""POST /responses."""

import json
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from farebox.sandbox.answer import Answer, Say, answered, nothing_said
from farebox.sandbox.request import BadRequest, JsonObject, Wish, read_tools, read_wish, text_of, whole_number
from farebox.sandbox.words import SANDBOX_MODEL, digest_of, tokens_of

# Each kind of item: the field that it is written into, and what its events are called.
ITEMS: Final = {
    "message": ("text", "response.output_text"),
    "function_call": ("arguments", "response.function_call_arguments"),
    "custom_tool_call": ("input", "response.custom_tool_call_input"),
}
PLACE: Final = {"output_index": 0, "content_index": 0}


def respond(request: JsonObject, say: Say = nothing_said) -> JsonObject:
    """A response.

    Raises:
        BadRequest: the request cannot be answered.
    """
    return _read(request, say).whole()


def stream(request: JsonObject, say: Say = nothing_said) -> Iterator[bytes]:
    """The same response as server-sent events, a token at a time.

    Raises:
        BadRequest: the request cannot be answered.
    """
    return _numbered(_events(_read(request, say)))


class _Response(NamedTuple):
    wish: Wish
    answer: Answer
    head: JsonObject

    @property
    def kind(self) -> str:
        tool = self.wish.tool
        return "message" if tool is None else "function_call" if tool.kind == "function" else "custom_tool_call"

    def item(self, status: str, text: str | None) -> JsonObject:
        """The only item of the output; without text, it is as before its first part."""
        made_of, tool = digest_of(self.wish.prompt).hex()[:16], self.wish.tool
        if tool is None:
            parts = [] if text is None else [_part(text)]
            return {
                "id": f"msg_sandbox_{made_of}", "type": "message", "status": status, "role": "assistant",
                "content": parts,
            }  # fmt: skip
        return {
            "id": f"item_sandbox_{made_of}", "type": self.kind, "status": status, "call_id": f"call_sandbox_{made_of}",
            "name": tool.name, ITEMS[self.kind][0]: text or "",
        }  # fmt: skip

    def begun(self) -> JsonObject:
        return {**self.head, "status": "in_progress", "output": [], "usage": None}

    def whole(self) -> JsonObject:
        status, why = "completed", None
        if self.answer.is_cut:
            status, why = "incomplete", {"reason": "max_output_tokens"}
        output = [self.item(status, self.answer.text)]
        return {**self.head, "status": status, "incomplete_details": why, "output": output, "usage": self.usage()}

    def usage(self) -> JsonObject:
        read, written = len(tokens_of(self.wish.prompt)), len(self.answer.tokens)
        return {
            "input_tokens": read,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": written,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": read + written,
        }


def _part(text: str) -> JsonObject:
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}


def _read(request: JsonObject, say: Say) -> _Response:
    settings = request.get("text")
    wanted_format = settings.get("format") if isinstance(settings, dict) else settings
    limit = whole_number(request, "max_output_tokens")
    choice, tools = request.get("tool_choice"), request.get("tools")
    wish = read_wish(_prompt(request), limit, wanted_format, tools, choice, format_name="text.format")
    head = {
        "id": f"resp_sandbox_{digest_of(wish.prompt).hex()[:16]}",
        "object": "response",
        "created_at": 0,
        "model": SANDBOX_MODEL,
        "error": None,
        "incomplete_details": None,
        "background": False,
        "instructions": request.get("instructions"),
        "max_output_tokens": limit,
        "metadata": _metadata(request),
        "parallel_tool_calls": request.get("parallel_tool_calls") is not False,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "store": False,
        "temperature": _number(request, "temperature"),
        "text": {"format": _told_format(wanted_format)},
        "tool_choice": "auto" if choice is None else choice,
        "tools": [{"strict": True, "parameters": None, "description": None, **tool} for tool in read_tools(tools)],
        "top_p": _number(request, "top_p"),
        "truncation": "disabled",
    }
    wish, (answer,) = answered(wish, say)
    return _Response(wish, answer, head)


def _prompt(request: JsonObject) -> str:
    """The whole prompt: the instructions, then the text of each item."""
    instructions, given = request.get("instructions"), request.get("input")
    if not isinstance(instructions, str | None):
        raise BadRequest("instructions has to be a text", "instructions")
    if isinstance(given, list) and given and all(isinstance(item, dict) for item in given):
        texts = [text_of(item.get("output") if "output" in item else item.get("content")) for item in given]
    elif isinstance(given, str):
        texts = [given]
    else:
        raise BadRequest("input has to be a text, or a list of items as [{'role': 'user', 'content': 'Hi'}]", "input")
    return "\n".join(texts if instructions is None else [instructions, *texts])


def _metadata(request: JsonObject) -> JsonObject:
    metadata = request.get("metadata")
    if metadata is None:
        return {}
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise BadRequest("metadata has to be an object of texts", "metadata")
    return metadata


def _number(request: JsonObject, name: str) -> float:
    value = request.get(name)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise BadRequest(f"{name} has to be a number", name)
    return 1.0 if value is None else value


def _told_format(wanted_format: Any) -> JsonObject:  # noqa: ANN401  # JSON, and checked before
    if wanted_format is None:
        return {"type": "text"}
    if wanted_format["type"] != "json_schema":
        return {"type": wanted_format["type"]}
    return {"name": "answer", "schema": {"type": "object"}, "strict": False, "description": None, **wanted_format}


def _events(response: _Response) -> Iterator[tuple[str, JsonObject]]:
    yield "response.created", {"response": response.begun()}
    yield "response.in_progress", {"response": response.begun()}
    yield "response.output_item.added", {"output_index": 0, "item": response.item("in_progress", None)}
    yield from _text_events(response)
    whole = response.whole()
    yield "response.output_item.done", {"output_index": 0, "item": whole["output"][0]}
    yield f"response.{whole['status']}", {"response": whole}


def _text_events(response: _Response) -> Iterator[tuple[str, JsonObject]]:
    """The item's text, a token at a time; a message has it in a part."""
    field, name = ITEMS[response.kind]
    item_id, text = response.item("in_progress", None)["id"], response.answer.text
    is_message = response.kind == "message"
    where = {"item_id": item_id, **PLACE} if is_message else {"item_id": item_id, "output_index": 0}
    logprobs: JsonObject = {"logprobs": []} if is_message else {}
    if is_message:
        yield "response.content_part.added", {**where, "part": _part("")}
    for token in response.answer.tokens:
        yield f"{name}.delta", {**where, "delta": token, **logprobs}
    yield f"{name}.done", {**where, field: text, **logprobs}
    if is_message:
        yield "response.content_part.done", {**where, "part": _part(text)}


def _numbered(events: Iterator[tuple[str, JsonObject]]) -> Iterator[bytes]:
    for number, (name, event) in enumerate(events):
        data = json.dumps({"type": name, "sequence_number": number, **event})
        yield f"event: {name}\ndata: {data}\n\n".encode()
