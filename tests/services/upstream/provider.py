"""The fake provider's memory and mind: what it was asked, and what it decides to send."""

import gzip
import json
import random
import time
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.services.upstream import answers
from tests.services.upstream.behaviour import SOUND, Behaviour, find_marker
from tests.services.upstream.wire import Request, chunk, head

CHAT = "/v1/chat/completions"
MODELS = "/v1/models"

Outcome = Literal["pending", "complete", "cut", "client_left"]


@dataclass(kw_only=True)
class Call:
    """One request that reached the provider, and what became of it."""

    number: int
    path: str
    authorization: str | None
    headers: Mapping[str, str]
    body: Any
    model: str | None = None
    max_tokens: int | None = None
    stream: bool = False
    behaviour: Mapping[str, Any] = field(default_factory=dict)
    arrived_at: float = 0
    ended_at: float | None = None
    outcome: Outcome = "pending"
    # What was sent, or would have been sent but for a cut.
    status: int | None = None
    usage: Any = None
    text: str | None = None
    # What has really left.
    bytes_sent: int = 0  # of the body
    tokens_streamed: int = 0


@dataclass(frozen=True, slots=True)
class Reply:
    """Bytes to send, one piece after the other."""

    head: bytes
    pieces: Sequence[bytes]
    pause_seconds: float = 0
    cut_at: int | None = None  # before this piece the fault strikes
    token_pieces: range = range(0)


class Provider:
    def __init__(self) -> None:
        self.reset(seed=0)

    def reset(self, seed: int) -> None:
        self.calls: list[Call] = []
        self._random = random.Random(seed)
        self._default: dict[str, Behaviour] = {}
        self._next: dict[str, deque[Behaviour]] = defaultdict(deque)

    def program(self, path: str, behaviour: Behaviour) -> None:
        self._default[path] = behaviour

    def program_next(self, path: str, behaviours: Sequence[Behaviour]) -> None:
        self._next[path].extend(behaviours)

    def record(self, request: Request) -> Call:
        body = _json_or_none(request.body)
        asked: Mapping[str, Any] = body if isinstance(body, dict) else {}
        call = Call(
            number=len(self.calls) + 1,
            path=request.path,
            authorization=request.headers.get("authorization"),
            headers=request.headers,
            body=body,
            model=asked.get("model"),
            max_tokens=answers.output_limit(asked),
            stream=bool(asked.get("stream")),
            arrived_at=time.time(),
        )
        self.calls.append(call)
        return call

    def choose(self, call: Call, raw_body: bytes) -> Behaviour:
        """A marker in the prompt comes first, then what is queued, then the default."""
        chosen = self._marked(call, raw_body)
        if chosen is None and self._next[call.path]:
            chosen = self._next[call.path].popleft()
        if chosen is None:
            chosen = self._default.get(call.path, SOUND)
        if chosen is not SOUND:
            call.behaviour = chosen.as_dict()
        return chosen

    def latency(self, how: Behaviour) -> float:
        if how.latency_seconds_max > how.latency_seconds:
            return self._random.uniform(how.latency_seconds, how.latency_seconds_max)
        return how.latency_seconds

    def reply(self, call: Call, how: Behaviour) -> Reply:
        if call.authorization is None:
            how = Behaviour(status=401)
        elif how.status == 200 and call.path == CHAT and not _is_sound(call.body):
            how = Behaviour(status=400)
        call.status = how.status
        if how.status != 200:
            return _error_reply(call, how)
        if call.path == MODELS:
            return _whole(call, how, json.dumps(answers.models()).encode())
        answer = answers.programmed_answer(call.body, how)
        call.text = answer.text
        call.usage = None if how.fault == "no_usage" else answers.usage(answer, how)
        if call.stream:
            return _stream(call, how, answer)
        body = answers.completion(call.number, str(call.model), answer, how)
        return _whole(call, how, answers.encoded(body, how))

    def _marked(self, call: Call, raw_body: bytes) -> Behaviour | None:
        if b"[[fault:" not in raw_body or not isinstance(call.body, dict):
            return None
        return find_marker("\n".join(answers.message_texts(call.body)))


def _json_or_none(body: bytes) -> Any:  # noqa: ANN401 - JSON
    try:
        return json.loads(body)
    except ValueError:
        return None


def _is_sound(body: object) -> bool:
    """As strict as OpenAI where a mistake of ours would show."""
    if not isinstance(body, dict) or not isinstance(body.get("model"), str):
        return False
    limit = body.get("max_completion_tokens", body.get("max_tokens"))
    if limit is not None and (not isinstance(limit, int) or limit < 1):
        return False
    messages = body.get("messages")
    return isinstance(messages, list) and bool(messages) and all(isinstance(m, dict) for m in messages)


def _headers(call: Call, how: Behaviour) -> dict[str, str]:
    headers = {"content-type": "application/json", "x-request-id": f"req_{call.number}"}
    if how.retry_after is not None:
        headers["retry-after"] = str(how.retry_after)
    if how.fault == "wrong_content_type":
        headers["content-type"] = "text/html; charset=utf-8"
    return headers


def _error_reply(call: Call, how: Behaviour) -> Reply:
    return _whole(call, how, json.dumps(answers.error(how)).encode())


def _whole(call: Call, how: Behaviour, body: bytes) -> Reply:
    headers = _headers(call, how)
    if how.fault == "gzip":
        body = gzip.compress(body)
        headers["content-encoding"] = "gzip"
    headers["content-length"] = str(len(body))
    start = head(how.status, headers)
    if how.fault == "drip":
        return _dripping(start, body, how)
    if how.fault.endswith("_mid_body"):
        middle = len(body) // 2
        return Reply(start, [body[:middle], body[middle:]], cut_at=1)
    return Reply(start, [body])


def _dripping(start: bytes, body: bytes, how: Behaviour) -> Reply:
    return Reply(start, [body[i : i + 1] for i in range(len(body))], pause_seconds=how.drip_seconds)


def _stream(call: Call, how: Behaviour, answer: answers.Answer) -> Reply:
    options = call.body.get("stream_options") or {}
    events = answers.chunks(call.number, str(call.model), answer, how, with_usage=bool(options.get("include_usage")))
    headers = {**_headers(call, how), "transfer-encoding": "chunked"}
    if how.fault != "wrong_content_type":
        headers["content-type"] = "text/event-stream; charset=utf-8"
    pieces = [*map(chunk, events), chunk(b"")]
    if how.fault == "drip":
        return _dripping(head(how.status, headers), b"".join(pieces), how)
    return Reply(
        head(how.status, headers),
        pieces,
        pause_seconds=how.chunk_seconds,
        cut_at=how.cut_after_chunks if how.fault.endswith("_mid_body") else None,
        token_pieces=range(1, 1 + len(answers.tokens(answer.text))),
    )
