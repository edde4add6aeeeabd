"""What a service publishes about itself: kept for an hour, and asked for by one thread at a time."""

import threading
import time
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from farebox.adapters.oauth_http import Strayed

KEPT_SECONDS: Final = 3600.0
FAILED_SECONDS: Final = 10.0
OTHERS_WAIT_SECONDS: Final = 1.0
Published = TypeVar("Published")


class Kept(Generic[Published]):
    """The answer, or that there was none: then it is not asked for again for a while."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._found: Published | None = None
        self._until = 0.0
        self._failed_until = 0.0

    @property
    def now(self) -> Published | None:
        """What need not be asked for."""
        return self._found if time.monotonic() < self._until else None

    def get(self, ask: Callable[[], Published], *, is_new: bool = False) -> Published:
        """The answer; with `is_new`, one that is asked for now.

        Raises:
            Strayed: another thread waits for it, or there was none just now.
            Exception: whatever `ask` raises.
        """
        if not self._turn.acquire(timeout=OTHERS_WAIT_SECONDS):
            raise Strayed("what it publishes is being waited for")
        try:
            found = self.now
            if found is not None and not is_new:
                return found
            if time.monotonic() < self._failed_until:
                raise Strayed("what it publishes did not come just now")
            return self._ask(ask)
        finally:
            self._turn.release()

    def _ask(self, ask: Callable[[], Published]) -> Published:
        try:
            found = ask()
        except Exception:
            self._failed_until = time.monotonic() + FAILED_SECONDS
            raise
        self._found, self._until = found, time.monotonic() + KEPT_SECONDS
        return found
