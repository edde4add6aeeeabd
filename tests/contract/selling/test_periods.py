"""A new subscription ends the ledger's period and begins another; calls under way are recorded where they began."""

import asyncio

import pytest

from farebox.account.keys import PLAIN, KeyTerms, create_key
from farebox.account.stripe_events import Clerk
from farebox.domain.apikey import Mode
from farebox.domain.ledger import Spent
from farebox.store.accounts import StoredAccounts
from farebox.store.reconcile.sums import reconcile
from tests.contract.selling.counter import PRODUCT, Counter
from tests.contract.till import SECRET, admit, ask, record, running


def test_calls_under_way_keep_their_period_when_a_plan_is_bought(counter: Counter) -> None:
    account_id = counter.account()
    key = create_key(StoredAccounts(counter.database), SECRET, "till", counter.row(account_id).email, PLAIN)
    session = counter.buy(account_id, "pro")

    async def run() -> tuple[int, int]:
        async with running(counter.database, PRODUCT) as ledger:
            for _ in range(18):
                await record(ledger, await admit(ledger, key))
            under_way = [await admit(ledger, key) for _ in range(2)]
            refused = await ledger.admit(ask(key))
            assert not hasattr(refused, "hold"), "20 calls are free"
            await asyncio.to_thread(_come_back, counter, account_id, session)
            new = await admit(ledger, key)
            await record(ledger, under_way[0], spent=Spent(12, 2, 7))
            await record(ledger, under_way[1], "void")
            await record(ledger, new)
            assert new.plan == "pro"
            return under_way[0].period_start_us, new.period_start_us

    before_us, after_us = asyncio.run(run())
    meters = counter.rows(
        "SELECT period_start_us, period_end_us, posted_calls, held_calls FROM meter"
        " WHERE account_id = :id AND name = 'live' ORDER BY 1",
        id=account_id,
    )
    assert [row[0] for row in meters] == [before_us, after_us]
    assert meters[0][1] == meters[1][0]
    assert [row[2:] for row in meters] == [(19, 0), (1, 0)]
    theirs = counter.subscription(account_id)
    assert meters[1][1] == theirs.period_end_us
    assert reconcile(counter.database, PRODUCT.by_name).findings == []


def test_a_month_that_a_purchase_has_begun_is_right_before_its_first_call(counter: Counter) -> None:
    account_id = counter.account()
    key = create_key(StoredAccounts(counter.database), SECRET, "till", counter.row(account_id).email, PLAIN)

    async def call_once() -> None:
        async with running(counter.database, PRODUCT) as ledger:
            await record(ledger, await admit(ledger, key))

    asyncio.run(call_once())
    _come_back(counter, account_id, counter.buy(account_id, "pro"))
    assert reconcile(counter.database, PRODUCT.by_name).findings == []


def test_a_key_with_a_cap_that_first_calls_in_a_month_that_a_purchase_has_begun_counts_in_that_month(
    counter: Counter,
) -> None:
    account_id = counter.account()
    accounts, email = StoredAccounts(counter.database), counter.row(account_id).email
    plain = create_key(accounts, SECRET, "till", email, PLAIN)
    capped = create_key(accounts, SECRET, "till", email, KeyTerms("Batch", cap_calls=2))
    session = counter.buy(account_id, "pro")

    async def run() -> None:
        async with running(counter.database, PRODUCT) as ledger:
            await record(ledger, await admit(ledger, plain))
            await asyncio.to_thread(_come_back, counter, account_id, session)
            for _ in range(2):
                await record(ledger, await admit(ledger, capped))
            refused = await ledger.admit(ask(capped))
            assert not hasattr(refused, "hold"), "2 calls are all of it"

    asyncio.run(run())
    meters = "SELECT period_start_us, period_end_us FROM meter WHERE account_id = :id AND name = :name ORDER BY 1"
    theirs = counter.rows(meters, id=account_id, name="live")
    assert list(counter.rows(meters, id=account_id, name=capped.row.cap_id)) == list(theirs[1:])
    assert reconcile(counter.database, PRODUCT.by_name).findings == []


@pytest.mark.parametrize("modes", [("live", "test"), ("test", "live")])
def test_a_mode_that_first_calls_after_a_purchase_counts_in_the_month_of_the_other(
    counter: Counter, modes: tuple[Mode, Mode]
) -> None:
    account_id = counter.account()
    accounts, email = StoredAccounts(counter.database), counter.row(account_id).email
    before, after = (create_key(accounts, SECRET, "till", email, KeyTerms("Tried", mode)) for mode in modes)
    session = counter.buy(account_id, "pro")

    async def run() -> None:
        async with running(counter.database, PRODUCT) as ledger:
            await record(ledger, await admit(ledger, before))
            await asyncio.to_thread(_come_back, counter, account_id, session)
            await record(ledger, await admit(ledger, after))

    asyncio.run(run())
    meters = "SELECT name, period_start_us, posted_calls FROM meter WHERE account_id = :id ORDER BY 2, 1"
    old, *both = counter.rows(meters, id=account_id)
    assert (old[0], old[2]) == (modes[0], 1)
    assert [(name, calls) for name, _, calls in both] == [("live", modes[1] == "live"), ("test", modes[1] == "test")]
    assert both[0][1] == both[1][1]
    assert reconcile(counter.database, PRODUCT.by_name).findings == []


def _come_back(counter: Counter, account_id: str, session: str) -> None:
    del session  # nobody comes back: Stripe tells
    for event in counter.events(account_id):
        counter.inbox.add(event)
    Clerk(counter.inbox, lambda: counter.till).work_off_all()
    assert counter.row(account_id).plan == "pro"
