"""Hashes of passwords: argon2id, a few at a time."""

import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from farebox.domain.people import Busy

# OWASP's second choice of parameters for argon2id: 19 MiB, two passes, one lane.
MEMORY_KIB: Final = 19_456
PASSES: Final = 2
AT_ONCE_MAX: Final = 2
WAIT_SECONDS_MAX: Final = 10.0
RETRY_SECONDS: Final = 5
NICENESS: Final = 5
Result = TypeVar("Result")


class Argon2Passwords:
    """The port `Passwords`. Two threads of its own do the work; callers wait a moment for a turn.

    On the threads of the pages, the allocator would keep the memory of one hash for each of them.
    """

    def __init__(self, wait_seconds_max: float = WAIT_SECONDS_MAX) -> None:
        self._hasher = PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=1)
        self._threads = ThreadPoolExecutor(AT_ONCE_MAX, "farebox-passwords", _step_back)
        self._wait_seconds_max = wait_seconds_max
        # The hash of nobody's password, made like all others, so that comparing with it takes as long.
        self._dummy = self.hash("nobody has this password")

    def hash(self, password: str) -> str:
        return self._in_turn(lambda: self._hasher.hash(_bytes(password)))

    def check(self, password_hash: str | None, password: str) -> bool:
        is_it = self._in_turn(lambda: self._verify(password_hash or self._dummy, password))
        return is_it and password_hash is not None

    def is_outdated(self, password_hash: str) -> bool:
        return self._hasher.check_needs_rehash(password_hash)

    def _verify(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, _bytes(password))
        except (VerificationError, InvalidHashError):  # a hash that is damaged lets nobody in
            return False

    def _in_turn(self, work: Callable[[], Result]) -> Result:
        doing = self._threads.submit(work)
        try:
            return doing.result(self._wait_seconds_max)
        except TimeoutError:
            if not doing.cancel():  # it has begun
                return doing.result()
        raise Busy("Many people log in right now. Try again in a moment.", retry_after_seconds=RETRY_SECONDS)


def _step_back() -> None:
    """Lower the priority of this thread: calls under way go first."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


def _bytes(password: str) -> bytes:
    return password.encode("utf-8", "surrogatepass")
