"""The sandbox model: the same words for the same prompt, counted truly, and always under its own name."""

import asyncio
import json
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from farebox.domain.dialects import CHAT, input_tokens_max
from farebox.ports.calls import Upstream
from farebox.sandbox.model import NAME_TOKEN, SANDBOX_MODEL, SandboxModel, tokens_of

MODEL: Final[Upstream] = SandboxModel()
PATH: Final = "/chat/completions"
HELLO: Final = [{"role": "user", "content": "Hello"}]
ODD_PROMPTS: Final = (
    "",
    " ",
    "\n\n\t",
    "🦮👩‍👩‍👧 🏳️‍🌈",
    "日本語のプロンプト",
    "\x00\x1b[31m",
    "\ud800",
    "a" * 5_000,
    f"{NAME_TOKEN} {NAME_TOKEN}",
)
prompts = st.one_of(st.text(max_size=300), st.sampled_from(ODD_PROMPTS))


def ask(request: object) -> tuple[int, dict[str, Any]]:
    reply = asyncio.run(MODEL.send(PATH, json.dumps(request).encode(), 1))
    assert reply.headers == {"content-type": "application/json"}
    return reply.status, json.loads(reply.body)


def answer(content: object, **more: object) -> dict[str, Any]:
    status, body = ask({"model": "any", "messages": [{"role": "user", "content": content}], **more})
    assert status == 200, body
    ChatCompletion.model_validate(body)
    return body


def text_of(body: dict[str, Any]) -> str:
    return str(body["choices"][0]["message"]["content"])


async def read_all(path: str, body: bytes) -> tuple[int, list[bytes]]:
    streamed = await MODEL.stream(path, body, 1)
    events = []
    while event := await streamed.read():
        events.append(event)
    await streamed.close()
    return streamed.status, events


def stream(content: object, **more: object) -> list[dict[str, Any]]:
    request = {"messages": [{"role": "user", "content": content}], "stream": True, **more}
    status, (*events, last) = asyncio.run(read_all(PATH, json.dumps(request).encode()))
    assert (status, last) == (200, b"data: [DONE]\n\n")
    assert all(event.startswith(b"data: ") and event.endswith(b"\n\n") for event in events)
    chunks = [json.loads(event.removeprefix(b"data: ")) for event in events]
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk)
    return chunks


@given(prompts)
def test_a_prompt_always_gets_the_same_answer(prompt: str) -> None:
    assert answer(prompt) == answer(prompt)


@given(prompts, st.one_of(st.none(), st.integers(1, 60)))
def test_tokens_are_counted_truly_and_limited(prompt: str, limit: int | None) -> None:
    body = answer(prompt, **({} if limit is None else {"max_tokens": limit}))
    usage, tokens = body["usage"], tokens_of(text_of(body))
    assert usage["prompt_tokens"] == len(tokens_of(prompt))
    assert usage["completion_tokens"] == len(tokens) >= 1
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    whole = tokens_of(text_of(answer(prompt)))
    assert tokens == whole[:limit]
    assert body["choices"][0]["finish_reason"] == ("stop" if len(tokens) == len(whole) else "length")


@given(st.text(max_size=300))
def test_tokens_are_the_whole_text(text: str) -> None:
    assert "".join(tokens_of(text)) == text


@given(prompts, st.integers(1, 60))
def test_every_answer_names_the_sandbox(prompt: str, limit: int) -> None:
    body = answer(prompt, max_tokens=limit)
    assert body["model"] == SANDBOX_MODEL
    assert text_of(body).startswith("[farebox-sandbox]")


@given(prompts, st.one_of(st.none(), st.integers(1, 60)), st.booleans())
def test_a_stream_is_the_plain_answer_in_pieces(prompt: str, limit: int | None, with_usage: bool) -> None:  # noqa: FBT001
    more = {} if limit is None else {"max_completion_tokens": limit}
    plain = answer(prompt, **more)
    events = stream(prompt, **more, **({"stream_options": {"include_usage": True}} if with_usage else {}))
    *chunks, last = events
    if with_usage:
        assert (last["choices"], last["usage"]) == ([], plain["usage"])
        assert all(chunk["usage"] is None for chunk in chunks)
    else:
        chunks = events
        assert not any("usage" in chunk for chunk in chunks)
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert deltas[0] == {"role": "assistant", "content": ""}
    assert "".join(delta.get("content", "") for delta in deltas) == text_of(plain)
    assert len(deltas) == plain["usage"]["completion_tokens"] + 2
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks][-2:] == [
        None,
        plain["choices"][0]["finish_reason"],
    ]
    assert {(e["id"], e["model"], e["object"]) for e in events} == {
        (plain["id"], SANDBOX_MODEL, "chat.completion.chunk")
    }


def test_different_prompts_get_different_answers() -> None:
    answers = [answer(prompt) for prompt in ("a dog", "a cat", "a dog ")]
    assert len({text_of(body) for body in answers}) == len({body["id"] for body in answers}) == 3


def test_a_long_prompt_is_quoted_in_part() -> None:
    text = text_of(answer("word " * 1_000))
    assert "…”" in text
    assert len(text) < 400


@pytest.mark.parametrize(
    ("content", "same_as"),
    [
        ([{"type": "text", "text": "Hello "}, {"type": "text", "text": "there"}], "Hello there"),
        ([{"type": "image_url", "image_url": {"url": "data:,x"}}, {"type": "text", "text": "Hello"}], "Hello"),
        ([{"type": "text", "text": None}, {"type": "text"}, "no part", 5], ""),
        ([], ""),
        (None, ""),
        (7, ""),
    ],
)
def test_content_in_parts_is_its_text(content: object, same_as: str) -> None:
    assert answer(content) == answer(same_as)


def test_all_messages_are_the_prompt() -> None:
    messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hello"}]
    assert ask({"messages": messages})[1] == answer("Be kind.\nHello")


def test_several_answers_are_side_by_side_and_their_usage_is_one_sum() -> None:
    body = answer("Hello", n=3)
    texts = [choice["message"]["content"] for choice in body["choices"]]
    assert len(set(texts)) == 3
    assert [choice["index"] for choice in body["choices"]] == [0, 1, 2]
    assert body["usage"]["completion_tokens"] == sum(len(tokens_of(text)) for text in texts)
    assert texts[0] == text_of(answer("Hello"))
    streamed = [""] * 3
    for chunk in stream("Hello", n=3):
        (choice,) = chunk["choices"]
        streamed[choice["index"]] += choice["delta"].get("content") or ""
    assert streamed == texts


# -- answers in a form


SCHEMA: Final = {"type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"]}
JSON_SCHEMA: Final = {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": SCHEMA}}


def test_an_answer_in_a_schema_conforms_to_it() -> None:
    assert json.loads(text_of(answer("Hello", response_format=JSON_SCHEMA))) == {"answer": SANDBOX_MODEL}


def test_an_answer_in_json_is_a_small_object() -> None:
    found = json.loads(text_of(answer("Hello", response_format={"type": "json_object"})))
    assert found == {"model": SANDBOX_MODEL, "you_wrote": "Hello"}
    assert text_of(answer("Hello", response_format={"type": "text"})) == text_of(answer("Hello"))


def test_a_long_answer_in_a_schema_is_whole_without_a_limit() -> None:
    schema = {"type": "array", "items": SCHEMA, "minItems": 300}
    body = answer("Hello", response_format={"type": "json_schema", "json_schema": {"schema": schema}})
    assert len(json.loads(text_of(body))) == 300
    assert body["choices"][0]["finish_reason"] == "stop"


def test_only_a_limit_cuts_an_answer_in_a_schema() -> None:
    whole = answer("Hello", response_format=JSON_SCHEMA)
    size = whole["usage"]["completion_tokens"]
    assert answer("Hello", response_format=JSON_SCHEMA, max_tokens=size) == whole
    cut = answer("Hello", response_format=JSON_SCHEMA, max_tokens=size - 1)
    assert cut["choices"][0]["finish_reason"] == "length"
    assert cut["usage"]["completion_tokens"] == size - 1
    assert text_of(whole).startswith(text_of(cut))


# -- tools


def tool(name: str, kind: str = "function") -> dict[str, Any]:
    return {"type": kind, kind: {"name": name, **({"parameters": SCHEMA} if kind == "function" else {})}}


@pytest.mark.parametrize(
    ("choice", "called"),
    [
        ("required", "first"),
        (tool("second"), "second"),
        ({"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [tool("second")]}}, "second"),
    ],
)
def test_a_tool_that_has_to_be_called_is_called(choice: object, called: str) -> None:
    body = answer("Hello", tools=[tool("first"), tool("second")], tool_choice=choice)
    (found,) = body["choices"]
    assert (found["finish_reason"], found["message"]["content"]) == ("tool_calls", None)
    (call,) = found["message"]["tool_calls"]
    assert call["function"]["name"] == called
    assert json.loads(call["function"]["arguments"]) == {"answer": SANDBOX_MODEL}
    assert body["usage"]["completion_tokens"] == len(tokens_of(call["function"]["arguments"]))


@pytest.mark.parametrize("kind", ["function", "custom"])
def test_a_streamed_call_is_the_plain_one_in_pieces(kind: str) -> None:
    more: dict[str, Any] = {"tools": [tool("first", kind)], "tool_choice": "required"}
    (call,) = answer("Hello", **more)["choices"][0]["message"]["tool_calls"]
    field = {"function": "arguments", "custom": "input"}[kind]
    messages = [{"role": "user", "content": "Hello"}]
    request = json.dumps({"messages": messages, "stream": True, **more}).encode()
    _, events = asyncio.run(read_all(PATH, request))
    chunks = [json.loads(event.removeprefix(b"data: "))["choices"][0] for event in events[:-1]]
    first, *pieces = [one for chunk in chunks for one in chunk["delta"].get("tool_calls", ())]
    assert first == {"index": 0, "id": call["id"], "type": kind, kind: {"name": "first", field: ""}}
    assert all(piece["index"] == 0 and set(piece) == {"index", kind} for piece in pieces)
    assert "".join(piece[kind][field] for piece in pieces) == call[kind][field]
    assert [chunk["finish_reason"] for chunk in chunks][-2:] == [None, "tool_calls"]


@pytest.mark.parametrize("choice", [None, "auto", "none"])
def test_a_tool_that_may_be_called_is_not(choice: object) -> None:
    assert answer("Hello", tools=[tool("first")], tool_choice=choice) == answer("Hello")


# -- what it does not take


@pytest.mark.parametrize(
    ("request_", "param"),
    [
        ({}, "messages"),
        ([], None),
        ("text", None),
        ({"messages": []}, "messages"),
        ({"messages": "Hello"}, "messages"),
        ({"messages": ["Hello"]}, "messages"),
        ({"messages": HELLO, "max_tokens": 0}, "max_tokens"),
        ({"messages": HELLO, "max_tokens": "many"}, "max_tokens"),
        ({"messages": HELLO, "max_completion_tokens": True}, "max_completion_tokens"),
        ({"messages": HELLO, "n": 129}, "n"),
        ({"messages": HELLO, "response_format": "json"}, "response_format"),
        ({"messages": HELLO, "response_format": {"type": "xml"}}, "response_format"),
        ({"messages": HELLO, "n": 2.5}, "n"),
        (
            {"messages": HELLO, "response_format": {"type": "json_schema", "json_schema": {"schema": 1}}},
            "response_format",
        ),
        ({"messages": HELLO, "response_format": {"type": ["text"]}}, "response_format"),
        ({"messages": HELLO, "tools": "all"}, "tools"),
        ({"messages": HELLO, "tools": [1]}, "tools"),
        ({"messages": HELLO, "tools": [{"type": "web_search"}]}, "tools"),
        ({"messages": HELLO, "tools": [{"type": "function", "function": {}}]}, "tools"),
        ({"messages": HELLO, "tools": [{"type": "function", "function": {"name": "a", "parameters": 1}}]}, "tools"),
        ({"messages": HELLO, "tool_choice": "required"}, "tool_choice"),
        ({"messages": HELLO, "tools": [tool("first")], "tool_choice": tool("other")}, "tool_choice"),
        ({"messages": HELLO, "tools": [tool("first")], "tool_choice": {"type": {}}}, "tool_choice"),
        ({"messages": HELLO, "tools": [tool("first")], "tool_choice": {"type": "allowed_tools"}}, "tool_choice"),
        ({"messages": HELLO, "tools": [tool("first")], "tool_choice": 5}, "tool_choice"),
    ],
)
def test_what_it_cannot_take_is_refused_as_openai_refuses(request_: object, param: str | None) -> None:
    status, body = ask(request_)
    assert status == 400
    assert (body["error"]["type"], body["error"]["param"]) == ("invalid_request_error", param)
    assert body["error"]["message"].startswith("farebox-sandbox: ")


@pytest.mark.parametrize("body", [b"", b"\xff{", b"{", b'{"n": NaN}', b'{"n": 1e999}', b"[" * 100_000, b"9" * 5_000])
def test_what_is_no_json_is_refused(body: bytes) -> None:
    for path in (PATH, "/responses", "/embeddings"):
        assert asyncio.run(MODEL.send(path, body, 1)).status == 400
        status, (refusal,) = asyncio.run(read_all(path, body))
        assert status == 400
        assert json.loads(refusal)["error"]["message"] == "farebox-sandbox: the body has to be JSON."


def test_another_path_is_not_found() -> None:
    assert asyncio.run(MODEL.send("/moderations", b"{}", 1)).status == 404
    status, (refusal,) = asyncio.run(read_all("/v1/chat/completions", b"{}"))
    assert (status, json.loads(refusal)["error"]["code"]) == (404, "unknown_url")


# -- streams


def test_a_stream_lets_others_go_on_between_its_events() -> None:
    body = json.dumps({"messages": HELLO, "stream": True}).encode()

    async def run() -> int:
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(other())
        _, events = await read_all(PATH, body)
        task.cancel()
        return turns - len(events)

    assert asyncio.run(run()) >= 0


def test_a_closed_stream_has_nothing_more() -> None:
    async def run() -> None:
        streamed = await MODEL.stream(PATH, json.dumps({"messages": HELLO}).encode(), 1)
        assert (await streamed.read()).startswith(b"data: ")
        await streamed.close()
        await streamed.close()
        assert await streamed.read() == b""
        unread = await MODEL.stream(PATH, b"{}", 1)
        await unread.close()
        assert await unread.read() == b""

    asyncio.run(run())


# -- as Farebox sends and reads


@given(st.text(min_size=3, max_size=2_000).filter(lambda text: text.isprintable()), st.integers(1, 400))
def test_it_takes_what_farebox_sends_and_is_read_as_a_provider(prompt: str, limit: int) -> None:
    request = {"messages": [{"role": "user", "content": prompt}]}
    for model in (SANDBOX_MODEL, "o3-mini"):  # either name of the limit
        reply = asyncio.run(MODEL.send(PATH, CHAT.body(request, model, limit, stream=False), 1))
        completion = CHAT.read(reply.body)
        assert completion.text == text_of(json.loads(reply.body))
        assert completion.usage is not None
        assert 1 <= completion.usage.output_tokens <= limit
        assert completion.usage.input_tokens <= input_tokens_max(prompt)


def test_its_stream_is_read_as_a_providers() -> None:
    plain = CHAT.read(asyncio.run(MODEL.send(PATH, json.dumps({"messages": HELLO}).encode(), 1)).body)
    _, events = asyncio.run(read_all(PATH, CHAT.body({"messages": HELLO}, "any", 400, stream=True)))
    reader = CHAT.stream()
    text = "".join(reader.read(event.removeprefix(b"data: ").strip())[1] for event in events)
    assert (text, reader.usage, reader.is_done) == (plain.text, plain.usage, True)
