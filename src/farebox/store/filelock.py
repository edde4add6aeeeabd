"""A lock between processes, on a file. Unlike SQLite's busy handler it starves nobody."""

import errno
import os
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Final

RETRY_SECONDS: Final = 0.002

if sys.platform == "win32":
    import msvcrt

    def _lock(file: int) -> None:
        # The kind of lock that waits sleeps for a second between its tries.
        while not _lock_if_free(file):
            time.sleep(RETRY_SECONDS)

    def _lock_if_free(file: int) -> bool:
        os.lseek(file, 0, os.SEEK_SET)
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            if error.errno not in {errno.EACCES, errno.EDEADLK}:
                raise
            return False
        return True

    def _unlock(file: int) -> None:
        os.lseek(file, 0, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_UNLCK, 1)
else:
    import fcntl

    def _lock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_EX)

    def _lock_if_free(file: int) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_UN)


def _leave_to_owner(file: int, of: Path) -> None:
    """Give a lock file that root makes to the database's owner, who could not open it otherwise; as SQLite does."""
    if hasattr(os, "geteuid") and os.geteuid() == 0 and of.exists():
        owner = of.stat()
        os.fchown(file, owner.st_uid, owner.st_gid)


class FileLock:
    """Held by one thread of one process at a time, which may enter it again; freed when its process dies.

    Args:
        path: of the file that is written to in turns. The lock is a file beside it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None
        self._threads = threading.RLock()
        self._depth = 0

    def __enter__(self) -> None:
        self._threads.acquire()
        try:
            if self._depth == 0:
                _lock(self._opened())
            self._depth += 1
        except BaseException:
            self._threads.release()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()

    def enter_if_free(self) -> bool:
        """Enter the lock unless anybody has it; True if it was entered, and then `leave` it later."""
        if not self._threads.acquire(blocking=False):
            return False
        is_in = False
        try:
            is_in = self._depth == 0 and _lock_if_free(self._opened() if self._file is None else self._file)
            self._depth += is_in
        finally:
            if not is_in:
                self._threads.release()
        return is_in

    def leave(self) -> None:
        try:
            self._depth -= 1
            if self._file is not None and self._depth == 0:
                _unlock(self._file)
        finally:
            self._threads.release()

    def _opened(self) -> int:
        if self._file is None:
            self._file = os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT, 0o666)
            _leave_to_owner(self._file, self._path)
        return self._file

    def close(self) -> None:
        """Give the file back; entering the lock again opens it again."""
        with self._threads:
            if self._file is not None:
                os.close(self._file)
                self._file = None
