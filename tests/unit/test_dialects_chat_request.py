"""A chat request: no field of it makes the founder pay for more than its hold, and the rest reaches the provider."""

import json
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox.domain.dialects import CHAT, estimated_tokens, input_tokens_max
from farebox.domain.dialects.chat import ANSWERS_MAX
from farebox.domain.dialects.refusals import UNMETERED
from farebox.domain.errors import InvalidRequest
from farebox.domain.ledger import TOKENS_MAX
from tests.unit.anything import json_of

MESSAGES: Final = [{"role": "user", "content": "Say hello"}]
FUNCTION: Final = {"type": "function", "function": {"name": "f", "parameters": {}}}
NO_LIMITS: Final[list[Any]] = [0, -5, 0.5, 1e400, float("nan"), "5", True, False, [5], {"a": 5}]
COSTLY: Final[list[tuple[str, list[Any]]]] = [
    ("n", [0, -1, ANSWERS_MAX + 1, 10**30, 1.5, 1e400, float("nan"), "2", True, [2], {}]),
    ("max_tokens", NO_LIMITS),
    ("max_completion_tokens", NO_LIMITS),
    ("service_tier", ["flex", "priority", "scale", "", [], {}, 1]),
    ("modalities", [["text", "audio"], ["audio"], ["image"], "text", {}, 5, True, [["text"]]]),
    ("prompt_cache_options", [{"ttl": "12h"}, {"mode": "explicit", "prewarm": True}, {"ttl": ["30m"]}, "30m", [], 5]),
    ("cache_control", [{"type": "ephemeral", "ttl": "1h"}, {"ttl": 3600}, {"ttl": {}}]),
    ("tools", [[{"type": "web_search"}], [{"type": "mcp"}], [{"type": ""}], [{"type": None}], [{"type": []}]]),
    ("tools", [{}, "web_search", 5, [None], ["function"], [[]], [{}], [FUNCTION, {}]]),
]


# -- What is refused


def refused(**request: object) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as told:
        check(request)
    return told.value


def check(request: dict[str, Any]) -> None:
    CHAT.check({"messages": MESSAGES, **request})
    CHAT.output_tokens_wanted(request)
    CHAT.answers(request)


@pytest.mark.parametrize("name", UNMETERED)
@pytest.mark.parametrize("value", [{}, [], "", 0.5, 1, True, "x", {"a": 1}], ids=repr)
def test_a_field_that_tokens_cannot_tell_is_refused_even_empty(name: str, value: object) -> None:
    """An empty web_search_options switches the search on."""
    assert refused(**{name: value}).param == name


@pytest.mark.parametrize("name", UNMETERED)
@pytest.mark.parametrize("value", [None, False])
def test_a_field_that_is_switched_off_passes(name: str, value: object) -> None:
    check({name: value})


@pytest.mark.parametrize(
    ("param", "value"),
    [(name, value) for name, values in COSTLY for value in values],
    ids=lambda value: repr(value)[:40],
)
def test_what_could_cost_more_than_its_hold_is_refused(param: str, value: object) -> None:
    assert refused(**{param: value}).param == param


@pytest.mark.parametrize(
    "content",
    [
        [{"type": "input_audio", "input_audio": {"data": "…"}}],
        [{"type": "file", "file": {"file_id": "file-1"}}],
        [{"type": "video_url", "video_url": {"url": "https://example.com/film"}}],
        [{"type": "text", "text": "hi"}, {"type": "document_url", "document_url": "https://example.com/book"}],
        [{"type": "image_url", "file_id": "file-1"}],
        [{"type": "image_url", "image_url": {"url": "data:application/pdf;base64,AAAA"}}],
        [{"type": "image_url", "image_url": {"url": " DATA:video/mp4;base64,AAAA", "detail": "low"}}],
        [{"type": "input_image", "image_url": "data:;base64,AAAA"}],
        [{"type": ["text"]}],
        [{"type": {}}],
        [{"text": "hi"}],
        ["hi"],
        [None],
        {"type": "image_url"},
        5,
        True,
    ],
    ids=repr,
)
def test_a_message_that_is_no_text_and_no_image_is_refused(content: object) -> None:
    assert refused(messages=[*MESSAGES, {"role": "user", "content": content}]).param == "messages"


def test_a_sound_that_an_earlier_answer_had_is_refused() -> None:
    assert refused(messages=[{"role": "assistant", "audio": {"id": "audio_1"}}]).param == "messages"


@pytest.mark.parametrize(
    "name", ["Model", "MAX_TOKENS", "N", "Max_Completion_Tokens", "max_to\u212aens", "Tools", "\u017ftream"]
)
def test_a_name_that_some_providers_take_for_another_is_refused(name: str) -> None:
    """Go's JSON reads "N" as "n", and a Kelvin sign as a k: what was checked would not be what counts."""
    assert refused(**{name: 1}).param == name


LASTING: Final[dict[str, Any]] = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
TEXT: Final = {"type": "text", "text": "hi"}


@pytest.mark.parametrize(
    "more",
    [
        {"messages": [{"role": "user", "content": "hi", **LASTING}]},
        {"messages": [{"role": "user", "content": [TEXT, TEXT | LASTING]}]},
        {"messages": [{"role": "user", "content": [TEXT | {"prompt_cache_breakpoint": {"ttl": "12h"}}]}]},
        {"tools": [FUNCTION | LASTING]},
        {"tools": [{"type": "function", "function": {"name": "f", **LASTING}}]},
    ],
    ids=str,
)
def test_what_is_to_be_kept_for_longer_than_usual_is_refused(more: dict[str, Any]) -> None:
    assert refused(**more).param in {"cache_control", "prompt_cache_breakpoint"}


def test_what_is_kept_as_long_as_usual_passes() -> None:
    usual = {"cache_control": {"type": "ephemeral", "ttl": "5m"}}
    check({"prompt_cache_options": {"mode": "explicit", "ttl": "30m"}, "prompt_cache_key": "k", **usual})
    check({"prompt_cache_options": None, "messages": [{"role": "user", "content": [TEXT | usual]}, usual]})
    check({"messages": [{"role": "user", "content": [TEXT | {"prompt_cache_breakpoint": {"mode": "explicit"}}]}]})


def test_what_costs_no_more_than_its_tokens_passes() -> None:
    image = {"type": "image_url", "image_url": {"url": "https://example.com/cat.png", "detail": "high"}}
    check({
        "messages": [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": [{"type": "text", "text": "What is it?"}, image]},
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]},
            {"role": "assistant", "content": None, "tool_calls": []},
            {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
            {"role": "tool", "tool_call_id": "1", "content": "21"},
        ],
        "tools": [FUNCTION, {"type": "custom", "custom": {"name": "note"}}],
        "service_tier": "auto", "modalities": ["text"], "n": 2.0, "max_tokens": 5.0, "max_completion_tokens": None,
        "logprobs": True, "top_logprobs": 20, "store": True, "reasoning_effort": "high", "seed": 7,
        "response_format": {"type": "json_object"}, "unheard_of": {"a": [1]}, "Unheard-Of": 1,
    })  # fmt: skip


any_request = st.dictionaries(
    st.sampled_from(["n", "max_tokens", "max_completion_tokens", "tools", "functions", "messages", "modalities",
                     "service_tier", "stream_options", "audio", "prediction", "N", "unheard_of"]),
    json_of(["type", "content", "image_url", "url", "role", "audio", "function"], ["image_url", "text", "function"]),
)  # fmt: skip


@given(any_request)
def test_any_request_is_refused_or_bounded_and_never_an_exception(request: dict[str, Any]) -> None:
    bounded = True
    try:
        check(request)
    except InvalidRequest:
        bounded = False
    if bounded:
        assert 1 <= CHAT.answers(request) <= ANSWERS_MAX
        wanted = CHAT.output_tokens_wanted(request)
        assert wanted is None or 1 <= wanted <= TOKENS_MAX
        sent = json.loads(CHAT.body(request, "gpt-4o-mini", 40, stream=False))
        assert (sent["max_tokens"], "max_completion_tokens" in sent) == (40, False)
        assert (sent.get("n") or 1) == CHAT.answers(request)


# -- What is sent


@pytest.mark.parametrize(
    ("limits", "wanted"),
    [
        ({}, None),
        ({"max_tokens": None}, None),
        ({"max_tokens": 5}, 5),
        ({"max_tokens": 5.0}, 5),
        ({"max_completion_tokens": 7}, 7),
        ({"max_tokens": 5, "max_completion_tokens": 7}, 5),
        ({"max_tokens": 9, "max_completion_tokens": 7}, 7),
        ({"max_tokens": 10**30}, TOKENS_MAX),
        ({"max_tokens": 1e300}, TOKENS_MAX),
    ],
    ids=str,
)
def test_of_two_limits_the_lower_counts(limits: dict[str, Any], wanted: int | None) -> None:
    assert CHAT.output_tokens_wanted(limits) == wanted


@pytest.mark.parametrize(("n", "answers"), [(None, 1), (1, 1), (3, 3), (3.0, 3), (ANSWERS_MAX, ANSWERS_MAX)])
def test_as_many_answers_are_held_as_are_asked_for(n: object, answers: int) -> None:
    assert CHAT.answers({"n": n}) == answers


@pytest.mark.parametrize(
    "model", ["gpt-4o-mini", "llama3:8b", "farebox-sandbox", "gpt-4.1", "o", "ft:gpt-4o-mini:a::b"]
)
def test_a_request_bounds_the_answer_by_the_name_that_most_providers_know(model: str) -> None:
    asked = {"model": "mine", "messages": MESSAGES, "max_tokens": 10**6, "max_completion_tokens": 10**7}
    assert json.loads(CHAT.body(asked, model, 40, stream=False)) == {
        "model": model,
        "messages": MESSAGES,
        "max_tokens": 40,
    }


@pytest.mark.parametrize("model", ["o1", "o3-mini", "o4-mini-2025-04-16", "gpt-5", "gpt-5-nano", "ft:o4-mini:a::b"])
def test_a_reasoning_model_is_bounded_by_the_name_that_it_wants(model: str) -> None:
    sent = json.loads(CHAT.body({"max_tokens": 5}, model, 40, stream=False))
    assert sent == {"model": model, "max_completion_tokens": 40}


@pytest.mark.parametrize("options", [None, {}, {"include_usage": False}, {"include_usage": True}, "x", 5, []], ids=repr)
def test_a_stream_always_asks_for_its_usage(options: object) -> None:
    asked = {"stream": True, "stream_options": options}
    sent = json.loads(CHAT.body(asked, "gpt-4o-mini", 40, stream=True))
    assert (sent["stream"], sent["stream_options"]) == (True, {"include_usage": True})
    assert asked == {"stream": True, "stream_options": options}
    sent = json.loads(CHAT.body(asked, "gpt-4o-mini", 40, stream=False))
    assert sent.keys() == {"model", "max_tokens"}


def test_other_options_of_a_stream_are_kept() -> None:
    asked = {"stream_options": {"include_obfuscation": False}}
    sent = json.loads(CHAT.body(asked, "gpt-4o-mini", 40, stream=True))
    assert sent["stream_options"] == {"include_obfuscation": False, "include_usage": True}


@given(st.dictionaries(st.sampled_from(["seed", "brand_new", "metadata", "logit_bias"]), json_of(["a"], ["b"])))
def test_what_nobody_knows_reaches_the_provider_as_it_was(more: dict[str, Any]) -> None:
    try:
        more = json.loads(json.dumps(more, allow_nan=False))
    except ValueError:
        return  # a request cannot have it
    sent = json.loads(CHAT.body({"messages": MESSAGES, **more}, "gpt-4o-mini", 40, stream=False))
    assert {name: sent[name] for name in more} == more


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_prompt_reaches_the_model_as_it_was_written_and_is_bounded_by_its_bytes(prompt: str) -> None:
    asked = {"messages": [{"role": "user", "content": prompt}]}
    assert json.loads(CHAT.body(asked, "gpt-4o-mini", 40, stream=False))["messages"] == asked["messages"]
    assert input_tokens_max(prompt) > len(prompt.encode()) >= len(prompt)


@pytest.mark.parametrize(("size", "tokens"), [(0, 0), (1, 1), (4, 1), (5, 2), (400, 100)])
def test_the_stated_estimate_is_a_token_for_four_bytes(size: int, tokens: int) -> None:
    assert estimated_tokens(size) == tokens
