"""A PostgreSQL that takes no writes, as after a failover to a standby."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing

import psycopg
import pytest
from sqlalchemy.pool import QueuePool

from farebox.account.keys import create_key
from farebox.account.sign_up import sign_up
from farebox.domain import apikey
from farebox.domain.admission import Admitted, Ask
from farebox.domain.errors import LedgerUnavailable
from farebox.domain.ledger import NOTHING_SPENT, State
from farebox.domain.product import Product
from farebox.store.accounts import StoredAccounts
from farebox.store.database import Database
from farebox.store.ledger.group_commit import GroupCommitLedger

SECRET = b"read only" * 4


@pytest.fixture
def database(migrated_pg_url: str) -> Iterator[Database]:
    with closing(Database(migrated_pg_url)) as opened:
        yield opened


def set_read_only(url: str, *, on: bool, hang_up: bool = True) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET default_transaction_read_only = off")
        name = connection.info.dbname
        connection.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = {"on" if on else "off"}')
        if hang_up:
            others = "FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"
            connection.execute(f"SELECT pg_terminate_backend(pid) {others}", (name,))


def test_a_database_that_takes_no_writes_is_an_outage_and_a_record_waits_for_its_end(
    database: Database, migrated_pg_url: str
) -> None:
    accounts = StoredAccounts(database)
    sign_up(accounts, Product(), "ada@example.com", "free")
    digest = apikey.digest(SECRET, create_key(accounts, SECRET, "demo", "ada@example.com").key)

    def ask(call_id: str) -> Ask:
        return Ask(call_id, digest, "/v1/generate", "m", None, 10, None, 60_000_000)

    async def call() -> None:
        ledger = GroupCommitLedger(database, Product().by_name)
        ledger.start()
        admitted = await ledger.admit(ask("req_1"))
        assert isinstance(admitted, Admitted)
        await asyncio.to_thread(set_read_only, migrated_pg_url, on=True)
        with pytest.raises(LedgerUnavailable):
            await ledger.admit(ask("req_2"))
        with pytest.raises(LedgerUnavailable):
            await ledger.check()
        waiting = asyncio.create_task(ledger.record(admitted.hold, "post", NOTHING_SPENT, time.monotonic() + 30))
        await asyncio.sleep(0.5)
        assert not waiting.done()
        await asyncio.to_thread(set_read_only, migrated_pg_url, on=False)
        assert (await waiting).outcome.state is State.POSTED
        await ledger.check()
        await ledger.close()

    asyncio.run(call())


def test_pages_write_again_as_soon_as_the_database_does(database: Database, migrated_pg_url: str) -> None:
    """Connections that were opened while it did not are good enough to read, and stay read-only for ever."""
    set_read_only(migrated_pg_url, on=True)
    with database.read(), database.read():
        pass  # two that will be kept
    with pytest.raises(LedgerUnavailable):
        sign_up(StoredAccounts(database), Product(), "ada@example.com", "free")
    set_read_only(migrated_pg_url, on=False, hang_up=False)
    assert sign_up(StoredAccounts(database), Product(), "ada@example.com", "free")


def test_a_page_that_gets_no_connection_is_told_of_an_outage(database: Database) -> None:
    """As many as may be are taken where the database is stuck: that is not a mistake of ours, and passes."""
    pool = database.engine.pool
    assert isinstance(pool, QueuePool)
    pool._timeout = 0.0
    with ExitStack() as taken:
        for _ in range(pool.size() + pool._max_overflow):
            taken.enter_context(database.engine.connect())
        with pytest.raises(LedgerUnavailable), database.read():
            raise AssertionError
    with database.read():
        assert pool.checkedout() == 1
