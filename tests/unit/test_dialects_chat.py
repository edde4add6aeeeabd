"""The chat dialect: whatever a provider sends, it is read, with figures that can be believed; never an exception."""

import json
import random
from typing import Any, Final
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox.domain.dialects import CHAT, Completion, Usage
from farebox.domain.dialects.base import UNREADABLE, Event
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

USAGE: Final = {"prompt_tokens": 12, "completion_tokens": 7, "total_tokens": 19}


def body(content: object = "Hello!", usage: object = USAGE) -> bytes:
    return answer({"message": {"role": "assistant", "content": content}}, usage=usage)


def answer(*choices: object, usage: object = USAGE) -> bytes:
    return json.dumps({"choices": choices, "usage": usage}).encode()


def hello(usage: Usage | None) -> Completion:
    return Completion("Hello!", usage, has_message=True, text_bytes=6)


# -- An answer


def test_an_answer_has_its_text_and_the_providers_figures() -> None:
    assert CHAT.read(body()) == hello(Usage(12, 0, 7))


def test_cached_tokens_are_a_part_of_those_read_and_never_more() -> None:
    for told, cached in ((5, 5), (12, 12), (99, 12)):
        usage = {**USAGE, "prompt_tokens_details": {"cached_tokens": told}}
        assert CHAT.read(body(usage=usage)) == hello(Usage(12, cached, 7))


@pytest.mark.parametrize("details", [{"cached_tokens": count} for count in COUNTS_THAT_CANNOT_BE] + [{}, [], None, "5"])
def test_cached_tokens_that_cannot_be_read_are_taken_for_fresh_ones(details: object) -> None:
    assert CHAT.read(body(usage={**USAGE, "prompt_tokens_details": details})) == hello(Usage(12, 0, 7))


def test_figures_are_handed_on_as_reported_however_large() -> None:
    usage = {"prompt_tokens": TOKENS_MAX, "completion_tokens": TOKENS_MAX}
    assert CHAT.read(body(usage=usage)) == hello(Usage(TOKENS_MAX, 0, TOKENS_MAX))


@pytest.mark.parametrize(
    "usage",
    USAGES_THAT_CANNOT_BE
    + [{**USAGE, name: count} for name in ("prompt_tokens", "completion_tokens") for count in COUNTS_THAT_CANNOT_BE]
    + [{"prompt_tokens": 12}, {"completion_tokens": 7}, {"input_tokens": 12, "output_tokens": 7}],
    ids=lambda usage: repr(usage)[:60],
)
def test_usage_that_cannot_be_is_none(usage: object) -> None:
    assert CHAT.read(body(usage=usage)) == hello(None)


@pytest.mark.parametrize(("total", "written"), [(19, 7), (300, 288), (0, 7), (18, 7)])
def test_thinking_that_only_the_total_shows_is_output(total: int, written: int) -> None:
    """Gemini's OpenAI form bills thoughts as output, and has them in `total_tokens` alone."""
    assert CHAT.read(body(usage={**USAGE, "total_tokens": total})) == hello(Usage(12, 0, written))


@pytest.mark.parametrize("total", COUNTS_THAT_CANNOT_BE, ids=lambda total: repr(total)[:20])
def test_a_total_that_cannot_be_changes_nothing(total: object) -> None:
    assert CHAT.read(body(usage={**USAGE, "total_tokens": total})) == hello(Usage(12, 0, 7))


def test_an_answer_in_parts_has_the_text_of_its_text_parts() -> None:
    parts = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
        {"type": "text", "text": "Hel"},
        {"type": "text", "text": "lo!"},
    ]
    assert CHAT.read(body(parts)) == Completion("Hello!", Usage(12, 0, 7), has_message=True, text_bytes=8)


@pytest.mark.parametrize(
    ("message", "size"),
    [
        ({"content": "こんにちは"}, 15),
        ({"content": "Hi", "reasoning_content": "hmm"}, 5),
        ({"content": "Hi", "reasoning": "hmm"}, 5),
        ({"tool_calls": [{"function": {"name": "look_up", "arguments": '{"a":1}'}}]}, 14),
        ({"tool_calls": [{"type": "custom", "custom": {"name": "note", "input": "abc"}}]}, 7),
        ({"function_call": {"name": "look_up", "arguments": "{}"}}, 9),
    ],
    ids=lambda value: json.dumps(value, ensure_ascii=False)[:50],
)
def test_all_that_the_model_wrote_counts_by_its_bytes(message: dict[str, Any], size: int) -> None:
    found = CHAT.read(answer({"message": message}))
    assert (found.text_bytes, found.has_message) == (size, True)
    reader = CHAT.stream()
    reader.read(json.dumps({"choices": [{"delta": message}]}).encode())
    assert (reader.text_bytes, reader.has_message) == (size, True)


def test_every_answer_of_several_counts_and_the_first_is_the_text() -> None:
    found = CHAT.read(answer({"message": {"content": "first"}}, {"message": {"content": "second"}}))
    assert (found.text, found.text_bytes) == ("first", 11)


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
        [{"message": {"content": [{"type": "thinking", "thinking": "hm"}]}}],
        [{"message": {"content": 5}}],
        [{"message": {"content": True}}],
        [{"message": {"content": {"type": "text", "text": "Hello!"}}}],
        [{"text": "Hello!"}],
        [{"message": {"reasoning_content": "hm", "tool_calls": []}}],
    ],
    ids=json.dumps,
)
def test_an_answer_without_a_message_keeps_its_usage(choices: list[object]) -> None:
    found = CHAT.read(answer(*choices))
    assert (found.text, found.has_message, found.usage, found.is_whole) == (None, False, Usage(12, 0, 7), True)


def test_a_text_of_blanks_is_a_text() -> None:
    assert CHAT.read(body(" \n")).text == " \n"


@pytest.mark.parametrize(
    "content",
    [
        *whole_answers,
        *too_deep,
        b"{}",
        b'{"choices": null}',
        b'{"choices": {}}',
        b'{"choices": "Hello!"}',
        b'{"error": {"message": "no"}}',
        b'data: {"choices": []}\n\n',
        body()[:-1],
        body() + b"}",
        body() + b"\x00",
        body().replace(b"Hello!", b"\xff\xff"),
        body().replace(b"Hello!", b"\n"),
        b'{"choices": ' + too_deep[0] + b"}",
        b'{"choices": [], "usage": ' + too_deep[2] + b"}",
    ],
    ids=lambda content: f"{content[:24]!r} {crc32(content):08x}",
)
def test_what_is_no_chat_completion_is_not_whole(content: bytes) -> None:
    assert CHAT.read(content) == UNREADABLE


def test_the_figures_of_a_body_without_choices_are_kept() -> None:
    assert CHAT.read(json.dumps({"usage": USAGE}).encode()) == UNREADABLE._replace(usage=Usage(12, 0, 7))


def test_a_body_of_megabytes_is_read() -> None:
    assert CHAT.read(body("x" * 5_000_000)).text_bytes == 5_000_000


values = json_of(
    ["choices", "message", "delta", "content", "type", "text", "thinking", "refusal", "tool_calls", "function",
     "custom", "function_call", "name", "arguments", "input", "usage", "prompt_tokens", "completion_tokens",
     "total_tokens", "prompt_tokens_details", "cached_tokens", "finish_reason", "error", "reasoning"],
    ["text", "stop", "function", "thinking"],
)  # fmt: skip


@given(bodies(values))
def test_any_bytes_are_read_without_an_exception(content: bytes) -> None:
    found = CHAT.read(content)
    assert_believable(found.usage, found.text_bytes)
    assert found.text is None or found.text
    assert found.has_message or found.text is None


@given(values, values)
def test_any_content_and_usage_are_read_without_an_exception(content: object, usage: object) -> None:
    found = CHAT.read(body(content, usage))
    assert_believable(found.usage, found.text_bytes)
    assert not isinstance(content, str) or found.text == (content or None)


# -- A stream


def test_the_events_of_a_stream_are_told_apart() -> None:
    reader = CHAT.stream()

    def told(**event: object) -> tuple[Event, str]:
        return reader.read(json.dumps(event).encode())

    assert told(choices=[{"delta": {"role": "assistant", "content": ""}}]) == (Event.PASS, "")
    assert (reader.has_message, reader.is_done) == (False, False)
    assert told(choices=[{"delta": {"content": "Hé"}, "finish_reason": None}], usage=None) == (Event.PASS, "Hé")
    assert (reader.has_message, reader.text_bytes) == (True, 3)
    assert told(choices=[{"delta": {}, "finish_reason": "stop"}]) == (Event.END, "")
    assert told(choices=[], usage=USAGE) == (Event.USAGE_ONLY, "")
    assert not reader.is_done
    assert reader.read(b"[DONE]") == (Event.END, "")
    assert (reader.is_done, reader.usage) == (True, Usage(12, 0, 7))


def test_the_last_usage_of_a_stream_counts_and_an_unreadable_one_does_not() -> None:
    reader = CHAT.stream()
    for usage in (USAGE, {**USAGE, "completion_tokens": 9, "total_tokens": 21}, {"prompt_tokens": -1}, None):
        reader.read(json.dumps({"choices": [{"delta": {}}], "usage": usage}).encode())
    assert reader.usage == Usage(12, 0, 9)


def test_half_of_a_character_is_read_and_is_a_question_mark() -> None:
    """JavaScript cuts texts in the middle of an emoji, and writes them so."""
    found = CHAT.read(body("@").replace(b"@", rb"\ud83d\uDE00 and \ud83d"))
    assert found == Completion("😀 and ?", Usage(12, 0, 7), has_message=True, text_bytes=10)
    reader = CHAT.stream()
    event = b'{"choices":[{"index":0,"delta":{"content":"%b"},"finish_reason":null}]}'
    for half in (rb"\ud83d", rb"\uDE00"):
        assert reader.skim(b"data: " + event % half + b"\n\n") is None
        assert reader.read(event % half) == (Event.PASS, "?")
    assert reader.read(event[:-1] % half) == (Event.ERROR, "")
    assert reader.read(b"[" * 100_000 + half) == (Event.ERROR, "")


@pytest.mark.parametrize(
    "data",
    [b"", b"nonsense", b"[DONE", b"null", b"[]", b"5", b'{"error": {"message": "overloaded"}}', b"\xff", too_deep[0]],
    ids=lambda data: repr(data[:20]),
)
def test_what_is_no_event_is_an_error(data: bytes) -> None:
    reader = CHAT.stream()
    assert reader.read(data) == (Event.ERROR, "")
    assert (reader.is_done, reader.usage, reader.has_message) == (False, None, False)


@pytest.mark.parametrize("choices", [None, [], {}, "x", 5, [None], [5], [{"delta": None}], [{"delta": "x"}]])
def test_an_event_that_adds_nothing_passes(choices: object) -> None:
    reader = CHAT.stream()
    assert reader.read(json.dumps({"choices": choices}).encode()) == (Event.PASS, "")
    assert (reader.has_message, reader.text_bytes) == (False, 0)


@given(st.lists(bodies(values), max_size=5))
def test_any_events_are_read_without_an_exception(events: list[bytes]) -> None:
    reader = CHAT.stream()
    before = 0
    for data in events:
        _, text = reader.read(data)
        assert_believable(reader.usage, reader.text_bytes)
        assert reader.text_bytes - before >= len(text.encode("utf-8", "replace"))
        before = reader.text_bytes


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_a_streams_texts_are_the_answers_and_its_bytes_are_theirs(texts: list[str]) -> None:
    reader = CHAT.stream()
    found = [reader.read(json.dumps({"choices": [{"delta": {"content": text}}]}).encode())[1] for text in texts]
    assert found == texts
    assert reader.text_bytes == len("".join(texts).encode())
    assert reader.has_message is any(texts)


# -- Skimming


EVENTS: Final = st.fixed_dictionaries(
    {"choices": st.lists(
        st.fixed_dictionaries(
            {
                "index": st.integers(0, 1),
                "delta": st.dictionaries(
                    st.sampled_from(["role", "content", "refusal", "reasoning"]),
                    st.sampled_from(["hi", '"', "ü", "{", ""]),
                ),
                "finish_reason": st.sampled_from([None, "stop"]),
            }
        ),
        min_size=1, max_size=2,
    )},
    optional={
        "id": st.sampled_from(["chatcmpl-1", "{", '"choices": [{']),
        "usage": st.sampled_from([None, {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}]),
        "error": st.sampled_from([None, {"message": "no"}]),
        "obfuscation": st.sampled_from(["xyz", "}", "\n\n"]),
    },
)  # fmt: skip


@given(EVENTS, st.sampled_from([(",", ":"), (", ", ": ")]), st.randoms())
def test_an_event_that_is_skimmed_says_what_it_says_when_it_is_read(
    event: dict[str, Any], separators: tuple[str, str], chance: random.Random
) -> None:
    names = list(event)
    chance.shuffle(names)
    data = json.dumps({name: event[name] for name in names}, separators=separators, ensure_ascii=False).encode()
    skimmer, reader = CHAT.stream(), CHAT.stream()
    text = skimmer.skim(b"data: " + data + b"\n\n")
    if text is not None:
        assert reader.read(data) == (Event.PASS, text)
        assert (skimmer.text_bytes, skimmer.has_message) == (reader.text_bytes, reader.has_message)
        assert skimmer._open == reader._open
        assert reader.usage is None
    else:
        assert (skimmer.text_bytes, skimmer.has_message) == (0, False)


def test_nearly_every_event_of_openai_is_skimmed() -> None:
    event = {
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-mini",
        "service_tier": "default", "system_fingerprint": "fp_1",
        "choices": [{"index": 0, "delta": {"content": " dog"}, "logprobs": None, "finish_reason": None}],
        "usage": None, "obfuscation": "aB3x",
    }  # fmt: skip
    whole = b"data: " + json.dumps(event, separators=(",", ":")).encode() + b"\n\n"
    reader = CHAT.stream()
    assert reader.skim(whole) == " dog"
    assert reader.skim(whole.replace(b" dog", "ü☀".encode()).replace(b"aB3x", b"9")) == "ü☀"
    assert (reader.text_bytes, reader.has_message) == (9, True)
    for odd in (
        whole + whole, whole[:-1], whole[:-9], whole[9:], b"", b"\n\n",
        whole.replace(b"dog", b"\\n"), whole.replace(b"dog", b"\n"), whole.replace(b"dog", b"\xc3"),
        whole.replace(b"null}]", b'"stop"}]'), whole.replace(b"aB3x", b'a","usage":{},"b":"c'),
    ):  # fmt: skip
        assert reader.skim(odd) is None
    assert reader.text_bytes == 9


PLAIN: Final = b'data: {"id":"%b","choices":[{"index":%b,"delta":{"content":"%b"},"finish_reason":%b}]%b}\n\n'


@given(
    st.lists(
        st.tuples(
            st.sampled_from([b"a", b"a", b"b"]),
            st.sampled_from([b"0", b"0", b"0", b"1"]),
            st.sampled_from([b"", b"dog", "ü".encode(), b"\\n", b"\\u00fc", b"{", b"}"]),
            st.sampled_from([b"null", b"null", b"null", b'"stop"']),
            st.sampled_from([
                b"", b"", b',"usage":null', b',"usage":{"prompt_tokens":3,"completion_tokens":2}',
                b',"p":"ab"', b',"p":"c"', b',"error":"no"', b',"p":"}"',
            ]),
        ),
        max_size=12,
    )
)  # fmt: skip
def test_a_stream_that_is_skimmed_where_it_can_be_says_what_it_says_when_it_is_read(
    events: list[tuple[bytes, ...]],
) -> None:
    skimmer, reader = CHAT.stream(), CHAT.stream()
    for parts in events:
        event = PLAIN % parts
        text = skimmer.skim(event)
        told = skimmer.read(event[5:].strip()) if text is None else (Event.PASS, text)
        assert told == reader.read(event[5:].strip())
        assert (skimmer.text_bytes, skimmer.has_message) == (reader.text_bytes, reader.has_message)
        assert (skimmer._open, skimmer.usage) == (reader._open, reader.usage)
