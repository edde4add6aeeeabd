"""Group commit: one thread takes everything that waits, runs it as one transaction, and answers all of it.

The busier it gets, the cheaper a call becomes: a batch costs one fsync, however many calls are in it.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from functools import partial
from typing import Any, Final

from farebox.domain.admission import Admitted, Answered, Ask, Refused, Standing
from farebox.domain.errors import InternalError, LedgerUnavailable
from farebox.domain.ledger import NOTHING_SPENT, Ending, Hold, Spent
from farebox.domain.period import MICROSECONDS
from farebox.domain.plan import Plan
from farebox.domain.remedies import ONLINE, Remedies
from farebox.ports.calls import CallRow, Kept, Recorded
from farebox.store import sqlite_file
from farebox.store.database import Database, unavailable
from farebox.store.ledger.batch import Alive, Find, Finish, Item, Look, Result, run
from farebox.store.ledger.connection import LedgerConnection
from farebox.store.ledger.inline import CommitLost, InlineLedger
from farebox.store.ledger.locked import LockedAccounts, RowLocked, is_row_locked, names_of
from farebox.store.ledger.outage_log import OutageLog
from farebox.store.ledger.scheduling import Courtesy
from farebox.store.ledger.statements import PostgresStatements, SqliteStatements
from farebox.store.ledger.sweep import expire_holds, forget_answers
from farebox.store.ledger.waiting import TAKE_BACK_SECONDS, Line, Waiting, is_late, retry_of, void_told
from farebox.store.migrations import HEAD
from farebox.store.notes import try_write

log = logging.getLogger("farebox.ledger")

BATCH_MAX: Final = 512
WATCH_SECONDS: Final = 1.0
STUCK_SECONDS_MAX: Final = 4.0
WRITING_SECONDS: Final = 1.0  # a record whose transaction has begun is given so long to end well
WAITING_MAX: Final = 10_000
ADMIT_WAIT_SECONDS_MAX: Final = 5.0
RETRY_SECONDS: Final = 0.2
PARTS_SECONDS_MAX: Final = 1.5  # for the parts of a batch that met a locked row; what is left then goes together again
# A busy ledger waits this long for company: a larger batch costs less than the wait (PostgreSQL's commit_delay).
BUSY_ITEMS: Final = 4
GATHER_SECONDS: Final = 0.0015


def _nothing(most: int) -> list[Waiting]:
    del most
    return []


class GroupCommitLedger:
    """The ledger over one database, for one event loop. `start` it before use, `close` it after."""

    def __init__(self, database: Database, plans: Mapping[str, Plan], remedies: Remedies = ONLINE) -> None:
        self._database = database
        self._plans = plans
        self._remedies = remedies
        self._statements = SqliteStatements() if database.is_sqlite else PostgresStatements()
        self._line = Line()
        self._thread = threading.Thread(target=self._work, name="farebox-ledger", daemon=True)
        self._inline = InlineLedger(database, database.lock, plans, remedies) if database.lock is not None else None
        # The calls that were admitted here and have not ended, and when (monotonic seconds) their holds are over.
        self._open: dict[str, float] = {}
        self._connection = LedgerConnection(database, self._statements)
        self._telling = threading.Lock()  # between telling a caller no and writing what they wait for
        self._writing_until = 0.0
        self._again: list[Waiting] = []
        self._locked = LockedAccounts()
        self._in_hand: Sequence[Waiting] = ()
        self._in_hand_since: float | None = None
        self._is_closed = False
        self._failed_to_write = False
        self._outage_log = OutageLog()
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
        self._line.end()
        await asyncio.to_thread(self._thread.join)
        if self._inline is not None:
            await self._inline.end()

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
        return await expire_holds(self._put)

    async def forget(self) -> bool:
        return await forget_answers(self._put)

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
        if self._inline is None or self._is_closed or self._in_hand_since is not None or len(self._line):
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
        self._line.put(Waiting(Finish(hold, "void", NOTHING_SPENT), nobody, until))

    def _put(self, item: Item, until: float) -> "asyncio.Future[Any]":
        future = self._loop.create_future()
        # A record is always taken: there are only as many as admissions passed.
        is_full = len(self._line) >= WAITING_MAX and not isinstance(item, Finish)
        if is_full or self._is_closed or not self._thread.is_alive():
            future.set_exception(unavailable(RuntimeError("the ledger's queue is full, or closed")))
        else:
            self._line.put(Waiting(item, future, until))
        return future

    def _answer(self, answers: Sequence[tuple["asyncio.Future[Any]", Result]]) -> None:
        for future, result in answers:
            if future.done():
                # Its caller has gone while the hold was written: nothing will be spent on it.
                if isinstance(result, Admitted):
                    self._line.put(Waiting(Finish(result.hold, "void", NOTHING_SPENT), future, time.monotonic()))
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
                    self._connection.interrupt_beside(partial(self._is_in_hand, since))
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
        waiting = [*self._in_hand, *self._locked.all_waiting, *self._line.drained()]
        with self._telling:
            late = 0.0 if now < self._writing_until else now
            freed = [w.future for w in waiting if not isinstance(w.item, Finish) or w.until < late]
            self._answer([(future, unavailable(silent)) for future in freed])

    def _is_in_hand(self, since: float) -> bool:
        return self._in_hand_since == since

    # -- The thread's side -------------------------------------------------------------------------------------

    def _work(self) -> None:
        courtesy = Courtesy()
        while not self._line.is_over or self._again or self._locked.has_waiting:
            batch, self._again = self._take(), []
            now = time.monotonic()
            if self._locked:
                self._again += self._refused(self._locked.take_late(now), TimeoutError("a row of it is locked"))
            if any(w.until < now for w in batch):
                late = [w for w in batch if is_late(w, now)]
                batch = [w for w in batch if not is_late(w, now)]
                self._reply(late, [unavailable(TimeoutError("waited too long for the ledger")) for _ in late])
            batch = self._locked.without(batch)
            if batch:
                self._in_hand, self._in_hand_since = batch, now
                self._commit(batch, _nothing if self._locked else self._line.take_waiting)
                self._in_hand_since, self._writing_until = None, 0.0
                courtesy.among(len(batch))
            if self._locked.is_due(now):
                account, self._in_hand = self._locked.next()
                self._in_hand_since = time.monotonic()
                is_free = self._try(account, self._in_hand)
                self._locked.tried(account, time.monotonic(), is_free=is_free)
                self._in_hand_since, self._writing_until = None, 0.0
        self._connection.drop()

    def _take(self) -> list[Waiting]:
        """All that waits, and what has to be tried again; blocks while there is nothing."""
        batch = self._again
        if len(self._in_hand) >= BUSY_ITEMS:
            time.sleep(GATHER_SECONDS)
        pause = RETRY_SECONDS if batch or self._locked.has_waiting else None
        if self._locked.is_due(time.monotonic()):
            pause = 0
        return batch + self._line.take(BATCH_MAX - len(batch), pause)

    def _commit(self, batch: list[Waiting], arrived: Callable[[int], list[Waiting]] = _nothing) -> None:
        """Run the batch, and answer all of it that is not put aside, or to be tried again."""
        try:
            self._run(batch, arrived)
        except RowLocked:
            self._part(batch)

    def _part(self, batch: list[Waiting]) -> None:
        """Run a batch that met a locked row account by account: so it comes out whose row that is (decision 30)."""
        until = time.monotonic() + PARTS_SECONDS_MAX
        try:
            cursor = self._connection.cursor()
            self._statements.begin(cursor)
            self._locked.learn(self._statements.keys(cursor, *names_of(batch)))
            self._connection.roll_back()
        except Exception as error:  # noqa: BLE001  # told to all, and logged, when they are tried again
            self._connection.drop()
            self._again += self._refused(batch, error)
            return
        for account, part in self._locked.parts(batch).items():
            if time.monotonic() < until:
                self._try(account, part)
            else:
                self._again += part

    def _try(self, account: str, part: list[Waiting]) -> bool:
        """Run what is of one account; where a row of it is locked, all of it waits until its time is over."""
        try:
            self._run(part, _nothing, account)
        except RowLocked as locked:
            now = time.monotonic()
            waits = [w for w in part if w.until > now and not isinstance(w.item, Finish)]
            others = [w for w in part if w.until <= now or isinstance(w.item, Finish)]
            self._locked.put(account, waits + self._refused(others, locked), in_line=locked.in_line)
            return False
        return True

    def _run(self, batch: list[Waiting], arrived: Callable[[int], list[Waiting]], trial_of: str | None = None) -> None:
        """Run the batch; where the database is away, records wait for it and admissions are refused.

        In the trial of an account, its rows are waited for as long as its trial may.

        Raises:
            RowLocked: somebody else keeps a row locked; nobody was answered.
        """
        try:
            self._reply(batch, self._transact(batch, arrived, trial_of))
        except RowLocked:
            raise
        except LedgerUnavailable as error:
            self._failed_to_write = True
            self._outage_log.failed(error.__cause__, time.monotonic())
            self._again += self._refused(batch, error.__cause__ or error)
        except Exception as error:
            if len(batch) > 1:
                for waiting in batch:
                    self._commit([waiting])
                return
            log.exception("the ledger could not take %r", type(batch[0].item).__name__)
            failed = InternalError("Something went wrong on our side. Nothing was charged.")
            failed.__cause__ = error
            self._reply(batch, [failed])

    def _refused(self, batch: Sequence[Waiting], error: BaseException) -> list[Waiting]:
        """Tell all no whose records are not to be tried again as they are; those that are tried again."""
        now = time.monotonic()
        retries = [retry_of(w, now, is_ending=self._line.is_over) for w in batch]
        refused = [w for w, retry in zip(batch, retries, strict=True) if retry is not w]
        self._reply(refused, [unavailable(error) for _ in refused])
        return [w for w in retries if w is not None]

    def _transact(
        self, batch: list[Waiting], arrived: Callable[[int], list[Waiting]], trial_of: str | None
    ) -> list[Result]:
        committing: list[Result] | None = None
        for is_last_try in (False, True):
            try:
                with self._database.writers_turn():
                    self._heal()
                    cursor = self._connection.cursor()
                    self._statements.begin(cursor)
                    if trial_of is not None:
                        owner = self._statements.last_owner(cursor, trial_of)
                        self._statements.hurry(cursor, self._locked.patience_seconds(trial_of, owner))
                    batch += arrived(BATCH_MAX - len(batch))  # while this process waited for its turn
                    with self._telling:
                        now = time.monotonic()
                        void_told(batch, now)
                        self._writing_until = now + WRITING_SECONDS
                    results = committing = run(
                        [w.item for w in batch], cursor, self._statements, self._plans, self._remedies
                    )
                    self._connection.commit()
                    return results
            except LedgerUnavailable:
                raise
            except self._database.outages as error:
                if committing is None and is_row_locked(error):
                    self._connection.roll_back()
                    raise RowLocked(in_line=not self._statements.has_accounts) from error
                self._connection.drop()
                # A connection that was found dead before the commit wrote nothing: a fresh one may try once more.
                if committing is not None:
                    self._take_back(batch, committing)
                    if self._inline is not None:
                        self._inline.late_flush.doubt()
                if committing is not None or is_last_try:
                    raise unavailable(error) from error
            except BaseException:
                self._connection.drop()
                raise
        raise AssertionError("unreachable")

    def _heal(self) -> None:
        """Copy the log to the database if a flush of it failed: what the system once failed to write, it forgets."""
        if self._inline is not None and self._inline.late_flush.has_failed:
            with closing(self._database.connect(busy_seconds=1)) as connection:
                sqlite_file.copy_log(connection)
            self._inline.late_flush.has_failed = False

    def _take_back(self, batch: Sequence[Waiting], results: Sequence[Result]) -> None:
        """Void what a commit whose answer was lost may have held: its callers are told no."""
        until = time.monotonic() + TAKE_BACK_SECONDS
        for waiting, result in zip(batch, results, strict=True):
            if isinstance(result, Admitted):
                self._again.append(Waiting(Finish(result.hold, "void", NOTHING_SPENT), waiting.future, until))

    def _reply(self, waiting: Sequence[Waiting], results: Sequence[Result]) -> None:
        if waiting:
            answers = [(w.future, result) for w, result in zip(waiting, results, strict=True)]
            self._loop.call_soon_threadsafe(self._answer, answers)
