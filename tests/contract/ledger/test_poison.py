"""The ledger on both databases: what is wrong with one call, or with its caller, harms no other."""

import asyncio
import logging
from contextlib import closing
from typing import Any

import pytest

from farebox.account.keys import NewKey
from farebox.domain.admission import Admitted
from farebox.domain.errors import InternalError, LedgerUnavailable
from farebox.domain.ledger import Spent
from farebox.store.ledger import group_commit as ledger_module
from farebox.store.ledger.group_commit import GroupCommitLedger
from tests.contract.till import (
    PRODUCT,
    SECONDS_MAX,
    SPENT,
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
            await asyncio.wait_for(last, SECONDS_MAX)

    asyncio.run(call())
