"""The responses dialect: whatever a provider sends is read without an exception, and a request is whole in itself."""

import json
from typing import Any, Final
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox.domain.dialects import RESPONSES, Completion, Usage
from farebox.domain.dialects.base import UNREADABLE, Event
from farebox.domain.dialects.refusals import UNMETERED
from farebox.domain.dialects.responses import ENDS, ITEM_TYPES, TEXT_DELTAS
from farebox.domain.errors import InvalidRequest
from farebox.domain.ledger import TOKENS_MAX
from tests.unit.anything import (
    COUNTS_THAT_CANNOT_BE,
    USAGES_THAT_CANNOT_BE,
    assert_believable,
    bodies,
    json_of,
    too_deep,
    whole_answers,
)

USAGE: Final = {"input_tokens": 12, "output_tokens": 7, "total_tokens": 19}
FUNCTION: Final = {"type": "function", "name": "f", "parameters": {}}
NO_LIMITS: Final[list[Any]] = [0, -5, 0.5, 1e400, float("nan"), "5", True, False, [5], {"a": 5}]
COSTLY: Final[list[tuple[str, list[Any]]]] = [
    ("max_output_tokens", NO_LIMITS),
    ("service_tier", ["flex", "priority", "", [], {}, 1]),
    ("tools", [[{"type": "web_search"}], [{"type": "file_search"}], [{"type": None}], [{"type": []}], [None], [[]]]),
    ("tools", [{}, "web_search", 5, [FUNCTION, {"type": "image_generation"}]]),
]


def message(text: object = "Hello!") -> dict[str, Any]:
    return {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}


def body(*output: object, usage: object = USAGE, **more: object) -> bytes:
    return json.dumps({"status": "completed", **more, "output": output, "usage": usage}).encode()


# -- An answer


def test_an_answer_has_its_text_and_the_providers_figures() -> None:
    found = RESPONSES.read(body(message("Hel"), message("lo!")))
    assert found == Completion("Hello!", Usage(12, 0, 7), has_message=True, text_bytes=6)


def test_cached_tokens_are_a_part_of_those_read_and_never_more() -> None:
    for told, cached in ((5, 5), (99, 12), (True, 0), (-1, 0)):
        usage = {**USAGE, "input_tokens_details": {"cached_tokens": told}}
        assert RESPONSES.read(body(message(), usage=usage)).usage == Usage(12, cached, 7)


@pytest.mark.parametrize(
    "usage",
    USAGES_THAT_CANNOT_BE
    + [{**USAGE, name: count} for name in ("input_tokens", "output_tokens") for count in COUNTS_THAT_CANNOT_BE]
    + [{"prompt_tokens": 12, "completion_tokens": 7}],
    ids=lambda usage: repr(usage)[:60],
)
def test_usage_that_cannot_be_is_none(usage: object) -> None:
    found = RESPONSES.read(body(message(), usage=usage))
    assert (found.usage, found.text_bytes, found.is_whole) == (None, 6, True)


@pytest.mark.parametrize(
    ("item", "size"),
    [
        ({"type": "function_call", "name": "look_up", "arguments": '{"a":1}'}, 14),
        ({"type": "custom_tool_call", "name": "note", "input": "hé"}, 7),
    ],
)
def test_a_call_of_a_tool_is_a_message_without_a_text(item: dict[str, Any], size: int) -> None:
    assert RESPONSES.read(body(item)) == Completion(None, Usage(12, 0, 7), has_message=True, text_bytes=size)


def test_thoughts_count_by_their_bytes_and_are_no_message() -> None:
    thoughts = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}],
                "content": [{"type": "reasoning_text", "text": "hmm"}]}  # fmt: skip
    assert RESPONSES.read(body(thoughts)) == Completion(None, Usage(12, 0, 7), has_message=False, text_bytes=5)


@pytest.mark.parametrize(
    "output",
    [
        [],
        [None],
        ["Hello!"],
        [[]],
        [{}],
        [message("")],
        [message(None)],
        [message(5)],
        [{"type": "message", "content": None}],
        [{"type": "message", "content": [None, 5, {"type": "refusal", "refusal": "no"}]}],
        [{"type": ["x_call"]}],
    ],
    ids=json.dumps,
)
def test_an_answer_without_a_message_keeps_its_usage(output: list[object]) -> None:
    found = RESPONSES.read(body(*output))
    assert (found.text, found.has_message, found.usage, found.is_whole) == (None, False, Usage(12, 0, 7), True)


@pytest.mark.parametrize(
    "content",
    [*whole_answers, *too_deep, b"{}", b'{"output": null}', b'{"output": {}}', b'{"error": {}}', body()[:-1]],
    ids=lambda content: f"{content[:24]!r} {crc32(content):08x}",
)
def test_what_is_no_response_is_not_whole(content: bytes) -> None:
    assert RESPONSES.read(content) == UNREADABLE


def test_a_failed_response_is_not_whole_and_its_figures_are_kept() -> None:
    assert RESPONSES.read(body(message(), status="failed")) == UNREADABLE._replace(usage=Usage(12, 0, 7))


values = json_of(
    ["type", "delta", "response", "output", "status", "content", "text", "summary", "name", "arguments", "input",
     "usage", "input_tokens", "output_tokens", "total_tokens", "input_tokens_details", "cached_tokens", "error"],
    ["output_text", "function_call", "message", "failed", "error", *ENDS, *TEXT_DELTAS],
)  # fmt: skip


@given(bodies(values))
def test_any_bytes_are_read_without_an_exception(content: bytes) -> None:
    found = RESPONSES.read(content)
    assert_believable(found.usage, found.text_bytes)
    assert found.text is None or found.text
    assert found.has_message or found.text is None


@given(values, values)
def test_any_output_and_usage_are_read_without_an_exception(output: object, usage: object) -> None:
    found = RESPONSES.read(json.dumps({"output": output, "usage": usage}).encode())
    assert_believable(found.usage, found.text_bytes)


# -- A stream


def test_the_events_of_a_stream_are_told_apart() -> None:
    reader = RESPONSES.stream()

    def told(kind: str, **event: object) -> tuple[Event, str]:
        return reader.read(json.dumps({"type": kind, **event}).encode())

    assert told("response.created", response={"status": "in_progress", "usage": None}) == (Event.PASS, "")
    assert told("response.reasoning_summary_text.delta", delta="hm") == (Event.PASS, "")
    assert (reader.has_message, reader.text_bytes) == (False, 2)
    assert told("response.output_text.delta", delta="Hé") == (Event.PASS, "Hé")
    assert (reader.has_message, reader.text_bytes, reader.is_done) == (True, 5, False)
    assert told("response.output_text.done", text="Hé") == (Event.PASS, "")
    whole = json.loads(body(message("Hé")))
    assert told("response.completed", response=whole) == (Event.END, "")
    assert (reader.is_done, reader.usage, reader.text_bytes) == (True, Usage(12, 0, 7), 5)
    assert reader.read(b"[DONE]") == (Event.END, "")


@pytest.mark.parametrize("kind", sorted(TEXT_DELTAS))
def test_every_piece_of_text_counts_and_only_an_answers_own_is_a_message(kind: str) -> None:
    reader = RESPONSES.stream()
    reader.read(json.dumps({"type": kind, "delta": "abc"}).encode())
    assert reader.text_bytes == 3
    assert reader.has_message is ("output_text" in kind or "call" in kind)


@pytest.mark.parametrize("delta", ["", None, 5, True, {}, [], {"text": "x"}])
def test_a_piece_without_a_text_adds_nothing(delta: object) -> None:
    reader = RESPONSES.stream()
    event = json.dumps({"type": "response.output_text.delta", "delta": delta}).encode()
    assert reader.read(event) == (Event.PASS, "")
    assert (reader.text_bytes, reader.has_message) == (0, False)


def test_an_answer_cut_short_by_its_bound_has_ended_and_a_failed_one_is_an_error() -> None:
    for kind, event, is_done in (
        ("response.incomplete", Event.END, True),
        ("response.failed", Event.ERROR, False),
    ):
        reader = RESPONSES.stream()
        assert reader.read(json.dumps({"type": kind, "response": {"usage": USAGE}}).encode()) == (event, "")
        assert (reader.is_done, reader.usage, reader.has_message) == (is_done, Usage(12, 0, 7), False)


@pytest.mark.parametrize("response", [None, [], 5, "x", {}, {"usage": 5, "output": 5}])
def test_an_end_without_a_response_is_an_end_all_the_same(response: object) -> None:
    reader = RESPONSES.stream()
    assert reader.read(json.dumps({"type": "response.completed", "response": response}).encode()) == (Event.END, "")
    assert (reader.is_done, reader.usage) == (True, None)


@pytest.mark.parametrize(
    "data",
    [b"", b"nonsense", b"[DONE", b"null", b"[]", b"5", b'{"type": "error", "message": "no"}', b"\xff", too_deep[0]],
    ids=lambda data: repr(data[:20]),
)
def test_what_is_no_event_is_an_error(data: bytes) -> None:
    reader = RESPONSES.stream()
    assert reader.read(data) == (Event.ERROR, "")
    assert not reader.is_done


def test_half_of_a_character_is_read_and_is_a_question_mark() -> None:
    event = rb'{"type": "response.output_text.delta", "delta": "\ud83d"}'
    assert RESPONSES.stream().read(event) == (Event.PASS, "?")
    assert RESPONSES.read(body(message("@")).replace(b"@", rb"\ud83d")).text == "?"


@pytest.mark.parametrize("kind", [None, [], {}, 5, "response.unheard_of"])
def test_an_event_that_nobody_knows_passes(kind: object) -> None:
    assert RESPONSES.stream().read(json.dumps({"type": kind}).encode()) == (Event.PASS, "")


kinds = st.sampled_from(["error", "response.created", *ENDS, *TEXT_DELTAS]) | values
any_event = st.builds(
    lambda kind, delta, whole: {"type": kind, "delta": delta, "response": whole}, kinds, values, values
)


@given(st.lists(bodies(values | any_event), max_size=5))
def test_any_events_are_read_without_an_exception(events: list[bytes]) -> None:
    reader = RESPONSES.stream()
    before = 0
    for data in events:
        _, text = reader.read(data)
        assert_believable(reader.usage, reader.text_bytes)
        assert reader.text_bytes - before >= len(text.encode("utf-8", "replace"))
        before = reader.text_bytes


# -- What is refused


def refused(**request: object) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as told:
        check(request)
    return told.value


def check(request: dict[str, Any]) -> None:
    RESPONSES.check({"input": "Say hello", **request})
    RESPONSES.output_tokens_wanted(request)
    RESPONSES.answers(request)


@pytest.mark.parametrize("name", UNMETERED)
def test_what_the_provider_keeps_or_goes_on_with_is_refused(name: str) -> None:
    values: list[Any] = [{}, [], "", 1, True, "resp_1", {"id": "x"}]
    for value in values:
        assert refused(**{name: value}).param == name
    for off in (None, False):
        check({name: off})


@pytest.mark.parametrize(
    "more",
    [
        {"prompt_cache_options": {"ttl": "12h"}},
        {"prompt_cache_options": {"prewarm": True}},
        {"prompt_cache_options": {"comparison_response_id": "resp_1"}},
        {"input": [{"role": "user", "content": [{"type": "input_text", "prompt_cache_breakpoint": {"ttl": "12h"}}]}]},
        {"tools": [{"type": "function", "name": "f", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]},
    ],
    ids=str,
)
def test_what_is_to_be_kept_for_longer_than_usual_is_refused(more: dict[str, Any]) -> None:
    assert refused(**more).param in {"prompt_cache_options", "prompt_cache_breakpoint", "cache_control"}


@pytest.mark.parametrize(
    ("param", "value"),
    [(name, value) for name, values in COSTLY for value in values],
    ids=lambda value: repr(value)[:40],
)
def test_what_could_cost_more_than_its_hold_is_refused(param: str, value: object) -> None:
    assert refused(**{param: value}).param == param


@pytest.mark.parametrize(
    "item",
    [
        {"type": "item_reference", "id": "msg_1"},
        {"type": None, "id": "msg_1"},
        {"id": "msg_1"},
        {"type": "web_search_call", "id": "ws_1"},
        {"type": "image_generation_call", "id": "ig_1"},
        {"type": "computer_call_output", "output": {"type": "computer_screenshot", "image_url": "…"}},
        {"type": []},
        {"role": "user", "content": [{"type": "input_file", "file_url": "https://example.com/book.pdf"}]},
        {"role": "user", "content": [{"type": "input_image", "file_id": "file-1"}]},
        {"type": "function_call_output", "output": [{"type": "input_file", "file_data": "…"}]},
        {"role": "user", "content": {"type": "input_text"}},
    ],
    ids=repr,
)
def test_an_item_whose_tokens_are_not_in_the_request_is_refused(item: object) -> None:
    assert refused(input=[{"role": "user", "content": "hi"}, item]).param == "input"


@pytest.mark.parametrize("name", ["Model", "Max_Output_Tokens", "PREVIOUS_RESPONSE_ID", "tool\u017f"])
def test_a_name_that_some_providers_take_for_another_is_refused(name: str) -> None:
    assert refused(**{name: 1}).param == name


def test_what_costs_no_more_than_its_tokens_passes() -> None:
    image = {"type": "input_image", "image_url": "data:image/png;base64,AAAA"}
    parts = [{"type": "input_text", "text": "What is it?"}, image]
    items: list[dict[str, Any]] = [
        {"role": "user", "content": parts}, {"type": "message", "role": "user", "content": "hi"}, message(),
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": "x"},
        {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "1", "output": "21"},
        {"type": "custom_tool_call_output", "call_id": "2", "output": parts},
    ]  # fmt: skip
    assert {item.get("type") for item in items} < set(ITEM_TYPES)
    tools = [FUNCTION, {"type": "custom", "name": "note"}]
    check({"input": items, "tools": tools, "max_output_tokens": 5.0, "background": False, "service_tier": "default"})
    check({"store": False, "include": [], "reasoning": {"effort": "high"}, "metadata": {"a": "b"}, "unheard_of": 1})


any_request = st.dictionaries(
    st.sampled_from(["input", "tools", "max_output_tokens", "service_tier", "background", "prompt", "N", "unheard_of"]),
    json_of(["type", "content", "image_url", "output", "summary", "role"], ["input_image", "input_text", "message"]),
)


@given(any_request)
def test_any_request_is_refused_or_bounded_and_never_an_exception(request: dict[str, Any]) -> None:
    try:
        check(request)
    except InvalidRequest:
        return
    wanted = RESPONSES.output_tokens_wanted(request)
    assert wanted is None or 1 <= wanted <= TOKENS_MAX
    assert RESPONSES.answers(request) == 1
    assert json.loads(RESPONSES.body(request, "gpt-4o-mini", 40, stream=False))["max_output_tokens"] == 40


# -- What is sent


def test_a_request_goes_out_with_its_model_its_bound_and_all_that_nobody_knows() -> None:
    asked = {"model": "mine", "input": "hi", "max_output_tokens": 10**9, "stream": True, "brand_new": {"a": [1, None]}}
    sent = {"model": "gpt-5", "input": "hi", "max_output_tokens": 40, "brand_new": {"a": [1, None]}}
    assert json.loads(RESPONSES.body(asked, "gpt-5", 40, stream=False)) == sent
    assert json.loads(RESPONSES.body(asked, "gpt-5", 40, stream=True)) == {**sent, "stream": True}
    assert asked["model"] == "mine"


def test_a_plain_delta_is_skimmed_and_nothing_else_is() -> None:
    delta = {"type": "response.output_text.delta", "item_id": "msg_1", "delta": " dog", "sequence_number": 4}
    event = b"event: response.output_text.delta\ndata: " + json.dumps(delta).encode() + b"\n\n"
    reader = RESPONSES.stream()
    assert reader.skim(event) == " dog"
    assert (reader.text_bytes, reader.has_message) == (4, True)
    for odd in (event[7:], event + event, event.replace(b" dog", b'\\"'), event.replace(b"output_text", b"refusal")):
        assert reader.skim(odd) is None
    assert reader.text_bytes == 4
