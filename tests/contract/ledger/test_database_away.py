"""The ledger while its database is away, silent, or of another version."""

import asyncio
import logging
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest

from farebox.account.keys import NewKey
from farebox.domain.errors import LedgerUnavailable
from farebox.store.database import Database
from farebox.store.ledger import group_commit as ledger_module
from farebox.store.ledger import outage_log
from farebox.store.ledger.group_commit import GroupCommitLedger
from tests.contract.till import (
    SECONDS_MAX,
    SPENT,
    Faults,
    FaultyDatabase,
    Till,
    admit,
    ask,
    no_inline,
    record,
    running,
    stalled,
    until,
)
from tests.services.postgres import PostgresServer

VOIDED = ("voided", 0, 0, SPENT.input_tokens)


def test_a_database_that_is_not_there_is_told_with_when_to_come_back(
    till: Till, key: NewKey, migrated_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    nowhere = "sqlite:////no/such/folder/farebox.db" if till.is_sqlite else f"{migrated_url}_that_is_not_there"

    async def call() -> None:
        async with running(Database(nowhere)) as ledger:
            for asked in (ledger.admit(ask(key)), ledger.standing(key.row.digest), ledger.check(), ledger.expire()):
                with pytest.raises(LedgerUnavailable) as told:
                    await asked
                assert told.value.retry_after_seconds is not None
                assert "no/such" not in told.value.detail

    asyncio.run(call())


def test_a_record_waits_for_its_database_and_admissions_do_not(
    till: Till, key: NewKey, migrated_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(outage_log, "EVERY_SECONDS", SECONDS_MAX)
    monkeypatch.setattr(ledger_module, "RETRY_SECONDS", 0.01)

    async def call() -> None:
        with closing(FaultyDatabase(migrated_url)) as database:
            async with running(database) as ledger:
                hold = await admit(ledger, key)
                database.faults = Faults(database._driver.OperationalError, times=10**9)
                recording = asyncio.create_task(record(ledger, hold, seconds_max=SECONDS_MAX))
                for _ in range(5):
                    with pytest.raises(LedgerUnavailable):
                        await ledger.admit(ask(key))
                assert not recording.done()
                database.faults = Faults()
                await recording
                await admit(ledger, key)
        assert till.state(hold.call_id) == "posted"
        assert caplog.text.count("the database did not take") == 1

    asyncio.run(call())


def test_a_record_gives_up_at_its_deadline_and_is_voided_once_the_database_is_back(
    till: Till, key: NewKey, migrated_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "RETRY_SECONDS", 0.01)

    async def call() -> None:
        with closing(FaultyDatabase(migrated_url)) as database:
            async with running(database) as ledger:
                hold = await admit(ledger, key)
                database.faults = Faults(database._driver.OperationalError, times=10**9)
                with pytest.raises(LedgerUnavailable):
                    await record(ledger, hold, seconds_max=0.05)
                database.faults = Faults()
                await until(lambda: till.held() == 0, "the void")
        assert till.ended(hold.call_id) == VOIDED

    asyncio.run(call())


def test_a_ledger_that_ends_while_its_database_is_away_leaves_the_hold_to_expire(
    till: Till, key: NewKey, migrated_url: str
) -> None:
    async def call() -> None:
        with closing(FaultyDatabase(migrated_url)) as database:
            async with running(database) as ledger:
                hold = await admit(ledger, key, hold_ttl_us=0)
                database.faults = Faults(database._driver.OperationalError, times=10**9)
                recording = asyncio.create_task(record(ledger, hold, seconds_max=0.5))
                await asyncio.sleep(0)
            with pytest.raises(LedgerUnavailable):
                await recording
        async with running(till.database) as another:
            assert await another.expire() == 1
        assert till.state(hold.call_id) == "expired"

    asyncio.run(call())


def test_a_record_whose_caller_was_told_no_while_others_wrote_charges_nothing(
    till: Till, key: NewKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "WATCH_SECONDS", 0.02)
    monkeypatch.setattr(ledger_module, "STUCK_SECONDS_MAX", 0.1)

    async def call() -> None:
        async with running(till.database) as ledger:
            hold = await admit(ledger, key)
            other = await admit(ledger, key)
            await record(ledger, other)
            with till.writes_locked(), pytest.raises(LedgerUnavailable):
                await record(ledger, hold, seconds_max=0.05)
            await until(lambda: till.held() == 0, "the void")
        assert till.ended(hold.call_id) == VOIDED

    asyncio.run(call())


def test_a_commit_whose_answer_is_lost_is_recorded_once_and_an_admission_is_taken_back(
    till: Till, key: NewKey, migrated_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "RETRY_SECONDS", 0.01)

    async def lose_commit(database: FaultyDatabase, operations: int) -> None:
        database.faults = Faults(database._driver.OperationalError, first=operations, done_first=True)

    async def call() -> None:
        with closing(FaultyDatabase(migrated_url)) as database:
            async with running(database) as ledger:
                database.faults = Faults()
                no_inline(ledger)  # which has a test of its own
                hold = await admit(ledger, key)
                admit_operations = await count(ledger, database, admit(ledger, key))
                record_operations = await count(ledger, database, record(ledger, hold))
                await lose_commit(database, admit_operations)
                lost = ask(key)
                with pytest.raises(LedgerUnavailable):
                    await ledger.admit(lost)
                await until(lambda: till.state(lost.call_id) == "voided", "the void")
                hold = await admit(ledger, key)
                await lose_commit(database, record_operations)
                outcome, _ = await record(ledger, hold)
                assert till.row(hold.call_id) == hold + outcome

    asyncio.run(call())


async def count(ledger: GroupCommitLedger, database: FaultyDatabase, doing: Any) -> int:  # noqa: ANN401
    """How many operations a verb takes on a connection that stands; the last of them is its commit."""
    assert ledger._connection.driver is not None
    database.faults = Faults()
    await doing
    return database.faults.count


def test_callers_of_a_silent_database_are_freed_and_hold_nothing_when_it_wakes(
    till: Till, key: NewKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "WATCH_SECONDS", 0.05)

    async def call() -> None:
        async with running(till.database) as ledger:
            await record(ledger, await admit(ledger, key))
            monkeypatch.setattr(ledger_module, "STUCK_SECONDS_MAX", 0.2)
            with till.writes_locked():
                answers = await asyncio.gather(*(ledger.admit(ask(key)) for _ in range(10)), return_exceptions=True)
                assert {type(answer) for answer in answers} == {LedgerUnavailable}
            while True:
                try:
                    await record(ledger, await admit(ledger, key))
                except LedgerUnavailable:
                    continue  # it has not woken yet
                break
        await until(lambda: till.held() == 0, "the end of the last hold")

    asyncio.run(call())


def test_callers_are_freed_though_all_work_beside_the_calls_waits_for_the_same_database(
    till: Till, key: NewKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "WATCH_SECONDS", 0.05)
    monkeypatch.setattr(ledger_module, "STUCK_SECONDS_MAX", 0.2)
    wakes = threading.Event()

    async def call() -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
        async with running(till.database) as ledger:
            beside = asyncio.create_task(asyncio.to_thread(wakes.wait))
            try:
                with till.writes_locked():
                    for _ in range(3):
                        with pytest.raises(LedgerUnavailable):
                            await asyncio.wait_for(ledger.admit(ask(key)), 4)
            finally:
                wakes.set()
                await beside

    asyncio.run(call())


def test_a_record_whose_caller_was_told_no_charges_nothing_when_the_database_wakes(
    till: Till, key: NewKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "WATCH_SECONDS", 0.02)
    monkeypatch.setattr(ledger_module, "STUCK_SECONDS_MAX", 0.1)
    monkeypatch.setattr(till.database, "interrupt", lambda *_, **__: None)  # it is stalled here, and not in its driver

    async def call() -> None:
        async with running(till.database) as ledger:
            hold = await admit(ledger, key)
            left = await admit(ledger, key)
            with stalled(ledger, "lock") as stall:
                looking = asyncio.ensure_future(ledger.standing(key.row.digest))
                await until(stall.reached.is_set, "the stall")
                leaving = asyncio.create_task(record(ledger, left, seconds_max=0.05))
                await asyncio.sleep(0)
                leaving.cancel()
                with pytest.raises(LedgerUnavailable):
                    await record(ledger, hold, seconds_max=0.05)
                with pytest.raises(LedgerUnavailable):
                    await looking
                stall.go_on.set()
                await until(lambda: till.held() == 0, "both ends")
        assert till.ended(hold.call_id) == VOIDED
        assert till.state(left.call_id) == "posted", "who has gone was told nothing"

    asyncio.run(call())


@pytest.mark.parametrize("is_back", [True, False])
def test_nothing_is_taken_once_the_file_was_replaced_or_deleted(
    till: Till, key: NewKey, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, *, is_back: bool
) -> None:
    path = till.database.path
    if path is None:
        pytest.skip("PostgreSQL has no file that others put there")
    monkeypatch.setattr(ledger_module, "WATCH_SECONDS", 0.02)
    backup = path.with_suffix(".backup")

    async def call() -> None:
        async with running(till.database) as ledger:
            await record(ledger, await admit(ledger, key))
            shutil.copyfile(path, backup)
            backup.replace(path) if is_back else path.unlink()
            await until(lambda: "is another file than before: restart Farebox" in caplog.text, "it to be seen")
            with pytest.raises(LedgerUnavailable):
                await ledger.admit(ask(key))
            with pytest.raises(LedgerUnavailable):
                await ledger.check()
        if not is_back:
            backup.replace(path)

    asyncio.run(call())


def test_a_full_disk_is_told_until_it_takes_what_is_written_again(till: Till, key: NewKey) -> None:
    path = till.database.path
    resource = pytest.importorskip("resource")
    if path is None:
        pytest.skip("PostgreSQL's disk is another process's; test_read_only has one that takes no writes")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    async def call() -> None:
        async with running(till.database) as ledger:
            await record(ledger, await admit(ledger, key))
            # No file of this process grows beyond what the -wal has already: a write there fails, and a read does not.
            resource.setrlimit(resource.RLIMIT_FSIZE, (path.with_name(f"{path.name}-wal").stat().st_size, before[1]))
            try:
                for _ in range(2):  # at once, and then by the ledger's thread
                    with pytest.raises(LedgerUnavailable):
                        await ledger.admit(ask(key))
                    with pytest.raises(LedgerUnavailable):
                        await ledger.check()
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, before)
            await ledger.check()
            await admit(ledger, key)
        assert till.query("SELECT count(*) FROM note") == [(0,)]

    asyncio.run(call())


def test_postgres_may_restart_between_any_two_calls(
    till: Till, key: NewKey, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    if till.is_sqlite:
        pytest.skip("SQLite has no server")
    monkeypatch.setattr(ledger_module, "RETRY_SECONDS", 0.05)

    async def call() -> None:
        async with running(till.database) as ledger:
            hold = await admit(ledger, key)
            await asyncio.to_thread(postgres.restart)
            # The connection died unseen, and had written nothing: a fresh one is tried at once.
            late = await admit(ledger, key)
            await asyncio.to_thread(postgres.stop, "immediate")
            with pytest.raises(LedgerUnavailable):
                await ledger.admit(ask(key))
            recording = asyncio.create_task(record(ledger, hold, seconds_max=SECONDS_MAX))
            await asyncio.to_thread(postgres.start)
            await recording
            await record(ledger, late)
        assert [till.state(each.call_id) for each in (hold, late)] == ["posted", "posted"]

    asyncio.run(call())


def test_an_older_schema_is_not_served_and_a_newer_one_is(till: Till) -> None:
    async def call() -> None:
        async with running(till.database) as ledger:
            await ledger.check()
            till.query("UPDATE alembic_version SET version_num = '9999'")
            await ledger.check()
            till.query("UPDATE alembic_version SET version_num = '0001'")
            with pytest.raises(LedgerUnavailable):
                await ledger.check()

    asyncio.run(call())
