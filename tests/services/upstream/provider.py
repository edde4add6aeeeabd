"""The fake provider's memory: what it was asked, what it is told to do, and what became of each call."""

import json
import random
import time
from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from tests.services.upstream import asked
from tests.services.upstream.behaviour import SOUND, Behaviour, find_marker
from tests.services.upstream.wire import Request

# Of all calls together; the oldest bodies are forgotten first.
BODY_BYTES_KEPT = 256 << 20
TEXT_KEPT = 64 << 10

Outcome = Literal["pending", "complete", "cut", "client_left"]


@dataclass(kw_only=True, slots=True)
class Call:
    """One request that reached the provider, and what became of it."""

    number: int
    path: str
    authorization: str | None
    headers: Mapping[str, str]
    body: Any  # None where it was no JSON, and where it is long ago and many megabytes came since
    model: str | None = None
    max_tokens: int | None = None
    stream: bool = False
    behaviour: Mapping[str, Any] = field(default_factory=dict)
    arrived_at: float = 0
    ended_at: float | None = None  # where the client left: when that was noticed
    outcome: Outcome = "pending"
    # What was sent, or would have been sent but for a cut.
    status: int | None = None
    usage: Any = None  # in the words of the path
    text: str | None = None  # its first 64 KiB; of a tool call the arguments
    tool: str | None = None
    # What the socket has really taken.
    bytes_sent: int = 0  # of the body
    tokens_streamed: int = 0


class Provider:
    def __init__(self) -> None:
        self.reset(seed=0)

    def reset(self, seed: int) -> None:
        self._calls: list[Call] = []
        self._bodies: list[bytes] = []  # not parsed: that takes less memory
        self._body_bytes = 0
        self._bodies_forgotten = 0
        self._count: Counter[str] = Counter()
        self._in_flight: Counter[str] = Counter()
        self._random = random.Random(seed)
        self._default: dict[str, Behaviour] = {}
        self._next: dict[str, deque[Behaviour]] = defaultdict(deque)
        self._described: tuple[Behaviour, Mapping[str, Any]] = (SOUND, {})

    def program(self, path: str, behaviour: Behaviour) -> None:
        self._default[path] = behaviour

    def program_next(self, path: str, behaviours: Sequence[Behaviour]) -> None:
        self._next[path].extend(behaviours)

    def record(self, request: Request) -> Call:
        body = _json_or_none(request.body)
        wanted: Mapping[str, Any] = body if isinstance(body, dict) else {}
        call = Call(
            number=len(self._calls) + 1,
            path=request.path,
            authorization=request.headers.get("authorization"),
            headers=request.headers,
            body=body,
            model=wanted.get("model"),
            max_tokens=asked.output_limit(wanted),
            stream=bool(wanted.get("stream")),
            arrived_at=time.time(),
        )
        self._calls.append(call)
        self._count[call.path] += 1
        self._in_flight[call.path] += 1
        self._keep(request.body)
        return call

    def finish(self, call: Call, outcome: Outcome) -> None:
        call.outcome = outcome
        call.ended_at = time.time()
        call.body = None  # `calls` reads it again from what came
        if call.number <= len(self._calls) and self._calls[call.number - 1] is call:  # else forgotten by a reset
            self._in_flight[call.path] -= 1

    def calls(self, path: str) -> Iterator[Mapping[str, Any]]:
        names = [own.name for own in fields(Call)]
        for call, body in zip(self._calls, self._bodies, strict=True):
            if call.path == path:
                yield {name: getattr(call, name) for name in names} | {"body": _json_or_none(body)}

    def stats(self, path: str) -> Mapping[str, int]:
        return {"count": self._count[path], "in_flight": self._in_flight[path]}

    def choose(self, call: Call, raw_body: bytes) -> Behaviour:
        """A marker in the prompt comes first, then what is queued, then the default."""
        chosen = self._marked(call, raw_body)
        if chosen is None and self._next[call.path]:
            chosen = self._next[call.path].popleft()
        if chosen is None:
            chosen = self._default.get(call.path, SOUND)
        if chosen is not self._described[0]:
            self._described = (chosen, chosen.as_dict())
        call.behaviour = self._described[1]
        return chosen

    def latency(self, how: Behaviour) -> float:
        if how.latency_seconds_max > how.latency_seconds:
            return self._random.uniform(how.latency_seconds, how.latency_seconds_max)
        return how.latency_seconds

    def _marked(self, call: Call, raw_body: bytes) -> Behaviour | None:
        if b"[[fault:" not in raw_body or not isinstance(call.body, dict):
            return None
        return find_marker("\n".join(asked.message_texts(call.body)))

    def _keep(self, body: bytes) -> None:
        self._bodies.append(body)
        self._body_bytes += len(body)
        while self._body_bytes > BODY_BYTES_KEPT:
            self._body_bytes -= len(self._bodies[self._bodies_forgotten])
            self._bodies[self._bodies_forgotten] = b""
            self._bodies_forgotten += 1


def _json_or_none(body: bytes) -> Any:  # noqa: ANN401 - JSON
    try:
        return json.loads(body)
    except ValueError:
        return None
