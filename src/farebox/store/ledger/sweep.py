"""What a sweep does: end the holds that have outlived their process, forget answers that were kept long enough.

Each step is an item in the ledger's line, so the calls that come meanwhile are decided between two of them.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

from farebox.domain.errors import LedgerUnavailable
from farebox.domain.ledger import NOTHING_SPENT, Hold
from farebox.ports.calls import Recorded
from farebox.store.ledger.batch import Finish, Forget, Item, Overdue

Put = Callable[[Item, float], "asyncio.Future[Any]"]
"""Puts an item in the line, to be done before a moment of monotonic seconds."""

STEP_SECONDS_MAX: Final = 5.0
SWEEP_WAIT_SECONDS_MAX: Final = 2.0  # for a trial of an account that is known to be locked
FORGET_SECONDS_MAX: Final = 10.0  # then the holds have their turn again


async def expire_holds(put: Put) -> int:
    """End all holds whose time is over; how many this process ended."""
    expired, locked = 0, set[str]()
    while True:
        holds: list[Hold] = await put(Overdue(tuple(locked)), time.monotonic() + STEP_SECONDS_MAX)
        until = time.monotonic() + SWEEP_WAIT_SECONDS_MAX
        ended = await asyncio.gather(
            *(put(Finish(hold, "expire", NOTHING_SPENT), until) for hold in holds), return_exceptions=True
        )
        # A hold that was recorded meanwhile, here or by another process, is not this one's.
        count = sum(isinstance(result, Recorded) for result in ended)
        expired += count
        found = {
            hold.account_id for hold, result in zip(holds, ended, strict=True) if isinstance(result, LedgerUnavailable)
        }
        if not count and found <= locked:
            return expired
        locked |= found


async def forget_answers(put: Put) -> bool:
    """Forget what was kept long enough, a few answers at a time; whether there is more when the time is over."""
    began = time.monotonic()
    while (now := time.monotonic()) < began + FORGET_SECONDS_MAX:
        is_more: bool = await put(Forget(), now + STEP_SECONDS_MAX)
        if not is_more:
            return False
        await asyncio.sleep(time.monotonic() - now)  # half of the time is the calls' alone
    return True
