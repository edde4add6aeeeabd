"""On SQLite, a lone call is decided on the event loop's own thread; what may keep it waiting goes to the other."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any, Final

import pytest

from farebox.account.keys import NewKey
from farebox.domain.admission import Admitted, Refused
from farebox.domain.errors import LedgerUnavailable, QuotaExceeded
from farebox.store.database import Database
from farebox.store.ledger import inline
from farebox.store.ledger.group_commit import GroupCommitLedger
from tests.contract.till import Faults, FaultyDatabase, Till, admit, ask, record, running, until
from tests.services.sums import connect

OF_TWO_AT_ONCE: Final = 2


@pytest.fixture
def url(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path}/farebox.db"
    with closing(Database(url)) as database:
        database.migrate()
    return url


@pytest.fixture
def till(url: str) -> Iterator[Till]:
    with closing(Database(url)) as database:
        yield Till(url, database)


@pytest.fixture
def key(till: Till) -> NewKey:
    return till.new_key("fifty")


@asynccontextmanager
async def watched(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[GroupCommitLedger, list[object]]]:
    """A ledger, and what its own thread has taken. However slow this machine's disk is, it does not rest."""
    monkeypatch.setattr(inline, "SLOW_SECONDS", 3_600)
    async with running(database) as ledger:
        taken: list[object] = []
        commit = ledger._commit

        def seen(batch: list[Any], *more: Any) -> None:  # noqa: ANN401
            taken.extend(waiting.item for waiting in batch)
            commit(batch, *more)

        monkeypatch.setattr(ledger, "_commit", seen)
        yield ledger, taken


async def at_rest(ledger: GroupCommitLedger) -> None:
    """Wait for the thread, which is not done when its callers are."""
    await until(lambda: ledger._in_hand_since is None, "the thread to have nothing in hand")


def test_a_lone_call_is_done_at_once_and_several_go_to_the_thread(
    till: Till, key: NewKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def call() -> None:
        async with watched(till.database, monkeypatch) as (ledger, taken):
            hold = await admit(ledger, key)
            outcome, standing = await record(ledger, hold)
            assert not taken
            assert till.row(hold.call_id) == hold + outcome
            assert standing is not None
            assert standing.meter.posted_calls == 1
            one = await admit(ledger, key)
            other = await admit(ledger, key)
            await record(ledger, one)
            assert len(taken) == OF_TWO_AT_ONCE  # the admission of the second, the record of the first
            await at_rest(ledger)
            await record(ledger, other)
            assert len(taken) == OF_TWO_AT_ONCE
        assert till.findings() == []

    asyncio.run(call())


def test_a_lone_call_that_is_refused_is_told_so_and_holds_nothing(
    till: Till, key: NewKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def call() -> None:
        async with watched(till.database, monkeypatch) as (ledger, taken):
            decision = await ledger.admit(ask(key, calls=51))
            assert isinstance(decision, Refused)
            assert isinstance(decision.error, QuotaExceeded)
            assert till.held() == 0
            assert not taken

    asyncio.run(call())


def test_it_does_not_wait_for_a_file_that_another_program_keeps_to_itself(
    url: str, till: Till, key: NewKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = ask(key)
    till.database.engine.dispose()  # or the other could not have it to itself
    with closing(connect(url)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        asked: list[float] = []
        real = Database.connect

        def seen(database: Database, *, busy_seconds: float) -> Any:  # noqa: ANN401
            asked.append(busy_seconds)
            return real(database, busy_seconds=busy_seconds)

        monkeypatch.setattr(Database, "connect", seen)
        assert till.database.lock is not None
        found = inline.InlineLedger(till.database, till.database.lock, {})
        assert found.run(wanted) is None
        assert asked == [0]
        other.execute("ROLLBACK")


def test_a_call_that_is_given_up_without_a_word_keeps_none_from_being_alone_for_good(
    till: Till, key: NewKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def call() -> None:
        async with watched(till.database, monkeypatch) as (ledger, taken):
            await admit(ledger, key, hold_ttl_us=0)
            hold = await admit(ledger, key)
            assert len(taken) == 1
            await at_rest(ledger)
            await record(ledger, hold)
            assert len(taken) == 1

    asyncio.run(call())


@pytest.mark.parametrize("holder", ["another process of Farebox", "another program"])
def test_it_waits_for_nobody(till: Till, key: NewKey, monkeypatch: pytest.MonkeyPatch, holder: str) -> None:
    async def call() -> None:
        async with watched(till.database, monkeypatch) as (ledger, taken):
            with closing(Database(till.url)) as other:
                turn = other.writers_turn() if holder == "another process of Farebox" else till.writes_locked()
                with turn:
                    waiting = asyncio.create_task(ledger.admit(ask(key)))
                    await until(lambda: bool(taken), "the thread to take it")
                    await asyncio.sleep(0)
                    assert not waiting.done()  # and the loop goes on meanwhile
                assert isinstance(await waiting, Admitted)

    asyncio.run(call())


def test_it_rests_where_the_disk_is_slow(till: Till, key: NewKey, monkeypatch: pytest.MonkeyPatch) -> None:
    async def call() -> None:
        async with watched(till.database, monkeypatch) as (ledger, taken):
            monkeypatch.setattr(inline, "SLOW_SECONDS", 0)
            monkeypatch.setattr(inline, "REST_TIMES", 10**6)
            began = time.monotonic()
            hold = await admit(ledger, key)
            took_at_most = time.monotonic() - began
            assert not taken
            await record(ledger, hold)
            assert len(taken) == 1
            assert ledger._inline is not None
            assert 0 < ledger._inline._rests_until - began <= took_at_most * (10**6 + 1)
            ledger._inline._rests_until = 0  # it has rested
            await at_rest(ledger)
            await admit(ledger, key)
            assert len(taken) == 1

    asyncio.run(call())


def test_a_lost_commit_is_recorded_once_and_an_admission_is_taken_back(
    url: str, till: Till, key: NewKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inline, "REST_SECONDS", 0)

    async def call() -> None:
        with closing(FaultyDatabase(url)) as database:
            async with watched(database, monkeypatch) as (ledger, taken):
                database.faults = Faults()
                hold = await admit(ledger, key)
                before = database.faults.count
                await record(ledger, hold)
                of_record = database.faults.count - before
                database.faults = Faults()
                hold = await admit(ledger, key)
                of_admit = database.faults.count
                assert not taken
                gone = database._driver.OperationalError
                database.faults = Faults(gone, first=of_record, done_first=True)
                outcome, _ = await record(ledger, hold)
                assert till.row(hold.call_id) == hold + outcome
                assert len(taken) == 1
                await at_rest(ledger)
                await record(ledger, await admit(ledger, key))  # on a connection that stands again
                database.faults = Faults(gone, first=of_admit, done_first=True)
                lost = ask(key)
                with pytest.raises(LedgerUnavailable):
                    await ledger.admit(lost)
                await until(lambda: till.state(lost.call_id) == "voided", "the void")
        assert till.held() == 0
        assert till.findings() == []

    asyncio.run(call())
