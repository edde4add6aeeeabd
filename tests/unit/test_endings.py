"""Whatever the work of a call comes to, and whenever its client leaves, the call has a right ending."""

import asyncio
from collections.abc import Awaitable
from dataclasses import replace
from time import monotonic
from types import SimpleNamespace
from typing import Any, Final

import pytest

from farebox import Call
from farebox.call.metered import MeteredStream
from farebox.call.prompt import prompt, within_deadline
from farebox.call.record import RECORD_SECONDS, record
from farebox.call.service import CallRequest
from farebox.call.stream import Listener, pass_on
from farebox.call.wire import Question, Wire
from farebox.domain.admission import Standing
from farebox.domain.apikey import ApiKey
from farebox.domain.breaker import Breaker
from farebox.domain.dialects import CHAT
from farebox.domain.errors import CallError, InternalError, UpstreamBusy, UpstreamFailed, UpstreamTimeout
from farebox.domain.ledger import Ending, Hold, Mark, Spent, end_hold
from farebox.ports.calls import Recorded, Reply, Streamed
from farebox.sandbox.model import SandboxStream
from farebox.testing import call
from farebox.web.endpoint import HttpListener
from tests.unit.asking import run

TEXTS: Final = {"messages": [{"role": "user", "content": "Say hello"}]}


class Listening:
    """A listener, who leaves when it is told to."""

    def __init__(self) -> None:
        self.has_begun = self.is_gone = False
        self.heard: list[bytes] = []
        self.leave = asyncio.Event()

    def admitted(self, standing: Standing) -> None:
        del standing

    async def send(self, piece: bytes) -> None:
        self.has_begun = True
        self.heard.append(piece)

    async def end(self, piece: bytes) -> None:
        self.heard.append(piece)

    async def left(self) -> None:
        await self.leave.wait()


class Asking:
    """A streamed call that asks one question, and sends the text of its answer."""

    async def run(self, wire: Wire, listener: Listener) -> None:
        async with MeteredStream(wire, question(wire)) as stream:
            async for _, text in stream:
                if text:
                    await listener.send(text.encode())

    def end(self, receipt: object) -> bytes:
        raise NotImplementedError(receipt)

    def broken(self, error: object, call_id: str) -> bytes:
        raise NotImplementedError(error, call_id)


class Cancelled(Asking):
    """One whose work waits for something that is cancelled."""

    async def run(self, wire: Wire, listener: Listener) -> None:
        del wire, listener
        await a_cancelled_one()


class Telling(Asking):
    """One that says something of its own, and asks nobody."""

    async def run(self, wire: Wire, listener: Listener) -> None:
        del wire
        await listener.send(b"Our own words.")
        await asyncio.sleep(60)


class TellingFirst(Asking):
    """One that says something of its own before it asks."""

    async def run(self, wire: Wire, listener: Listener) -> None:
        await listener.send(b"Our own words.")
        await super().run(wire, listener)


def question(wire: Wire) -> Question:
    return Question(CHAT, TEXTS, wire.service.models["live"], 40)


async def a_cancelled_one() -> None:
    task = asyncio.create_task(asyncio.sleep(60))
    task.cancel()
    await task


def upstream_of(made: Call) -> Any:  # noqa: ANN401  # a stand-in for one
    return made._wire.service.models["live"][0].upstream


# -- What the work waited for is cancelled


def test_work_that_waits_for_what_is_cancelled_has_failed() -> None:
    async def work(wire: Wire) -> None:
        del wire
        await a_cancelled_one()

    content, ending, error = run(prompt(call()._wire, work))
    assert (content, ending, type(error)) == (None, "void", InternalError)


def test_a_stream_whose_work_waits_for_what_is_cancelled_has_failed_and_was_not_late() -> None:
    async def scene() -> Any:  # noqa: ANN401  # a Passed
        return await pass_on(call()._wire, Cancelled(), Listening())

    passed = run(scene())
    assert (passed.ending, type(passed.error), passed.has_left) == ("void", InternalError, False)


def test_a_call_that_is_cancelled_itself_ends_at_once() -> None:
    async def work(wire: Wire) -> None:
        del wire
        await asyncio.sleep(60)

    async def scene() -> None:
        task = asyncio.create_task(_awaited(prompt(call()._wire, work)))
        await asyncio.sleep(0)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        run(scene())


async def _awaited(work: Awaitable[Any]) -> Any:  # noqa: ANN401
    return await work


# -- The client leaves


def test_who_leaves_while_a_failed_model_is_waited_for_pays_nothing_and_no_try_is_made_up() -> None:
    made = call()
    wire = made._wire
    wire.service = replace(wire.service, upstream_retries_max=2)

    async def scene() -> tuple[Any, int]:
        asked, listener = 0, Listening()

        async def busy(path: str, body: bytes, seconds_max: float) -> Streamed:
            nonlocal asked
            del path, body, seconds_max
            asked += 1
            asyncio.get_running_loop().call_later(0.01, listener.leave.set)
            return SandboxStream(429, {"retry-after": "20"}, iter([b"{}"]))

        upstream_of(made).stream = busy
        return await pass_on(wire, Asking(), listener), asked

    passed, asked = run(scene())
    assert (passed.ending, passed.has_left, asked) == ("void", True, 1)
    assert (wire.spent.input_tokens, wire.spent.cost_nanodollars, wire.spent.marks) == (0, 0, ())
    assert wire.spent.attempts.count('"model"') == 1


def test_who_leaves_before_the_first_piece_pays_for_what_was_asked() -> None:
    made = call()
    wire = made._wire

    async def scene() -> Any:  # noqa: ANN401  # a Passed
        listener = Listening()

        async def silent(path: str, body: bytes, seconds_max: float) -> Streamed:
            del path, body
            listener.leave.set()
            await asyncio.sleep(seconds_max)
            raise AssertionError("it is left before")

        upstream_of(made).stream = silent
        return await pass_on(wire, Asking(), listener)

    passed = run(scene())
    assert (passed.ending, passed.has_left) == ("post", True)
    assert (wire.spent.input_tokens, wire.spent.output_tokens) == (6, 0)
    assert wire.spent.marks == (Mark.CUT, Mark.ESTIMATED)


def test_who_cannot_be_sent_to_any_more_has_left_and_pays_for_what_came() -> None:
    sent: list[object] = []

    async def send(message: Any) -> None:  # noqa: ANN401  # ASGI's
        sent.append(message)
        if len(sent) > 2:
            raise RuntimeError("the handler is closed")

    async def receive() -> Any:  # noqa: ANN401  # nobody tells that the client has gone
        await asyncio.Event().wait()

    made = call()

    async def scene() -> Any:  # noqa: ANN401  # a Passed
        listener = HttpListener("req_1", receive, send)
        passed = await pass_on(made._wire, Asking(), listener)
        await listener.end(b"")
        return passed

    passed = run(scene())
    assert (passed.ending, passed.error, passed.has_left) == ("post", None, True)
    assert Mark.CUT in made.spent.marks
    assert made.spent.output_tokens > 0


def test_who_leaves_after_words_that_no_model_was_asked_for_pays_for_them() -> None:
    wire = call()._wire

    async def scene() -> Any:  # noqa: ANN401  # a Passed
        listener = Listening()
        listener.leave.set()
        return await pass_on(wire, Telling(), listener)

    passed = run(scene())
    assert (passed.ending, passed.has_left, wire.spent.marks) == ("post", True, (Mark.CUT,))


# -- The model is silent


def test_words_before_a_model_that_then_says_nothing_are_free() -> None:
    made = call()

    async def scene() -> Any:  # noqa: ANN401  # a Passed
        upstream_of(made).stream = broken
        return await pass_on(made._wire, TellingFirst(), Listening())

    async def broken(path: str, body: bytes, seconds_max: float) -> Streamed:
        del path, body, seconds_max
        raise UpstreamFailed("It is away.")

    passed = run(scene())
    assert (passed.ending, type(passed.error), made.spent.marks) == ("void", UpstreamFailed, ())


@pytest.mark.parametrize("is_stream", [True, False])
@pytest.mark.parametrize(("call_seconds_max", "is_left_alone"), [(0.05, True), (30, False)])
def test_a_model_that_is_silent_until_the_deadline_costs_nothing_and_is_left_alone_if_it_had_its_time(
    is_stream: bool,  # noqa: FBT001
    call_seconds_max: float,
    is_left_alone: bool,  # noqa: FBT001
) -> None:
    made = call()
    wire = made._wire
    [model] = wire.service.models["live"]
    breaker = Breaker(1, 60)
    models = (model._replace(breaker=breaker),)
    wire.service = replace(wire.service, models={"live": models, "test": models}, call_seconds_max=call_seconds_max)

    async def silent(path: str, body: bytes, seconds_max: float) -> Any:  # noqa: ANN401  # never anything
        del path, body
        await asyncio.sleep(seconds_max + 0.005)  # a timer may be a little late
        raise UpstreamTimeout("Too late.", retry_after_seconds=1)

    async def scene() -> tuple[str, Any]:
        upstream_of(made).stream = upstream_of(made).send = silent
        wire.deadline = monotonic() + 0.05
        if is_stream:
            passed = await pass_on(wire, Asking(), Listening())
            return passed.ending, passed.error
        return (await prompt(wire, lambda wire: within_deadline(wire, wire.ask(question(wire)))))[1:]

    ending, error = run(scene())
    assert (ending, type(error)) == ("void", UpstreamTimeout)
    assert (wire.spent.input_tokens, wire.spent.marks) == (0, ())
    assert breaker.is_open == is_left_alone


def test_a_pause_that_is_longer_than_the_call_has_is_not_waited_for() -> None:
    made = call()
    wire = made._wire
    wire.service = replace(wire.service, upstream_retries_max=2)
    asked: list[str] = []

    async def busy(path: str, body: bytes, seconds_max: float) -> Reply:
        del body, seconds_max
        asked.append(path)
        return Reply(429, {"retry-after": "20"}, b"{}")

    upstream_of(made).send = busy
    wire.deadline = monotonic() + 10
    with pytest.raises(CallError):
        run(wire.ask(question(wire)))
    assert len(asked) == 1


def test_a_provider_that_is_left_alone_is_not_told_as_busy_by_its_own_words(caplog: pytest.LogCaptureFixture) -> None:
    wire = call()._wire
    [model] = wire.service.models["live"]
    breaker = Breaker(2, 60)
    for _ in range(2):
        breaker.failed(monotonic())
    with pytest.raises(UpstreamBusy):
        run(wire.ask(question(wire)._replace(models=(model._replace(breaker=breaker),))))
    assert "'cause': 'not asked for 60 s, after 2 failures (FAREBOX_BREAKER_FAILURES)'" in caplog.text


# -- It is recorded


def test_a_call_that_ends_at_its_deadline_still_has_its_time_to_be_recorded() -> None:
    wire = call()._wire
    until: list[float] = []

    async def noted(hold: Hold, ending: Ending, spent: Spent, deadline: float, _: object) -> Recorded:
        until.append(deadline)
        return Recorded(end_hold(hold, ending, spent, 0), None)

    ledger: Any = SimpleNamespace(record=noted)
    wire.service = replace(wire.service, ledger=ledger)
    wire.deadline = monotonic()
    request = CallRequest("req_1", ApiKey("key", "live"), "/v1/x", wire.service.models["live"], 40)
    run(record(wire, request, "post", None, "hello", None))
    assert until[0] >= wire.deadline + RECORD_SECONDS
