"""The embeddings dialect, and the bound that all dialects put on what a request's input can come to."""

import contextlib
import json
from collections.abc import Callable
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox.domain.dialects import EMBEDDINGS, Completion, Usage
from farebox.domain.dialects.base import FRAME_TOKENS, IMAGE_TOKENS_MAX, TOOLS_TOKENS, UNREADABLE, request_tokens_max
from farebox.domain.errors import InvalidRequest
from tests.unit.anything import (
    COUNTS_THAT_CANNOT_BE,
    USAGES_THAT_CANNOT_BE,
    assert_believable,
    bodies,
    json_of,
    texts,
    too_deep,
    whole_answers,
)

DATA: Final = [{"object": "embedding", "index": 0, "embedding": [0.1, 0.2]}]
USAGE: Final = {"prompt_tokens": 12, "total_tokens": 12}


def body(data: object = DATA, usage: object = USAGE) -> bytes:
    return json.dumps({"data": data, "usage": usage}).encode()


# -- An answer


def test_an_answer_has_what_was_read_and_writes_nothing() -> None:
    assert EMBEDDINGS.read(body()) == Completion(None, Usage(12, 0, 0), has_message=True, text_bytes=0)


def test_an_answer_without_embeddings_is_no_message() -> None:
    assert EMBEDDINGS.read(body([])) == Completion(None, Usage(12, 0, 0), has_message=False, text_bytes=0)


@pytest.mark.parametrize(
    "usage",
    [*USAGES_THAT_CANNOT_BE, *({"prompt_tokens": count} for count in COUNTS_THAT_CANNOT_BE), {"total_tokens": 12}],
    ids=lambda usage: repr(usage)[:40],
)
def test_usage_that_cannot_be_is_none(usage: object) -> None:
    found = EMBEDDINGS.read(body(usage=usage))
    assert (found.usage, found.is_whole) == (None, True)


@pytest.mark.parametrize(
    "content", [*whole_answers, *too_deep, b"{}", b'{"data": null}', b'{"data": {}}'], ids=lambda content: content[:20]
)
def test_what_is_no_answer_is_not_whole(content: bytes) -> None:
    assert EMBEDDINGS.read(content) == UNREADABLE


def test_the_figures_of_a_body_without_data_are_kept() -> None:
    assert EMBEDDINGS.read(body(None)) == UNREADABLE._replace(usage=Usage(12, 0, 0))


@given(bodies(json_of(["data", "usage", "prompt_tokens"], ["x"])))
def test_any_bytes_are_read_without_an_exception(content: bytes) -> None:
    found = EMBEDDINGS.read(content)
    assert_believable(found.usage, found.text_bytes)


# -- The request


def test_nothing_is_held_for_an_output_that_there_is_not() -> None:
    assert EMBEDDINGS.output_tokens_wanted({"max_tokens": 10**9}) == 0
    assert EMBEDDINGS.answers({"n": 5}) == 1
    assert EMBEDDINGS.stream is None


def test_a_request_goes_out_with_its_model_and_never_as_a_stream() -> None:
    asked = {"model": "mine", "input": ["a"], "dimensions": 256, "stream": True}
    sent = {"model": "text-embedding-3-small", "input": ["a"], "dimensions": 256}
    assert json.loads(EMBEDDINGS.body(asked, "text-embedding-3-small", 0, stream=False)) == sent


@pytest.mark.parametrize("given_input", ["hi", ["hi", "there"], [1, 2, 3], [[1, 2], [3]], [], None])
def test_texts_and_tokens_are_embedded(given_input: object) -> None:
    EMBEDDINGS.check({"input": given_input, "model": "mine", "encoding_format": "base64"})


@pytest.mark.parametrize(
    "given_input",
    [
        {"image": "https://example.com/cat.png"},
        [{"type": "image_url"}],
        ["hi", {}],
        5.5,
        True,
        [True],
        [[{"type": "image_url"}]],
        [["hi"]],
        [[1], ["hi"]],
    ],
)
def test_what_is_no_text_is_not_embedded(given_input: object) -> None:
    with pytest.raises(InvalidRequest) as told:
        EMBEDDINGS.check({"input": given_input})
    assert told.value.param == "input"


@pytest.mark.parametrize("name", ["Model", "INPUT"])
def test_a_name_that_some_providers_take_for_another_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequest):
        EMBEDDINGS.check({name: "hi"})


@given(st.dictionaries(st.sampled_from(["input", "model", "Input"]), json_of(["a"], ["b"])))
def test_any_request_is_refused_or_not_and_never_an_exception(request: dict[str, Any]) -> None:
    with contextlib.suppress(InvalidRequest):
        EMBEDDINGS.check(request)


# -- What the input can come to, in any dialect


def tokens_max(request: dict[str, Any]) -> int:
    return request_tokens_max(len(json.dumps(request).encode()), request)


@given(texts, st.lists(texts, max_size=5))
def test_no_request_has_more_tokens_than_the_bytes_of_its_texts(prompt: str, more: list[str]) -> None:
    messages = [{"role": "user", "content": text} for text in (prompt, *more)]
    written = sum(len(text.encode()) for text in (prompt, *more))
    frames = 4 * (1 + len(more))  # of a message, as OpenAI counts them
    for request in ({"messages": messages}, {"input": messages}, {"input": [prompt, *more]}):
        assert tokens_max(request) >= written + frames * (request.get("messages") is messages)


@given(st.lists(st.integers(0, 200_000), max_size=50))
def test_tokens_that_are_sent_as_numbers_are_fewer_than_their_bytes(tokens: list[int]) -> None:
    assert tokens_max({"input": tokens}) >= len(tokens)
    assert tokens_max({"input": [[token] for token in tokens]}) >= len(tokens)


URL: Final = "data:image/png;base64," + "A" * 100_000


@pytest.mark.parametrize(
    "request_of",
    [
        lambda url: {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]},
        lambda url: {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": url}]}]},
        lambda url: {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": url}]}]},
        lambda url: {
            "input": [{"type": "function_call_output", "output": [{"type": "input_image", "image_url": url}]}]
        },
    ],
    ids=["chat", "chat, as a text", "responses", "responses, of a tool"],
)
def test_an_image_counts_as_the_dearest_image_there_is_and_not_by_its_bytes(
    request_of: Callable[[str], dict[str, Any]],
) -> None:
    small, large = tokens_max(request_of("")), tokens_max(request_of(URL))
    assert small == large
    assert IMAGE_TOKENS_MAX < large < IMAGE_TOKENS_MAX + 1_000
    twice = request_of(URL)
    twice[next(iter(twice))] *= 3
    assert tokens_max(twice) > 3 * IMAGE_TOKENS_MAX


@pytest.mark.parametrize("url", [None, 5, [], {}, {"url": 5}, {"url": None}])
def test_an_image_whose_address_cannot_be_is_an_image_all_the_same(url: object) -> None:
    request = {"messages": [{"content": [{"type": "image_url", "image_url": url}]}]}
    assert tokens_max(request) >= IMAGE_TOKENS_MAX


def test_tools_add_what_a_provider_writes_before_them() -> None:
    assert tokens_max({"tools": [{}]}) == len(b'{"tools": [{}]}') + FRAME_TOKENS + TOOLS_TOKENS
    assert tokens_max({"functions": [{}]}) > TOOLS_TOKENS
    assert tokens_max({"tools": []}) < TOOLS_TOKENS


@given(st.dictionaries(
    st.sampled_from(["messages", "input", "tools"]),
    json_of(["content", "output", "summary", "type", "image_url", "url"], ["image_url", "input_image", "text"]),
))  # fmt: skip
def test_any_request_has_a_bound_that_is_never_below_its_frame(request: dict[str, Any]) -> None:
    assert tokens_max(request) >= FRAME_TOKENS
