"""What the ledger has written stays, in the order of its own clock."""

import asyncio
import time
from itertools import pairwise
from typing import Any

import pytest

from farebox.account.keys import NewKey
from farebox.account.sign_up import sign_up
from farebox.domain.ledger import NOTHING_SPENT
from farebox.domain.plan import Plan
from farebox.domain.product import Product
from farebox.store.accounts import StoredAccounts
from farebox.store.ledger import statements
from farebox.store.ledger.group_commit import GroupCommitLedger
from tests.contract.till import TTL_US, Till, admit, record, running

# -- History


APPEND_ONLY = {
    "update": "UPDATE usage_record SET charge_nanodollars = 0",
    "update of nothing that changes": "UPDATE usage_record SET calls = calls",
    "delete": "DELETE FROM usage_record",
    "delete of one": "DELETE FROM usage_record WHERE state = 'posted'",
    "upsert": "INSERT INTO usage_record SELECT * FROM usage_record WHERE true "
    "ON CONFLICT (account_id, call_id) DO UPDATE SET charge_nanodollars = 0",
    "truncate": "TRUNCATE usage_record",
    "truncate with the rest": "TRUNCATE account, hold, meter, usage_record",
    "replace": "REPLACE INTO usage_record SELECT * FROM usage_record",
    "update or replace": "UPDATE OR REPLACE usage_record SET call_id = 'another'",
}


@pytest.mark.parametrize("attempt", APPEND_ONLY)
def test_the_database_itself_refuses_to_rewrite_history(till: Till, key: NewKey, attempt: str) -> None:
    statement = APPEND_ONLY[attempt]
    if ("TRUNCATE" if till.is_sqlite else "REPLACE") in statement:
        pytest.skip("another database's word")

    async def call() -> None:
        async with running(till.database) as ledger:
            await record(ledger, await admit(ledger, key))

    asyncio.run(call())
    before = till.query("SELECT * FROM usage_record")
    with pytest.raises(Exception, match="usage_record is append-only"):
        till.query(statement)
    assert till.query("SELECT * FROM usage_record") == before


@pytest.mark.parametrize(
    "change",
    [
        "charge_nanodollars = held_nanodollars + 1",
        "tokens = held_tokens + 1",
        "calls = -1",
        "state = 'held'",
        "recorded_us = NULL",
    ],
)
def test_the_database_itself_refuses_a_row_that_cannot_be(till: Till, key: NewKey, change: str) -> None:
    """A copy of a good row, under a new id and with one figure changed."""

    async def call() -> None:
        async with running(till.database) as ledger:
            await record(ledger, await admit(ledger, key))

    asyncio.run(call())
    name, _, value = change.partition(" = ")
    columns = list(statements.USAGE_RECORD.columns)
    values = [value if column == name else "'another'" if column == "call_id" else column for column in columns]
    with pytest.raises(till.database._driver.IntegrityError):
        till.query(f"INSERT INTO usage_record ({', '.join(columns)}) SELECT {', '.join(values)} FROM usage_record")
    assert till.query("SELECT count(*) FROM usage_record") == [(1,)]


def test_a_meter_below_nothing_is_refused_by_the_database(till: Till, key: NewKey) -> None:
    async def call() -> None:
        async with running(till.database) as ledger:
            await admit(ledger, key)

    asyncio.run(call())
    with pytest.raises(till.database._driver.IntegrityError):
        till.query("UPDATE meter SET held_calls = held_calls - 2")


# -- Time


def test_calls_are_in_the_order_of_the_ledgers_own_clock(till: Till, key: NewKey) -> None:
    async def call() -> None:
        async with running(till.database) as ledger:
            for _ in range(5):
                await record(ledger, await admit(ledger, key))

    before_us = time.time_ns() // 1000 - 10**6
    asyncio.run(call())
    times = till.query("SELECT admitted_us, recorded_us, expires_us FROM usage_record ORDER BY call_id")
    assert all(before_us < admitted <= recorded < expires == admitted + TTL_US for admitted, recorded, expires in times)
    assert all(earlier[1] <= later[0] for earlier, later in pairwise(times))


def test_a_plan_that_the_founder_took_away_still_records_the_calls_under_way(till: Till) -> None:
    product = Product("Till", plans=(Plan("old"), Plan("new")))
    accounts = StoredAccounts(till.database)
    old = till.new_key()
    till.query("UPDATE account SET plan = 'old' WHERE id = %s", old.row.account_id)
    sign_up(accounts, product, "new@example.com", "new")

    async def life(plans: dict[str, Plan]) -> None:
        ledger = GroupCommitLedger(till.database, plans)
        ledger.start()
        if "old" in plans:
            holds.append(await admit(ledger, old))
        else:
            outcome, standing = await record(ledger, holds[0], "post", NOTHING_SPENT)
            assert (outcome.calls, standing) == (1, None)
        await ledger.close()

    holds: list[Any] = []
    asyncio.run(life(dict(product.by_name)))
    asyncio.run(life({"new": product.by_name["new"]}))
    till.query("UPDATE account SET plan = 'open' WHERE id = %s", old.row.account_id)
    till.query("UPDATE account SET plan = 'open' WHERE plan = 'new'")
