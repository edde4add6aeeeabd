"""The meter on the wire: each model call of a paid call passes here, is held against what is left, and is added up."""

import asyncio
import logging
import random
from collections.abc import Callable
from http import HTTPStatus
from time import monotonic
from typing import Any, Final, NamedTuple, Protocol, Self, TypeVar

from pydantic_core import from_json, to_json

from farebox.call.service import Chain, Model, Service
from farebox.domain.admission import Admitted
from farebox.domain.dialects import Completion, Dialect, Usage, estimated_tokens
from farebox.domain.dialects.base import FRAME_TOKENS, JsonObject
from farebox.domain.errors import (
    CallError,
    CallTooLarge,
    RequestRefused,
    UpstreamBusy,
    UpstreamError,
    UpstreamFailed,
    UpstreamTimeout,
)
from farebox.domain.ledger import Hold, Mark, Spent
from farebox.domain.prices import Price, cost_nanodollars
from farebox.ports import Reply, Streamed

log = logging.getLogger("farebox.upstream")

RETRIED_STATUSES: Final = frozenset({408, 429, 500, 502, 503, 504})
BUSY_STATUSES: Final = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
REFUSED_STATUSES: Final = frozenset({400, 413, 422})
BUSY_SECONDS: Final = 5
BUSY_SECONDS_MAX: Final = 3600
BACKOFF_SECONDS: Final = 0.5
REFUSAL_CHARS_MAX: Final = 500
ERROR_BYTES_MAX: Final = 65_536
CLOSE_SECONDS: Final = 1.0  # for what a handler has left under way to end
FAILED: Final = "The model call failed. Nothing was charged; try again."
UNREADABLE: Final = "The model's answer could not be read. Nothing was charged; try again."


Taken = TypeVar("Taken")


class Question(NamedTuple):
    """One model call that wants to be made: what is asked, of which models, and the most that it can come to.

    `output_tokens_wanted` is the longest answer that the request asks for, of `answers` that it asks for.
    """

    dialect: Dialect
    request: JsonObject
    models: Chain
    input_tokens_max: int
    output_tokens_wanted: int | None = None
    answers: int = 1

    @classmethod
    def of(cls, dialect: Dialect, request: JsonObject, models: Chain, input_tokens_max: int) -> Self:
        """A question with the bounds that its request asks for.

        Raises:
            InvalidRequest: they cannot be meant.
        """
        wanted, answers = dialect.output_tokens_wanted(request), dialect.answers(request)
        return cls(dialect, request, models, input_tokens_max, wanted, answers)


class Answer(NamedTuple):
    """A whole answer of a model, as bytes and as what they say."""

    reply: Reply
    completion: Completion


class Opened(NamedTuple):
    """A streamed answer that has begun: with its first piece, another model can no longer be asked."""

    model: Model
    stream: Streamed
    piece: bytes
    seen: dict[str, Any]


class Attempt(NamedTuple):
    """One try at one model. `reply` is None where nothing came back; `stream` and `piece` are those of a stream."""

    model: Model
    started: float
    reply: Reply | None = None
    error: UpstreamError | None = None
    stream: Streamed | None = None
    piece: bytes = b""

    @property
    def is_ok(self) -> bool:
        return self.error is None and self.reply is not None and self.reply.status == HTTPStatus.OK


class Finished(Protocol):
    """A stream that can be ended from outside."""

    async def finish(self, error: BaseException | None) -> None: ...


class Wire:
    """What one paid call has used so far, and what its hold can still pay for."""

    def __init__(self, service: Service, admitted: Admitted, deadline: float) -> None:
        hold = admitted.hold
        self.service = service
        self.admitted = admitted
        self.deadline = deadline
        self.input_left = hold.input_tokens_max
        self.output_left = hold.output_tokens_max
        self.asked: Model | None = None
        """The model that was asked last; None while nothing was sent to a provider."""
        self.is_empty = False
        """Whether what is answered holds no message of the model, so that it is free."""
        self.is_relay = False
        """Whether the caller wrote the request to the model, and so may see what the provider has against it."""
        self.error: CallError | None = None
        """The last error of a model call: a handler may have wrapped it in one of its library's."""
        self.streams: set[Finished] = set()
        """The streams under way."""
        self._asking: set[asyncio.Task[Any]] = set()
        self._is_closed = False
        self._attempts: list[dict[str, Any]] = []
        self._tokens = [0, 0, 0]
        self._cost_nanodollars = 0
        self._wasted_nanodollars = 0
        self._marks: tuple[Mark, ...] = ()

    # -- What it comes to

    @property
    def spent(self) -> Spent:
        """All that was used so far."""
        attempts = to_json(self._attempts).decode() if self._attempts else "[]"
        read, cached, written = self._tokens
        cost, wasted = self._cost_nanodollars, self._wasted_nanodollars
        marks = tuple(mark for mark in Mark if mark in self._marks) if self._marks else ()
        return Spent(read, cached, written, marks, attempts, "", cost, wasted)

    def seen_cut(self) -> dict[str, Any]:
        """The attempt that was under way when the customer left."""
        seen: dict[str, Any] = {"model": self.asked.name if self.asked else "", "cut": True}
        self._attempts.append(seen)
        return seen

    async def close(self) -> None:
        """End what a handler left under way: what is asked after its call has ended would be paid by nobody."""
        self._is_closed = True
        left = self._asking - {asyncio.current_task()}
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=CLOSE_SECONDS)
        for stream in list(self.streams):
            await stream.finish(None)

    def mark(self, mark: Mark) -> None:
        if mark not in self._marks:
            self._marks = (*self._marks, mark)

    def add(self, model: Model, attempt: dict[str, Any], usage: Usage, *, is_wasted: bool = False) -> None:
        """Add what one model call used to the sum, and to its attempt."""
        read, cached, written = usage
        cost = 0 if model.price is None else cost_nanodollars(model.price, read, cached, written)
        attempt.update(input_tokens=read, cached_tokens=cached, output_tokens=written, cost_nanodollars=cost)
        if not _is_frozen_in(self.admitted.hold, model.price):
            attempt["price"] = model.price  # of another model than the row's
        self._cost_nanodollars += cost
        if is_wasted:
            attempt["wasted"] = True
            self._wasted_nanodollars += cost
            return
        tokens = self._tokens
        tokens[0] += read
        tokens[1] += cached
        tokens[2] += written

    def estimate(self, question: Question, text_bytes: int, output_tokens_max: int) -> Usage:
        """The stated estimate, for an answer whose usage was not reported."""
        self.mark(Mark.ESTIMATED)
        read = min(estimated_tokens(question.input_tokens_max - FRAME_TOKENS), question.input_tokens_max)
        return Usage(max(read, 0), 0, min(estimated_tokens(text_bytes), output_tokens_max))

    # -- Asking

    def reserve(self, question: Question) -> int:
        """Hold the worst case of a question against what is left; the output tokens that its answer may have.

        Raises:
            CallTooLarge: it no longer fits. It was not sent.
        """
        wanted, answers = question.output_tokens_wanted, question.answers
        plan_max = self.admitted.standing.plan.max_output_tokens
        output_max = plan_max if wanted is None else min(wanted, plan_max)
        output_max = min(output_max, self.output_left // answers)
        if question.input_tokens_max > self.input_left or (output_max < 1 and wanted != 0):
            self.error = CallTooLarge(
                f"This call has room for {self.input_left:,} more tokens of input and {self.output_left:,} of output, "
                f"and the next question to the model can have {question.input_tokens_max:,}. Send less."
            )
            raise self.error
        self.input_left -= question.input_tokens_max
        self.output_left -= output_max * answers
        return output_max

    def release(self, question: Question, output_tokens_max: int, used: Usage | None) -> None:
        """Give back what a question held and did not use."""
        read, written = (used.input_tokens, used.output_tokens) if used else (0, 0)
        self.input_left += question.input_tokens_max - read
        self.output_left += output_tokens_max * question.answers - written

    async def ask(self, question: Question) -> Answer:
        """One whole answer of the first model that gives one.

        Raises:
            CallTooLarge: the question no longer fits into the hold.
            RequestRefused: the provider says that the request itself is wrong.
            UpstreamError: no model gave an answer.
        """
        output_max = self.reserve(question)
        used: Usage | None = None

        def take(attempt: Attempt, seen: dict[str, Any]) -> Answer | None:
            nonlocal used
            assert attempt.reply is not None
            completion = question.dialect.read(attempt.reply.body)
            used = completion.usage
            if not completion.is_whole:
                if used is not None:
                    self.add(attempt.model, seen, used, is_wasted=True)
                return None
            if used is None and (completion.has_message or not question.dialect.is_streamed):
                used = self.estimate(question, completion.text_bytes, output_max)
            if used is not None:
                self.add(attempt.model, seen, used)
            return Answer(attempt.reply, completion)

        try:
            return await self._first(question, output_max, take, is_stream=False)
        finally:
            self.release(question, output_max, used)

    async def open(self, question: Question, output_tokens_max: int) -> Opened:
        """The first model that begins to stream. The caller has reserved, and will release.

        Raises:
            RequestRefused: the provider says that the request itself is wrong.
            UpstreamError: no model began to answer.
        """

        def take(attempt: Attempt, seen: dict[str, Any]) -> Opened:
            assert attempt.stream is not None
            return Opened(attempt.model, attempt.stream, attempt.piece, seen)

        return await self._first(question, output_tokens_max, take, is_stream=True)

    async def _first(
        self,
        question: Question,
        output_max: int,
        take: Callable[[Attempt, dict[str, Any]], Taken | None],
        *,
        is_stream: bool,
    ) -> Taken:
        """What is taken of the first attempt that was answered with a 200 and can be read.

        Raises:
            CallError: why the last attempt failed.
        """
        task = asyncio.current_task()
        assert task is not None
        if self._is_closed:
            raise CallTooLarge("This call has ended, and asks nothing more.")
        self._asking.add(task)
        try:
            return await self._ask_each(question, output_max, take, is_stream=is_stream)
        finally:
            self._asking.discard(task)

    async def _ask_each(
        self,
        question: Question,
        output_max: int,
        take: Callable[[Attempt, dict[str, Any]], Taken | None],
        *,
        is_stream: bool,
    ) -> Taken:
        error: CallError = UpstreamFailed(UNREADABLE)
        dialect = question.dialect
        for model in question.models:
            body = dialect.body(question.request, model.name, output_max, stream=is_stream)
            tries = 0
            while True:
                tries += 1
                attempt = await self._try(model, dialect.path, body, is_stream=is_stream)
                seen = self._note(attempt)
                if attempt.is_ok:
                    taken = take(attempt, seen)
                    if taken is not None:
                        return taken
                    error = UpstreamFailed(UNREADABLE)
                    break
                error = _error_of(attempt)
                pause = _pause_before_retry(attempt, tries)
                is_last = tries > self.service.upstream_retries_max
                if is_last or pause is None or monotonic() + pause >= self.deadline:
                    break
                await asyncio.sleep(pause)
            if isinstance(error, RequestRefused) or monotonic() >= self.deadline:
                break
        log.warning("call %s: %s", self.admitted.hold.call_id, self._attempts)
        self.error = error
        raise error

    async def _try(self, model: Model, path: str, body: bytes, *, is_stream: bool) -> Attempt:
        started = monotonic()
        if not model.breaker.may_try(started):
            wait = max(model.breaker.retry_after(started), 1)
            resting = UpstreamBusy("The model is out of order. Try again later.", retry_after_seconds=wait)
            return Attempt(model, started, error=resting)
        self.asked = model
        seconds_max = max(self.deadline - started, 0.001)
        try:
            if not is_stream:
                reply = await model.upstream.send(path, body, seconds_max)
                attempt = Attempt(model, started, reply)
            else:
                attempt = await _open(model, path, body, seconds_max)
                reply = attempt.reply or Reply(0, {}, b"")
        except UpstreamError as error:
            model.breaker.failed(monotonic())
            return Attempt(model, started, error=error)
        except Exception as error:
            log.exception("the way to the model broke")
            failed = UpstreamFailed(FAILED)
            failed.__cause__ = error
            return Attempt(model, started, error=failed)
        if reply.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            model.breaker.failed(monotonic())
        else:
            model.breaker.succeeded()
        return attempt

    def _note(self, attempt: Attempt) -> dict[str, Any]:
        ms = round((monotonic() - attempt.started) * 1000)
        seen: dict[str, Any] = {"model": attempt.model.name, "ms": ms}
        if attempt.error is not None:
            seen.update(error=attempt.error.code, cause=type(attempt.error.__cause__).__name__)
        elif attempt.reply is not None:
            seen["status"] = attempt.reply.status
        self._attempts.append(seen)
        return seen


def _is_frozen_in(hold: Hold, price: Price | None) -> bool:
    """As `hold.price == price`, on the way of every call."""
    if price is None:
        return hold.price_input_per_mtok is None
    return (
        price.input_per_mtok == hold.price_input_per_mtok
        and price.output_per_mtok == hold.price_output_per_mtok
        and price.cached_per_mtok == hold.price_cached_per_mtok
    )


async def _open(model: Model, path: str, body: bytes, seconds_max: float) -> Attempt:
    """Open a stream as far as its first piece: until then, another model may still be asked.

    A model may think for long before it says anything, so the wait is bounded by the deadline alone.
    """
    started = monotonic()
    stream = await model.upstream.stream(path, body, seconds_max)
    try:
        if stream.status != HTTPStatus.OK:
            reply = Reply(stream.status, stream.headers, await _read_bounded(stream))
            await stream.close()
            return Attempt(model, started, reply)
        piece = await stream.read()
    except BaseException:
        await stream.close()
        raise
    if not piece:
        await stream.close()
        raise UpstreamFailed(UNREADABLE)
    return Attempt(model, started, Reply(stream.status, stream.headers, b""), stream=stream, piece=piece)


def silent() -> UpstreamTimeout:
    """The error of a provider that began to answer, or did not even that, and then said nothing more."""
    return UpstreamTimeout("The model fell silent. Try again.", retry_after_seconds=1)


async def _read_bounded(stream: Streamed) -> bytes:
    found = b""
    while len(found) < ERROR_BYTES_MAX and (piece := await stream.read()):
        found += piece
    return found


def _error_of(attempt: Attempt) -> CallError:
    if attempt.error is not None:
        return attempt.error
    reply = attempt.reply
    assert reply is not None
    if reply.status in BUSY_STATUSES:
        wait = _retry_after(reply) or BUSY_SECONDS
        return UpstreamBusy("The model is busy. Nothing was charged; try again.", retry_after_seconds=wait)
    if reply.status in REFUSED_STATUSES:
        return _refusal(reply)
    return UpstreamFailed(FAILED)


def _refusal(reply: Reply) -> CallError:
    """What the provider has against the request, in its own words: they are about the caller's fields."""
    try:
        said = from_json(reply.body)
    except ValueError:
        said = None
    error = said.get("error") if isinstance(said, dict) else None
    message = error.get("message") if isinstance(error, dict) else None
    param = error.get("param") if isinstance(error, dict) else None
    if not isinstance(message, str) or not message:
        return UpstreamFailed(FAILED)
    return RequestRefused(
        f"The model's provider refuses this request: {message[:REFUSAL_CHARS_MAX]}",
        param=param if isinstance(param, str) else None,
    )


def _pause_before_retry(attempt: Attempt, tries: int) -> float | None:
    """Seconds to wait before the provider is asked again, or None where that cannot help."""
    if attempt.reply is not None and attempt.error is None:
        if attempt.reply.status not in RETRIED_STATUSES:
            return None
        told = _retry_after(attempt.reply)
        if told is not None:
            return float(told)
    elif not isinstance(attempt.error, UpstreamFailed):
        return None
    jitter = 1 + random.random()  # noqa: S311  # not a secret
    return float(BACKOFF_SECONDS * 2 ** (tries - 1) * jitter)


def _retry_after(reply: Reply) -> int | None:
    told = reply.headers.get("retry-after", "")
    return min(max(int(told), 1), BUSY_SECONDS_MAX) if told.isascii() and told.isdigit() else None
