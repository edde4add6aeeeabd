"""An item that waits for the ledger, who waits for its result, and what becomes of it where it waits for long."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from farebox.store.batch import Finish, Item

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
