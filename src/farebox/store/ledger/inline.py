"""A lone call's transaction on the event loop's own thread: to hand it to another and back costs a tenth of a call.

Meanwhile the loop does nothing else, so this waits for nobody, and rests where the disk is slow (decision 23).
"""

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Any, Final

from farebox.domain.admission import Admitted, Ask
from farebox.domain.plan import Plan
from farebox.domain.remedies import ONLINE, Remedies
from farebox.store.database import Database, give_up
from farebox.store.filelock import FileLock
from farebox.store.ledger import late_flush
from farebox.store.ledger.batch import Item, Result, run
from farebox.store.ledger.late_flush import LateFlush
from farebox.store.ledger.statements import SqliteStatements

log = logging.getLogger("farebox.ledger")

SLOW_SECONDS: Final = 0.005
REST_TIMES: Final = 50  # as long as a slow transaction took: then a slow disk stops the loop for a fiftieth of the time
REST_SECONDS: Final = 10.0


class CommitLost(Exception):
    """The commit failed, and what it had decided may be on the disk all the same."""

    def __init__(self, result: Result) -> None:
        super().__init__()
        self.result = result


class InlineLedger:
    """Decides one item and commits it, on a connection of its own to SQLite. For one thread.

    Args:
        lock: of the database; it is entered only where nobody has it.
    """

    def __init__(
        self, database: Database, lock: FileLock, plans: Mapping[str, Plan], remedies: Remedies = ONLINE
    ) -> None:
        self._database = database
        self._lock = lock
        self._plans = plans
        self._remedies = remedies
        self._statements = SqliteStatements()
        self._connection: Any = None
        self._commit_flushes: bool | None = True  # as every connection does at first; None where it is not known
        self.late_flush = LateFlush(database)
        self._rests_until = 0.0

    def run(self, item: Item) -> Result:
        """What the item comes to, once it is committed; None where nothing was done, and another way is to be taken.

        A hold is on the disk a moment later, all else at once.

        Raises:
            CommitLost: the commit failed.
        """
        began = time.monotonic()
        if began < self._rests_until or self.late_flush.has_failed:
            return None
        try:
            if not self._lock.enter_if_free():
                return None
        except OSError as error:
            log.debug("the ledger's thread is to tell of it: %r", error)
            return None
        try:
            return self._transact(item)
        finally:
            self._lock.leave()
            ended = time.monotonic()
            if ended - began > SLOW_SECONDS:
                self._rests_until = max(self._rests_until, ended + REST_TIMES * (ended - began))

    def _transact(self, item: Item) -> Result:
        result: Result = None
        try:
            connection = self._connection or self._connect()
            cursor = connection.cursor()
            flushes = not (isinstance(item, Ask) and late_flush.IS_POSSIBLE)
            if flushes is not self._commit_flushes:
                self._commit_flushes = None
                # As a script: what a cached statement of this kind did when it was prepared, it does not do again.
                cursor.executescript(f"PRAGMA synchronous = {'FULL' if flushes else 'NORMAL'}")
                self._commit_flushes = flushes
            self._statements.begin(cursor)
            (result,) = run([item], cursor, self._statements, self._plans, self._remedies)
            cursor.execute("COMMIT")  # connection.commit() would have SQLite parse the word each time
        except Exception as error:
            self.close()
            self._rests_until = time.monotonic() + REST_SECONDS
            if result is not None:
                self.late_flush.doubt()
                raise CommitLost(result) from error
            log.debug("the ledger's thread is to try it: %r", error)
            return None
        except BaseException:
            self.close()  # or the next item would find its half of a transaction
            raise
        if flushes:
            self.late_flush.is_paid()
        elif isinstance(result, Admitted):
            self.late_flush.owe()
        return result

    def _connect(self) -> Any:  # noqa: ANN401  # the driver's
        self._connection = self._database.connect(busy_seconds=0)
        self._commit_flushes = True
        return self._connection

    async def end(self) -> None:
        """Flush what is owed, and close."""
        self.late_flush.hurry()
        await asyncio.to_thread(self.late_flush.close)
        self.close()

    def close(self) -> None:
        """Give up the connection, with what it has not committed; the next item opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            give_up(connection)
