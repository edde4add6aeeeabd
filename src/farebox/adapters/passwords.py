"""Hashes of passwords: argon2id, a few at a time."""

import threading
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

from farebox.domain.people import Busy

# OWASP's second choice of parameters for argon2id: 19 MiB, two passes, one lane.
MEMORY_KIB: Final = 19_456
PASSES: Final = 2
AT_ONCE_MAX: Final = 2
WAIT_SECONDS_MAX: Final = 10.0
RETRY_SECONDS: Final = 5


class Argon2Passwords:
    """The port `Passwords`. Hashing takes memory and a core: two at once, and the others wait a moment."""

    def __init__(self, wait_seconds_max: float = WAIT_SECONDS_MAX) -> None:
        self._hasher = PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=1)
        self._turns = threading.BoundedSemaphore(AT_ONCE_MAX)
        self._wait_seconds_max = wait_seconds_max
        # Of nobody's password, and made as all others are, so that comparing with it is as much work.
        self._dummy = self._hasher.hash("nobody has this password")

    def hash(self, password: str) -> str:
        with _Turn(self._turns, self._wait_seconds_max):
            return self._hasher.hash(_bytes(password))

    def check(self, password_hash: str | None, password: str) -> bool:
        with _Turn(self._turns, self._wait_seconds_max):
            try:
                self._hasher.verify(password_hash or self._dummy, _bytes(password))
            except VerifyMismatchError:
                return False
            except (VerificationError, InvalidHashError):
                return False  # a hash that is damaged lets nobody in
        return password_hash is not None

    def is_outdated(self, password_hash: str) -> bool:
        return self._hasher.check_needs_rehash(password_hash)


class _Turn:
    """One of the few that hash at once."""

    def __init__(self, turns: threading.BoundedSemaphore, seconds_max: float) -> None:
        self._turns = turns
        self._seconds_max = seconds_max

    def __enter__(self) -> None:
        if not self._turns.acquire(timeout=self._seconds_max):
            raise Busy("Many people log in right now. Try again in a moment.", retry_after_seconds=RETRY_SECONDS)

    def __exit__(self, *_: object) -> None:
        self._turns.release()


def _bytes(password: str) -> bytes:
    return password.encode("utf-8", "surrogatepass")
