"""Responses, in OpenAI's JSON."""

from collections.abc import Iterator, Mapping
from typing import Any

from tests.services.upstream.answers import HUGE_TEXT, REFUSAL, Answer, parts, response_usage
from tests.services.upstream.behaviour import Behaviour
from tests.services.upstream.sse import Event, as_json, slot, text_json

Json = dict[str, Any]

# What a response repeats of its request, and says where the request is silent.
REPEATED: Json = {
    "background": False,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "model": None,
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "service_tier": "default",
    "store": True,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}, "verbosity": "medium"},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}
INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
# The names of the events that carry an answer's text, for each kind of it.
TEXT, REFUSED, ARGUMENTS = "response.output_text", "response.refusal", "response.function_call_arguments"


def response(number: int, body: Mapping[str, Any], answer: Answer, how: Behaviour) -> Json:
    """The body of an answer that is not streamed, and of a stream's last event."""
    reason = INCOMPLETE.get(answer.finish_reason)
    status = "incomplete" if reason else "completed"
    whole = _unanswered(number, body, status) | {
        "incomplete_details": {"reason": reason} if reason else None,
        "output": [_item(number, status, answer, how)],
        "usage": response_usage(answer, how),
    }
    match how.fault:
        case "no_choices":
            del whole["output"]
        case "empty_choices":
            whole["output"] = []
        case "no_message":
            del whole["output"][0]["content" if answer.tool is None else "arguments"]
        case "no_usage":
            del whole["usage"]
        case "huge_body":
            whole["output"] = [_message(number, status, [_text_part(HUGE_TEXT)])]
        case _:
            pass
    return whole


def _unanswered(number: int, body: Mapping[str, Any], status: str) -> Json:
    repeated = {name: silent if (said := body.get(name)) is None else said for name, silent in REPEATED.items()}
    created = 1_700_000_000 + number
    return {
        "id": f"resp_{number}",
        "object": "response",
        "created_at": created,
        "completed_at": created + 1 if status == "completed" else None,
        "status": status,
        "error": None,
        "incomplete_details": None,
        **repeated,
        "output": [],
        "usage": None,
    }


def _item(number: int, status: str, answer: Answer, how: Behaviour) -> Json:
    if how.fault == "null_content":
        return _message(number, status, [{"type": "refusal", "refusal": REFUSAL}])
    if answer.tool is not None:
        return _function_call(number, status, answer.tool, answer.text)
    return _message(number, status, [_text_part(answer.text)])


def _message(number: int, status: str, content: list[Json]) -> Json:
    return {"id": f"msg_{number}", "type": "message", "status": status, "role": "assistant", "content": content}


def _text_part(text: str) -> Json:
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}


def _function_call(number: int, status: str, name: str, arguments: str) -> Json:
    own = {"id": f"fc_{number}", "type": "function_call", "status": status}
    return {**own, "arguments": arguments, "call_id": f"call_{number}", "name": name}


def events(number: int, body: Mapping[str, Any], answer: Answer, how: Behaviour) -> Iterator[Event]:
    """A stream's events, numbered from 0."""
    sequence = 0

    def event(name: str, **fields: object) -> Event:
        nonlocal sequence
        sequence += 1
        return Event(as_json({"type": name, "sequence_number": sequence - 1, **fields}), name)

    started = _unanswered(number, body, "in_progress")
    yield event("response.created", response=started)
    yield event("response.in_progress", response=started)
    whole = response(number, body, answer, how)
    item = _item(number, whole["status"], answer, how)
    place = {"item_id": item["id"], "output_index": 0}
    is_call = item["type"] == "function_call"
    yield event("response.output_item.added", output_index=0, item={**item, "status": "in_progress", **_empty(item)})
    if is_call:
        for part in _deltas(ARGUMENTS, sequence, place, answer.text, how):
            sequence += 1
            yield part
        yield event(f"{ARGUMENTS}.done", **place, arguments=answer.text)
    else:
        [content] = item["content"]
        kind, field = (REFUSED, "refusal") if content["type"] == "refusal" else (TEXT, "text")
        place |= {"content_index": 0}
        extra: Json = {"logprobs": []} if kind == TEXT else {}
        yield event("response.content_part.added", **place, part={**content, field: ""})
        for part in _deltas(kind, sequence, place | extra, content[field], how):
            sequence += 1
            yield part
        yield event(f"{kind}.done", **place, **extra, **{field: content[field]})
        yield event("response.content_part.done", **place, part=content)
    yield event("response.output_item.done", output_index=0, item=item)
    yield event(f"response.{whole['status']}", response=whole)


def _empty(item: Json) -> Json:
    return {"arguments": ""} if item["type"] == "function_call" else {"content": []}


def _deltas(kind: str, first: int, place: Json, text: str, how: Behaviour) -> Iterator[Event]:
    """One template for all of them: a stream may have thousands."""
    name = f"{kind}.delta"
    template = as_json({"type": name, "sequence_number": slot(0), **place, "delta": slot(1)})
    before, rest = template.split(as_json(slot(0)))
    middle, after = rest.split(as_json(slot(1)))
    for sequence, part in enumerate(parts(text, how.chunk_bytes), start=first):
        yield Event(f"{before}{sequence}{middle}{text_json(part.text)}{after}", name, part.tokens)
