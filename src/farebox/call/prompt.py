"""Do the work of a call: ask the model. Whatever the work or the provider does, the call gets an ending."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any

from farebox.call.wire import FAILED, Wire
from farebox.domain.errors import (
    CallError,
    InternalError,
    RequestRefused,
    UpstreamError,
    UpstreamFailed,
    UpstreamNoMessage,
    UpstreamTimeout,
)
from farebox.domain.ledger import Ending, Mark

log = logging.getLogger("farebox.call")

Content = Any
"""What the work came to; who gave the work knows what it is."""
Work = Callable[[Wire], Awaitable[Content]]


async def prompt(wire: Wire, work: Work) -> tuple[Content, Ending, CallError | None]:
    """What the work came to, how the call ends, and why it failed if it did."""
    try:
        content = await work(wire)
    except Exception as error:  # noqa: BLE001  # a call that fails has an ending too
        return None, *ending_of(wire, error)
    return content, ending_of_answer(wire), None


async def within_deadline(wire: Wire, work: Awaitable[Content]) -> Content:
    """The work, but no longer than the call may take. What asks the model only once is bounded by that question.

    Raises:
        UpstreamTimeout: it took longer.
    """
    scope = asyncio.timeout(max(wire.deadline - monotonic(), 0))
    try:
        async with scope:
            return await work
    except TimeoutError:
        if not scope.expired():
            raise
        raise out_of_time() from None
    finally:
        await wire.close()


def ending_of_answer(wire: Wire) -> Ending:
    """An answer is paid; one without a message is not."""
    if not wire.is_empty:
        return "post"
    wire.mark(Mark.NO_MESSAGE)
    return "post_free"


def ending_of(wire: Wire, error: Exception) -> tuple[Ending, CallError]:
    """How a call ends that failed, and what its customer is told."""
    told = _told(wire, error)
    if isinstance(told, UpstreamNoMessage):
        wire.mark(Mark.NO_MESSAGE)
        return "post_free", told
    return "void", told


def out_of_time() -> UpstreamTimeout:
    return UpstreamTimeout("The call did not end in time. Try again.", retry_after_seconds=1)


def _told(wire: Wire, error: Exception) -> CallError:
    # A library between the handler and the model wraps what the model's call failed with.
    cause = error if isinstance(error, CallError) else wire.error
    if isinstance(cause, RequestRefused) and not wire.is_relay and cause is wire.error:
        log.warning("call %s: %s", wire.admitted.hold.call_id, cause.detail)
        return UpstreamFailed(FAILED)
    if not isinstance(cause, CallError) or (cause is not error and not isinstance(cause, UpstreamError)):
        log.error("call %s failed", wire.admitted.hold.call_id, exc_info=error)
        return InternalError("Something went wrong on our side. Nothing was charged; try again.")
    return cause
