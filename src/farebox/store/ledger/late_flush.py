"""The flush of a lone call's hold, which goes on beside the model's call (decision 32).

The hold is committed before the model is asked, and a killed process leaves it behind. Only a machine that loses its
power within the next milliseconds loses it, with the answer that nobody has got.
"""

import asyncio
import logging
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
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

    def owe(self) -> None:
        """A hold was committed without a flush."""
        if self._log_file is None:
            with suppress(OSError):  # the flush tells of it
                self._open()
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self._begin)

    def is_paid(self) -> None:
        """A commit has flushed the log, with all that was in it."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _begin(self) -> None:
        self._timer = None
        self._thread.submit(self._flush)

    def _flush(self) -> None:
        try:
            if self._log_file is None or os.fstat(self._log_file).st_nlink == 0:  # SQLite deletes it, and makes another
                self._close_file()
                self._open()
            assert self._log_file is not None
            os.fdatasync(self._log_file)
        except OSError:
            log.exception("the disk did not take what was written to %s", self._database.name)
            self._copy()

    def _open(self) -> None:
        """Open the log. Who has it open is told of each error since, whoever else was told too."""
        assert self._database.path is not None
        self._log_file = os.open(sqlite_file.log_of(self._database.path), os.O_RDWR | os.O_CLOEXEC)

    def _close_file(self) -> None:
        file, self._log_file = self._log_file, None
        if file is not None:
            os.close(file)

    def _copy(self) -> None:
        """Copy the log to the database: what the system once failed to write, no other flush would write."""
        try:
            with closing(self._database.connect()) as connection:
                is_busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                if is_busy:
                    raise OSError("others are reading from the log")
        except self._database.outages:
            log.exception("nor was it copied to the database")

    def close(self) -> None:
        """Flush what is owed, and end."""
        if self._timer is not None:
            self._timer.cancel()
            self._begin()
        self._thread.shutdown()
        self._close_file()
