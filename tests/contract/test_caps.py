"""Caps of customers on both databases: what a key may do, where it is counted, what a rotation and an upgrade keep."""

import asyncio
from collections.abc import Sequence
from contextlib import closing
from importlib import resources
from typing import Final

import pytest
from alembic import command
from alembic.config import Config

from farebox.account.keys import KeyTerms, NewKey, create_key, rotate_key
from farebox.account.sign_up import sign_up
from farebox.domain.admission import Admitted, Once, Refused
from farebox.domain.errors import FounderError, InsufficientPermissions, QuotaExceeded
from farebox.domain.ledger import Hold
from farebox.store.accounts import StoredAccounts
from farebox.store.cursor import Cursor, Row
from farebox.store.database import Database
from farebox.store.reconcile.findings import Finding
from farebox.store.reconcile.sums import reconcile
from tests.contract.filled import tamper
from tests.contract.till import PRODUCT, SECRET, Faults, FaultyDatabase, Till, admit, ask, no_inline, record, running

ENDPOINTS: Final = ("/v1/generate", "/v1/tagline")


@pytest.fixture
def till(migrated_url: str, database: Database) -> Till:
    return Till(migrated_url, database)


@pytest.fixture
def capped(till: Till) -> NewKey:
    return till.new_key(terms=KeyTerms("Batch", cap_calls=2))


# -- What a key may do


def test_a_key_and_its_successor_count_on_one_cap(till: Till, capped: NewKey) -> None:
    accounts = StoredAccounts(till.database)
    successor = rotate_key(accounts, SECRET, "till", capped.row, 3600)
    second = rotate_key(accounts, SECRET, "till", successor.row, 3600)

    async def call() -> None:
        async with running(till.database) as ledger:
            await record(ledger, await admit(ledger, capped))
            hold = await admit(ledger, second)
            for key in (capped, successor, second):
                refused = await ledger.admit(ask(key))
                assert isinstance(refused, Refused)
                assert type(refused.error) is QuotaExceeded
            await record(ledger, hold, "void")
            await admit(ledger, successor)
            standing = await ledger.standing(second.row.digest)
            assert standing.cap is not None
            assert (standing.cap.calls, standing.cap.calls_left, standing.cap.meter.posted_calls) == (2, 0, 1)

    asyncio.run(call())
    assert till.findings() == []
    assert reconcile(till.database, PRODUCT.by_name).findings == []


def test_an_answer_that_was_kept_is_not_given_to_a_key_that_may_not_call_its_endpoint(till: Till) -> None:
    accounts = StoredAccounts(till.database)
    sign_up(accounts, PRODUCT, "ada@example.com", "open")
    allowed, other = (
        create_key(accounts, SECRET, "till", "ada@example.com", KeyTerms(scopes=(path,)), ENDPOINTS)
        for path in ENDPOINTS
    )
    once = Once("the same", "fingerprint", is_stream=False, ttl_us=10**9)

    async def call() -> None:
        async with running(till.database) as ledger:
            await admit(ledger, allowed, once=once)
            refused = await ledger.admit(ask(other, once=once))
            assert isinstance(refused, Refused)
            assert type(refused.error) is InsufficientPermissions

    asyncio.run(call())


def test_a_key_that_cannot_be_is_refused_with_a_sentence(till: Till) -> None:
    accounts = StoredAccounts(till.database)
    sign_up(accounts, PRODUCT, "ada@example.com", "open")
    cap = "A limit has to be a whole number of calls, from 1 to 1,000,000,000."
    cases = {
        KeyTerms(scopes=("/v1/nothing",)): "There is no endpoint /v1/nothing. Choose from /v1/generate, /v1/tagline.",
        KeyTerms(cap_calls=0): cap,
        KeyTerms(cap_calls=10**9 + 1): cap,
        KeyTerms(days=0): "Enter a whole number of days, from 1 to 3,650.",
    }
    for terms, sentence in cases.items():
        with pytest.raises(FounderError) as told:
            create_key(accounts, SECRET, "till", "ada@example.com", terms, ENDPOINTS)
        assert str(told.value) == sentence
    assert accounts.list_keys("ada@example.com") == []


def test_a_cap_that_is_counted_nowhere_is_refused_by_the_database(till: Till, capped: NewKey) -> None:
    with pytest.raises(till.database._driver.IntegrityError):
        till.query("UPDATE api_key SET cap_id = '' WHERE id = %s", capped.row.id)


# -- What it costs


def test_a_call_reads_its_own_meters_however_many_capped_keys_the_account_has(till: Till) -> None:
    key = till.new_key()
    account_id = key.row.account_id

    async def call() -> None:
        async with running(till.database) as ledger:
            await record(ledger, await admit(ledger, key))
            numbers = "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 500) SELECT i FROM c"
            copied = "account_id, 'key_' || n.i, period_start_us, period_end_us, 0, 0, 0, 0, 0, 0, 0"
            till.query(
                f"INSERT INTO meter SELECT {copied} FROM meter, ({numbers}) n WHERE account_id = %s",
                account_id,
            )
            found = []
            real = ledger._statements.meters

            def meters(cursor: Cursor, owners: Sequence[tuple[str, str]], end_after_us: int) -> list[Row]:
                found.append(real(cursor, owners, end_after_us))
                return found[-1]

            no_inline(ledger)  # which has statements of its own, and they are the same
            ledger._statements.meters = meters  # type: ignore[method-assign]
            await record(ledger, await admit(ledger, key))
            assert [len(rows) for rows in found] == [1, 1]

    asyncio.run(call())


def test_a_cap_costs_a_call_no_round_trip_and_none_is_paid_without_one(till: Till, migrated_url: str) -> None:
    plain, capped = till.new_key(), till.new_key(terms=KeyTerms(cap_calls=50))

    async def count(key: NewKey) -> int:
        with closing(FaultyDatabase(migrated_url)) as database:
            database.faults = Faults()
            async with running(database) as ledger:
                no_inline(ledger)  # or a slow disk would have some of them go another way
                await record(ledger, await admit(ledger, key))
                before = database.faults.count
                await record(ledger, await admit(ledger, key))
                return database.faults.count - before

    without, with_one = asyncio.run(count(plain)), asyncio.run(count(capped))
    # In the process, a meter is read by a statement of its own, which is a function call.
    assert with_one == without + (2 if till.is_sqlite else 0)


# -- What is wrong is found


@pytest.fixture
def used(till: Till, capped: NewKey) -> NewKey:
    async def call() -> None:
        async with running(till.database) as ledger:
            await record(ledger, await admit(ledger, capped))
            await admit(ledger, capped)

    asyncio.run(call())
    assert found(till) == []
    return capped


def found(till: Till) -> list[Finding]:
    return reconcile(till.database, PRODUCT.by_name).findings


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (
            "UPDATE meter SET posted_calls = posted_calls + 1 WHERE name = '{id}'",
            {"meter: posted_calls", "meter: calls"},
        ),
        ("UPDATE meter SET held_tokens = 1 WHERE name = '{id}'", {"meter: held_tokens"}),
        ("DELETE FROM meter WHERE name = '{id}'", {"meter"}),
        ("UPDATE hold SET cap_id = '', cap_calls = NULL", {"meter: held_calls", "meter: held_tokens", "cap_id"}),
        ("UPDATE hold SET cap_id = 'key_2'", {"meter: held_calls", "meter: held_tokens", "meter", "cap_id"}),
        ("UPDATE usage_record SET cap_calls = 3", {"cap_id"}),
        ("UPDATE api_key SET cap_calls = 1", {"meter: calls", "cap_id"}),
    ],
)
def test_a_cap_that_is_counted_wrongly_is_found(till: Till, used: NewKey, statement: str, expected: set[str]) -> None:
    tamper(till.database, statement.format(id=used.row.id))
    whats = {finding.what for finding in found(till)}
    assert {what.rpartition(": ")[2] if what.startswith("call ") else what for what in whats} == expected


def test_more_spent_than_the_customers_own_cap_is_worth_a_note_and_no_more(till: Till) -> None:
    key = till.new_key("credit")

    async def call() -> None:
        async with running(till.database) as ledger:
            await admit(ledger, key)

    asyncio.run(call())
    till.query("UPDATE account SET spend_cap_nanodollars = 5 WHERE id = %s", key.row.account_id)
    report = reconcile(till.database, PRODUCT.by_name)
    assert report.findings == []
    [note] = report.notes
    assert "over their own cap of 5: right only if they lowered it" in note


# -- What an upgrade keeps


def migrate_to(database: Database, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(resources.files("farebox.store") / "migrations"))
    if database.path is not None:
        database.path.touch()
    with database.write() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def test_a_ledger_in_use_goes_on_after_the_upgrade(empty_url: str) -> None:
    """Calls that were held before it are recorded after it, and every sum is right."""
    with closing(Database(empty_url)) as database:
        migrate_to(database, "0002")
        till = Till(empty_url, database)
        price = "150000000, 75000000, 600000000"
        of_call = "'acct_1', '{id}', 'key_1', 'live', 'open', '/v1/generate', 'm', 1, 5, 9"
        row = f"{of_call}, 1, 100, 0, 40, 60, {price}, 0"
        rollup = "'acct_1', 'live', '1970-01-01', 'key_1', '/v1/generate', 'm', 1, 0, 0, 1, 19, 12, 7, 0, 6000"
        ended = "'posted', 1, 19, 12, 2, 7, 0, 6000, '', '[]', '', 6"
        for statement in (
            "INSERT INTO account VALUES ('acct_1', 'ada@example.com', 'open', 'active', 1, 1)",
            "INSERT INTO api_key VALUES ('acct_1', 'key_1', 'digest', '', 'live', '', '', 1, NULL, NULL)",
            f"INSERT INTO hold VALUES ({row.format(id='req_held')}, NULL)",
            f"INSERT INTO usage_record VALUES ({row.format(id='req_ended')}, NULL, {ended})",
            "INSERT INTO meter VALUES ('acct_1', 'live', 1, 2678400000001, 1, 1, 19, 100, 0, 0, 0)",
            f"INSERT INTO rollup_daily VALUES ({rollup})",
        ):
            till.query(statement)
        database.migrate()
        assert till.findings() == []
        [held] = till.query(f"SELECT {', '.join(Hold._fields)} FROM hold")
        hold = Hold(*held)
        assert (hold.cap_id, hold.cap_calls) == ("", None)

        async def finish() -> None:
            async with running(database) as ledger:
                await record(ledger, hold)

        asyncio.run(finish())
        assert till.findings() == []
        assert till.state("req_held") == "posted"


def test_what_passes_is_admitted(till: Till, capped: NewKey) -> None:
    async def call() -> None:
        async with running(till.database) as ledger:
            admitted = await ledger.admit(ask(capped))
            assert isinstance(admitted, Admitted)
            assert (admitted.hold.cap_id, admitted.hold.cap_calls) == (capped.row.id, 2)

    asyncio.run(call())
