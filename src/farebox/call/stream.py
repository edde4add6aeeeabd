"""Pass a stream on, and end it rightly: at its end, when its listener leaves, when the model breaks off."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable
from time import monotonic
from typing import NamedTuple, Protocol

from farebox.call.prompt import ending_of, ending_of_answer, out_of_time
from farebox.call.record import Receipt
from farebox.call.wire import Wire
from farebox.domain.admission import Standing
from farebox.domain.errors import CallError, UpstreamError
from farebox.domain.ledger import Ending, Mark


class Listener(Protocol):
    """Who a stream goes to."""

    async def begin(self, standing: Standing) -> None:
        """Before the first piece."""
        ...

    def send(self, piece: bytes) -> Awaitable[None]:
        """Done when there is room for more: a slow reader holds the model back."""
        ...

    async def end(self, piece: bytes) -> None:
        """Send the last piece."""
        ...

    async def left(self) -> None:
        """Returns when the listener has gone."""
        ...


class StreamWork(Protocol):
    """What a streamed call does."""

    def pieces(self, wire: Wire) -> AsyncGenerator[bytes]:
        """The answer but for its end."""
        ...

    def end(self, receipt: Receipt) -> bytes:
        """The answer's end, once it is recorded."""
        ...

    def broken(self, error: CallError, call_id: str) -> bytes:
        """What ends a stream that broke off."""
        ...


class Passed(NamedTuple):
    """How a stream went."""

    ending: Ending
    error: CallError | None
    has_begun: bool
    has_left: bool


async def pass_on(wire: Wire, work: StreamWork, listener: Listener) -> Passed:
    """Pass the pieces on until the end, or until nobody listens any more; never raises for what a call can do."""
    has_begun = False
    failed: Exception | None = None
    leaving = _Leaving(listener)
    scope = asyncio.timeout(max(wire.deadline - monotonic(), 0))
    try:
        async with scope:
            leaving.watch(scope)
            async with contextlib.aclosing(work.pieces(wire)) as pieces:
                async for piece in pieces:
                    if not has_begun:
                        has_begun = True
                        await listener.begin(wire.admitted.standing)
                    await listener.send(piece)
    except TimeoutError as error:
        failed = out_of_time() if scope.expired() else error
    except Exception as error:  # noqa: BLE001  # a call that fails has an ending too
        failed = error
    finally:
        leaving.stop()
        await wire.close()
    return _ended(wire, failed, has_begun=has_begun, has_left=leaving.has_left)


def _ended(wire: Wire, failed: Exception | None, *, has_begun: bool, has_left: bool) -> Passed:
    if has_left:
        # What the model wrote until then is paid for; where it was not even asked, nothing is.
        if wire.asked is None:
            return Passed("void", None, has_begun, has_left)
        wire.mark(Mark.CUT)
        return Passed("post", None, has_begun, has_left)
    if failed is None:
        return Passed(ending_of_answer(wire), None, has_begun, has_left)
    ending, error = ending_of(wire, failed)
    if has_begun and isinstance(error, UpstreamError) and wire.spent.output_tokens:
        wire.mark(Mark.CUT)
        ending = "post"
    return Passed(ending, error, has_begun, has_left)


class _Leaving:
    """Ends a stream's scope when its listener leaves."""

    def __init__(self, listener: Listener) -> None:
        self.has_left = False
        self._listener = listener
        self._task: asyncio.Task[None] | None = None

    def watch(self, scope: asyncio.Timeout) -> None:
        self._task = asyncio.create_task(self._wait(scope))

    async def _wait(self, scope: asyncio.Timeout) -> None:
        await self._listener.left()
        self.has_left = True
        with contextlib.suppress(RuntimeError):  # the stream has just ended by itself
            scope.reschedule(asyncio.get_running_loop().time())

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
