"""On PostgreSQL somebody else keeps a row locked: a psql left open, a machine that vanished in a transaction."""

import asyncio
from collections.abc import Iterator
from contextlib import closing, contextmanager
from unittest.mock import Mock

import pytest
from sqlalchemy import text

from farebox.account.keys import NewKey, create_key
from farebox.domain.errors import LedgerUnavailable
from farebox.store import database
from farebox.store.accounts import StoredAccounts
from farebox.store.ledger import group_commit as ledger_module
from farebox.store.ledger import locked, statements, sweep
from tests.contract.till import SECRET, SPENT, Till, admit, ask, record, running, until
from tests.services.sums import connect

SLEEPING = "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(3600)' AND state = 'active'"
OTHERS = 5


@pytest.fixture(autouse=True)
def no_time_to_lose(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    if till.is_sqlite:
        pytest.skip("SQLite has no lock of a row")
    begin = statements.POSTGRES_BEGIN_BATCH
    assert "lock_timeout = 1500" in begin
    monkeypatch.setattr(statements, "POSTGRES_BEGIN_BATCH", begin.replace("lock_timeout = 1500", "lock_timeout = 100"))
    monkeypatch.setattr(locked, "LOCK_SECONDS_MAX", 0.1)
    monkeypatch.setattr(locked, "TRIAL_SECONDS", 0.02)
    monkeypatch.setattr(locked, "REST_SECONDS", 0.05)
    monkeypatch.setattr(ledger_module, "RETRY_SECONDS", 0.02)
    monkeypatch.setattr(sweep, "SWEEP_WAIT_SECONDS_MAX", 0.3)


@contextmanager
def row_locked(till: Till, key: NewKey, table: str = "account") -> Iterator[None]:
    """Somebody's open transaction, which has the account's row in a table."""
    column = "id" if table == "account" else "account_id"
    with closing(connect(till.url)) as connection:
        connection.execute("BEGIN")
        found = connection.execute(f"SELECT 1 FROM {table} WHERE {column} = %s FOR UPDATE", (key.row.account_id,))
        assert found.fetchall()
        yield


@pytest.mark.parametrize("table", ["account", "meter", "hold"])
def test_a_locked_row_of_one_account_stops_that_account_alone_and_for_as_long(
    till: Till, key: NewKey, monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    others = [till.new_key() for _ in range(OTHERS)]
    [(email,)] = till.query("SELECT email FROM account WHERE id = %s", key.row.account_id)
    second = create_key(StoredAccounts(till.database), SECRET, "second", email)

    async def call() -> None:
        async with running(till.database) as ledger:
            hold = await admit(ledger, key)
            late = await admit(ledger, second)
            with row_locked(till, key, table):
                recording = asyncio.create_task(record(ledger, hold, seconds_max=30))
                for _ in range(3):
                    monkeypatch.setattr(ledger_module, "ADMIT_WAIT_SECONDS_MAX", 0.3)
                    asked = [asyncio.create_task(ledger.admit(ask(of))) for of in (key, second) if table != "hold"]
                    await asyncio.sleep(0)
                    monkeypatch.setattr(ledger_module, "ADMIT_WAIT_SECONDS_MAX", 5.0)
                    holds = await asyncio.gather(*(admit(ledger, other) for other in others))
                    await asyncio.gather(*(record(ledger, each) for each in holds))
                    for each in asked:
                        with pytest.raises(LedgerUnavailable):
                            await each
                    if isinstance(ledger._part, Mock):
                        ledger._part.assert_not_called()  # it is known whose row it is: nobody waits for it twice
                    monkeypatch.setattr(ledger, "_part", Mock(wraps=ledger._part))
                with pytest.raises(LedgerUnavailable):
                    await record(ledger, late, seconds_max=0.1)
                assert not recording.done()
            await recording
            await until(lambda: till.held() == 0, "the void of the other")
            await record(ledger, await admit(ledger, second))
            assert not ledger._locked
        assert till.state(hold.call_id) == "posted"
        assert till.ended(late.call_id) == ("voided", 0, 0, SPENT.input_tokens)

    asyncio.run(call())


def test_a_sweep_leaves_a_locked_account_for_the_next_round(till: Till, key: NewKey) -> None:
    other = till.new_key()

    async def call() -> None:
        async with running(till.database) as ledger:
            for each in (key, other):
                await admit(ledger, each, hold_ttl_us=0)
            with row_locked(till, key):
                assert await ledger.expire() == 1
                assert await ledger.expire() == 0
            assert await ledger.expire() == 1
        assert till.held() == 0

    asyncio.run(call())


def test_many_overdue_holds_of_a_locked_account_keep_no_other_account_s(
    till: Till, key: NewKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statements, "DUE_MAX", 2)
    other = till.new_key()

    async def call() -> None:
        async with running(till.database) as ledger:
            for each in (key, key, key, other):
                await admit(ledger, each, hold_ttl_us=0)
            with row_locked(till, key):
                assert await ledger.expire() == 1
            assert await ledger.expire() == 3

    asyncio.run(call())


def test_what_is_put_aside_is_told_no_in_time_where_the_database_falls_silent(till: Till, key: NewKey) -> None:
    async def call() -> None:
        async with running(till.database) as ledger:
            await record(ledger, await admit(ledger, key))
            with row_locked(till, key):
                asked = asyncio.create_task(ledger.admit(ask(key)))
                await until(lambda: bool(ledger._locked.all_waiting), "it is put aside")
                ledger._free_waiting()
                with pytest.raises(LedgerUnavailable):
                    await asked
            await until(lambda: till.held() == 0, "its void")

    asyncio.run(call())


def test_a_page_does_not_wait_for_a_locked_row_without_end(
    till: Till, key: NewKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = database.POSTGRES_BEGIN
    assert "lock_timeout = '2s'" in begin
    monkeypatch.setattr(database, "POSTGRES_BEGIN", begin.replace("'2s'", "'0.1s'"))
    with row_locked(till, key), pytest.raises(LedgerUnavailable) as told, till.database.write() as connection:
        connection.execute(text("UPDATE account SET spend_cap_nanodollars = 1"))
    assert told.value.is_row_locked


def test_a_ledger_that_ends_while_an_account_is_locked_ends_when_that_record_may_wait_no_longer(
    till: Till, key: NewKey
) -> None:
    async def call() -> None:
        async with running(till.database) as ledger:
            hold = await admit(ledger, key)
        with row_locked(till, key):
            async with running(till.database) as ledger:
                recording = asyncio.create_task(record(ledger, hold, seconds_max=0.3))
                await asyncio.sleep(0)
            with pytest.raises(LedgerUnavailable):
                await recording
        assert till.state(hold.call_id) == "held"

    asyncio.run(call())


def test_what_is_interrupted_ends_on_the_server_too(till: Till) -> None:
    """Or its locks would stay: a server does not look for its caller while it waits."""

    async def call() -> None:
        with closing(till.database.connect()) as connection:
            asleep = asyncio.create_task(asyncio.to_thread(connection.execute, "SELECT pg_sleep(3600)"))
            await until(lambda: till.query(SLEEPING) == [(1,)], "the wait")
            await asyncio.to_thread(till.database.interrupt, connection)
            with pytest.raises(till.database.outages):
                await asleep
            await until(lambda: till.query(SLEEPING) == [(0,)], "the end of it on the server")

    asyncio.run(call())
