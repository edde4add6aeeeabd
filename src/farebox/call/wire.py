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

CLOSE_SECONDS: Final = 1.0  # for what a handler has left under way to end
OTHER_LOOP: Final = (
    "The model is asked from another event loop than the function's own, as by asyncio.run() or a run_sync() in a "
    "thread, so it was not asked. Await it in the function: `await agent.run(…)`, `await call.ask(…)`."
)
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

    # What is seldom set stands here: a call makes a wire, and each attribute of it costs.
    asks = 0
    """How many questions are with a provider, or were answered by one; what a provider has failed is none."""
    is_empty = False
    """Whether what is answered holds no message of the model, so that it is free."""
    is_relay = False
    """Whether the caller wrote the request to the model, and so may see what the provider has against it."""
    is_handled = False
    """Whether a founder's function has it, which may ask several times at once, and leave what it asked."""
    loop: asyncio.AbstractEventLoop | None = None
    """The event loop of its function, where that is known: no other one can use the connections to the provider."""
    place = ""
    """Where its function is written: file and line."""
    error: CallError | None = None
    """The last error of a model call: a handler may have wrapped it in one of its library's."""
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
        """Add what was asked for, and not waited for: it was paid, so its room is not given back with the rest."""
        seen: dict[str, Any] = {"model": model.name, "cut": True}
        self._attempts.append(seen)
        used = self.estimate(question, 0, output_tokens_max)
        self.add(model, seen, used)
        self.input_left -= used.input_tokens
        self.mark(Mark.CUT)

    async def close(self) -> None:
        """End what a handler left under way: what is asked after its call has ended would be paid by nobody."""
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
        if not _is_frozen_in(self.admitted.hold, price):  # another model's, or one that has more than three figures
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
        """The stated estimate, for answers whose usage was not reported; each may have so many tokens."""
        self.mark(Mark.ESTIMATED)
        read = min(estimated_tokens(question.input_tokens_max - FRAME_TOKENS), question.input_tokens_max)
        return Usage(max(read, 0), 0, min(estimated_tokens(text_bytes), output_tokens_max * question.answers))

    # -- Asking

    def reserve(self, question: Question) -> int:
        """Hold the worst case of a question against what is left; the output tokens that its answer may have.

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
        """The first model that begins to stream. The caller has reserved, and will release.

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
        """As `_first`, for who may leave it behind: it ends with the call."""
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
        """What is taken of the first attempt that was answered with a 200 and can be read.

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
    """As `hold.price == price`, on the way of every call."""
    if price is None:
        return hold.price_input_per_mtok is None
    return (
        price.input_per_mtok == hold.price_input_per_mtok
        and price.output_per_mtok == hold.price_output_per_mtok
        and price.cached_per_mtok == hold.price_cached_per_mtok
        and not price.cache_write_per_mtok
    )
