"""Credit on both databases: granted once, spent by the ledger to the nanodollar, taken back, and invoiced beyond it."""

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from typing import Final

import pytest

from farebox.account.keys import KeyTerms, NewKey
from farebox.domain.admission import Admitted, Refused
from farebox.domain.errors import CallError, PaymentRequired, QuotaExceeded
from farebox.domain.ledger import Hold, Spent
from farebox.domain.period import DAY_US
from farebox.domain.wallet import Grant
from farebox.store.database import Database
from farebox.store.money.wallet import StoredCredit
from tests.contract.till import (
    SECONDS_MAX,
    SPENT,
    Faults,
    FaultyDatabase,
    Till,
    admit,
    ask,
    no_inline,
    record,
    running,
    stalled,
)

CENT: Final = 10_000_000


@pytest.fixture
def till(migrated_url: str, database: Database) -> Till:
    return Till(migrated_url, database)


@pytest.fixture
def credit(till: Till) -> StoredCredit:
    return StoredCredit(till.database)


@pytest.fixture(autouse=True)
def sums_are_right_afterwards(till: Till) -> Iterator[None]:
    yield
    assert till.findings() == []


def soon(till: Till, days: int = 30) -> int:
    return now_us(till) + days * DAY_US


def now_us(till: Till) -> int:
    with till.database.read() as connection:
        return till.database.now_us(connection)


def customer(till: Till, key: NewKey) -> None:
    till.query("UPDATE account SET customer_id = %s, is_subscribed = 1 WHERE id = %s", "cus_1", key.row.account_id)


def grant_of(credit: StoredCredit, key: NewKey) -> Grant:
    [granted] = credit.purse(key.row.account_id).grants
    return granted.grant


def outbox(till: Till) -> list[tuple[object, ...]]:
    return till.query("SELECT account_id, call_id, customer, nanodollars, event_id FROM usage_outbox ORDER BY call_id")


def audited(till: Till) -> list[tuple[str, dict[str, str]]]:
    rows = till.query("SELECT what, data FROM audit WHERE what LIKE 'credit_%%' ORDER BY at_us" if not till.is_sqlite
                      else "SELECT what, data FROM audit WHERE what LIKE 'credit_%' ORDER BY at_us")  # fmt: skip
    return [(what, json.loads(data)) for what, data in rows]


# -- It comes, and is taken back


def test_a_payment_is_granted_once_however_often_it_is_told_of(till: Till, credit: StoredCredit) -> None:
    key, other = till.new_key("prepaid"), till.new_key("prepaid")

    def give(number: int) -> bool:
        account_id = (key, other)[number % 5 == 4].row.account_id
        return StoredCredit(till.database).grant(account_id, "pi_1", "small", CENT, ends)

    ends = soon(till)
    with ThreadPoolExecutor(10) as pool:
        given = list(pool.map(give, range(10)))
    assert sum(given) == 1
    assert credit.balance(key.row.account_id) + credit.balance(other.row.account_id) == CENT
    flags = dict(till.query("SELECT id, has_credit FROM account"))
    assert sum(flags.values()) == 1
    [(what, facts)] = audited(till)
    assert (what, facts["pack"], facts["nanodollars"]) == ("credit_granted", "small", str(CENT))
    assert not credit.grant("acct_of_nobody", "pi_2", "small", CENT, ends)


def test_a_purse_says_what_is_left_and_lists_what_ends_first_first(till: Till, credit: StoredCredit) -> None:
    account_id = till.new_key("prepaid").row.account_id
    assert (credit.purse(account_id).left_nanodollars, credit.purse(account_id).grants) == (0, ())
    credit.grant(account_id, "pi_late", "big", 5 * CENT, soon(till, 300))
    credit.grant(account_id, "pi_soon", "small", CENT, soon(till, 3))
    credit.grant(account_id, "pi_over", "small", 2 * CENT, now_us(till))
    purse = credit.purse(account_id)
    assert [granted.grant.amount_nanodollars for granted in purse.grants] == [2 * CENT, CENT, 5 * CENT]
    assert [granted.pack for granted in purse.grants] == ["small", "small", "big"]
    assert purse.left_nanodollars == credit.balance(account_id) == 6 * CENT


def test_a_refund_takes_what_is_left_and_says_how_much_it_could_not(till: Till, credit: StoredCredit) -> None:
    key = till.new_key("prepaid")
    credit.grant(key.row.account_id, "pi_1", "small", 3 * CENT, soon(till))

    async def calls() -> None:
        async with running(till.database) as ledger:
            await record(ledger, await admit(ledger, key))  # included
            await record(ledger, await admit(ledger, key))
            held = await admit(ledger, key)
            assert credit.take_back("pi_1", CENT) == 0
            assert credit.take_back("pi_1", CENT) == 0
            assert credit.balance(key.row.account_id) == 0
            assert credit.take_back("pi_1", 3 * CENT) == 2 * CENT
            grant = grant_of(credit, key)
            assert (grant.spent_nanodollars, grant.held_nanodollars, grant.taken_back_nanodollars) == (CENT, CENT, CENT)
            await record(ledger, held, "void")

    asyncio.run(calls())
    grant = grant_of(credit, key)
    # What the call gave back was due back, so nobody can use it.
    assert (grant.taken_back_nanodollars, grant.left_nanodollars) == (2 * CENT, 0)
    assert credit.take_back("pi_1", 0) == 0  # the dispute was won
    assert credit.balance(key.row.account_id) == 2 * CENT
    assert credit.take_back("pi_unknown", 7) == 7
    assert [what for what, _ in audited(till)] == ["credit_granted", *["credit_taken_back"] * 3]


def test_a_refund_waits_for_the_call_that_is_being_written(till: Till, credit: StoredCredit) -> None:
    key = till.new_key("prepaid")
    credit.grant(key.row.account_id, "pi_1", "small", 10 * CENT, soon(till))

    async def calls() -> None:
        async with running(till.database) as ledger:
            await admit(ledger, key)  # included
            hold = await admit(ledger, key)
            with ThreadPoolExecutor(1) as pool, stalled(ledger, "save_grants") as stall:
                ending = asyncio.create_task(record(ledger, hold))
                await asyncio.to_thread(stall.reached.wait, SECONDS_MAX)
                refund = pool.submit(credit.take_back, "pi_1", 10 * CENT)
                assert wait([refund], 0.2).not_done
                stall.go_on.set()
                await ending
            assert refund.result() == CENT

    asyncio.run(calls())
    grant = grant_of(credit, key)
    assert (grant.spent_nanodollars, grant.held_nanodollars, grant.taken_back_nanodollars) == (CENT, 0, 9 * CENT)


# -- It is spent


def test_what_is_beyond_the_plan_is_paid_by_the_grant_that_ends_first(till: Till, credit: StoredCredit) -> None:
    key = till.new_key("prepaid")
    credit.grant(key.row.account_id, "pi_late", "small", CENT, soon(till, 300))
    credit.grant(key.row.account_id, "pi_soon", "small", CENT // 2, soon(till, 3))
    first, last = (granted.grant.id for granted in credit.purse(key.row.account_id).grants)

    async def calls() -> None:
        async with running(till.database) as ledger:
            free = await record(ledger, await admit(ledger, key))
            assert (free.outcome.charge_nanodollars, free.outcome.spent_credit) == (0, "")
            decision = await ledger.admit(ask(key))
            assert isinstance(decision, Admitted)
            assert decision.hold.credit == f"{first}:{CENT // 2} {last}:{CENT // 2}"
            assert decision.standing.prepaid_nanodollars == CENT // 2
            assert (await ledger.standing(key.row.digest)).prepaid_nanodollars == CENT // 2
            refused = await ledger.admit(ask(key))
            assert isinstance(refused, Refused)
            assert type(refused.error) is PaymentRequired
            assert refused.standing is not None
            assert refused.standing.prepaid_nanodollars == CENT // 2
            recorded = await record(ledger, decision.hold)
            assert recorded.outcome.spent_credit == decision.hold.credit
            assert recorded.outcome.prepaid_nanodollars == recorded.outcome.charge_nanodollars == CENT
            assert recorded.standing is not None
            assert recorded.standing.prepaid_nanodollars == CENT // 2

    asyncio.run(calls())
    assert outbox(till) == []


@pytest.mark.parametrize("ending", ["post_free", "void", "expire"])
def test_what_ends_without_an_answer_gives_its_credit_back_though_it_ended_meanwhile(
    till: Till, credit: StoredCredit, ending: str
) -> None:
    key = till.new_key("words")
    credit.grant(key.row.account_id, "pi_1", "small", CENT, soon(till))

    async def calls() -> None:
        async with running(till.database) as ledger:
            await record(ledger, await admit(ledger, key), spent=Spent(60, 0, 40))
            hold = await admit(ledger, key)
            assert grant_of(credit, key).held_nanodollars == 100 * 100_000
            till.query("UPDATE credit_grant SET expires_us = created_us")
            await record(ledger, hold, ending)  # type: ignore[arg-type]

    asyncio.run(calls())
    grant = grant_of(credit, key)
    assert (grant.held_nanodollars, grant.spent_nanodollars, grant.left_nanodollars) == (0, 0, CENT)
    assert credit.balance(key.row.account_id) == 0


def test_calls_of_a_record_and_of_an_admission_in_one_batch_see_one_purse(till: Till, credit: StoredCredit) -> None:
    key = till.new_key("prepaid")
    credit.grant(key.row.account_id, "pi_1", "small", 2 * CENT, soon(till))

    async def calls() -> None:
        async with running(till.database) as ledger:
            await record(ledger, await admit(ledger, key))
            holds = [await admit(ledger, key), await admit(ledger, key)]
            with till.writes_locked():
                waiting = [record(ledger, hold, "void") for hold in holds] + [ledger.admit(ask(key)) for _ in range(3)]
                tasks = [asyncio.ensure_future(one) for one in waiting]
                await asyncio.sleep(0.05)
            decisions = (await asyncio.gather(*tasks))[2:]
            passed = [decision.hold for decision in decisions if isinstance(decision, Admitted)]
            assert len(passed) == 2
            for hold in passed:
                await record(ledger, hold)

    asyncio.run(calls())
    assert grant_of(credit, key).spent_nanodollars == 2 * CENT


def test_a_test_key_reads_no_credit_and_a_suspended_or_lapsed_account_uses_none(
    till: Till, credit: StoredCredit
) -> None:
    test = till.new_key("prepaid", KeyTerms(mode="test"))
    late = till.new_key("prepaid")
    credit.grant(test.row.account_id, "pi_1", "small", CENT, soon(till))
    till.query("UPDATE account SET grace_until_us = 1 WHERE id = %s", late.row.account_id)

    async def calls() -> None:
        async with running(till.database) as ledger:
            for _ in range(3):
                decision = await ledger.admit(ask(test))
                assert isinstance(decision, Admitted)
                assert (decision.hold.credit, decision.standing.prepaid_nanodollars) == ("", None)
                await record(ledger, decision.hold)
            # The product's first plan is free, and has no limit.
            assert (await ledger.standing(late.row.digest)).plan.name == "open"
            assert (await admit(ledger, late)).plan == "open"
            assert (await admit(ledger, late)).charge_fixed_nanodollars == 0
            till.query("UPDATE account SET grace_until_us = NULL")
            assert (await ledger.standing(late.row.digest)).plan.name == "prepaid"

    asyncio.run(calls())
    assert grant_of(credit, test).left_nanodollars == CENT


# -- It comes onto the invoice


def test_what_neither_the_plan_nor_credit_pays_waits_for_the_invoice(till: Till, credit: StoredCredit) -> None:
    key = till.new_key("money")
    customer(till, key)
    credit.grant(key.row.account_id, "pi_1", "small", 40_000, soon(till))

    async def calls() -> list[Hold]:
        async with running(till.database) as ledger:
            first = await admit(ledger, key)
            await record(ledger, first, spent=Spent(40, 0, 60))
            second = await admit(ledger, key)
            await record(ledger, second, spent=Spent(40, 0, 60))
            await record(ledger, await admit(ledger, key), "void")
            return [first, second]

    first, second = asyncio.run(calls())
    charge = (40 * 150 + 60 * 600) * 12 // 10
    parts = till.query(
        "SELECT charge_nanodollars, prepaid_nanodollars, invoiced_nanodollars FROM usage_record"
        " WHERE charge_nanodollars > 0 ORDER BY call_id"
    )
    assert first.included_nanodollars == 10_000
    assert parts == [(charge, 40_000, charge - 50_000), (charge, 0, charge)]
    rows = [(hold.account_id, hold.call_id, "cus_1") for hold in (first, second)]
    assert outbox(till) == [(*rows[0], charge - 50_000, None), (*rows[1], charge, None)]


def test_who_bought_before_and_has_no_subscription_is_not_invoiced(till: Till) -> None:
    key = till.new_key("over")
    customer(till, key)
    till.query("UPDATE account SET is_subscribed = 0")

    async def calls() -> None:
        async with running(till.database) as ledger:
            for _ in range(2):
                await record(ledger, await admit(ledger, key))

    asyncio.run(calls())
    assert till.query("SELECT DISTINCT customer, invoiced_nanodollars FROM usage_record") == [("", 0)]
    assert outbox(till) == []


def test_a_hard_stop_does_not_touch_credit(till: Till, credit: StoredCredit) -> None:
    key = till.new_key("fifty")
    credit.grant(key.row.account_id, "pi_1", "small", CENT, soon(till))

    async def calls() -> CallError:
        async with running(till.database) as ledger:
            for _ in range(50):
                await admit(ledger, key)
            decision = await ledger.admit(ask(key))
            assert isinstance(decision, Refused)
            return decision.error

    assert type(asyncio.run(calls())) is QuotaExceeded
    assert credit.balance(key.row.account_id) == CENT


# -- What it costs


def statements_of(till: Till, key: NewKey) -> int:
    """What the database is asked for a call, once all is warm."""

    async def count() -> int:
        with closing(FaultyDatabase(till.url)) as database:
            database.faults = Faults()
            async with running(database) as ledger:
                no_inline(ledger)  # or a slow disk would have some of them go another way
                await record(ledger, await admit(ledger, key))
                before = database.faults.count
                await record(ledger, await admit(ledger, key), spent=SPENT)
                return database.faults.count - before

    return asyncio.run(count())


def test_who_has_no_credit_and_is_not_invoiced_pays_no_statement_for_it(till: Till, credit: StoredCredit) -> None:
    plain, over, invoiced, paying = (till.new_key(name) for name in ("open", "over", "over", "prepaid"))
    customer(till, invoiced)
    credit.grant(paying.row.account_id, "pi_1", "small", 9 * CENT, soon(till))
    ordinary = statements_of(till, plain)
    assert statements_of(till, over) == ordinary
    assert statements_of(till, invoiced) == ordinary + 1  # the row for the invoice
    # Read and held when it is admitted; read, and spent, when it is recorded. In the process, each grant by itself.
    assert statements_of(till, paying) == ordinary + (5 if till.is_sqlite else 4)
