"""A ledger with thousands of calls in it, made by the ledger itself."""

import asyncio
import json
import random
import time
from collections.abc import Mapping
from typing import Any, Final

from farebox.account.keys import KeyTerms, NewKey, create_key
from farebox.account.sign_up import sign_up
from farebox.domain import apikey
from farebox.domain.admission import Admitted, Ask
from farebox.domain.apikey import Mode
from farebox.domain.ledger import NOTHING_SPENT, Ending, Hold, Mark, Spent
from farebox.domain.plan import Plan
from farebox.domain.prices import Price
from farebox.domain.product import Product
from farebox.store.accounts import StoredAccounts
from farebox.store.database import Database
from farebox.store.ledger.group_commit import GroupCommitLedger

SECRET: Final = b"a secret of the tests, long enough"
PRODUCT: Final = Product(
    "Till",
    plans=(
        Plan("calls", calls=100_000),
        Plan("over", calls=300, overage_usd="0.001"),
        Plan("tokens", tokens=10**9),
        Plan("credit", credit_usd=10_000, markup=0.25),
    ),
)
MODELS: Final[Mapping[str, Price | None]] = {"priced": Price(150_000_000, 75_000_000, 600_000_000), "unpriced": None}
TTL_US: Final = 3_600 * 10**6  # copies of what is held are looked at later
CALLS_AT_ONCE: Final = 200  # a slow machine has to answer as many within the patience of a call


def open_accounts(database: Database, modes: tuple[Mode, ...] = ("live", "test")) -> list[NewKey]:
    """An account on each plan, with a key of each mode."""
    accounts = StoredAccounts(database)
    keys = []
    for plan in PRODUCT.plans:
        sign_up(accounts, PRODUCT, f"{plan.name}@example.com", plan.name)
        email = f"{plan.name}@example.com"
        keys += [create_key(accounts, SECRET, "till", email, KeyTerms(mode=mode)) for mode in modes]
    return keys


def fill(database: Database, keys: list[NewKey], calls: int, first: int = 0) -> None:
    """Calls of every ending, numbered from the first, spread over the keys; some stay held.

    What becomes of a call hangs on its number alone, not on who is quickest.
    """
    asyncio.run(_fill(database, keys, range(first, first + calls)))


async def _fill(database: Database, keys: list[NewKey], calls: range) -> None:
    ledger = GroupCommitLedger(database, PRODUCT.by_name)
    ledger.start()
    try:
        for start in range(0, len(calls), CALLS_AT_ONCE):
            some = calls[start : start + CALLS_AT_ONCE]
            await asyncio.gather(*(_call(ledger, keys[n % len(keys)], n) for n in some))
    finally:
        await ledger.close()


async def _call(ledger: GroupCommitLedger, key: NewKey, number: int) -> None:
    chance = random.Random(f"call {number}")
    plan = PRODUCT.plans[number % 8 // 2]
    model = "priced" if plan.is_metered_in_money else chance.choice(list(MODELS))
    digest = apikey.digest(SECRET, key.key)
    ask = Ask(f"req_{number:08x}", digest, "/v1/generate", model, MODELS[model], 500, 300, TTL_US)
    admitted = await ledger.admit(ask)
    assert isinstance(admitted, Admitted), admitted
    ending: Ending | None = chance.choices(
        ("post", "post_free", "void", "expire", None), weights=(80, 5, 5, 5, 1)
    )[0]  # fmt: skip
    if ending is not None:
        await ledger.record(admitted.hold, ending, _spent(ending, admitted.hold, chance), time.monotonic() + 10)


def _spent(ending: Ending, hold: Hold, chance: random.Random) -> Spent:
    if ending == "expire":
        return NOTHING_SPENT
    read = chance.randint(1, 700)  # now and then above the hold
    marks = (Mark.NO_MESSAGE,) if ending == "post_free" else chance.choice([(), (), (Mark.ESTIMATED,), (Mark.CUT,)])
    attempts = json.dumps([{"model": hold.model, "ms": 1, "status": 200}])
    return Spent(read, chance.randint(0, read), chance.randint(0, 400), marks, attempts)


def tamper(database: Database, *statements: str) -> None:
    """Change the ledger behind its back, as only somebody who may drop a trigger can."""
    guards = ("usage_record_no_update", "usage_record_no_delete", "usage_record_no_replace")
    with database.write() as connection:
        if database.is_sqlite:
            for guard in guards:
                connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {guard}")
        else:
            connection.exec_driver_sql("ALTER TABLE usage_record DISABLE TRIGGER ALL")
        for statement in statements:
            assert connection.exec_driver_sql(statement).rowcount > 0, statement


def query(database: Database, statement: str) -> list[tuple[Any, ...]]:
    with database.read() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(statement)]
