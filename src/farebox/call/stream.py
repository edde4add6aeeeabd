"""Pass a stream on, and end it rightly: at its end, when its listener leaves, when the model breaks off."""

import asyncio
from time import monotonic
from typing import NamedTuple, Protocol

from farebox.call.prompt import LAST_SECONDS, ending_of, ending_of_answer, out_of_time
from farebox.call.record import Receipt
from farebox.call.wire import Wire
from farebox.domain.admission import Standing
from farebox.domain.errors import CallError, UpstreamError
from farebox.domain.ledger import Ending, Mark


class Listener(Protocol):
    """Who a stream goes to."""

    has_begun: bool
    """Whether anything has gone out."""
    is_gone: bool
    """Whether a piece could not be sent: then nobody listens any more."""

    def admitted(self, standing: Standing) -> None:
        """Take where the caller stands; called before the first piece."""
        ...

    async def send(self, piece: bytes) -> None:
        """Send a piece, and return when there is room for more: a slow reader holds the model back.

        Raises:
            Exception: whatever the server raises where the listener has gone.
        """
        ...

    async def end(self, piece: bytes) -> None:
        """Send the last piece, if anybody still listens."""
        ...

    async def left(self) -> None:
        """Return when the listener has gone."""
        ...


class StreamWork(Protocol):
    """The work of a streamed call."""

    async def run(self, wire: Wire, listener: Listener) -> None:
        """Send the answer, except its end."""
        ...

    def end(self, receipt: Receipt) -> bytes:
        """The answer's end, once it is recorded."""
        ...

    def broken(self, error: CallError, call_id: str) -> bytes:
        """The end of a stream that broke off."""
        ...


class Passed(NamedTuple):
    """How a stream went."""

    ending: Ending
    error: CallError | None
    has_left: bool


async def pass_on(wire: Wire, work: StreamWork, listener: Listener) -> Passed:
    """Pass the answer on until its end, or until nobody listens any more. A failed call is returned, not raised."""
    listener.admitted(wire.admitted.standing)
    # A task of its own, so that each piece wakes up only the work, and not everything that waits for the work.
    passing = asyncio.create_task(work.run(wire, listener))
    leaving = asyncio.create_task(listener.left())
    try:
        seconds_max = max(wire.deadline - monotonic(), 0) + LAST_SECONDS
        await asyncio.wait((passing, leaving), timeout=seconds_max, return_when=asyncio.FIRST_COMPLETED)
        has_left, is_over = leaving.done() or listener.is_gone, passing.done()
    finally:
        leaving.cancel()
        passing.cancel()
        await asyncio.wait((passing,))
        await wire.close()
    failed = _why_cancelled(is_over=is_over) if passing.cancelled() else passing.exception()
    return _ended(wire, failed, has_begun=listener.has_begun, has_left=has_left)


def _why_cancelled(*, is_over: bool) -> BaseException:
    # Work that was over before we cancelled it was cancelled by something that it waited for: it failed by itself.
    return asyncio.CancelledError() if is_over else out_of_time()


def _ended(wire: Wire, failed: BaseException | None, *, has_begun: bool, has_left: bool) -> Passed:
    if has_left:
        # What came until then is paid for; nothing is if no model was asked, or all that were asked have failed.
        if not (wire.asks or has_begun):
            return Passed("void", None, has_left)
        wire.mark(Mark.CUT)
        return Passed("post", None, has_left)
    if failed is None:
        return Passed(ending_of_answer(wire), None, has_left)
    ending, error = ending_of(wire, failed)
    if has_begun and isinstance(error, UpstreamError) and wire.spent.output_tokens:
        wire.mark(Mark.CUT)
        ending = "post"
    return Passed(ending, error, has_left)
