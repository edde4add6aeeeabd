"""Whatever a provider sends, the call gets a text or none, and true or marked figures; never an exception."""

import json
from typing import Any
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox.domain.completion import Completion, input_tokens_max, read_completion, request_body
from farebox.domain.ledger import TOKENS_MAX, Hold, Mark, Spent

PROMPT = "Say hello"
HOLD = Hold(
    "acct", "req", "key", "live", "pro", "/v1/generate", "gpt-4o-mini", 0, 1, 2, 1, 65, 0, 25, 40,
    None, None, None, 0, None,
)  # fmt: skip
USAGE = {"prompt_tokens": 12, "completion_tokens": 7, "total_tokens": 19}


def body(content: object = "Hello!", usage: object = USAGE) -> bytes:
    message = {"role": "assistant", "content": content}
    return json.dumps({"choices": [{"index": 0, "message": message}], "usage": usage}).encode()


def read(answer: bytes, hold: Hold = HOLD, prompt: str = PROMPT) -> Completion:
    return read_completion(answer, hold, prompt)


def estimated(text: str) -> Spent:
    """A token for every four bytes, as far as the hold goes."""
    return Spent(3, 0, min(-(-len(text.encode()) // 4), 40), (Mark.ESTIMATED,))


# -- An ordinary answer


def test_an_answer_has_its_text_and_the_providers_figures() -> None:
    assert read(body()) == Completion("Hello!", Spent(12, 0, 7))


def test_cached_tokens_are_a_part_of_those_read() -> None:
    assert read(body(usage={**USAGE, "prompt_tokens_details": {"cached_tokens": 5}})) == Completion(
        "Hello!", Spent(12, 5, 7)
    )


@pytest.mark.parametrize(
    "details", [{"cached_tokens": -1}, {"cached_tokens": "5"}, {"cached_tokens": None}, {}, [], None, "5"], ids=str
)
def test_cached_tokens_that_cannot_be_read_are_taken_for_fresh_ones(details: object) -> None:
    assert read(body(usage={**USAGE, "prompt_tokens_details": details})) == Completion("Hello!", Spent(12, 0, 7))


def test_more_cached_tokens_than_read_are_not_believed() -> None:
    assert read(body(usage={**USAGE, "prompt_tokens_details": {"cached_tokens": 99}})) == Completion(
        "Hello!", Spent(12, 12, 7)
    )


def test_figures_above_the_hold_are_handed_on_as_reported() -> None:
    assert read(body(usage={"prompt_tokens": TOKENS_MAX, "completion_tokens": 41})) == Completion(
        "Hello!",
        Spent(TOKENS_MAX, 0, 41),
    )


# -- Usage that is missing or odd


@pytest.mark.parametrize(
    "usage",
    [
        None,
        {},
        [],
        "12",
        12,
        True,
        {"prompt_tokens": 12},
        {"completion_tokens": 7},
        {"prompt_tokens": -1, "completion_tokens": 7},
        {"prompt_tokens": 12, "completion_tokens": -7},
        {"prompt_tokens": 12.0, "completion_tokens": 7},
        {"prompt_tokens": "12", "completion_tokens": "7"},
        {"prompt_tokens": True, "completion_tokens": 7},
        {"prompt_tokens": None, "completion_tokens": 7},
        {"prompt_tokens": [12], "completion_tokens": 7},
        {"prompt_tokens": 12, "completion_tokens": TOKENS_MAX + 1},
        {"prompt_tokens": 10**400, "completion_tokens": 7},
        {"prompt_tokens": 1e400, "completion_tokens": 7},
        {"prompt_tokens": float("nan"), "completion_tokens": 7},
    ],
    ids=lambda usage: repr(usage)[:60],
)
def test_usage_that_cannot_be_is_estimated_from_the_bytes_and_marked(usage: object) -> None:
    assert read(body(usage=usage)) == Completion("Hello!", estimated("Hello!"))


def test_an_answer_without_usage_is_estimated_and_marked() -> None:
    assert read(b'{"choices": [{"message": {"content": "Hello!"}}]}') == Completion("Hello!", estimated("Hello!"))


def test_an_estimate_counts_bytes_and_not_characters() -> None:
    text = "こんにちは"
    answer = read(body(text, usage=None), prompt="挨拶して")
    assert answer.spent == Spent(3, 0, 4, (Mark.ESTIMATED,))


def test_an_estimate_never_goes_above_the_hold() -> None:
    answer = read(body("x" * 10_000, usage=None), prompt="y" * 10_000)
    assert answer.spent == Spent(25, 0, 40, (Mark.ESTIMATED,))


# -- No message


@pytest.mark.parametrize(
    "choices",
    [
        [],
        [None],
        ["Hello!"],
        [[]],
        [{}],
        [{"message": None}],
        [{"message": "Hello!"}],
        [{"message": {}}],
        [{"message": {"content": None, "refusal": "I cannot help with that."}}],
        [{"message": {"content": ""}}],
        [{"message": {"content": ["Hello!"]}}],
        [{"message": {"content": [{"type": "text", "text": "Hello!"}]}}],
        [{"message": {"content": 5}}],
        [{"message": {"content": False}}],
        [{"text": "Hello!"}],
    ],
    ids=json.dumps,
)
def test_an_answer_without_a_message_has_no_text_and_keeps_its_usage(choices: object) -> None:
    assert read(json.dumps({"choices": choices, "usage": USAGE}).encode()) == Completion(None, Spent(12, 0, 7))
    # Without both, nothing is known to have been used.
    assert read(json.dumps({"choices": choices}).encode()) == Completion(None, Spent())


def test_only_the_first_choice_is_the_answer() -> None:
    choices = [{"message": {"content": "first"}}, {"message": {"content": "second"}}]
    answer = read(json.dumps({"choices": choices, "usage": USAGE}).encode())
    assert answer.text == "first"


def test_a_text_of_blanks_is_a_text() -> None:
    answer = read(body(" \n"))
    assert answer.text == " \n"


# -- No chat completion at all


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'"Hello!"',
        b"12",
        b"true",
        b'{"choices": null}',
        b'{"choices": {}}',
        b'{"choices": "Hello!"}',
        b'{"error": {"message": "no"}}',
        b"<html>502 Bad Gateway</html>",
        b'data: {"choices": []}\n\n',
        body()[:-1],
        body() + b"}",
        body() + b"\x00",
        b"\xff\xfe" + body(),
        body().replace(b"Hello!", b"\xff\xff"),
        body().replace(b"Hello!", b"\\ud800"),
        body().replace(b"Hello!", b"\n"),
        b'{"choices": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"choices": [' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"]}",
        b'{"choices": [], "usage": ' + b"9" * 1_000_000 + b"}",
        b'{"choices": [], "usage": 1e}',
    ],
    ids=lambda answer: f"{answer[:24]!r} {crc32(answer):08x}",
)
def test_what_is_no_chat_completion_has_no_text_and_no_figures(answer: bytes) -> None:
    assert read(answer) == Completion(None, Spent(), is_whole=False)


def test_the_figures_of_a_body_without_choices_are_kept() -> None:
    assert read(json.dumps({"usage": USAGE}).encode()) == Completion(None, Spent(12, 0, 7), is_whole=False)


def test_a_body_of_megabytes_is_read() -> None:
    answer = read(body("x" * 5_000_000))
    assert len(answer.text or "") == 5_000_000


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["choices", "message", "content", "usage", "prompt_tokens", "completion_tokens", "prompt_tokens_details"]
    ), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(st.binary(max_size=200) | json_values.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_read_without_an_exception_and_with_figures_that_fit(answer: bytes) -> None:
    completion = read(answer)
    spent = completion.spent
    assert 0 <= spent.cached_tokens <= spent.input_tokens <= TOKENS_MAX
    assert 0 <= spent.output_tokens <= TOKENS_MAX
    assert completion.text is None or completion.text


@given(json_values, json_values)
def test_any_content_and_usage_are_read_without_an_exception(content: object, usage: object) -> None:
    completion = read(body(content, usage))
    assert completion.text == (content if isinstance(content, str) and content else None)
    assert completion.spent.input_tokens >= completion.spent.cached_tokens >= 0


# -- The request


@pytest.mark.parametrize("model", ["gpt-4o-mini", "llama3:8b", "farebox-sandbox", "gpt-4.1", "o"])
def test_a_request_bounds_the_answer_by_the_name_that_most_providers_know(model: str) -> None:
    assert json.loads(request_body(model, PROMPT, 40)) == {
        "model": model,
        "messages": [{"role": "user", "content": PROMPT}],
        "max_tokens": 40,
    }


@pytest.mark.parametrize("model", ["o1", "o3-mini", "o4-mini-2025-04-16", "gpt-5", "gpt-5-nano"])
def test_a_reasoning_model_is_bounded_by_the_name_that_it_wants(model: str) -> None:
    sent = json.loads(request_body(model, PROMPT, 40))
    assert sent["max_completion_tokens"] == 40
    assert "max_tokens" not in sent


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_prompt_reaches_the_model_as_it_was_written(prompt: str) -> None:
    assert json.loads(request_body("gpt-4o-mini", prompt, 40))["messages"][0]["content"] == prompt


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_the_bound_of_a_prompt_is_above_a_token_for_each_byte_and_for_each_character(prompt: str) -> None:
    assert input_tokens_max(prompt) > len(prompt.encode()) >= len(prompt)
