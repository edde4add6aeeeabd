"""The sandbox's /responses: OpenAI's own types take each answer and each event, and the sums are true."""

import asyncio
import json
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from farebox.domain.dialects import RESPONSES
from farebox.sandbox.model import NAME_TOKEN, SANDBOX_MODEL, SandboxModel, tokens_of

MODEL: Final = SandboxModel()
EVENT: Final = TypeAdapter[ResponseStreamEvent](ResponseStreamEvent)
PATH: Final = "/responses"
SCHEMA: Final = {"type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"]}
JSON_SCHEMA: Final = {"type": "json_schema", "name": "answer", "schema": SCHEMA}
FUNCTION: Final = {"type": "function", "name": "look_up", "parameters": SCHEMA}
CUSTOM: Final = {"type": "custom", "name": "note"}
FORCED: Final = {"type": "function", "name": "look_up"}
FORMS: Final[tuple[dict[str, Any], ...]] = (
    {},
    {"max_output_tokens": 3},
    {"text": {"format": JSON_SCHEMA}},
    {"text": {"format": {"type": "json_object"}}, "max_output_tokens": 2},
    {"tools": [FUNCTION], "tool_choice": FORCED},
    {"tools": [FUNCTION], "tool_choice": "required", "max_output_tokens": 1},
    {"tools": [CUSTOM], "tool_choice": {"type": "custom", "name": "note"}},
    {"tools": [FUNCTION, CUSTOM], "temperature": 0.2, "metadata": {"a": "b"}, "instructions": "Be kind."},
)


def ask(request: object) -> tuple[int, dict[str, Any]]:
    reply = asyncio.run(MODEL.send(PATH, json.dumps(request).encode(), 1))
    return reply.status, json.loads(reply.body)


def answer(given_input: object = "Hello", **more: object) -> dict[str, Any]:
    status, body = ask({"model": "any", "input": given_input, **more})
    assert status == 200, body
    Response.model_validate(body)
    return body


def text_of(body: dict[str, Any]) -> str:
    return str(body["output"][0]["content"][0]["text"])


async def _stream(body: bytes) -> list[bytes]:
    streamed, events = await MODEL.stream(PATH, body, 1), []
    while event := await streamed.read():
        events.append(event)
    return events


def stream(**more: object) -> list[dict[str, Any]]:
    events = []
    for block in asyncio.run(_stream(json.dumps({"input": "Hello", "stream": True, **more}).encode())):
        name, data, *rest = block.decode().split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert (name, rest) == (f"event: {event['type']}", ["", ""])
        EVENT.validate_python(event)
        events.append(event)
    return events


@pytest.mark.parametrize("more", FORMS)
def test_every_form_of_answer_is_told_and_counted_truly(more: dict[str, Any]) -> None:
    body = answer(**more)
    (item,) = body["output"]
    written = item["content"][0]["text"] if "content" in item else item.get("arguments", item.get("input"))
    usage = body["usage"]
    assert usage["output_tokens"] == len(tokens_of(written))
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    assert (usage["input_tokens_details"]["cached_tokens"], usage["output_tokens_details"]["reasoning_tokens"]) == (
        0,
        0,
    )
    assert body["model"] == SANDBOX_MODEL
    is_cut = "max_output_tokens" in more
    assert body["status"] == item["status"] == ("incomplete" if is_cut else "completed")
    assert body["incomplete_details"] == ({"reason": "max_output_tokens"} if is_cut else None)
    assert body == answer(**more)


@pytest.mark.parametrize("more", FORMS)
def test_a_stream_is_the_plain_response_in_pieces(more: dict[str, Any]) -> None:
    events, plain = stream(**more), answer(**more)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert events[-1] == {
        "type": f"response.{plain['status']}", "sequence_number": len(events) - 1, "response": plain,
    }  # fmt: skip
    deltas = [event["delta"] for event in events if event["type"].endswith(".delta")]
    assert len(deltas) == plain["usage"]["output_tokens"]
    done = next(
        event for event in events if event["type"].endswith((".output_text.done", "arguments.done", "input.done"))
    )
    assert "".join(deltas) == next(done[name] for name in ("text", "arguments", "input") if name in done)
    assert next(e for e in events if e["type"] == "response.output_item.done")["item"] == plain["output"][0]


def names(events: list[dict[str, Any]]) -> list[str]:
    """The events in order, those that repeat once."""
    return list(dict.fromkeys(event["type"].removeprefix("response.") for event in events))


def test_the_events_of_a_message_come_in_openais_order() -> None:
    assert names(stream()) == [
        "created", "in_progress", "output_item.added", "content_part.added", "output_text.delta", "output_text.done",
        "content_part.done", "output_item.done", "completed",
    ]  # fmt: skip


def test_the_events_of_a_call_come_in_openais_order() -> None:
    assert names(stream(tools=[FUNCTION], tool_choice="required")) == [
        "created", "in_progress", "output_item.added", "function_call_arguments.delta", "function_call_arguments.done",
        "output_item.done", "completed",
    ]  # fmt: skip


@given(st.text(max_size=300), st.one_of(st.none(), st.integers(1, 60)))
def test_tokens_are_counted_truly_and_limited(prompt: str, limit: int | None) -> None:
    body, whole = answer(prompt, max_output_tokens=limit), answer(prompt)
    assert body["usage"]["input_tokens"] == len(tokens_of(prompt))
    assert tokens_of(text_of(body)) == tokens_of(text_of(whole))[:limit]
    assert text_of(body).startswith(NAME_TOKEN)


@pytest.mark.parametrize(
    ("items", "same_as"),
    [
        ([{"role": "user", "content": "Hello"}], "Hello"),
        ([{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello"}]}], "Hello"),
        ([{"content": "A"}, {"role": "assistant", "content": [{"type": "output_text", "text": "B"}]}], "A\nB"),
        ([{"role": "user", "content": [{"type": "input_image", "image_url": "data:,x"}]}], ""),
        ([{"type": "function_call_output", "call_id": "c", "output": "18 degrees"}], "18 degrees"),
        ([{"type": "function_call_output", "output": [{"type": "input_text", "text": "18"}]}], "18"),
        ([{"type": "function_call", "name": "a", "call_id": "c", "arguments": "{}"}], ""),
        ([{"role": "user", "content": 7}], ""),
    ],
)  # fmt: skip
def test_items_are_their_text(items: object, same_as: str) -> None:
    assert answer(items) == answer(same_as)


def test_instructions_are_read_before_the_input() -> None:
    assert text_of(answer("Hello", instructions="Be kind.")) == text_of(answer("Be kind.\nHello"))


def test_an_answer_in_a_schema_conforms_to_it() -> None:
    body = answer(text={"format": JSON_SCHEMA})
    assert json.loads(text_of(body)) == {"answer": SANDBOX_MODEL}
    assert body["text"]["format"]["schema"] == SCHEMA


@pytest.mark.parametrize(
    ("choice", "kind"),
    [
        (FORCED, "function_call"),
        ("required", "function_call"),
        ({"type": "custom", "name": "note"}, "custom_tool_call"),
        ({"type": "allowed_tools", "mode": "required", "tools": [CUSTOM]}, "custom_tool_call"),
        ({"type": "allowed_tools", "mode": "auto", "tools": [CUSTOM]}, "message"),
        ("auto", "message"),
        ("none", "message"),
        (None, "message"),
    ],
)
def test_a_tool_is_called_only_where_it_has_to_be(choice: object, kind: str) -> None:
    assert answer(tools=[FUNCTION, CUSTOM], tool_choice=choice)["output"][0]["type"] == kind


@pytest.mark.parametrize(
    ("request_", "param"),
    [
        ({}, "input"),
        ([], None),
        ({"input": []}, "input"),
        ({"input": 5}, "input"),
        ({"input": ["Hello"]}, "input"),
        ({"input": "Hello", "instructions": ["Hi"]}, "instructions"),
        ({"input": "Hello", "max_output_tokens": 0}, "max_output_tokens"),
        ({"input": "Hello", "metadata": {"a": 1}}, "metadata"),
        ({"input": "Hello", "temperature": "hot"}, "temperature"),
        ({"input": "Hello", "text": "json"}, "text.format"),
        ({"input": "Hello", "text": {"format": {"type": "json_schema", "schema": []}}}, "text.format"),
        ({"input": "Hello", "text": {"format": {"type": "json_schema", "schema": {"$ref": "x"}}}}, "text.format"),
        ({"input": "Hello", "tools": [{"type": "web_search"}]}, "tools"),
        ({"input": "Hello", "tools": [FUNCTION], "tool_choice": {"type": "function", "name": "other"}}, "tool_choice"),
        ({"input": "Hello", "tools": [FUNCTION], "tool_choice": {"type": "file_search"}}, "tool_choice"),
        ({"input": "Hello", "tools": [FUNCTION], "tool_choice": {"type": "allowed_tools", "tools": 5}}, "tool_choice"),
    ],
)
def test_what_it_cannot_take_is_refused_as_openai_refuses(request_: object, param: str | None) -> None:
    status, body = ask(request_)
    assert (status, body["error"]["type"], body["error"]["param"]) == (400, "invalid_request_error", param)
    assert body["error"]["message"].startswith("farebox-sandbox: ")


def test_its_stream_is_read_as_a_providers() -> None:
    plain = RESPONSES.read(json.dumps(answer()).encode())
    reader, text = RESPONSES.stream(), ""
    for block in asyncio.run(_stream(RESPONSES.body({"input": "Hello"}, "any", 400, stream=True))):
        text += reader.read(block.split(b"data: ")[1].strip())[1]
    assert (text, reader.usage, reader.is_done) == (plain.text, plain.usage, True)
