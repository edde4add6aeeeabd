"""Places to wait for another service: few, so that one that hangs leaves the threads of pages to everybody else."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

AT_ONCE_MAX: Final = 8  # for each service, of a process's 40 threads for pages
OF_ONE_MAX: Final = 2  # for somebody who pressed twice


class NoPlace(Exception):
    """As many wait for the service already as may."""


class Places:
    """The places to wait for one service. Nobody waits for a place: their thread would wait as well."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._taken: Counter[str] = Counter()

    @contextmanager
    def take(self, who: str = "") -> Iterator[None]:
        """Have a place for a while. Anybody who is named, such as an account, has a few of them at most.

        Raises:
            NoPlace: none is left.
        """
        with self._turn:
            if self._taken.total() >= AT_ONCE_MAX or (who and self._taken[who] >= OF_ONE_MAX):
                raise NoPlace("too many wait for an answer already")
            self._taken[who] += 1
        try:
            yield
        finally:
            with self._turn:
                self._taken[who] -= 1
                self._taken += Counter()  # forget those who have none
