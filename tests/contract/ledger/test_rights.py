"""A PostgreSQL that lets the ledger do a part of its work: a right is missing, or a table. Then it does none of it."""

import asyncio
import secrets
from collections.abc import Iterator
from contextlib import closing

import pytest

from farebox.account.keys import NewKey
from farebox.domain.errors import LedgerUnavailable
from farebox.store.database import Database
from farebox.store.ledger import group_commit as ledger_module
from tests.contract.till import SECONDS_MAX, Till, admit, ask, record, running

TAKEN = ("INSERT ON usage_record", "DELETE ON hold", "UPDATE ON rollup_daily", "INSERT ON usage_outbox")


@pytest.fixture
def role(till: Till) -> Iterator[str]:
    """A role that is not the owner of the tables, with all rights."""
    if till.is_sqlite:
        pytest.skip("SQLite has no rights")
    name = f"role_{secrets.token_hex(4)}"
    till.query(f"CREATE ROLE {name} LOGIN")
    till.query(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {name}")
    yield name
    till.query(f"DROP OWNED BY {name}")
    till.query(f"DROP ROLE {name}")


@pytest.fixture
def limited(till: Till, role: str) -> Iterator[Database]:
    """The database as that role has it."""
    with closing(Database(till.url.replace("postgres@", f"{role}@"))) as database:
        yield database


def test_no_call_is_admitted_that_could_not_be_recorded(till: Till, key: NewKey, role: str, limited: Database) -> None:
    async def call() -> None:
        for right in TAKEN:
            till.query(f"REVOKE {right} FROM {role}")
            async with running(limited) as ledger:
                with pytest.raises(LedgerUnavailable):
                    await ledger.admit(ask(key))
                with pytest.raises(LedgerUnavailable):
                    await ledger.check()
                till.query(f"GRANT {right} TO {role}")
                await ledger.check()
                await record(ledger, await admit(ledger, key))

    asyncio.run(call())
    assert till.held() == 0


@pytest.mark.parametrize(
    ("taken", "given"),
    [
        ("REVOKE INSERT ON usage_record FROM {role}", "GRANT INSERT ON usage_record TO {role}"),
        ("ALTER TABLE rollup_daily RENAME TO elsewhere", "ALTER TABLE elsewhere RENAME TO rollup_daily"),
        ("ALTER TABLE meter RENAME held_calls TO other", "ALTER TABLE meter RENAME other TO held_calls"),
    ],
)
def test_a_record_that_cannot_be_written_waits_and_meanwhile_no_call_is_admitted(
    till: Till, key: NewKey, role: str, limited: Database, monkeypatch: pytest.MonkeyPatch, taken: str, given: str
) -> None:
    monkeypatch.setattr(ledger_module, "RETRY_SECONDS", 0.01)

    async def call() -> None:
        async with running(limited) as ledger:
            hold = await admit(ledger, key)
            till.query(taken.format(role=role))
            try:
                recording = asyncio.create_task(record(ledger, hold, seconds_max=SECONDS_MAX))
                await asyncio.sleep(0)
                with pytest.raises(LedgerUnavailable):
                    await ledger.admit(ask(key))
                with pytest.raises(LedgerUnavailable):
                    await ledger.check()
                assert not recording.done()
            finally:
                till.query(given.format(role=role))
            await recording
            await ledger.check()
        assert till.state(hold.call_id) == "posted"

    asyncio.run(call())
    assert till.held() == 0


def test_a_page_is_told_of_it_as_of_an_outage(till: Till, role: str, limited: Database) -> None:
    till.query(f"REVOKE ALL ON account FROM {role}")
    with pytest.raises(LedgerUnavailable), limited.read() as connection:
        connection.exec_driver_sql("SELECT 1 FROM account")
