"""What the fake provider can be told to do, and how a prompt can tell it."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

Fault = Literal[
    "none",
    # Before the answer: the connection is reset or closed, or nothing ever comes.
    "reset",
    "close",
    "hang",
    # In the middle of the body, or after `cut_after_chunks` chunks of a stream.
    "reset_mid_body",
    "close_mid_body",
    "hang_mid_body",
    # A whole answer that is slow, odd or wrong.
    "drip",
    "gzip",
    "huge_body",
    "wrong_content_type",
    "bad_json",
    "not_object",
    "no_choices",
    "empty_choices",
    "no_message",
    "null_content",
    "empty_content",
    "no_usage",
    "null_usage",
    # Headers and then nothing; a stream stops after `cut_after_chunks` chunks. The connection stays open.
    "stall",
    # Streams alone; a whole answer is sound. The first two strike after `cut_after_chunks` chunks.
    "close_clean",  # the body ends properly, but what says that the answer is whole never comes
    "error_event",  # an error as an event, then a proper end of the body
    "empty_stream",
    "usage_with_choices",
    "crlf",
    "split",  # in pieces that cut events, and characters, in the middle
    "comments",
    "plain_json",  # a whole answer although a stream was asked for
]
FAULTS: tuple[Fault, ...] = get_args(Fault)
USAGE_NAMES = frozenset({
    "prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens",
})  # fmt: skip
MARKER = re.compile(r"\[\[fault:(.*?)\]\]", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """How to answer one call. The default is a sound answer at once."""

    fault: Fault = "none"
    status: int = 200
    retry_after: str | float | None = None
    error_code: str | None = None
    latency_seconds: float = 0
    latency_seconds_max: float = 0  # above the former: evenly random between the two, from the seed
    # What is said instead of the honest answer, whatever the request's limit; at most one of the three.
    text: str | None = None
    tokens: int | None = None
    stream_text_bytes: int | None = None
    finish_reason: str | None = None
    usage: Mapping[str, object] = field(default_factory=dict)  # over the true figures; any JSON
    chunk_seconds: float = 0  # between two chunks of a stream
    chunk_bytes: int = 4  # of text in one chunk of a stream; 4 are a token
    cut_after_chunks: int = 3
    drip_seconds: float = 1  # between two bytes

    def __post_init__(self) -> None:
        if self.fault not in FAULTS:
            raise ValueError(f"no fault is called {self.fault!r}")
        if unknown := self.usage.keys() - USAGE_NAMES:
            raise ValueError(f"usage has no {unknown}")
        if self.chunk_bytes < 1:
            raise ValueError("a chunk has at least one byte")
        if sum(said is not None for said in (self.text, self.tokens, self.stream_text_bytes)) > 1:
            raise ValueError("of text, tokens and stream_text_bytes only one can be said")

    def as_dict(self) -> dict[str, Any]:
        """What differs from the default."""
        values = {own.name: getattr(self, own.name) for own in fields(self)}
        return {name: value for name, value in values.items() if value != getattr(SOUND, name)}

    def marker(self) -> str:
        """Put it into a prompt, and that call alone is answered so."""
        return f"[[fault:{json.dumps(self.as_dict())}]]"


SOUND = Behaviour()


def find_marker(text: str) -> Behaviour | None:
    """From `[[fault:reset]]`, `[[fault:status=429,retry_after=7]]`, `[[fault:prompt_tokens=-5]]` or JSON."""
    found = MARKER.search(text)
    if found is None:
        return None
    inside = found[1].strip()
    if inside.startswith("{"):
        return Behaviour(**json.loads(inside))
    return _from_pairs([part.partition("=") for part in inside.split(",")])


def _from_pairs(pairs: list[tuple[str, str, str]]) -> Behaviour:
    fields: dict[str, Any] = {}
    usage: dict[str, object] = {}
    for name, equals, value in pairs:
        if not equals:
            fields["fault"] = name
        elif name in USAGE_NAMES:
            usage[name] = _value(value)
        else:
            fields[name] = _value(value)
    return Behaviour(**fields, usage=usage)


def _value(text: str) -> Any:  # noqa: ANN401 - JSON
    try:
        return json.loads(text)
    except ValueError:
        return text
