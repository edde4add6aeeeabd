"""The ledger on both databases: an Idempotency-Key is one call, and whose answer it has."""

import asyncio
from typing import Final

import pytest

from farebox.account.keys import NewKey
from farebox.domain.admission import Admitted, Once, Refused
from farebox.domain.errors import CallError, IdempotencyInFlight, IdempotencyStreamed, UpstreamNoMessage
from farebox.domain.ledger import Spent
from farebox.store.ledger import shared_statements
from farebox.store.ledger.group_commit import GroupCommitLedger
from tests.contract.till import SECONDS_MAX, SPENT, Till, admit, ask, record, running, stalled

ONCE: Final = Once("digest", "print", is_stream=False, ttl_us=10**12)


def test_two_of_one_key_in_the_same_transaction_are_one_call(till: Till, key: NewKey) -> None:
    async def call() -> None:
        async with running(till.database) as ledger:
            with stalled(ledger, "insert_holds") as stall:
                first = asyncio.create_task(ledger.admit(ask(key)))
                await asyncio.to_thread(stall.reached.wait, SECONDS_MAX)
                both = [asyncio.create_task(ledger.admit(ask(key, once=ONCE))) for _ in range(2)]
                await asyncio.sleep(0)
            await first
            one, other = [await each for each in both]
        assert isinstance(one, Admitted)
        assert isinstance(other, Refused)
        assert type(other.error) is IdempotencyInFlight

    asyncio.run(call())


def test_a_key_that_is_used_anew_after_its_end_has_no_answer_of_before(till: Till, key: NewKey) -> None:
    async def call() -> None:
        async with running(till.database) as ledger:
            await record(ledger, await admit(ledger, key, once=ONCE))
            till.query("UPDATE idempotency SET expires_us = 0, body = %s, content_type = 'old'", b"the old answer")
            anew = ONCE._replace(fingerprint="another")
            await record(ledger, await admit(ledger, key, once=anew), "void")
            await admit(ledger, key, once=anew)

    asyncio.run(call())


def test_a_stream_that_used_tokens_and_then_said_nothing_is_not_streamed_twice(till: Till, key: NewKey) -> None:
    async def again_after(ledger: GroupCommitLedger, spent: Spent) -> type[CallError] | None:
        once = ONCE._replace(id=str(spent.output_tokens), is_stream=True)
        await record(ledger, await admit(ledger, key, once=once), spent=spent._replace(error=UpstreamNoMessage.code))
        decision = await ledger.admit(ask(key, once=once))
        return type(decision.error) if isinstance(decision, Refused) else None

    async def call() -> None:
        async with running(till.database) as ledger:
            assert await again_after(ledger, SPENT) is IdempotencyStreamed
            assert await again_after(ledger, Spent()) is None

    asyncio.run(call())


# -- Forgetting


def test_what_is_forgotten_is_every_answer_whose_time_is_over_and_no_other(
    till: Till, key: NewKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_statements, "PURGED_MAX", 5)

    async def call() -> None:
        async with running(till.database) as ledger:
            await admit(ledger, key, once=ONCE)
            await kept_long_enough(ledger, key, 23)
            assert await ledger.forget() is False
        assert till.query("SELECT id FROM idempotency") == [(ONCE.id,)]

    asyncio.run(call())


def test_a_call_that_comes_while_answers_are_forgotten_waits_for_a_few_of_them_only(
    till: Till, key: NewKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_statements, "PURGED_MAX", 1)

    async def call() -> None:
        async with running(till.database) as ledger:
            await kept_long_enough(ledger, key, 12)
            with stalled(ledger, "purge") as stall:
                forgetting = asyncio.create_task(ledger.forget())
                await asyncio.to_thread(stall.reached.wait, SECONDS_MAX)
                admission = asyncio.create_task(ledger.admit(ask(key)))
                await asyncio.sleep(0)
            assert isinstance(await admission, Admitted)
            [(left,)] = till.query("SELECT count(*) FROM idempotency")
            assert 0 < left < 12
            await forgetting
        assert till.query("SELECT id FROM idempotency") == []

    asyncio.run(call())


async def kept_long_enough(ledger: GroupCommitLedger, key: NewKey, count: int) -> None:
    onces = [ONCE._replace(id=str(number), ttl_us=0) for number in range(count)]
    await asyncio.gather(*(admit(ledger, key, once=once) for once in onces))
