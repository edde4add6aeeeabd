"""The flush of a lone call's hold, which goes on beside the model's call (decision 32).

The hold is committed before the model is asked, and a killed process leaves it behind. Only a machine that loses its
power within the next milliseconds loses it, with the rest of the answer, which nobody is charged for.
"""

import asyncio
import logging
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Final

from farebox.store import sqlite_file
from farebox.store.database import Database

log = logging.getLogger("farebox.ledger")

FLUSH_SECONDS: Final = 0.002  # a record that comes sooner flushes its hold with it
IS_POSSIBLE: Final = sys.platform == "linux"  # elsewhere an open file keeps errors, or its name, for itself


class LateFlush:
    """Brings to the disk what SQLite's log was given without a flush. For one event loop."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="farebox-flush")
        self._timer: asyncio.TimerHandle | None = None
        self._log_file: int | None = None
        self._owed = self._flushed = 0  # how many holds were committed, and how many of them are on the disk
        self.has_failed = False
        """Whether the log may have a hole on the disk: it is to be copied to the database before the next commit."""

    def owe(self) -> None:
        """A hold was committed without a flush."""
        if self._log_file is None:
            with suppress(OSError):  # the flush tells of it
                self._open()
        self._owed += 1
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self._begin)

    def is_paid(self) -> None:
        """A commit has flushed the log, with all that was in it."""
        self._flushed = self._owed
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def doubt(self) -> None:
        """A commit failed: its flush may have been the one that was told that a hold was not written."""
        if self._flushed < self._owed:
            self.has_failed = True

    def hurry(self) -> None:
        """Begin to flush what is owed; nothing is owed from now on."""
        if self._timer is not None:
            self._timer.cancel()
            self._begin()

    def _begin(self) -> None:
        self._timer = None
        self._thread.submit(self._flush, self._owed)

    def _flush(self, owed: int) -> None:
        try:
            if self._log_file is None or os.fstat(self._log_file).st_nlink == 0:  # SQLite deletes it, and makes another
                self._close_file()
                self._open()
            assert self._log_file is not None
            os.fdatasync(self._log_file)
            self._flushed = max(self._flushed, owed)
        except OSError:
            log.exception("the disk did not take what was written to %s", self._database.name)
            self.has_failed = True

    def _open(self) -> None:
        """Open the log. Who has it open is told of each error since, whoever else was told too."""
        assert self._database.path is not None
        self._log_file = os.open(sqlite_file.log_of(self._database.path), os.O_RDWR | os.O_CLOEXEC)

    def _close_file(self) -> None:
        file, self._log_file = self._log_file, None
        if file is not None:
            os.close(file)

    def close(self) -> None:
        """Wait for what was begun, and end."""
        self._thread.shutdown()
        self._close_file()
