"""The ledger on both databases: durable, exact between processes, and closed when the database is away."""

import asyncio
import logging
import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import pairwise
from typing import Any

import pytest

from farebox.account.keys import NewKey
from farebox.account.sign_up import sign_up
from farebox.domain.admission import Admitted, Refused
from farebox.domain.errors import (
    AccountSuspended,
    BurstExceeded,
    HoldLost,
    InternalError,
    InvalidApiKey,
    LedgerUnavailable,
    QuotaExceeded,
)
from farebox.domain.ledger import NOTHING_SPENT, Ending, Mark, Spent
from farebox.domain.plan import Plan
from farebox.domain.product import Product
from farebox.store import ledger as ledger_module
from farebox.store import statements
from farebox.store.accounts import StoredAccounts
from farebox.store.database import Database
from farebox.store.ledger import GroupCommitLedger
from tests.contract.till import (
    PRODUCT,
    SECONDS_MAX,
    SPENT,
    TTL_US,
    Faults,
    FaultyDatabase,
    Till,
    admit,
    ask,
    record,
    running,
    stalled,
    until,
)
from tests.services.postgres import PostgresServer


@pytest.fixture
def till(migrated_url: str, database: Database) -> Till:
    return Till(migrated_url, database)


@pytest.fixture
def key(till: Till) -> NewKey:
    return till.new_key()


@pytest.fixture(autouse=True)
def sums_are_right_afterwards(till: Till) -> Iterator[None]:
    yield
    assert till.findings() == []


# -- One call


def test_a_call_is_on_the_disk_when_it_is_admitted_and_again_when_it_is_recorded(till: Till, key: NewKey) -> None:
    async def call() -> None:
        async with running(till.database) as ledger:
            hold = await admit(ledger, key)
            assert till.query("SELECT * FROM hold") == [hold]
            assert till.row(hold.call_id) is None
            outcome, standing = await record(ledger, hold)
            assert till.query("SELECT * FROM hold") == []
            assert till.row(hold.call_id) == hold + outcome
            assert standing is not None
            assert (standing.meter.posted_calls, standing.meter.posted_tokens, standing.meter.held_calls) == (1, 19, 0)
            rollup = till.query("SELECT posted, voided, expired, calls, tokens, cost_nanodollars FROM rollup_daily")
            assert rollup == [(1, 0, 0, 1, 19, outcome.cost_nanodollars)]

    asyncio.run(call())


@pytest.mark.parametrize(
    ("ending", "state"), [("post", "posted"), ("post_free", "posted"), ("void", "voided"), ("expire", "expired")]
)
def test_each_ending_has_its_state_and_gives_back_what_was_held(
    till: Till, key: NewKey, ending: Ending, state: str
) -> None:
    async def call() -> None:
        async with running(till.database) as ledger:
            hold = await admit(ledger, key)
            await record(ledger, hold, ending)
            assert till.state(hold.call_id) == state
            assert till.held() == 0

    asyncio.run(call())


def test_a_caller_sees_where_it_stands_and_that_holds_nothing(till: Till) -> None:
    async def call() -> None:
        fifty = till.new_key("fifty")
        async with running(till.database) as ledger:
            fresh = await ledger.standing(fifty.row.digest)
            assert (fresh.plan.name, fresh.meter.posted_calls, fresh.meter.held_calls) == ("fifty", 0, 0)
            await record(ledger, await admit(ledger, fifty))
            await admit(ledger, fifty)
            stands = await ledger.standing(fifty.row.digest)
            assert (stands.meter.posted_calls, stands.meter.held_calls) == (1, 1)
            assert stands.meter.period_start_us <= stands.now_us < stands.meter.period_end_us
            assert till.query("SELECT count(*) FROM hold") == [(1,)]

    asyncio.run(call())


def test_a_stranger_is_refused_and_leaves_no_trace(till: Till, key: NewKey) -> None:
    async def call() -> None:
        async with running(till.database) as ledger:
            refused = await ledger.admit(ask(key, key_digest="0" * 64))
            assert isinstance(refused, Refused)
            assert type(refused.error) is InvalidApiKey
            with pytest.raises(InvalidApiKey):
                await ledger.standing("0" * 64)
        assert till.query("SELECT * FROM meter") == []

    asyncio.run(call())


def test_a_key_revoked_and_an_account_suspended_are_refused_at_the_very_next_call(till: Till, key: NewKey) -> None:
    async def call() -> None:
        other = till.new_key()
        async with running(till.database) as ledger:
            for each in (key, other):
                await admit(ledger, each)
            StoredAccounts(till.database).revoke_key(key.row.account_id, key.row.id)
            till.query("UPDATE account SET state = 'suspended' WHERE id = %s", other.row.account_id)
            refusals = [await ledger.admit(ask(each)) for each in (key, other)]
            assert [type(refused.error) for refused in refusals if isinstance(refused, Refused)] == [
                InvalidApiKey,
                AccountSuspended,
            ]

    asyncio.run(call())


def test_a_burst_is_one_for_all_ledgers_of_a_database(till: Till, migrated_url: str) -> None:
    async def call() -> None:
        bursty = till.new_key("burst")
        with closing(Database(migrated_url)) as second:
            async with running(till.database) as one, running(second) as other:
                answers = [await ledger.admit(ask(bursty)) for ledger in (one, other) * 4]
        assert sum(isinstance(answer, Admitted) for answer in answers) == 5
        assert {type(answer.error) for answer in answers if isinstance(answer, Refused)} == {BurstExceeded}

    asyncio.run(call())


# -- Recording again, and too late


@pytest.mark.parametrize("ending", ["post", "post_free", "void", "expire"])
def test_a_record_that_comes_again_finds_what_it_wrote_and_writes_nothing(
    till: Till, key: NewKey, ending: Ending
) -> None:
    async def call() -> None:
        async with running(till.database) as ledger:
            hold = await admit(ledger, key)
            first = await record(ledger, hold, ending)
            again = await record(ledger, hold, ending, Spent(1, 0, 1))
            assert again.outcome == first.outcome
        assert len(till.query("SELECT * FROM usage_record")) == 1

    asyncio.run(call())


@pytest.mark.parametrize(
    ("first", "second"),
    [("expire", "post"), ("expire", "void"), ("void", "post"), ("post", "void"), ("post", "expire")],
)
def test_a_call_that_has_ended_is_not_ended_in_another_way(
    till: Till, key: NewKey, first: Ending, second: Ending
) -> None:
    async def call() -> None:
        async with running(till.database) as ledger:
            hold = await admit(ledger, key)
            outcome, _ = await record(ledger, hold, first)
            with pytest.raises(HoldLost):
                await record(ledger, hold, second)
            assert till.row(hold.call_id) == hold + outcome

    asyncio.run(call())


def test_of_many_outcomes_at_once_from_two_ledgers_one_wins(till: Till, key: NewKey, migrated_url: str) -> None:
    endings: list[Ending] = ["post", "void", "expire"] * 10

    async def call() -> None:
        with closing(Database(migrated_url)) as second:
            async with running(till.database) as one, running(second) as other:
                hold = await admit(one, key)
                ended = await asyncio.gather(
                    *(record(ledger, hold, ending) for ending in endings for ledger in (one, other)),
                    return_exceptions=True,
                )
        assert {type(result) for result in ended if isinstance(result, BaseException)} == {HoldLost}
        outcomes = {result.outcome for result in ended if not isinstance(result, BaseException)}
        assert len(outcomes) == 1
        assert till.row(hold.call_id) == hold + outcomes.pop()

    asyncio.run(call())


# -- Expiry


def test_only_holds_whose_time_is_over_expire_and_each_is_counted_once(till: Till, key: NewKey) -> None:
    async def call() -> None:
        async with running(till.database) as ledger:
            dead = [await admit(ledger, key, hold_ttl_us=0) for _ in range(3)]
            alive = await admit(ledger, key)
            assert await ledger.expire() == 3
            assert await ledger.expire() == 0
            assert [till.state(hold.call_id) for hold in dead] == ["expired"] * 3
            assert till.state(alive.call_id) == "held"
            with pytest.raises(HoldLost):
                await record(ledger, dead[0])
            marks = till.query("SELECT DISTINCT marks FROM usage_record")
            assert marks == [(Mark.UNKNOWN_COST,)]

    asyncio.run(call())


def test_two_sweepers_at_once_expire_a_hold_once(till: Till, key: NewKey, migrated_url: str) -> None:
    async def call() -> None:
        with closing(Database(migrated_url)) as second:
            async with running(till.database) as one, running(second) as other:
                await asyncio.gather(*(admit(one, key, hold_ttl_us=0) for _ in range(40)))
                # A sweeper whose hold was expired by the other one finds what it would have written itself.
                await asyncio.gather(one.expire(), other.expire())
        assert till.query("SELECT state, count(*) FROM usage_record GROUP BY state") == [("expired", 40)]
        assert till.held() == 0

    asyncio.run(call())


def test_one_sweep_ends_every_dead_hold_however_many(till: Till, key: NewKey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statements, "DUE_MAX", 5)

    async def call() -> None:
        async with running(till.database) as ledger:
            await asyncio.gather(*(admit(ledger, key, hold_ttl_us=0) for _ in range(23)))
            assert await ledger.expire() == 23
        assert till.held() == 0

    asyncio.run(call())


def test_a_process_that_comes_after_records_and_expires_what_the_one_before_held(
    till: Till, key: NewKey, migrated_url: str
) -> None:
    async def life(database: Database, *, first: bool) -> None:
        async with running(database) as ledger:
            if first:
                holds.append(await admit(ledger, key))
                holds.append(await admit(ledger, key, hold_ttl_us=0))
                return
            assert (await ledger.standing(key.row.digest)).meter.held_calls == 2
            await record(ledger, holds[0])
            assert await ledger.expire() == 1

    holds: list[Any] = []
    asyncio.run(life(till.database, first=True))
    with closing(Database(migrated_url)) as second:
        asyncio.run(life(second, first=False))
    assert [till.state(hold.call_id) for hold in holds] == ["posted", "expired"]
    assert till.held() == 0


# -- Many at once


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


# -- Poison

POISONS: dict[str, dict[str, Any]] = {
    "a number that fits no column": {"input_tokens_max": 2**70},
    "a lone surrogate": {"endpoint": "\ud800"},
    "a size that is no number": {"input_tokens_max": "many"},
    "an endpoint that is no text": {"endpoint": {}},
}


@pytest.mark.parametrize("poison", POISONS)
def test_a_poisoned_admission_fails_alone(
    till: Till, key: NewKey, poison: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)

    async def call() -> None:
        async with running(till.database) as ledger:
            with stalled(ledger, "lock") as stall:
                first = asyncio.create_task(ledger.admit(ask(key)))
                await asyncio.to_thread(stall.reached.wait, SECONDS_MAX)
                asks = [ask(key) for _ in range(9)]
                asks.insert(4, ask(key, **POISONS[poison]))
                tasks = [asyncio.create_task(ledger.admit(each)) for each in asks]
                await asyncio.sleep(0)
            await first
            answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(answer) for answer in answers] == [Admitted] * 4 + [type(answers[4])] + [Admitted] * 5
        assert isinstance(answers[4], Exception)
        assert till.query("SELECT count(*) FROM hold") == [(10,)]

    asyncio.run(call())


def test_a_call_id_that_is_held_already_fails_alone_and_the_hold_stays(till: Till, key: NewKey) -> None:
    async def call() -> None:
        async with running(till.database) as ledger:
            hold = await admit(ledger, key)
            answers = await asyncio.gather(
                ledger.admit(ask(key)),
                ledger.admit(ask(key, call_id=hold.call_id)),
                ledger.admit(ask(key)),
                return_exceptions=True,
            )
            assert [type(answer) for answer in answers] == [Admitted, InternalError, Admitted]
            await record(ledger, hold)
            assert till.state(hold.call_id) == "posted"

    asyncio.run(call())


@pytest.mark.parametrize("spent", [Spent(2**70), Spent(0, 0, -1), SPENT._replace(error="\ud800")], ids=str)
def test_a_poisoned_record_fails_alone_and_its_hold_expires(till: Till, key: NewKey, spent: Spent) -> None:
    async def call() -> None:
        async with running(till.database) as ledger:
            holds = [await admit(ledger, key, hold_ttl_us=0) for _ in range(5)]
            ended = await asyncio.gather(
                *(record(ledger, hold, "post", spent if hold is holds[2] else SPENT) for hold in holds),
                return_exceptions=True,
            )
            assert [isinstance(result, InternalError) for result in ended] == [False, False, True, False, False]
            assert [till.state(hold.call_id) for hold in holds] == ["posted", "posted", "held", "posted", "posted"]
            assert await ledger.expire() == 1
            assert till.held() == 0

    asyncio.run(call())


def test_a_poisoned_batch_whose_database_then_goes_away_answers_all_of_it(
    key: NewKey, migrated_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One by one, after the poison: records wait for the database, each of them, and none is forgotten."""
    monkeypatch.setattr(ledger_module, "RETRY_SECONDS", 0.01)

    async def call() -> None:
        with closing(FaultyDatabase(migrated_url)) as database:
            async with running(database) as ledger:
                holds = [await admit(ledger, key) for _ in range(6)]
                with stalled(ledger, "delete_holds") as stall:
                    first = asyncio.create_task(record(ledger, holds[0]))
                    await asyncio.to_thread(stall.reached.wait, SECONDS_MAX)
                    spents = [SPENT, SPENT, Spent(2**70), SPENT, SPENT]
                    records = [
                        asyncio.create_task(record(ledger, hold, "post", spent))
                        for hold, spent in zip(holds[1:], spents, strict=True)
                    ]
                    await asyncio.sleep(0)
                    database.faults = Faults(database._driver.OperationalError, first=25, times=15)
                await first
                ended = await asyncio.wait_for(asyncio.gather(*records, return_exceptions=True), SECONDS_MAX)
        assert [type(result).__name__ for result in ended] == ["Recorded", "Recorded", "InternalError"] + [
            "Recorded"
        ] * 2

    asyncio.run(call())


# -- Gone callers, full queues, closing


def test_an_admission_whose_caller_has_gone_is_voided(till: Till, key: NewKey) -> None:
    async def call() -> None:
        async with running(till.database) as ledger:
            wanted = ask(key)
            with stalled(ledger, "insert_holds") as stall:
                task = asyncio.create_task(ledger.admit(wanted))
                await asyncio.to_thread(stall.reached.wait, SECONDS_MAX)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            await until(lambda: till.state(wanted.call_id) == "voided", "the void")
        assert till.held() == 0

    asyncio.run(call())


def test_a_record_whose_caller_has_gone_is_written_all_the_same(till: Till, key: NewKey) -> None:
    async def call() -> None:
        async with running(till.database) as ledger:
            hold = await admit(ledger, key)
            with stalled(ledger, "insert_usage") as stall:
                task = asyncio.create_task(record(ledger, hold))
                await asyncio.to_thread(stall.reached.wait, SECONDS_MAX)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        assert till.state(hold.call_id) == "posted"

    asyncio.run(call())


def test_a_full_queue_refuses_admissions_and_takes_records(
    till: Till, key: NewKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "WAITING_MAX", 3)

    async def call() -> None:
        async with running(till.database) as ledger:
            hold = await admit(ledger, key)
            with stalled(ledger, "insert_holds") as stall:
                tasks = [asyncio.create_task(ledger.admit(ask(key)))]
                await asyncio.to_thread(stall.reached.wait, SECONDS_MAX)
                tasks += [asyncio.create_task(ledger.admit(ask(key))) for _ in range(3)]
                await asyncio.sleep(0)
                with pytest.raises(LedgerUnavailable) as told:
                    await ledger.admit(ask(key))
                assert told.value.retry_after_seconds is not None
                recording = asyncio.create_task(record(ledger, hold))
                await asyncio.sleep(0)
            assert all(isinstance(decision, Admitted) for decision in await asyncio.gather(*tasks))
            await recording
        assert till.state(hold.call_id) == "posted"

    asyncio.run(call())


def test_closing_finishes_what_waits_and_refuses_what_comes_after(till: Till, key: NewKey) -> None:
    async def call() -> None:
        ledger = GroupCommitLedger(till.database, PRODUCT.by_name)
        ledger.start()
        holds = await asyncio.gather(*(admit(ledger, key) for _ in range(20)))
        records = [asyncio.create_task(record(ledger, hold)) for hold in holds]
        await asyncio.sleep(0)
        await asyncio.wait_for(ledger.close(), SECONDS_MAX)
        await asyncio.gather(*records)
        with pytest.raises(LedgerUnavailable):
            await ledger.admit(ask(key))
        assert till.query("SELECT count(*) FROM usage_record") == [(20,)]

    asyncio.run(call())


def test_what_comes_while_the_ledger_closes_is_answered(till: Till, key: NewKey) -> None:
    async def call() -> None:
        ledger = GroupCommitLedger(till.database, PRODUCT.by_name)
        ledger.start()
        with stalled(ledger, "begin") as beginning, stalled(ledger, "insert_holds") as writing:
            first = asyncio.create_task(ledger.admit(ask(key)))
            await asyncio.to_thread(beginning.reached.wait, SECONDS_MAX)
            closing_down = asyncio.create_task(ledger.close())
            await asyncio.sleep(0)
            beginning.go_on.set()
            await asyncio.to_thread(writing.reached.wait, SECONDS_MAX)
            last = asyncio.create_task(ledger.admit(ask(key)))
            await asyncio.sleep(0)
        assert isinstance(await first, Admitted)
        await asyncio.wait_for(closing_down, SECONDS_MAX)
        with pytest.raises(LedgerUnavailable):
            await asyncio.wait_for(last, 2)

    asyncio.run(call())


# -- The database is away


def test_a_database_that_is_not_there_is_told_with_when_to_come_back(
    till: Till, key: NewKey, migrated_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    nowhere = "sqlite:////no/such/folder/farebox.db" if till.is_sqlite else f"{migrated_url}_that_is_not_there"

    async def call() -> None:
        async with running(Database(nowhere)) as ledger:
            for asked in (ledger.admit(ask(key)), ledger.standing(key.row.digest), ledger.check(), ledger.expire()):
                with pytest.raises(LedgerUnavailable) as told:
                    await asked
                assert told.value.retry_after_seconds is not None
                assert "no/such" not in told.value.detail

    asyncio.run(call())


def test_a_record_waits_for_its_database_and_admissions_do_not(
    till: Till, key: NewKey, migrated_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "RETRY_SECONDS", 0.01)

    async def call() -> None:
        with closing(FaultyDatabase(migrated_url)) as database:
            async with running(database) as ledger:
                hold = await admit(ledger, key)
                database.faults = Faults(database._driver.OperationalError, times=10**9)
                recording = asyncio.create_task(record(ledger, hold, seconds_max=SECONDS_MAX))
                for _ in range(5):
                    with pytest.raises(LedgerUnavailable):
                        await ledger.admit(ask(key))
                assert not recording.done()
                database.faults = Faults()
                await recording
                await admit(ledger, key)
        assert till.state(hold.call_id) == "posted"

    asyncio.run(call())


def test_a_record_gives_up_at_its_deadline_and_the_hold_expires(till: Till, key: NewKey, migrated_url: str) -> None:
    async def call() -> None:
        with closing(FaultyDatabase(migrated_url)) as database:
            async with running(database) as ledger:
                hold = await admit(ledger, key, hold_ttl_us=0)
                database.faults = Faults(database._driver.OperationalError, times=10**9)
                with pytest.raises(LedgerUnavailable):
                    await record(ledger, hold, seconds_max=0.05)
                database.faults = Faults()
                assert await ledger.expire() == 1
        assert till.state(hold.call_id) == "expired"

    asyncio.run(call())


def test_a_commit_whose_answer_is_lost_is_recorded_once_and_an_admission_is_taken_back(
    till: Till, key: NewKey, migrated_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "RETRY_SECONDS", 0.01)

    async def lose_commit(database: FaultyDatabase, operations: int) -> None:
        database.faults = Faults(database._driver.OperationalError, first=operations, done_first=True)

    async def call() -> None:
        with closing(FaultyDatabase(migrated_url)) as database:
            async with running(database) as ledger:
                database.faults = Faults()
                ledger._inline = None  # which has a test of its own
                hold = await admit(ledger, key)
                admit_operations = await count(ledger, database, admit(ledger, key))
                record_operations = await count(ledger, database, record(ledger, hold))
                await lose_commit(database, admit_operations)
                lost = ask(key)
                with pytest.raises(LedgerUnavailable):
                    await ledger.admit(lost)
                await until(lambda: till.state(lost.call_id) == "voided", "the void")
                hold = await admit(ledger, key)
                await lose_commit(database, record_operations)
                outcome, _ = await record(ledger, hold)
                assert till.row(hold.call_id) == hold + outcome

    asyncio.run(call())


async def count(ledger: GroupCommitLedger, database: FaultyDatabase, doing: Any) -> int:  # noqa: ANN401
    """How many operations a verb takes on a connection that stands; the last of them is its commit."""
    assert ledger._connection is not None
    database.faults = Faults()
    await doing
    return database.faults.count


def test_callers_of_a_silent_database_are_freed_and_hold_nothing_when_it_wakes(
    till: Till, key: NewKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "WATCH_SECONDS", 0.05)
    monkeypatch.setattr(ledger_module, "STUCK_SECONDS_MAX", 0.2)

    async def call() -> None:
        async with running(till.database) as ledger:
            await record(ledger, await admit(ledger, key))
            with till.writes_locked():
                answers = await asyncio.gather(*(ledger.admit(ask(key)) for _ in range(10)), return_exceptions=True)
                assert {type(answer) for answer in answers} == {LedgerUnavailable}
            while True:
                try:
                    await record(ledger, await admit(ledger, key))
                except LedgerUnavailable:
                    continue  # it has not woken yet
                break
        await until(lambda: till.held() == 0, "the end of the last hold")

    asyncio.run(call())


def test_postgres_may_restart_between_any_two_calls(
    till: Till, key: NewKey, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    if till.is_sqlite:
        pytest.skip("SQLite has no server")
    monkeypatch.setattr(ledger_module, "RETRY_SECONDS", 0.05)

    async def call() -> None:
        async with running(till.database) as ledger:
            hold = await admit(ledger, key)
            await asyncio.to_thread(postgres.restart)
            # The connection died unseen, and had written nothing: a fresh one is tried at once.
            late = await admit(ledger, key)
            await asyncio.to_thread(postgres.stop, "immediate")
            with pytest.raises(LedgerUnavailable):
                await ledger.admit(ask(key))
            recording = asyncio.create_task(record(ledger, hold, seconds_max=SECONDS_MAX))
            await asyncio.to_thread(postgres.start)
            await recording
            await record(ledger, late)
        assert [till.state(each.call_id) for each in (hold, late)] == ["posted", "posted"]

    asyncio.run(call())


def test_a_schema_of_another_version_is_not_served(till: Till) -> None:
    async def call() -> None:
        async with running(till.database) as ledger:
            await ledger.check()
            till.query("UPDATE alembic_version SET version_num = '9999'")
            with pytest.raises(LedgerUnavailable):
                await ledger.check()

    asyncio.run(call())


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
