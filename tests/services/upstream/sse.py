"""Server-sent events: sound ones, and what faults make of them."""

import json
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import islice, pairwise
from typing import Any, NamedTuple

from tests.services.upstream.behaviour import Behaviour

COMMENT = ": OPENROUTER PROCESSING"
TOKEN_LENGTH_MAX = 16
BATCH_BYTES = 1 << 14


class Event(NamedTuple):
    data: str
    name: str | None = None
    tokens: int = 0  # that the client has when it has this event


class Piece(NamedTuple):
    """Bytes that are written at once."""

    data: bytes
    tokens: int = 0  # that the client has when it has this piece and all before it


DONE = Event("[DONE]")


def as_json(value: object) -> str:
    """Characters as they are, as OpenAI sends them."""
    return json.dumps(value, ensure_ascii=False)


def text_json(text: str) -> str:
    """A token as JSON: there are few, and they come often."""
    return _remembered(text) if len(text) <= TOKEN_LENGTH_MAX else as_json(text)


@lru_cache(maxsize=256)
def _remembered(text: str) -> str:
    return as_json(text)


def slot(number: int) -> str:
    """Stands in a template for what differs from event to event."""
    return f"\0slot {number}"


def faulty(events: Iterable[Event], how: Behaviour, error: dict[str, Any]) -> Iterator[Event]:
    """The events as the fault leaves them."""
    match how.fault:
        case "empty_stream":
            return
        case "close_clean" | "error_event":
            # All but the last, which says that the answer is whole.
            sent = 0
            for sent, (event, _) in enumerate(islice(pairwise(events), how.cut_after_chunks), start=1):  # noqa: B007
                yield event
            if how.fault == "error_event":
                yield Event(json.dumps(error | {"sequence_number": sent}), name=error.get("type"))
        case "bad_json" | "not_object":
            for index, event in enumerate(events):
                yield _spoilt(event, how) if index == how.cut_after_chunks else event
        case _:
            yield from events


def _spoilt(event: Event, how: Behaviour) -> Event:
    return event._replace(data=event.data[:-20] if how.fault == "bad_json" else f"[{event.data}]")


def written(events: Iterable[Event], how: Behaviour) -> Iterator[Piece]:
    """The events' bytes; one piece is one event, unless the fault or the haste is for something else."""
    pieces = _framed(events, how)
    if how.fault == "split":
        return _split(pieces)
    if how.fault == "none" and how.stream_text_bytes and not how.chunk_seconds:
        return _batched(pieces)
    return pieces


def _framed(events: Iterable[Event], how: Behaviour) -> Iterator[Piece]:
    end = "\r\n" if how.fault == "crlf" else "\n"
    comment = f"{COMMENT}{end}{end}" if how.fault == "comments" else ""
    for data, name, tokens in events:
        kind = f"event: {name}{end}" if name else ""
        yield Piece(f"{comment}{kind}data: {data}{end}{end}".encode(), tokens)


def _split(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """The last three bytes of an event travel with the first ones of the next."""
    data, tokens = b"", 0
    for piece in pieces:
        data += piece.data
        size = 5 if data.isascii() else 1
        yield Piece(data[:7], tokens)
        yield from (Piece(data[i : min(i + size, len(data) - 3)]) for i in range(7, len(data) - 3, size))
        data, tokens = data[-3:], piece.tokens
    yield Piece(data, tokens)


def _batched(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """Megabytes in events of a few bytes would take the provider's whole processor."""
    waiting: list[bytes] = []
    size = tokens = 0
    for piece in pieces:
        waiting.append(piece.data)
        size, tokens = size + len(piece.data), tokens + piece.tokens
        if size >= BATCH_BYTES:
            yield Piece(b"".join(waiting), tokens)
            waiting, size, tokens = [], 0, 0
    if waiting:
        yield Piece(b"".join(waiting), tokens)
