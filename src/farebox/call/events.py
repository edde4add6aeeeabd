"""Tell a founder's listeners what happened: beside the calls, never in their way."""

import asyncio
import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from farebox.domain.admission import Standing
from farebox.domain.events import NAME_OF, Event, crossed
from farebox.domain.ledger import Hold, Outcome

log = logging.getLogger("farebox.events")

Listener = Callable[[Any], Any]


class Events:
    """The listeners, by the name of their event. A listener's failure is only logged."""

    def __init__(self, listeners: Mapping[str, Sequence[Listener]]) -> None:
        self._listeners = listeners
        self._tasks: set[asyncio.Task[None]] = set()

    def recorded(self, hold: Hold, outcome: Outcome, standing: Standing) -> None:
        """Emit the events of a call that was recorded."""
        for event in crossed(hold, outcome, standing):
            self.emit(event)

    def emit(self, event: Event) -> None:
        """Start telling the listeners, without waiting for them."""
        for listener in self._listeners.get(NAME_OF[type(event)], ()):
            task = asyncio.create_task(_tell(listener, event))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def drain(self, seconds_max: float) -> None:
        """Wait for the listeners under way, and cancel those that take longer."""
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks, timeout=seconds_max)
        for task in late:
            task.cancel()
        if late:
            log.warning("%d listeners did not end within %g s", len(late), seconds_max)


def takes_one(function: object) -> bool:
    """Whether a function can be called with one argument, such as an event, and with nothing else."""
    if not callable(function):
        return False
    try:
        inspect.signature(function).bind(None)
    except TypeError:
        return False
    except ValueError:  # a built-in without a signature
        return True
    return True


async def _tell(listener: Listener, event: Event) -> None:
    task = asyncio.current_task()
    try:
        if inspect.iscoroutinefunction(listener):
            await listener(event)
        else:
            await asyncio.to_thread(_call, listener, event)
    except BaseException as error:  # as by sys.exit() or argparse: it ends the listener, not the process
        is_cancelled = task is not None and task.cancelling()  # else the listener raised such an error itself
        if is_cancelled and isinstance(error, asyncio.CancelledError | GeneratorExit):
            raise
        log.exception("the listener %s failed", getattr(listener, "__qualname__", listener))


def _call(listener: Listener, event: Event) -> None:
    try:
        listener(event)
    except StopIteration as error:  # as by next(); a future cannot carry it, so its task would never end
        raise RuntimeError("the listener raised StopIteration") from error
