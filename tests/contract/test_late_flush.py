"""A lone call's hold is flushed beside the model's call, and no answer leaves before all of it is on the disk."""

import asyncio
import errno
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from farebox.account.keys import NewKey
from farebox.store import sqlite_file
from farebox.store.database import Database
from farebox.store.ledger import inline, late_flush
from tests.contract.till import Till, admit, record, running, until
from tests.services.page_cache import can_tell, pages_not_on_disk

HOURS: float = 3_600

pytestmark = pytest.mark.skipif(not late_flush.IS_POSSIBLE, reason="a hold is flushed by its commit here")


@pytest.fixture
def till(monkeypatch: pytest.MonkeyPatch) -> Iterator[Till]:
    """On a disk, and however slow that is, the ledger decides lone calls at once."""
    monkeypatch.setattr(inline, "SLOW_SECONDS", HOURS)
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
    monkeypatch.setattr(late_flush, "FLUSH_SECONDS", HOURS)

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
    monkeypatch.setattr(late_flush, "FLUSH_SECONDS", HOURS)

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
            ledger._inline._late_flush._begin()
            await until(lambda: bool(flushed), "the flush")
            assert flushed == [new]

    asyncio.run(call())


def test_what_a_disk_did_not_take_is_copied_to_the_database(
    till: Till, key: NewKey, log: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(late_flush, "FLUSH_SECONDS", 0)

    def fail(file: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO), file)

    async def call() -> None:
        async with running(till.database) as ledger:
            monkeypatch.setattr(os, "fdatasync", fail)
            hold = await admit(ledger, key)
            await until(lambda: log.stat().st_size == 0, "the copy")
            assert till.state(hold.call_id) == "held"
            await record(ledger, hold)
            assert till.state(hold.call_id) == "posted"
        assert "did not take" in caplog.text
        assert "nor was it" not in caplog.text

    asyncio.run(call())
