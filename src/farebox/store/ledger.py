"""Group commit: one thread takes everything that waits, runs it as one transaction, and answers all of it.

The busier it gets, the cheaper a call becomes: a batch costs one fsync, however many calls are in it.
"""

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from farebox.domain.admission import Admitted, Answered, Ask, Refused, Standing
from farebox.domain.errors import InternalError, LedgerUnavailable
from farebox.domain.ledger import NOTHING_SPENT, Ending, Hold, Spent
from farebox.domain.period import MICROSECONDS
from farebox.domain.plan import Plan
from farebox.ports.calls import CallRow, Kept, Recorded
from farebox.store.batch import Alive, Find, Finish, Item, Look, Overdue, Result, run
from farebox.store.cursor import Cursor
from farebox.store.database import Database, unavailable
from farebox.store.inline import CommitLost, InlineLedger
from farebox.store.migrations import HEAD
from farebox.store.notes import try_write
from farebox.store.scheduling import Courtesy
from farebox.store.statements import PostgresStatements, SqliteStatements

log = logging.getLogger("farebox.ledger")

BATCH_MAX: Final = 512
WATCH_SECONDS: Final = 1.0
STUCK_SECONDS_MAX: Final = 4.0
TAKE_BACK_SECONDS: Final = 60.0
WRITING_SECONDS: Final = 1.0  # a record whose transaction has begun is given so long to end well
WAITING_MAX: Final = 10_000
ADMIT_WAIT_SECONDS_MAX: Final = 5.0
RETRY_SECONDS: Final = 0.2
# A busy ledger waits this long for company: a larger batch costs less than the wait (PostgreSQL's commit_delay).
BUSY_ITEMS: Final = 4
GATHER_SECONDS: Final = 0.0015


@dataclass(slots=True, eq=False)
class _Waiting:
    item: Item
    future: "asyncio.Future[Any]"
    until: float  # monotonic seconds: after this its caller has been told no


def _is_late(waiting: _Waiting, now: float) -> bool:
    return waiting.until < now and not isinstance(waiting.item, Finish)


def _void_told(batch: Sequence[_Waiting], now: float) -> None:
    """Who was told no, as the database was silent for too long, is not charged for an answer that never went out."""
    for waiting in batch:
        item, future = waiting.item, waiting.future
        is_told = waiting.until < now and future.done() and not future.cancelled()
        if is_told and isinstance(item, Finish) and item.ending == "post":
            waiting.item = Finish(item.hold, "void", item.spent)


def _retry_of(waiting: _Waiting, now: float, *, is_ending: bool) -> _Waiting | None:
    """A record that the database did not take, as it is to be tried again; None where it is not.

    One whose caller is told no is tried for a while longer, as a void, so that nothing stays held for long.
    """
    item = waiting.item
    if not isinstance(item, Finish) or waiting.until > now:
        return waiting if isinstance(item, Finish) else None
    if item.ending != "post" or is_ending:
        return None
    return _Waiting(Finish(item.hold, "void", item.spent), waiting.future, now + TAKE_BACK_SECONDS)


def _nothing(most: int) -> list[_Waiting]:
    del most
    return []


class GroupCommitLedger:
    """The ledger over one database, for one event loop. `start` it before use, `close` it after."""

    def __init__(self, database: Database, plans: Mapping[str, Plan]) -> None:
        self._database = database
        self._plans = plans
        self._statements = SqliteStatements() if database.is_sqlite else PostgresStatements()
        self._waiting: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="farebox-ledger", daemon=True)
        self._inline = InlineLedger(database, database.lock, plans) if database.lock is not None else None
        # The calls that were admitted here and have not ended, and when (monotonic seconds) their holds are over.
        self._open: dict[str, float] = {}
        self._connection: Any = None
        self._dropping = threading.Lock()  # between dropping the connection and interrupting it
        self._telling = threading.Lock()  # between telling a caller no and writing what they wait for
        self._writing_until = 0.0
        self._again: list[_Waiting] = []
        self._in_hand: Sequence[_Waiting] = ()
        self._in_hand_since: float | None = None
        self._is_closed = False
        self._failed_to_write = False
        self._saw_end = False
        self._watcher: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._file_id = self._database.file_id()
        self._thread.start()
        self._watcher = asyncio.create_task(self._watch())

    async def close(self) -> None:
        """Finish what waits, then stop; what comes from now on is refused."""
        self._is_closed = True
        if self._watcher is not None:
            self._watcher.cancel()
        self._waiting.put(None)
        await asyncio.to_thread(self._thread.join)
        if self._inline is not None:
            self._inline.close()

    # -- The verbs of the port ---------------------------------------------------------------------------------

    async def admit(self, ask: Ask) -> Admitted | Refused | Answered:
        result: Any = self._at_once(ask)
        if result is None:
            result = await self._put(ask, time.monotonic() + ADMIT_WAIT_SECONDS_MAX)
        admitted: Admitted | Refused | Answered = result
        if isinstance(admitted, Admitted) and self._inline is not None:
            self._open[ask.call_id] = time.monotonic() + ask.hold_ttl_us / MICROSECONDS
        return admitted

    async def record(
        self, hold: Hold, ending: Ending, spent: Spent, deadline: float, kept: Kept | None = None
    ) -> Recorded:
        self._open.pop(hold.call_id, None)
        finish = Finish(hold, ending, spent, kept)
        result: Any = self._at_once(finish)
        recorded: Recorded = await self._put(finish, deadline) if result is None else result
        return recorded

    async def expire(self) -> int:
        expired = 0
        while True:
            holds: list[Hold] = await self._put(Overdue(), time.monotonic() + ADMIT_WAIT_SECONDS_MAX)
            now = time.monotonic()
            ended = await asyncio.gather(
                *(self._put(Finish(hold, "expire", NOTHING_SPENT), now) for hold in holds), return_exceptions=True
            )
            # A hold that was recorded meanwhile, here or by another process, is not this one's.
            count = sum(isinstance(result, Recorded) for result in ended)
            expired += count
            if not count:
                return expired

    async def standing(self, key_digest: str) -> Standing:
        standing: Standing = await self._put(Look(key_digest), time.monotonic() + ADMIT_WAIT_SECONDS_MAX)
        return standing

    async def find(self, key_digest: str, call_id: str) -> CallRow | None:
        found: CallRow | None = await self._put(Find(key_digest, call_id), time.monotonic() + ADMIT_WAIT_SECONDS_MAX)
        return found

    async def check(self) -> None:
        revision: str | None = await self._put(Alive(), time.monotonic() + ADMIT_WAIT_SECONDS_MAX)
        if revision is None or revision < HEAD:  # a newer one is being rolled out; see docs/decisions/0027
            raise LedgerUnavailable("The service is being set up. Try again shortly.", retry_after_seconds=5)
        if self._failed_to_write:  # what answers may still take nothing, as on a full disk
            await asyncio.to_thread(try_write, self._database)
            self._failed_to_write = False

    # -- The event loop's side ---------------------------------------------------------------------------------

    def _at_once(self, item: Ask | Finish) -> Result:
        """What a lone call's item comes to, decided here and now; None where the thread is to do it.

        Raises:
            CallError: as it decides.
        """
        if self._inline is None or self._is_closed or self._in_hand_since is not None or not self._waiting.empty():
            return None
        if self._open:
            self._forget_lost()
            return None
        try:
            result = self._inline.run(item)
        except CommitLost as lost:
            self._failed_to_write = True
            if isinstance(item, Finish):
                return None  # which finds what was written, if it was
            if isinstance(lost.result, Admitted):
                self._void(lost.result.hold)
            raise unavailable(lost.__cause__ or lost) from lost
        if isinstance(result, Exception):
            raise result
        return result

    def _forget_lost(self) -> None:
        """Forget the oldest open call once its time is over, or one that was dropped would keep all others in line."""
        oldest = next(iter(self._open))
        if self._open[oldest] < time.monotonic():
            del self._open[oldest]

    def _void(self, hold: Hold) -> None:
        """Void what a commit whose answer was lost may have held: its caller is told no."""
        nobody = self._loop.create_future()
        nobody.cancel()
        until = time.monotonic() + TAKE_BACK_SECONDS
        self._waiting.put(_Waiting(Finish(hold, "void", NOTHING_SPENT), nobody, until))

    def _put(self, item: Item, until: float) -> "asyncio.Future[Any]":
        future = self._loop.create_future()
        # A record is always taken: there are only as many as admissions passed.
        is_full = self._waiting.qsize() >= WAITING_MAX and not isinstance(item, Finish)
        if is_full or self._is_closed or not self._thread.is_alive():
            future.set_exception(unavailable(RuntimeError("the ledger's queue is full, or closed")))
        else:
            self._waiting.put(_Waiting(item, future, until))
        return future

    def _answer(self, answers: Sequence[tuple["asyncio.Future[Any]", Result]]) -> None:
        for future, result in answers:
            if future.done():
                # Its caller has gone while the hold was written: nothing will be spent on it.
                if isinstance(result, Admitted):
                    self._waiting.put(_Waiting(Finish(result.hold, "void", NOTHING_SPENT), future, time.monotonic()))
            elif isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)

    async def _watch(self) -> None:
        """Free whoever waits for a database that neither answers nor hangs up; take nothing for one that is gone."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            since = self._in_hand_since
            try:
                if since is not None and time.monotonic() - since >= STUCK_SECONDS_MAX:
                    self._free_waiting()
                if not self._is_closed and self._is_replaced():
                    self._is_closed = True  # what is written to the file that is still open here, nobody would find
                    log.error("%s is another file than before: restart Farebox", self._database.name)
            except Exception:
                log.exception("the watch over the database failed once")

    def _is_replaced(self) -> bool:
        found = self._database.file_id()
        self._file_id = self._file_id or found
        return found != self._file_id

    def _free_waiting(self) -> None:
        silent, now = TimeoutError("the database does not answer"), time.monotonic()
        waiting = [*self._in_hand, *self._drained()]
        with self._telling:
            late = 0.0 if now < self._writing_until else now
            freed = [w.future for w in waiting if not isinstance(w.item, Finish) or w.until < late]
            self._answer([(future, unavailable(silent)) for future in freed])
        with self._dropping:
            if self._connection is not None:
                self._database.interrupt(self._connection)

    def _drained(self) -> list[_Waiting]:
        """What nobody has taken yet; records are put back, since they are to be written all the same."""
        drained: list[_Waiting | None] = []
        with suppress(queue.Empty):
            while True:
                drained.append(self._waiting.get_nowait())
        for waiting in drained:
            if waiting is None or isinstance(waiting.item, Finish):
                self._waiting.put(waiting)
        return [w for w in drained if w is not None]

    # -- The thread's side -------------------------------------------------------------------------------------

    def _work(self) -> None:
        courtesy = Courtesy()
        while not self._saw_end or self._again:
            batch, self._again = self._take(), []
            now = time.monotonic()
            if any(w.until < now for w in batch):
                late = [w for w in batch if _is_late(w, now)]
                batch = [w for w in batch if not _is_late(w, now)]
                self._reply(late, [unavailable(TimeoutError("waited too long for the ledger")) for _ in late])
            if batch:
                self._in_hand, self._in_hand_since = batch, now
                self._commit(batch, self._arrived)
                self._in_hand_since, self._writing_until = None, 0.0
                courtesy.among(len(batch))
        self._drop_connection()

    def _take(self) -> list[_Waiting]:
        """All that waits, and what has to be tried again; blocks while there is nothing."""
        batch = self._again
        if len(self._in_hand) >= BUSY_ITEMS:
            time.sleep(GATHER_SECONDS)
        try:
            waiting = self._waiting.get(timeout=RETRY_SECONDS) if batch else self._waiting.get()
        except queue.Empty:
            return batch
        if waiting is None:
            self._saw_end = True
        else:
            batch.append(waiting)
        return batch + self._arrived(BATCH_MAX - len(batch))

    def _arrived(self, most: int) -> list[_Waiting]:
        """What waits at this moment."""
        arrived: list[_Waiting] = []
        with suppress(queue.Empty):
            while len(arrived) < most:
                waiting = self._waiting.get_nowait()
                if waiting is None:
                    self._saw_end = True
                else:
                    arrived.append(waiting)
        return arrived

    def _commit(self, batch: list[_Waiting], arrived: Callable[[int], list[_Waiting]] = _nothing) -> None:
        """Run the batch; where the database is away, records wait for it and admissions are refused."""
        try:
            self._reply(batch, self._transact(batch, arrived))
        except LedgerUnavailable as error:
            self._failed_to_write = True
            log.warning("the database did not take a batch of %d: %r", len(batch), error.__cause__)
            now = time.monotonic()
            retries = [_retry_of(w, now, is_ending=self._saw_end) for w in batch]
            self._again += [w for w in retries if w is not None]
            refused = [w for w, retry in zip(batch, retries, strict=True) if retry is not w]
            self._reply(refused, [unavailable(error.__cause__ or error) for _ in refused])
        except Exception as error:
            if len(batch) > 1:
                for waiting in batch:
                    self._commit([waiting])
                return
            log.exception("the ledger could not take %r", type(batch[0].item).__name__)
            failed = InternalError("Something went wrong on our side. Nothing was charged.")
            failed.__cause__ = error
            self._reply(batch, [failed])

    def _transact(self, batch: list[_Waiting], arrived: Callable[[int], list[_Waiting]]) -> list[Result]:
        committing: list[Result] | None = None
        for is_last_try in (False, True):
            try:
                with self._database.writers_turn():
                    cursor = self._cursor()
                    self._statements.begin(cursor)
                    batch += arrived(BATCH_MAX - len(batch))  # while this process waited for its turn
                    with self._telling:
                        now = time.monotonic()
                        _void_told(batch, now)
                        self._writing_until = now + WRITING_SECONDS
                    results = committing = run([w.item for w in batch], cursor, self._statements, self._plans)
                    self._connection.commit()
                    return results
            except LedgerUnavailable:
                raise
            except self._database.outages as error:
                self._drop_connection()
                # A connection that was found dead before the commit wrote nothing: a fresh one may try once more.
                if committing is not None:
                    self._take_back(batch, committing)
                if committing is not None or is_last_try:
                    raise unavailable(error) from error
            except BaseException:
                self._drop_connection()
                raise
        raise AssertionError("unreachable")

    def _take_back(self, batch: Sequence[_Waiting], results: Sequence[Result]) -> None:
        """Void what a commit whose answer was lost may have held: its callers are told no."""
        until = time.monotonic() + TAKE_BACK_SECONDS
        for waiting, result in zip(batch, results, strict=True):
            if isinstance(result, Admitted):
                self._again.append(_Waiting(Finish(result.hold, "void", NOTHING_SPENT), waiting.future, until))

    def _cursor(self) -> Cursor:
        if self._connection is None:
            self._connection = self._database.connect()
            self._statements.prepare(self._connection.cursor())
        cursor: Cursor = self._connection.cursor()
        return cursor

    def _drop_connection(self) -> None:
        with self._dropping:
            connection, self._connection = self._connection, None
        if connection is not None:
            try:
                # A cursor that an error's traceback keeps alive would keep SQLite's lock, past the close.
                connection.rollback()
                connection.close()
            except Exception as error:  # noqa: BLE001  # it is dead already
                log.debug("closing a dead connection: %r", error)

    def _reply(self, waiting: Sequence[_Waiting], results: Sequence[Result]) -> None:
        if waiting:
            answers = [(w.future, result) for w, result in zip(waiting, results, strict=True)]
            self._loop.call_soon_threadsafe(self._answer, answers)
