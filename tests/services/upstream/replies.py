"""The fake provider's mind: the bytes of its answer to one call."""

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.services.upstream import answers, chat, responses
from tests.services.upstream.behaviour import Behaviour
from tests.services.upstream.embeddings import embeddings
from tests.services.upstream.paths import CHAT, EMBEDDINGS, MODELS
from tests.services.upstream.provider import TEXT_KEPT, Call
from tests.services.upstream.refusals import error, error_event, refusal
from tests.services.upstream.sse import Event, Piece, faulty, written
from tests.services.upstream.wire import chunk, head

BREAKS = {"reset_mid_body", "close_mid_body", "hang_mid_body", "stall"}
ENDS_EARLY = {"close_clean", "error_event", "empty_stream"}
EVENT_STREAM = "text/event-stream; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Reply:
    """Bytes to send, one piece after the other."""

    head: bytes
    pieces: Iterable[Piece]
    pause_seconds: float = 0
    cut_at: int | None = None  # before this piece the fault strikes
    ends_early: bool = False


def reply_to(call: Call, how: Behaviour) -> Reply:
    if call.authorization is None:
        how = Behaviour(status=401)
    elif how.status == 200 and call.path != MODELS and (mistake := refusal(call.path, call.body)):
        call.status = 400
        return _whole(call, Behaviour(status=400), _encoded(mistake.as_json()))
    call.status = how.status
    if how.status != 200:
        return _whole(call, how, _encoded(error(how)))
    if call.path == MODELS:
        return _whole(call, how, _encoded(models()))
    if call.path == EMBEDDINGS:
        body = embeddings(call.body, how)
        call.usage = body.get("usage")
        return _whole(call, how, _damaged(body, how))
    return _generated(call, how)


def models() -> dict[str, Any]:
    names = ("gpt-4o-mini", "gpt-4o", "gpt-4.1-mini")
    listed = [{"id": name, "object": "model", "created": 1_700_000_000, "owned_by": "system"} for name in names]
    return {"object": "list", "data": listed}


def _generated(call: Call, how: Behaviour) -> Reply:
    """A chat completion or a response, whole or streamed."""
    answer = answers.programmed_answer(call.body, how)
    call.text, call.tool = answer.text[:TEXT_KEPT], answer.tool
    if how.fault != "no_usage":
        call.usage = answers.usage(answer, how) if call.path == CHAT else answers.response_usage(answer, how)
    if call.stream and how.fault != "plain_json":
        return _stream(call, how, _events(call, answer, how))
    if call.path == CHAT:
        return _whole(call, how, _damaged(chat.completion(call.number, str(call.model), answer, how), how))
    return _whole(call, how, _damaged(responses.response(call.number, call.body, answer, how), how))


def _events(call: Call, answer: answers.Answer, how: Behaviour) -> Iterator[Event]:
    if call.path == CHAT:
        with_usage = bool((call.body.get("stream_options") or {}).get("include_usage"))
        return chat.chunks(call.number, str(call.model), answer, how, with_usage=with_usage)
    return responses.events(call.number, call.body, answer, how)


def _encoded(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body).encode()


def _damaged(body: Mapping[str, Any], how: Behaviour) -> bytes:
    whole = _encoded(body)
    match how.fault:
        case "bad_json":
            return whole[:-20]
        case "not_object":
            return b"[" + whole + b"]"
        case _:
            return whole


def _headers(call: Call, how: Behaviour, content_type: str) -> dict[str, str]:
    if how.fault == "wrong_content_type":
        content_type = "text/html; charset=utf-8"
    headers = {"content-type": content_type, "x-request-id": f"req_{call.number}"}
    if how.retry_after is not None:
        headers["retry-after"] = str(how.retry_after)
    return headers


def _whole(call: Call, how: Behaviour, body: bytes) -> Reply:
    headers = _headers(call, how, "application/json")
    if how.fault == "gzip":
        body = gzip.compress(body)
        headers["content-encoding"] = "gzip"
    headers["content-length"] = str(len(body))
    start = head(how.status, headers)
    if how.fault == "drip":
        return Reply(start, _drops([Piece(body)]), pause_seconds=how.drip_seconds)
    if how.fault in BREAKS:
        middle = len(body) // 2
        return Reply(start, _bare(body[:middle], body[middle:]), cut_at=0 if how.fault == "stall" else 1)
    return Reply(start, _bare(body))


def _bare(*parts: bytes) -> Sequence[Piece]:
    return [Piece(part) for part in parts]


def _drops(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """Byte by byte."""
    for data, tokens in pieces:
        last = len(data) - 1
        yield from (Piece(data[i : i + 1], tokens if i == last else 0) for i in range(len(data)))


def _stream(call: Call, how: Behaviour, events: Iterable[Event]) -> Reply:
    start = head(how.status, {**_headers(call, how, EVENT_STREAM), "transfer-encoding": "chunked"})
    pieces = _chunked(written(faulty(events, how, error_event(call.path, how)), how))
    if how.fault == "drip":
        return Reply(start, _drops(pieces), pause_seconds=how.drip_seconds)
    return Reply(
        start,
        pieces,
        pause_seconds=how.chunk_seconds,
        cut_at=how.cut_after_chunks if how.fault in BREAKS else None,
        ends_early=how.fault in ENDS_EARLY,
    )


def _chunked(pieces: Iterable[Piece]) -> Iterator[Piece]:
    for data, tokens in pieces:
        yield Piece(chunk(data), tokens)
    yield Piece(chunk(b""))
