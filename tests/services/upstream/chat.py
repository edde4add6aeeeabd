"""Chat completions, in OpenAI's JSON."""

from collections.abc import Iterator
from typing import Any

from tests.services.upstream.answers import HUGE_TEXT, REFUSAL, Answer, parts, usage
from tests.services.upstream.behaviour import Behaviour
from tests.services.upstream.sse import DONE, Event, as_json, slot, text_json

Json = dict[str, Any]


def completion(number: int, model: str, answer: Answer, how: Behaviour) -> Json:
    """The body of an answer that is not streamed."""
    body: Json = {
        **_base(number, model, "chat.completion"),
        "choices": [_choice(number, index, answer, how) for index in range(answer.choices)],
        "usage": usage(answer, how),
        "service_tier": "default",
    }
    match how.fault:
        case "no_choices":
            del body["choices"]
        case "empty_choices":
            body["choices"] = []
        case "no_message":
            del body["choices"][0]["message"]
        case "no_usage":
            del body["usage"]
        case "huge_body":
            body["choices"][0]["message"]["content"] = HUGE_TEXT
        case _:
            pass
    return body


def _base(number: int, model: str, kind: str) -> Json:
    return {
        "id": f"chatcmpl-{number}",
        "object": kind,
        "created": 1_700_000_000 + number,
        "model": model,
        "system_fingerprint": "fp_fake",
    }


def _choice(number: int, index: int, answer: Answer, how: Behaviour) -> Json:
    message: Json = {"role": "assistant", "content": answer.text, "refusal": None, "annotations": []}
    if answer.tool is not None:
        message |= {"content": None, "tool_calls": [_tool_call(number, index, answer.tool, answer.text)]}
    if how.fault == "null_content":
        message |= {"content": None, "refusal": REFUSAL}
    return {"index": index, "message": message, "logprobs": None, "finish_reason": answer.finish_reason}


def _tool_call(number: int, index: int, name: str, arguments: str) -> Json:
    identity = f"call_{number}_{index}"
    return {"id": identity, "type": "function", "function": {"name": name, "arguments": arguments}}


def chunks(number: int, model: str, answer: Answer, how: Behaviour, *, with_usage: bool) -> Iterator[Event]:
    """A stream's events: the role, the text in parts, the finish, the usage if asked for, and the end."""
    base = _base(number, model, "chat.completion.chunk")
    with_usage = with_usage and how.fault != "no_usage"
    if with_usage:
        base["usage"] = None
    for index in range(answer.choices):
        yield from _choice_chunks(base, number, index, answer, how)
    if with_usage and how.fault != "usage_with_choices":
        yield Event(as_json({**base, "choices": [], "usage": usage(answer, how)}))
    yield DONE


def _choice_chunks(base: Json, number: int, index: int, answer: Answer, how: Behaviour) -> Iterator[Event]:
    def chunk(delta: Json, finish: str | None = None, **fields: object) -> str:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
        return as_json({**base, "choices": [choice], **fields})

    first: Json = {"role": "assistant", "content": "", "refusal": None}
    if answer.tool is not None:
        first |= {"content": None, "tool_calls": [{"index": 0, **_tool_call(number, index, answer.tool, "")}]}
    if how.fault == "null_content":
        first |= {"content": None, "refusal": ""}
    yield Event(chunk(first))
    if how.fault == "null_content":
        yield Event(chunk({"refusal": REFUSAL}))
    elif answer.tool is None:
        yield from _parts(chunk({"content": slot(0)}), answer, how)
    else:
        yield from _parts(chunk({"tool_calls": [{"index": 0, "function": {"arguments": slot(0)}}]}), answer, how)
    is_last = index == answer.choices - 1
    reported = (
        {"usage": usage(answer, how)} if how.fault == "usage_with_choices" and is_last and "usage" in base else {}
    )
    yield Event(chunk({}, answer.finish_reason, **reported))


def _parts(template: str, answer: Answer, how: Behaviour) -> Iterator[Event]:
    before, after = template.split(as_json(slot(0)))
    for part in parts(answer.text, how.chunk_bytes):
        yield Event(f"{before}{text_json(part.text)}{after}", tokens=part.tokens)
