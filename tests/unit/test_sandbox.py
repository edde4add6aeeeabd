"""The sandbox model: the same words for the same prompt, counted truly, and always under its own name."""

import asyncio
import json
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox.domain.completion import input_tokens_max, read_completion, request_body
from farebox.domain.ledger import Hold
from farebox.sandbox.model import NAME_TOKEN, SANDBOX_MODEL, SandboxModel, tokens_of

MODEL: Final = SandboxModel()
HOLD: Final = Hold(
    "acct", "req", "key", "test", "free", "/v1/generate", SANDBOX_MODEL, 0, 0, 1, 1, 500, 0, 100, 400, 0, 0, 0, 0, None
)
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
    reply = asyncio.run(MODEL.complete(json.dumps(request).encode(), 1))
    return reply.status, json.loads(reply.body)


def answer(content: object, **more: object) -> dict[str, Any]:
    status, body = ask({"model": "any", "messages": [{"role": "user", "content": content}], **more})
    assert status == 200, body
    return body


def text_of(body: dict[str, Any]) -> str:
    return str(body["choices"][0]["message"]["content"])


async def _stream(request: object) -> list[bytes]:
    return [event async for event in MODEL.stream(json.dumps(request).encode())]


def stream(content: object, **more: object) -> list[dict[str, Any]]:
    request = {"messages": [{"role": "user", "content": content}], "stream": True, **more}
    *events, last = asyncio.run(_stream(request))
    assert last == b"data: [DONE]\n\n"
    assert all(event.startswith(b"data: ") and event.endswith(b"\n\n") for event in events)
    return [json.loads(event.removeprefix(b"data: ")) for event in events]


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


@pytest.mark.parametrize(
    "request_",
    [
        {},
        [],
        "text",
        {"messages": []},
        {"messages": "Hello"},
        {"messages": ["Hello"]},
        {"messages": [{"content": "Hello"}], "max_tokens": 0},
        {"messages": [{"content": "Hello"}], "max_tokens": "many"},
        {"messages": [{"content": "Hello"}], "max_completion_tokens": True},
    ],
)
def test_what_it_cannot_take_is_refused_as_openai_refuses(request_: object) -> None:
    status, body = ask(request_)
    assert status == 400
    assert body["error"]["type"] == "invalid_request_error"
    assert body["error"]["message"].startswith("farebox-sandbox: m")


def test_what_is_no_json_is_refused() -> None:
    assert asyncio.run(MODEL.complete(b"\xff{", 1)).status == 400


@given(st.text(min_size=3, max_size=2_000).filter(lambda text: text.isprintable()), st.integers(1, 400))
def test_it_takes_what_farebox_sends_and_is_read_as_a_provider(prompt: str, limit: int) -> None:
    for model in (SANDBOX_MODEL, "o3-mini"):  # either name of the limit
        reply = asyncio.run(MODEL.complete(request_body(model, prompt, limit), 1))
        completion = read_completion(reply.body, HOLD, prompt)
        assert completion is not None
        assert completion.text == text_of(json.loads(reply.body))
        assert completion.spent.marks == ()
        assert 1 <= completion.spent.output_tokens <= limit
        assert completion.spent.input_tokens <= input_tokens_max(prompt)
