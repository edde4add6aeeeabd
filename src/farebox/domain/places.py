"""Places to wait for another service: few, so that one that hangs leaves the threads of pages to everybody else."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

AT_ONCE_MAX: Final = 10  # for each service, of a process's 40 threads for pages
OF_ONE_MAX: Final = 2  # for somebody who pressed twice
# A service that answers frees places so soon that a few who come together had better wait than press again.
QUEUE_MAX: Final = 6
QUEUE_SECONDS: Final = 1.0


class NoPlace(Exception):
    """As many wait for the service already as may."""


class Places:
    """The places to wait for one service."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._taken: Counter[str] = Counter()
        self._queued: Counter[str] = Counter()

    @contextmanager
    def take(self, who: str = "") -> Iterator[None]:
        """Have a place for a while. Anybody who is named, such as an account, has a few of them at most.

        Raises:
            NoPlace: none is left.
        """
        with self._changed:
            # Those who queue count: one account would fill the queue, and a place that it is refused wakes nobody else.
            if who and self._taken[who] + self._queued[who] >= OF_ONE_MAX:
                raise NoPlace("one account waits for several answers already")
            if not self._has_room():
                self._queue(who)
            self._taken[who] += 1
        try:
            yield
        finally:
            with self._changed:
                self._taken[who] -= 1
                self._taken += Counter()  # forget those who have none
                self._changed.notify()

    def _has_room(self) -> bool:
        return self._taken.total() < AT_ONCE_MAX

    def _queue(self, who: str) -> None:
        if self._queued.total() >= QUEUE_MAX:
            raise NoPlace("too many wait for an answer already")
        self._queued[who] += 1
        try:
            if not self._changed.wait_for(self._has_room, QUEUE_SECONDS):
                raise NoPlace("too many waited for an answer all the while")
        finally:
            self._queued[who] -= 1
            self._queued += Counter()  # forget those who have none
