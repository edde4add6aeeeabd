"""The ledger on both databases: a call is held, recorded once, or expires."""

import asyncio
from contextlib import closing
from typing import Any

import pytest

from farebox.account.keys import NewKey, create_key
from farebox.domain.admission import Admitted, Refused
from farebox.domain.errors import AccountSuspended, BurstExceeded, HoldLost, InvalidApiKey
from farebox.domain.ledger import Ending, Mark, Spent
from farebox.store.accounts import StoredAccounts
from farebox.store.database import Database
from farebox.store.ledger import statements
from tests.contract.till import SECRET, Till, admit, ask, record, running

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


def test_a_call_is_found_by_keys_of_its_own_mode_only(till: Till, key: NewKey) -> None:
    async def call() -> None:
        async with running(till.database) as ledger:
            hold = await admit(ledger, key)

            async def found() -> list[bool]:
                seen = []
                for mode in ("live", "test"):
                    till.query("UPDATE api_key SET mode = %s", mode)
                    seen.append(await ledger.find(key.row.digest, hold.call_id) is not None)
                return seen

            assert await found() == [True, False]
            await record(ledger, hold)
            assert await found() == [True, False]

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


def test_all_keys_of_an_account_are_found_by_one_of_them_or_by_its_id(till: Till, key: NewKey) -> None:
    till.new_key()
    [(email,)] = till.query("SELECT email FROM account WHERE id = %s", key.row.account_id)
    second = create_key(StoredAccounts(till.database), SECRET, "second", email)
    both = {(each.row.digest, key.row.account_id) for each in (key, second)}
    words = statements.SqliteStatements() if till.is_sqlite else statements.PostgresStatements()
    with closing(till.database.connect()) as connection:
        cursor = connection.cursor()
        assert {tuple(row) for row in words.keys(cursor, [second.row.digest], [])} == both
        assert {tuple(row) for row in words.keys(cursor, [], [key.row.account_id])} == both
        assert words.keys(cursor, ["nobody's"], []) == []
