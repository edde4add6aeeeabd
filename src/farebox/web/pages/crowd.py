"""Forms with a password: a few at a time, so that a crowd at the door leaves room for everybody else."""

from collections.abc import Callable
from typing import Final

from anyio import CapacityLimiter, to_thread
from fastapi import Response

AT_ONCE_MAX: Final = 4  # two are hashed, and two are read or written meanwhile


class Crowd:
    """A queue whose waiting requests take no thread, unlike those in the pool of all pages."""

    def __init__(self) -> None:
        self._turns = CapacityLimiter(AT_ONCE_MAX)

    async def in_turn(self, work: Callable[[], Response]) -> Response:
        return await to_thread.run_sync(work, limiter=self._turns)
