"""Do the work of a call: ask the model. Whatever the work or the provider does, the call gets an ending."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any, Final, TypeVar, cast

from farebox.call.attempt import FAILED
from farebox.call.wire import Wire
from farebox.domain.dialects.base import IMAGE_TOKENS_MAX
from farebox.domain.errors import (
    CallError,
    CallTooLarge,
    InternalError,
    RequestRefused,
    UpstreamError,
    UpstreamFailed,
    UpstreamNoMessage,
    UpstreamTimeout,
)
from farebox.domain.ledger import Ending, Mark
from farebox.domain.money import divide_up

log = logging.getLogger("farebox.call")

CARRIED: Final = "farebox.error"
"""The name of the response extension in which an OpenAI client gets the CallError itself."""
CAUSES_MAX: Final = 100
LAST_SECONDS: Final = 0.2
"""How long past its deadline a call may take. A question to a model has the same deadline and should time out first:
that is the provider's failure, costs nothing, and is told to the breaker."""

Result = TypeVar("Result")
Content = Any
"""The result of the work; only the caller of `prompt` knows its type."""
Work = Callable[[Wire], Awaitable[Content]]


async def prompt(wire: Wire, work: Work) -> tuple[Content, Ending, CallError | None]:
    """Do the work: its result, how the call ends, and why it failed if it did."""
    try:
        content = await work(wire)
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        # The call itself was not cancelled, but something that its work waited for.
        return None, *ending_of(wire, error)
    except Exception as error:  # noqa: BLE001  # a call that fails has an ending too
        return None, *ending_of(wire, error)
    return content, ending_of_answer(wire), None


async def within_deadline(wire: Wire, work: Awaitable[Result]) -> Result:
    """Await the work, up to the call's deadline. Work that asks a model only once is bounded by that question already.

    Raises:
        UpstreamTimeout: it took longer.
    """
    scope = asyncio.timeout(max(wire.deadline - monotonic(), 0) + LAST_SECONDS)
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


def ending_of(wire: Wire, error: BaseException) -> tuple[Ending, CallError]:
    """How a failed call ends, and what its customer is told."""
    told = _told(wire, error)
    if isinstance(told, UpstreamNoMessage):
        wire.mark(Mark.NO_MESSAGE)
        return "post_free", told
    return "void", told


def out_of_time() -> UpstreamTimeout:
    return UpstreamTimeout("The call took too long. Try again.", retry_after_seconds=1)


def _told(wire: Wire, error: BaseException) -> CallError:
    call_id, found = wire.admitted.hold.call_id, _cause(error)
    cause = found or (wire.error if isinstance(wire.error, UpstreamError | RequestRefused) else None)
    if cause is None:
        log.error("call %s failed", call_id, exc_info=error)
        return InternalError("Something went wrong on our side. Nothing was charged; try again.")
    if found is None:
        log.warning("call %s failed, apparently because the model did", call_id, exc_info=error)
    if isinstance(cause, CallTooLarge) and wire.place:
        raised = "Raise max_input_tokens or max_output_tokens of its decorator"
        log.warning("%s: %s %s%s.", wire.place, cause.detail, raised, _input_needed(wire))
    if isinstance(cause, RequestRefused) and not wire.is_relay and cause is wire.error:
        log.warning("call %s: %s", call_id, cause.detail)
        return UpstreamFailed(FAILED)
    return cause


def _input_needed(wire: Wire) -> str:
    """The bound with which the question would have fitted, as the founder writes it, rounded up."""
    if not wire.input_lacking:
        return ""
    most = wire.admitted.hold.input_tokens_max + wire.input_lacking
    step = 10_000 if most > 10_000 else 1_000  # noqa: PLR2004  # round figures
    picture = f" (each picture counts for {IMAGE_TOKENS_MAX:,})" if most > IMAGE_TOKENS_MAX else ""
    return f": max_input_tokens={divide_up(most, step) * step:_} has room for this question{picture}"


def _cause(error: BaseException) -> CallError | None:
    """Our own error, if a library between the handler and the model has wrapped it in one of its own."""
    queue, seen = [error], 0
    while seen < len(queue) < CAUSES_MAX:
        found = queue[seen]
        seen += 1
        if isinstance(found, CallError):
            return found
        carried = getattr(getattr(found, "response", None), "extensions", None) or {}
        if isinstance(carried.get(CARRIED), CallError):
            return cast("CallError", carried[CARRIED])
        if isinstance(found, BaseExceptionGroup):
            queue.extend(found.exceptions)
        if found.__cause__ is not None:
            queue.append(found.__cause__)
    return None
