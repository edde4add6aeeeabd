"""What the fake provider says: text and token counts that a test can work out too."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple
from zlib import crc32

from tests.services.upstream import asked
from tests.services.upstream.behaviour import Behaviour
from tests.services.upstream.examples import example

# Three letters and a space are one token, so that a text cut at any token has the tokens it should have.
WORDS = ("and", "dog", "fun", "joy", "now", "our", "run", "sun", "the", "you")
BYTES_PER_TOKEN = 4
TOKENS_PER_MESSAGE = 4
TOKENS_PER_REQUEST = 3
HUGE_BODY_BYTES = 5 * 1024 * 1024
HUGE_TEXT = "dog " * (HUGE_BODY_BYTES // 4)
REFUSAL = "I'm sorry, I can't assist with that request."


@dataclass(frozen=True, slots=True)
class Answer:
    """An honest answer to a request."""

    text: str  # of a tool call: its arguments
    input_tokens: int
    output_tokens: int  # of all choices
    finish_reason: str  # in the words of chat completions
    tool: str | None = None
    choices: int = 1


class Part(NamedTuple):
    """What one chunk of a stream adds to the text."""

    text: str
    tokens: int


def count_tokens(text: str) -> int:
    return -(-len(text.encode()) // BYTES_PER_TOKEN)


def expected_answer(body: Mapping[str, Any]) -> Answer:
    """What the provider answers to this chat or response request when nothing else is programmed."""
    texts = asked.message_texts(body)
    tool, limit, choices = asked.called_function(body), asked.output_limit(body), asked.choice_count(body)
    schema = asked.answer_schema(body) if tool is None else asked.functions(body)[tool]
    if schema is None:
        start = 16 + crc32("\n".join(texts).encode()) % 48
        text = words(start, start)
    else:
        text = json.dumps(example(schema))
    whole = limit is None or count_tokens(text) <= limit
    if not whole:
        text = text[: (limit or 0) * BYTES_PER_TOKEN].rstrip(" ")
    return Answer(
        text=text,
        input_tokens=input_tokens(body, texts),
        output_tokens=count_tokens(text) * choices,
        finish_reason="length" if not whole else "stop" if tool is None else "tool_calls",
        tool=tool,
        choices=choices,
    )


def input_tokens(body: Mapping[str, Any], texts: list[str]) -> int:
    messages = sum(TOKENS_PER_MESSAGE + count_tokens(text) for text in texts)
    return TOKENS_PER_REQUEST + messages + count_tokens(asked.definitions(body))


@lru_cache(maxsize=4096)
def words(start: int, tokens: int) -> str:
    """As many tokens, from any of the words on."""
    first = start % len(WORDS)
    cycle = " ".join([*WORDS[first:], *WORDS[:first], ""])
    return (cycle * (tokens // len(WORDS) + 1))[: max(0, tokens * BYTES_PER_TOKEN - 1)]


@lru_cache(maxsize=64)
def long_text(length: int) -> str:
    """What `Behaviour(stream_text_bytes=length)` says."""
    return (words(0, 1 + length // BYTES_PER_TOKEN) + " ")[:length]


def programmed_answer(body: Mapping[str, Any], how: Behaviour) -> Answer:
    answer = expected_answer(body)
    said = _said(how)
    if said is not None:
        limit, tokens = asked.output_limit(body), count_tokens(said)
        finish = "length" if limit is not None and tokens >= limit else "stop"
        answer = replace(answer, text=said, output_tokens=tokens * answer.choices, finish_reason=finish, tool=None)
    if how.fault == "empty_content":
        answer = replace(answer, text="", tool=None)
    return answer if how.finish_reason is None else replace(answer, finish_reason=how.finish_reason)


def _said(how: Behaviour) -> str | None:
    if how.tokens is not None:
        return words(0, how.tokens)
    if how.stream_text_bytes is not None:
        return long_text(how.stream_text_bytes)
    return how.text


def parts(text: str, size: int) -> Iterator[Part]:
    """The text in pieces of so many characters; the tokens add up to those of the whole text."""
    done_bytes = 0
    for start in range(0, len(text), size):
        part = text[start : start + size]
        length = len(part) if part.isascii() else len(part.encode())
        before, done_bytes = done_bytes, done_bytes + length
        yield Part(part, -(-done_bytes // BYTES_PER_TOKEN) - -(-before // BYTES_PER_TOKEN))


def usage(answer: Answer, how: Behaviour) -> dict[str, Any] | None:
    """As chat completions report it."""
    if how.fault == "null_usage":
        return None
    figures = _figures(answer, how)
    return {
        "prompt_tokens": figures["prompt_tokens"],
        "completion_tokens": figures["completion_tokens"],
        "total_tokens": figures["total_tokens"],
        "prompt_tokens_details": {
            "cached_tokens": figures["cached_tokens"],
            "cache_write_tokens": figures["cache_write_tokens"],
            "audio_tokens": 0,
        },
        "completion_tokens_details": {"reasoning_tokens": figures["reasoning_tokens"], "audio_tokens": 0},
    }


def response_usage(answer: Answer, how: Behaviour) -> dict[str, Any] | None:
    """As responses report it."""
    if how.fault == "null_usage":
        return None
    figures = _figures(answer, how)
    return {
        "input_tokens": figures["prompt_tokens"],
        "input_tokens_details": {
            "cached_tokens": figures["cached_tokens"],
            "cache_write_tokens": figures["cache_write_tokens"],
        },
        "output_tokens": figures["completion_tokens"],
        "output_tokens_details": {"reasoning_tokens": figures["reasoning_tokens"]},
        "total_tokens": figures["total_tokens"],
    }


def embedding_usage(prompt_tokens: int, how: Behaviour) -> dict[str, Any] | None:
    if how.fault == "null_usage":
        return None
    figures = {"prompt_tokens": prompt_tokens, **how.usage}
    return {"prompt_tokens": figures["prompt_tokens"], "total_tokens": figures.get("total_tokens", prompt_tokens)}


def _figures(answer: Answer, how: Behaviour) -> dict[str, Any]:
    figures: dict[str, Any] = {
        "prompt_tokens": answer.input_tokens,
        "completion_tokens": answer.output_tokens,
        "cached_tokens": 0,
        "cache_write_tokens": 0,
        "reasoning_tokens": 0,
        **how.usage,
    }
    counted = [figures["prompt_tokens"], figures["completion_tokens"]]
    total = sum(counted) if all(isinstance(count, int | float) for count in counted) else counted[-1]
    return {"total_tokens": total, **figures}
