"""The meter on the wire: each model call of a paid call passes here, is held against what is left, and is added up."""

import asyncio
import logging
from collections.abc import Callable
from time import monotonic
from typing import Any, Final, NamedTuple, Protocol, Self, TypeVar

from pydantic_core import to_json

from farebox.call.attempt import OK, UNREADABLE, Attempt, error_of, pause_before_retry, try_once
from farebox.call.service import Chain, Model, Service
from farebox.domain.admission import Admitted
from farebox.domain.dialects import Completion, Dialect, Usage, estimated_tokens
from farebox.domain.dialects.base import FRAME_TOKENS, JsonObject
from farebox.domain.errors import CallError, CallTooLarge, RequestRefused, UpstreamFailed
from farebox.domain.ledger import Hold, Mark, Spent
from farebox.domain.prices import Price, cost_nanodollars
from farebox.ports.calls import Reply, Streamed

log = logging.getLogger("farebox.upstream")

CLOSE_SECONDS: Final = 1.0  # how long to wait for the questions that a handler has left under way
OTHER_LOOP: Final = (
    "The model is asked from another event loop than the function's own, as by asyncio.run() or a run_sync() in a "
    "thread, so it was not asked. Await it in the function: `await agent.run(…)`, `await call.ask(…)`."
)
Taken = TypeVar("Taken")


class Question(NamedTuple):
    """One model call to be made: what is asked, of which models, and its worst case.

    The request asks for `answers` answers, each of at most `output_tokens_wanted` tokens; None sets no bound.
    """

    dialect: Dialect
    request: JsonObject
    models: Chain
    input_tokens_max: int
    output_tokens_wanted: int | None = None
    answers: int = 1

    @classmethod
    def of(cls, dialect: Dialect, request: JsonObject, models: Chain, input_tokens_max: int) -> Self:
        """Make a question with the bounds that its request asks for.

        Raises:
            InvalidRequest: a bound is not a whole number in its range.
        """
        wanted, answers = dialect.output_tokens_wanted(request), dialect.answers(request)
        return cls(dialect, request, models, input_tokens_max, wanted, answers)


class Answer(NamedTuple):
    """A whole answer of a model, as bytes and as what they say."""

    reply: Reply
    completion: Completion


class Opened(NamedTuple):
    """A streamed answer that has begun: with its first event, another model can no longer be asked."""

    model: Model
    stream: Streamed
    piece: bytes
    seen: dict[str, Any]


class Finished(Protocol):
    """A stream that can be ended from outside."""

    async def finish(self, error: BaseException | None) -> None: ...


class Wire:
    """What one paid call has used so far, and what its hold can still pay for."""

    # Attributes that are seldom set are the class's: each call makes a wire, and each attribute set on it takes time.
    asks = 0
    """How many questions are with a provider or were answered; those that failed do not count."""
    is_empty = False
    """Whether the answer holds no message of the model, and so is free."""
    is_relay = False
    """Whether the caller wrote the request to the model, and so may see the provider's objection to it."""
    is_handled = False
    """Whether a founder's function uses it, which may ask several questions at once, and abandon them."""
    loop: asyncio.AbstractEventLoop | None = None
    """The event loop of the function, if known: no other loop can use the connections to the provider."""
    place = ""
    """Where the function is written: file and line."""
    input_lacking = 0
    """The tokens of input by which the last question that was refused is beyond the hold."""
    error: CallError | None = None
    """The last error of a model call, kept as a handler's library may wrap it in one of its own."""
    _is_closed = False
    _read_tokens = _cached_tokens = _written_tokens = _cost_nanodollars = _wasted_nanodollars = 0
    _marks: tuple[Mark, ...] = ()

    def __init__(self, service: Service, admitted: Admitted, deadline: float) -> None:
        hold = admitted.hold
        self.service = service
        self.admitted = admitted
        self.deadline = deadline
        self.input_left = hold.input_tokens_max
        self.output_left = hold.output_tokens_max
        self.streams: list[Finished] = []
        """The streams under way."""
        self._asking: list[asyncio.Task[Any]] = []
        self._attempts: list[dict[str, Any]] = []

    # -- What it comes to

    @property
    def spent(self) -> Spent:
        """All that was used so far."""
        attempts = to_json(self._attempts).decode() if self._attempts else "[]"
        marks = tuple(mark for mark in Mark if mark in self._marks) if self._marks else ()
        return Spent(
            self._read_tokens, self._cached_tokens, self._written_tokens, marks, attempts, "",
            self._cost_nanodollars, self._wasted_nanodollars,
        )  # fmt: skip

    def _add_cut(self, question: Question, model: Model, output_tokens_max: int) -> None:
        """Add the estimate of a question that nobody waited for: it costs, so its input is not given back."""
        seen: dict[str, Any] = {"model": model.name, "cut": True}
        self._attempts.append(seen)
        used = self.estimate(question, 0, output_tokens_max)
        self.add(model, seen, used)
        self.input_left -= used.input_tokens
        self.mark(Mark.CUT)

    async def close(self) -> None:
        """End what a handler left under way: nobody would pay for it once the call has ended."""
        self._is_closed = True
        here = asyncio.current_task()
        left = {task for task in self._asking if task is not here}
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
        read, cached, written, cache_written = usage
        price = model.price
        if price is not None and price.tiers:
            price = price.of_input(read)
        cost = 0 if price is None else cost_nanodollars(price, read, cached, written, cache_written)
        attempt["input_tokens"], attempt["cached_tokens"], attempt["output_tokens"] = read, cached, written
        attempt["cost_nanodollars"] = cost
        if cache_written and price is not None and price.cache_write_per_mtok:
            attempt["cache_write_tokens"] = cache_written
        if not _is_frozen_in(self.admitted.hold, price):  # another model's price, or one of more than three figures
            attempt["price"] = price and price[: 4 if price.cache_write_per_mtok else 3]
        self._cost_nanodollars += cost
        if is_wasted:
            attempt["wasted"] = True
            self._wasted_nanodollars += cost
            return
        self._read_tokens += read
        self._cached_tokens += cached
        self._written_tokens += written

    def estimate(self, question: Question, text_bytes: int, output_tokens_max: int) -> Usage:
        """The documented estimate where no usage was reported; each answer may have `output_tokens_max` tokens."""
        self.mark(Mark.ESTIMATED)
        read = min(estimated_tokens(question.input_tokens_max - FRAME_TOKENS), question.input_tokens_max)
        return Usage(max(read, 0), 0, min(estimated_tokens(text_bytes), output_tokens_max * question.answers))

    # -- Asking

    def reserve(self, question: Question) -> int:
        """Take the worst case of a question off what is left; return the output tokens that its answer may have.

        Raises:
            CallTooLarge: it no longer fits. It was not sent.
            RuntimeError: it is asked from another event loop.
        """
        if self.loop is not None and asyncio.get_running_loop() is not self.loop:
            self.error = None
            raise RuntimeError(OTHER_LOOP)
        wanted, answers = question.output_tokens_wanted, question.answers
        plan_max = self.admitted.standing.plan.max_output_tokens
        output_max = plan_max if wanted is None else min(wanted, plan_max)
        output_max = min(output_max, self.output_left // answers)
        if question.input_tokens_max > self.input_left or (output_max < 1 and wanted != 0):
            self.input_lacking = max(question.input_tokens_max - self.input_left, 0)
            self.error = CallTooLarge(
                f"This call may use {self.input_left:,} more tokens of input and {self.output_left:,} of output, "
                f"and its next question to the model may have {question.input_tokens_max:,} of input. Send less."
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
        """Ask model after model, and return the first whole answer.

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
            if used is None and (completion.has_message or question.dialect.stream is None):
                used = self.estimate(question, completion.text_bytes, output_max)
            if used is not None:
                self.add(attempt.model, seen, used)
            return Answer(attempt.reply, completion)

        try:
            if self.is_handled:
                return await self._while_open(question, output_max, take, is_stream=False)
            return await self._first(question, output_max, take, is_stream=False)
        finally:
            self.release(question, output_max, used)

    async def open(self, question: Question, output_tokens_max: int) -> Opened:
        """Ask model after model, and return the first stream that begins. The caller has reserved, and will release.

        Raises:
            RequestRefused: the provider says that the request itself is wrong.
            UpstreamError: no model began to answer.
        """

        def take(attempt: Attempt, seen: dict[str, Any]) -> Opened | None:
            if attempt.stream is None:
                return None
            return Opened(attempt.model, attempt.stream, attempt.piece, seen)

        return await self._while_open(question, output_tokens_max, take, is_stream=True)

    async def _while_open(
        self,
        question: Question,
        output_max: int,
        take: Callable[[Attempt, dict[str, Any]], Taken | None],
        *,
        is_stream: bool,
    ) -> Taken:
        """As `_first`, but ended with the call, as the asker may abandon it."""
        task = asyncio.current_task()
        assert task is not None
        if self._is_closed:
            raise CallTooLarge("This call has ended, and asks nothing more.")
        self._asking.append(task)
        try:
            return await self._first(question, output_max, take, is_stream=is_stream)
        finally:
            self._asking.remove(task)

    async def _first(
        self,
        question: Question,
        output_max: int,
        take: Callable[[Attempt, dict[str, Any]], Taken | None],
        *,
        is_stream: bool,
    ) -> Taken:
        """Ask model after model, and return what `take` makes of the first readable answer with status 200.

        Raises:
            CallError: why the last attempt failed.
        """
        error: CallError | None = None
        dialect = question.dialect
        for model in question.models:
            body = dialect.body(question.request, model.name, output_max, stream=is_stream)
            tries = 0
            while True:
                tries += 1
                self.asks += 1
                try:
                    attempt = await try_once(
                        model, dialect, body, self.deadline,
                        is_stream=is_stream, fair_seconds=self.service.call_seconds_max / 2,
                    )  # fmt: skip
                except asyncio.CancelledError:
                    self._add_cut(question, model, output_max)
                    raise
                seen = self._note(attempt)
                if seen.get("status") == OK:
                    taken = take(attempt, seen)
                    if taken is not None:
                        return taken
                    self.asks -= 1
                    error = UpstreamFailed(UNREADABLE)
                    break
                self.asks -= 1
                error = error_of(attempt)
                pause = pause_before_retry(attempt, tries)
                is_last = tries > self.service.upstream_retries_max
                if is_last or pause is None or monotonic() + pause >= self.deadline:
                    break
                await asyncio.sleep(pause)
            if isinstance(error, RequestRefused) or monotonic() >= self.deadline:
                break
        log.warning("call %s: %s", self.admitted.hold.call_id, self._attempts)
        assert error is not None, "no chain is empty"
        self.error = error
        raise error

    def _note(self, attempt: Attempt) -> dict[str, Any]:
        ms = int((monotonic() - attempt.started) * 1000)
        seen: dict[str, Any] = {"model": attempt.model.name, "ms": ms}
        if attempt.error is not None:
            seen.update(error=attempt.error.code, cause=attempt.unasked or type(attempt.error.__cause__).__name__)
        elif attempt.reply is not None:
            seen["status"] = attempt.reply.status
        self._attempts.append(seen)
        return seen


def _is_frozen_in(hold: Hold, price: Price | None) -> bool:
    """As `hold.price == price`, but faster: every call takes this path."""
    if price is None:
        return hold.price_input_per_mtok is None
    return (
        price.input_per_mtok == hold.price_input_per_mtok
        and price.output_per_mtok == hold.price_output_per_mtok
        and price.cached_per_mtok == hold.price_cached_per_mtok
        and not price.cache_write_per_mtok
    )
