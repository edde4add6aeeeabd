"""An item that waits for the ledger, who waits for its result, and what becomes of it where it waits for long."""

import asyncio
import queue
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from farebox.store.ledger.batch import Finish, Item

TAKE_BACK_SECONDS: Final = 60.0


@dataclass(slots=True, eq=False)
class Waiting:
    item: Item
    future: "asyncio.Future[Any]"
    until: float  # monotonic seconds: after this its caller has been told no


def is_late(waiting: Waiting, now: float) -> bool:
    return waiting.until < now and not isinstance(waiting.item, Finish)


def void_told(batch: Sequence[Waiting], now: float) -> None:
    """Who was told no, as the database was silent for too long, is not charged for an answer that never went out."""
    for waiting in batch:
        item, future = waiting.item, waiting.future
        is_told = waiting.until < now and future.done() and not future.cancelled()
        if is_told and isinstance(item, Finish) and item.ending == "post":
            waiting.item = Finish(item.hold, "void", item.spent)


def retry_of(waiting: Waiting, now: float, *, is_ending: bool) -> Waiting | None:
    """A record that the database did not take, as it is to be tried again; None where it is not.

    One whose caller is told no is tried for a while longer, as a void, so that nothing stays held for long.
    """
    item = waiting.item
    if not isinstance(item, Finish) or waiting.until > now:
        return waiting if isinstance(item, Finish) else None
    if item.ending != "post" or is_ending:
        return None
    return Waiting(Finish(item.hold, "void", item.spent), waiting.future, now + TAKE_BACK_SECONDS)


class Line:
    """What waits for the ledger's thread, as it came. Any thread may put; that one takes."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Waiting | None] = queue.SimpleQueue()
        self.is_over = False
        """Whether the end was taken; nothing comes after it, but what a void needs."""

    def __len__(self) -> int:
        return self._queue.qsize()

    def put(self, waiting: Waiting) -> None:
        self._queue.put(waiting)

    def end(self) -> None:
        self._queue.put(None)

    def take(self, most: int, seconds_max: float | None) -> list[Waiting]:
        """What waits; where that is nothing, what comes first within the time, for ever without one."""
        try:
            first = self._queue.get(timeout=seconds_max)
        except queue.Empty:
            return []
        self.is_over |= first is None
        return [*([] if first is None else [first]), *self.take_waiting(most - 1)]

    def take_waiting(self, most: int) -> list[Waiting]:
        """What waits at this moment."""
        taken: list[Waiting] = []
        with suppress(queue.Empty):
            while len(taken) < most:
                waiting = self._queue.get_nowait()
                if waiting is None:
                    self.is_over = True
                else:
                    taken.append(waiting)
        return taken

    def drained(self) -> list[Waiting]:
        """What nobody has taken yet; records are put back, since they are to be written all the same."""
        drained: list[Waiting | None] = []
        with suppress(queue.Empty):
            while True:
                drained.append(self._queue.get_nowait())
        for waiting in drained:
            if waiting is None or isinstance(waiting.item, Finish):
                self._queue.put(waiting)
        return [w for w in drained if w is not None]
