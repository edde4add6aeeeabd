"""When to look for work beside the calls: whenever it is said that there is some, and now and then by itself."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from farebox.domain.errors import CallError

RETRY_SECONDS: Final = 5.0
NOTE_TRIES: Final = 30
NOTE_WAIT_SECONDS: Final = 1.0
DOUBLINGS_MAX: Final = 20
CLEAN_SECONDS: Final = 900.0
PAUSE_SECONDS: Final = 0.05  # longer than a portion mostly takes: most calls come between two of them


def wait_seconds(tries: int, first_seconds: float, most_seconds: float) -> float:
    """How long what has failed so many times is to wait: twice as long each time."""
    return min(first_seconds * 2.0 ** min(tries - 1, DOUBLINGS_MAX), most_seconds)


def note_surely(note: Callable[[], None], what: str, is_ending: threading.Event, log: logging.Logger) -> None:
    """Have it noted that something was done, even if the database is away for some seconds: else it is done again.

    Args:
        note: notes it.
        what: was done, as the log tells it where it cannot be noted.
        is_ending: whether the process ends, which does not wait for long.
        log: where that is told.
    """
    for _ in range(NOTE_TRIES):
        try:
            note()
        except CallError as error:
            log.warning("%s is not noted yet: %s", what, error.detail)
            is_ending.wait(NOTE_WAIT_SECONDS)
        else:
            return


class Cleaning:
    """Has forgotten what has had its time, every 15 minutes: a portion a round, so that other work goes on meanwhile.

    Args:
        forget: a portion; whether there may be more.
        first_seconds: until the first one.
    """

    def __init__(self, forget: Callable[[], bool], first_seconds: float = 0.0) -> None:
        self._forget = forget
        self._due_at = time.monotonic() + first_seconds

    def wait_seconds(self, look_seconds: float) -> float:
        """Until the next round: earlier than it would be, if a portion is due."""
        return min(self._due_at - time.monotonic(), look_seconds)

    def go_on(self) -> None:
        """Have a portion forgotten, if it is time for one."""
        if time.monotonic() >= self._due_at:
            self._due_at = time.monotonic() + (PAUSE_SECONDS if self._forget() else CLEAN_SECONDS)


class Rounds:
    """The rounds of one process over one kind of work. Accounts that are marked are given to the next look.

    Args:
        gather_seconds: how long a round waits for more marks, once there is one.
    """

    def __init__(self, log: logging.Logger, gather_seconds: float = 0.0) -> None:
        self._log = log
        self._gather_seconds = gather_seconds
        self._marked: set[str] = set()
        self._woken = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def wake(self) -> None:
        """Have a look taken now; may be called from any thread."""
        self._on_loop(self._woken.set)

    def soon(self, account_id: str) -> None:
        """Have an account looked at; may be called from any thread."""
        self._on_loop(lambda: self.mark(account_id))

    def mark(self, account_id: str) -> None:
        """The same, to be called on the event loop, where calls run: it costs next to nothing."""
        self._marked.add(account_id)
        self._woken.set()

    def _on_loop(self, what: Callable[[], None]) -> None:
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop has ended, and so has the process
                self._loop.call_soon_threadsafe(what)

    async def run(self, look: Callable[[set[str]], object], seconds: Callable[[], float], what: str) -> None:
        """Look for ever, on another thread; what fails is tried again by the next look.

        Args:
            look: takes the accounts that were marked since the last one; where it fails, they are marked again.
            seconds: until it looks by itself.
            what: the work, as the log names it.
        """
        self._loop = asyncio.get_running_loop()
        while True:
            self._woken.clear()
            marked, self._marked = self._marked, set()
            is_done = False
            try:
                await asyncio.to_thread(look, marked)
                is_done = True
            except CallError as error:
                self._log.warning("%s has to wait: %s", what, error.detail)
            except Exception:  # noqa: BLE001  # it is logged, and tried again
                self._log.exception("%s failed", what)
            wait_seconds = max(seconds(), 0.0)
            if not is_done:
                self._marked |= marked
                wait_seconds = min(wait_seconds, RETRY_SECONDS) or RETRY_SECONDS
            with suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), wait_seconds)
            await asyncio.sleep(self._gather_seconds)
