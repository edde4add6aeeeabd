"""The ledger on both databases: however many come at once, to however many processes, the limits hold."""

import asyncio
import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest

from farebox.account.keys import NewKey
from farebox.domain.admission import Admitted, Refused
from farebox.domain.errors import QuotaExceeded
from farebox.domain.ledger import Spent
from farebox.store.database import Database
from farebox.store.ledger.group_commit import GroupCommitLedger
from tests.contract.till import PRODUCT, SECONDS_MAX, Till, admit, ask, record, running, stalled


@pytest.mark.parametrize("seed", [1, 2])
def test_two_ledgers_with_400_admissions_at_once_pass_fifty_of_a_plan_of_fifty(
    till: Till, migrated_url: str, seed: int
) -> None:
    fifty = till.new_key("fifty")
    chance = random.Random(seed)

    async def callers(ledger: GroupCommitLedger) -> list[object]:
        async def one() -> object:
            await asyncio.sleep(chance.random() / 50)
            decision = await ledger.admit(ask(fifty))
            if isinstance(decision, Admitted) and chance.random() < 0.5:
                await record(ledger, decision.hold)
            return type(decision.error) if isinstance(decision, Refused) else Admitted

        return list(await asyncio.gather(*(one() for _ in range(200))))

    answers = in_two_threads(migrated_url, callers)
    assert answers.count(Admitted) == 50
    assert answers.count(QuotaExceeded) == 350


@pytest.mark.parametrize("plan", ["tokens", "credit"])
@pytest.mark.parametrize("seed", [1, 2])
def test_two_ledgers_with_calls_of_random_size_pass_no_limit_and_refuse_nobody_who_would_fit(
    till: Till, migrated_url: str, plan: str, seed: int
) -> None:
    limited = till.new_key(plan)
    limit = PRODUCT.by_name[plan].tokens or PRODUCT.by_name[plan].credit_nanodollars or 0

    async def callers(ledger: GroupCommitLedger) -> list[object]:
        async def one(chance: random.Random) -> object:
            read_max, written_max = chance.randint(1, 400), chance.randint(1, 400)
            wanted = ask(limited, input_tokens_max=read_max, output_tokens_wanted=written_max)
            decision = await ledger.admit(wanted)
            if isinstance(decision, Admitted):
                spent = Spent(chance.randint(0, read_max), 0, chance.randint(0, written_max))
                await record(ledger, decision.hold, chance.choice(["post", "post", "void"]), spent)
                return Admitted
            assert isinstance(decision, Refused)
            assert decision.standing is not None
            meter = decision.standing.meter
            worst = read_max + written_max if plan == "tokens" else (read_max * 150 + written_max * 600) * 12 // 10
            used = {"tokens": meter.posted_tokens + meter.held_tokens}
            used["credit"] = meter.posted_nanodollars + meter.held_nanodollars
            assert used[plan] <= limit < used[plan] + worst
            return type(decision.error)

        chances = [random.Random(f"{seed} {n}") for n in range(250)]
        return list(await asyncio.gather(*map(one, chances)))

    answers = in_two_threads(migrated_url, callers)
    assert set(answers) == {Admitted, QuotaExceeded}
    assert till.held() == 0


def in_two_threads(url: str, callers: Any) -> list[object]:  # noqa: ANN401  # a coroutine of a ledger
    """Two event loops with a ledger each, as two processes have them."""

    async def run(database: Database) -> list[object]:
        async with running(database) as ledger:
            found: list[object] = await callers(ledger)
            return found

    def live(_: int) -> list[object]:
        with closing(Database(url)) as database:
            return asyncio.run(run(database))

    with ThreadPoolExecutor(2) as pool:
        return [answer for answers in pool.map(live, range(2)) for answer in answers]


def test_first_calls_of_a_new_account_at_once_share_one_meter(till: Till, migrated_url: str) -> None:
    fresh = till.new_key()

    async def callers(ledger: GroupCommitLedger) -> list[object]:
        return list(await asyncio.gather(*(ledger.admit(ask(fresh)) for _ in range(50))))

    assert len(in_two_threads(migrated_url, callers)) == 100
    assert till.query("SELECT held_calls FROM meter WHERE account_id = %s", fresh.row.account_id) == [(100,)]


def test_many_accounts_in_two_ledgers_do_not_lock_each_other_out(till: Till, migrated_url: str) -> None:
    """Batches that touch the same accounts in every order: a deadlock would be an error in one of them."""
    keys = [till.new_key() for _ in range(12)]

    async def callers(ledger: GroupCommitLedger) -> list[object]:
        async def one(number: int) -> object:
            hold = await admit(ledger, keys[number % len(keys)])
            return await record(ledger, hold)

        numbers = list(range(240))
        random.Random(id(ledger)).shuffle(numbers)
        return list(await asyncio.gather(*map(one, numbers)))

    assert len(in_two_threads(migrated_url, callers)) == 480
    assert till.query("SELECT count(*) FROM usage_record") == [(480,)]


def test_calls_under_way_are_committed_together(till: Till, key: NewKey) -> None:
    """While one batch is at the database, the others gather and become one transaction."""

    async def call() -> None:
        async with running(till.database) as ledger:
            await admit(ledger, key)
            with stalled(ledger, "insert_holds") as stall:
                first = asyncio.create_task(ledger.admit(ask(key)))
                await asyncio.to_thread(stall.reached.wait, SECONDS_MAX)
                others = [asyncio.create_task(ledger.admit(ask(key))) for _ in range(20)]
                await asyncio.sleep(0)
            admissions = [await each for each in (first, *others)]
        times = [decision.hold.admitted_us for decision in admissions if isinstance(decision, Admitted)]
        assert len(times) == 21
        assert len(set(times)) == 2  # the ledger's clock is read once for each transaction

    asyncio.run(call())


def test_who_asks_for_a_call_that_ends_in_the_same_transaction_is_told_its_outcome(till: Till, key: NewKey) -> None:
    """Its hold is gone then, and it had no row yet: it must not be said not to exist."""

    async def call() -> None:
        async with running(till.database) as ledger:
            hold = await admit(ledger, key)
            with stalled(ledger, "insert_holds") as stall:
                other = asyncio.create_task(ledger.admit(ask(key)))
                await asyncio.to_thread(stall.reached.wait, SECONDS_MAX)
                ending = asyncio.create_task(record(ledger, hold))
                finding = asyncio.create_task(ledger.find(key.row.digest, hold.call_id))
                await asyncio.sleep(0)
            recorded, found, _ = await ending, await finding, await other
        assert found is not None
        assert (found.hold, found.outcome) == (hold, recorded.outcome)

    asyncio.run(call())
