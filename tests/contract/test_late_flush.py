"""A lone call's hold is flushed beside the model's call, and no answer leaves before all of it is on the disk."""

import asyncio
import errno
import os
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import pytest

from farebox.account.keys import NewKey
from farebox.domain.errors import LedgerUnavailable
from farebox.domain.ledger import Hold
from farebox.store import sqlite_file
from farebox.store.database import Database
from farebox.store.ledger import inline, late_flush
from farebox.store.ledger.group_commit import GroupCommitLedger
from tests.contract.till import Faults, FaultyDatabase, Till, admit, record, running, until
from tests.services.page_cache import can_tell, pages_not_on_disk

HOUR_SECONDS: Final = 3_600
SALTED: Final = 32  # the bytes of a log's head, which has other salt each time that it begins anew

pytestmark = pytest.mark.skipif(not late_flush.IS_POSSIBLE, reason="a hold is flushed by its commit here")


@pytest.fixture
def till(monkeypatch: pytest.MonkeyPatch) -> Iterator[Till]:
    """On a disk, and however slow that is, the ledger decides lone calls at once."""
    monkeypatch.setattr(inline, "SLOW_SECONDS", HOUR_SECONDS)
    with TemporaryDirectory(dir="/var/tmp") as folder:  # other tests' files are in memory
        url = f"sqlite:///{folder}/farebox.db"
        with closing(Database(url)) as database:
            database.migrate()
            yield Till(url, database)


@pytest.fixture
def key(till: Till) -> NewKey:
    return till.new_key("fifty")


@pytest.fixture
def log(till: Till) -> Path:
    assert till.database.path is not None
    return sqlite_file.log_of(till.database.path)


@pytest.fixture
def flushed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The files that a late flush has flushed."""
    files: list[int] = []
    real = os.fdatasync

    def seen(file: int) -> None:
        real(file)
        files.append(os.fstat(file).st_ino)

    monkeypatch.setattr(os, "fdatasync", seen)
    return files


def test_a_hold_is_seen_at_once_and_on_the_disk_a_moment_later(
    till: Till, key: NewKey, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not can_tell(log.parent):
        pytest.skip("this file system does not tell what is on the disk")
    monkeypatch.setattr(late_flush, "FLUSH_SECONDS", 0.2)

    async def call() -> None:
        async with running(till.database) as ledger:
            hold = await admit(ledger, key)
            assert pages_not_on_disk(log)  # or this test could not fail
            assert till.state(hold.call_id) == "held"
            await until(lambda: not pages_not_on_disk(log), "the flush")
            await record(ledger, hold)

    asyncio.run(call())


def test_no_answer_leaves_before_hold_and_record_are_on_the_disk(
    till: Till, key: NewKey, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not can_tell(log.parent):
        pytest.skip("this file system does not tell what is on the disk")
    monkeypatch.setattr(late_flush, "FLUSH_SECONDS", HOUR_SECONDS)

    async def call() -> None:
        async with running(till.database) as ledger:
            for _ in range(3):
                hold = await admit(ledger, key)
                assert pages_not_on_disk(log)
                await record(ledger, hold)
                assert not pages_not_on_disk(log)
            one, other = await admit(ledger, key), await admit(ledger, key)
            assert not pages_not_on_disk(log)  # the second went to the thread, whose commits flush
            await record(ledger, one)
            assert not pages_not_on_disk(log)
            await record(ledger, other)
            assert not pages_not_on_disk(log)
        assert till.findings() == []

    asyncio.run(call())


def test_a_hold_that_waits_for_its_model_is_flushed_once(
    till: Till, key: NewKey, log: Path, flushed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(late_flush, "FLUSH_SECONDS", 0)

    async def call() -> None:
        async with running(till.database) as ledger:
            hold = await admit(ledger, key)
            await until(lambda: bool(flushed), "the flush")
            await record(ledger, hold)
        assert flushed == [log_id]

    log_id = log.stat().st_ino
    asyncio.run(call())


def test_what_is_owed_is_flushed_at_the_end(
    till: Till, key: NewKey, flushed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(late_flush, "FLUSH_SECONDS", HOUR_SECONDS)

    async def call() -> None:
        async with running(till.database) as ledger:
            await record(ledger, await admit(ledger, key))
            await admit(ledger, key)
            assert not flushed
        assert len(flushed) == 1

    asyncio.run(call())


def test_a_log_that_sqlite_made_anew_is_the_one_that_is_flushed(
    till: Till, key: NewKey, log: Path, flushed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(late_flush, "FLUSH_SECONDS", 0)

    def made_anew() -> int:
        old = log.rename(log.with_suffix(".old"))
        log.write_bytes(old.read_bytes())
        old.unlink()
        return log.stat().st_ino

    async def call() -> None:
        async with running(till.database) as ledger:
            await record(ledger, await admit(ledger, key))
            await until(lambda: ledger._in_hand_since is None, "the thread")
            new = made_anew()
            flushed.clear()
            assert ledger._inline is not None
            ledger._inline.late_flush._begin()
            await until(lambda: bool(flushed), "the flush")
            assert flushed == [new]

    asyncio.run(call())


def head_of(log: Path) -> bytes:
    return log.read_bytes()[:SALTED]


@asynccontextmanager
async def with_a_hold_that_the_disk_did_not_take(
    till: Till, key: NewKey, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> AsyncIterator[tuple[GroupCommitLedger, Hold]]:
    def refuse(file: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO), file)

    monkeypatch.setattr(late_flush, "FLUSH_SECONDS", 0)
    monkeypatch.setattr(os, "fdatasync", refuse)
    async with running(till.database) as ledger:
        hold = await admit(ledger, key)
        await until(lambda: "did not take" in caplog.text, "the failure")
        yield ledger, hold


def test_what_a_disk_did_not_take_is_copied_to_the_database_before_the_record(
    till: Till, key: NewKey, log: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def call() -> None:
        async with with_a_hold_that_the_disk_did_not_take(till, key, monkeypatch, caplog) as (ledger, hold):
            before = head_of(log)
            await record(ledger, hold)
            assert till.state(hold.call_id) == "posted"
            assert head_of(log) != before  # it was emptied, and began anew
            assert ledger._inline is not None
            assert not ledger._inline.late_flush.has_failed

    asyncio.run(call())


def test_no_answer_leaves_while_the_log_cannot_be_copied(
    till: Till, key: NewKey, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def call() -> None:
        async with with_a_hold_that_the_disk_did_not_take(till, key, monkeypatch, caplog) as (ledger, hold):
            with till.connected() as reader:
                reader.execute("BEGIN")
                reader.execute("SELECT * FROM hold").fetchall()
                with pytest.raises(LedgerUnavailable):
                    await record(ledger, hold, seconds_max=0.1)
                assert till.state(hold.call_id) == "held"
                reader.execute("ROLLBACK")
            await until(lambda: till.state(hold.call_id) == "voided", "the void")  # whose caller was told no
            await record(ledger, await admit(ledger, key))
        assert till.findings() == []

    asyncio.run(call())


def test_a_commit_that_fails_while_a_flush_is_owed_puts_the_log_in_doubt(
    till: Till, key: NewKey, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(late_flush, "FLUSH_SECONDS", HOUR_SECONDS)

    async def call() -> None:
        with closing(FaultyDatabase(till.url)) as database:
            async with running(database) as ledger:
                await record(ledger, await admit(ledger, key))
                hold = await admit(ledger, key)
                database.faults = Faults()
                await record(ledger, hold)
                commit = database.faults.count  # the last thing that a record asks of the driver
                hold, before = await admit(ledger, key), head_of(log)
                database.faults = Faults(lambda: sqlite3.OperationalError("disk I/O error"), commit)
                await record(ledger, hold)
                assert head_of(log) != before
                assert till.state(hold.call_id) == "posted"

    asyncio.run(call())
