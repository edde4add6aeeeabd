"""What `reconcile` sees of credit and of what is invoiced: nothing where all is right, and every damage by name."""

import asyncio
import random
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import cycle
from typing import Final

import pytest

from farebox.account.keys import NewKey, create_key
from farebox.account.sign_up import sign_up
from farebox.domain.admission import Admitted
from farebox.domain.ledger import Hold, Outcome, Spent
from farebox.domain.period import DAY_US
from farebox.domain.plan import Plan
from farebox.domain.product import Product
from farebox.domain.wallet import text_of
from farebox.store.accounts import StoredAccounts
from farebox.store.database import Database
from farebox.store.ledger.group_commit import GroupCommitLedger
from farebox.store.money.wallet import StoredCredit
from farebox.store.reconcile.findings import Finding
from farebox.store.reconcile.sums import reconcile
from tests.contract.conftest import Copies
from tests.contract.filled import SECRET, query, tamper
from tests.contract.till import ask

PRODUCT: Final = Product(
    "Till",
    plans=(
        Plan("over", calls=2, overage_usd="0.001"),
        Plan("words", tokens=200, overage_usd_per_1k_tokens="0.1"),
        Plan("money", credit_usd="0.0001", credit_overage=True, markup=0.25),
        Plan("prepaid", calls=2, overage_usd="0.001", prepaid=True),
    ),
)
CALLS: Final = 400
COPIES: Final = 252
COPY: Final = "substr(call_id, length(call_id) - 2) = '_77'"
INVOICED: Final = "invoiced_nanodollars > 0 AND marks = ''"


def open_accounts(database: Database) -> list[NewKey]:
    """A customer on each plan, with credit that runs out on the way, but for the one who pays beforehand."""
    accounts, credit, keys = StoredAccounts(database), StoredCredit(database), []
    for plan in PRODUCT.plans:
        email = f"{plan.name}@example.com"
        sign_up(accounts, PRODUCT, email, plan.name)
        key = create_key(accounts, SECRET, "till", email)
        keys.append(key)
        ends = accounts.now_us() + 30 * DAY_US
        for number, days in enumerate((0, 1)):
            amount = 10**9 if plan.prepaid else 20_000 * (1 + number)
            credit.grant(key.row.account_id, f"pi_{plan.name}_{number}", "small", amount, ends + days * DAY_US)
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE account SET is_subscribed = 1, customer_id = 'cus_' || plan")
    return keys


async def call_all(database: Database, keys: list[NewKey], calls: int, held: int) -> None:
    chance = random.Random(calls)
    ledger = GroupCommitLedger(database, PRODUCT.by_name)
    ledger.start()
    try:
        holds = []
        for key, _ in zip(cycle(keys), range(calls), strict=False):
            decision = await ledger.admit(ask(key))
            assert isinstance(decision, Admitted), decision
            holds.append(decision.hold)
            if len(holds) > held:
                hold = holds.pop(chance.randrange(len(holds)))
                ending = chance.choices(("post", "void", "expire"), weights=(8, 1, 1))[0]
                spent = Spent() if ending == "expire" else Spent(chance.randint(1, 40), 0, chance.randint(1, 60))
                await ledger.record(hold, ending, spent, time.monotonic() + 10)  # type: ignore[arg-type]
    finally:
        await ledger.close()


def found(database: Database) -> list[Finding]:
    return reconcile(database, PRODUCT.by_name).findings


def fill(database: Database) -> None:
    asyncio.run(call_all(database, open_accounts(database), CALLS // 2, held=8))
    assert found(database) == []


@pytest.fixture
def filled(copy_of: Copies) -> Iterator[Database]:
    with closing(Database(copy_of(fill))) as copy:
        yield copy


def one(database: Database, where: str) -> str:
    return str(query(database, f"SELECT max(call_id) FROM usage_record WHERE {where}")[0][0])


# Of whose call, what is changed, and which figures of the call are told of then.
DAMAGES: Final = (
    ("prepaid", "usage_record SET spent_credit = spent_credit || '0'", {"spent_credit"}),
    ("prepaid", "usage_record SET prepaid_nanodollars = prepaid_nanodollars + 1", {"prepaid_nanodollars"}),
    ("prepaid", "usage_record SET credit = ''", {"prepaid_nanodollars", "spent_credit"}),
    ("prepaid", "usage_record SET credit = 'x'", {"credit"}),
    ("prepaid", "usage_record SET credit = credit || ' ' || credit", {"credit"}),
    (
        "words", "usage_record SET included_tokens = included_tokens + 1",
        {"charge_nanodollars", "invoiced_nanodollars", "held_nanodollars"},
    ),
    (
        "words", "usage_record SET overage_per_mtok = NULL",
        {"charge_nanodollars", "invoiced_nanodollars", "held_nanodollars", "included_tokens"},
    ),
    ("money", "usage_record SET included_nanodollars = included_nanodollars + 1", {"invoiced_nanodollars"}),
    ("money", "usage_record SET included_nanodollars = -1", {"included_nanodollars", "invoiced_nanodollars"}),
    ("money", "usage_record SET customer = ''", {"invoiced_nanodollars", "row for the invoice, customer"}),
    ("money", "usage_record SET customer = 'cus_x'", {"row for the invoice, customer"}),
    ("money", "usage_outbox SET period_start_us = 1", {"row for the invoice, period_start_us"}),
    ("money", "usage_outbox SET admitted_us = 1", {"row for the invoice, admitted_us"}),
    ("money", "usage_outbox SET nanodollars = nanodollars + 1", {"row for the invoice, nanodollars"}),
    ("money", "usage_outbox SET account_id = 'acct_x'", {"row for the invoice"}),
)  # fmt: skip
WHICH: Final = {"prepaid": "prepaid_nanodollars > 0", "words": INVOICED, "money": INVOICED}


def test_every_damage_to_a_call_is_found_and_named(filled: Database) -> None:
    expected: dict[str, set[str]] = {}
    for plan, change, names in DAMAGES:
        taken = ", ".join(f"'{call_id}'" for call_id in expected) or "''"
        call_id = one(filled, f"plan = '{plan}' AND {WHICH[plan]} AND call_id NOT IN ({taken})")
        tamper(filled, f"UPDATE {change} WHERE call_id = '{call_id}'")
        expected[call_id] = names
    named: dict[str, set[str]] = {}
    for finding in found(filled):
        if finding.what.startswith("call "):
            call_id, _, figure = finding.what.removeprefix("call ").partition(": ")
            named.setdefault(call_id, set()).add(figure)
    assert named == expected


GRANTS_DAMAGED: Final = {
    "UPDATE credit_grant SET spent_nanodollars = spent_nanodollars - 1 WHERE spent_nanodollars > 0": {
        "spent_nanodollars"
    },
    "UPDATE credit_grant SET held_nanodollars = held_nanodollars + 1 WHERE amount_nanodollars = 1000000000": {
        "held_nanodollars"
    },
    "UPDATE hold SET credit = ''": {"held_nanodollars"},
    "UPDATE credit_grant SET due_back_nanodollars = 5 WHERE amount_nanodollars = 1000000000": {
        "taken_back_nanodollars"
    },
    "UPDATE credit_grant SET amount_nanodollars = spent_nanodollars, held_nanodollars = 0"
    " WHERE held_nanodollars > 0 AND spent_nanodollars > 0": {"held_nanodollars", "left"},
    "UPDATE credit_grant SET taken_back_nanodollars = amount_nanodollars, due_back_nanodollars = amount_nanodollars,"
    " spent_nanodollars = 0, held_nanodollars = 0 WHERE held_nanodollars = 0 AND spent_nanodollars > 0": {
        "spent_nanodollars", "left"
    },
    "UPDATE account SET has_credit = 0": {"has_credit"},
}  # fmt: skip


@pytest.mark.parametrize("damage", GRANTS_DAMAGED)
def test_every_damage_to_a_grant_is_found(filled: Database, damage: str) -> None:
    tamper(filled, damage)
    assert {finding.what.partition(": ")[2] for finding in found(filled)} == GRANTS_DAMAGED[damage]
    assert {finding.period for finding in found(filled)} == {"credit"}


def test_a_lost_grant_is_named(filled: Database) -> None:
    [(grant_id,)] = query(filled, "SELECT min(id) FROM credit_grant WHERE spent_nanodollars > 0")
    tamper(filled, f"DELETE FROM credit_grant WHERE id = '{grant_id}'")
    assert [finding.what for finding in found(filled)] == [f"grant {grant_id}"]


def test_a_lost_grant_is_named_that_is_only_held_of(filled: Database) -> None:
    tamper(filled, f"UPDATE hold SET credit = '{text_of([('grant_gone', 1)])}'")
    assert "grant grant_gone" in {finding.what for finding in found(filled)}


def test_what_is_due_back_of_a_grant_that_is_spent_is_nothing_wrong(filled: Database) -> None:
    tamper(
        filled,
        "UPDATE credit_grant SET due_back_nanodollars = amount_nanodollars"
        " WHERE spent_nanodollars = amount_nanodollars",
    )
    assert found(filled) == []


def test_a_row_for_the_invoice_of_a_call_that_adds_nothing_to_it_is_found(filled: Database) -> None:
    call_id = one(filled, "plan = 'prepaid' AND invoiced_nanodollars = 0")
    columns = "call_id, account_id, period_start_us, admitted_us"
    tamper(
        filled,
        f"INSERT INTO usage_outbox ({columns}, customer, nanodollars) SELECT {columns}, 'cus_prepaid', 7"
        f" FROM usage_record WHERE call_id = '{call_id}'",
    )
    assert [finding.what for finding in found(filled)] == [f"call {call_id}: row for the invoice"]


def make_many(database: Database) -> int:
    """Each call so many times again, with all sums: what the ledger wrote stays as it wrote it."""
    asyncio.run(call_all(database, open_accounts(database), CALLS, held=0))
    names = ", ".join(name for name in Hold._fields + Outcome._fields if name != "call_id")
    outbox = "account_id, customer, period_start_us, admitted_us, nanodollars"
    numbers = f"WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < {COPIES}) "
    sums = {
        "meter": [f"posted_{unit}" for unit in ("calls", "tokens", "nanodollars")],
        "rollup_daily": [
            "posted", "voided", "expired", "calls", "tokens", "input_tokens", "output_tokens", "charge_nanodollars",
            "cost_nanodollars",
        ],
        "credit_grant": ["amount_nanodollars", "spent_nanodollars"],
    }  # fmt: skip
    tamper(
        database,
        *(
            f"INSERT INTO {table} (call_id, {columns}) {numbers}SELECT call_id || '_' || n.i, {columns} FROM {table}, n"
            for table, columns in (("usage_record", names), ("usage_outbox", outbox))
        ),
        *(
            f"UPDATE {table} SET {', '.join(f'{column} = {column} * {COPIES}' for column in columns)}"
            for table, columns in sums.items()
        ),
    )
    return int(query(database, "SELECT count(*) FROM usage_record")[0][0])


def test_one_lost_one_doubled_and_one_altered_row_among_100_000_are_named(database: Database) -> None:
    assert make_many(database) >= 100_000
    lost, altered, unsent = (
        one(database, f"{INVOICED} AND plan = '{plan}' AND {COPY}") for plan in ("over", "words", "money")
    )
    outbox = "account_id, customer, period_start_us, admitted_us, nanodollars"
    tamper(
        database,
        f"DELETE FROM usage_record WHERE call_id = '{lost}'",
        f"INSERT INTO usage_outbox (call_id, {outbox}) SELECT 'req_again', {outbox} FROM usage_outbox"
        f" WHERE call_id = '{unsent}'",
        f"UPDATE usage_record SET invoiced_nanodollars = invoiced_nanodollars - 1 WHERE call_id = '{altered}'",
        f"DELETE FROM usage_outbox WHERE call_id = '{unsent}'",
    )
    report = reconcile(database, PRODUCT.by_name)
    assert [note for note in report.notes if "wait to be reported" not in note] == []  # there is no Stripe here
    calls = {(finding.owner, finding.what) for finding in report.findings if finding.what.startswith("call ")}
    assert calls == {
        ("over@example.com", f"call {lost}: row for the invoice"),
        ("money@example.com", "call req_again: row for the invoice"),
        ("money@example.com", f"call {unsent}: row for the invoice"),
        ("words@example.com", f"call {altered}: row for the invoice, nanodollars"),
        ("words@example.com", f"call {altered}: invoiced_nanodollars"),
    }
    others = {finding.owner for finding in report.findings if not finding.what.startswith("call ")}
    assert others == {"over@example.com"}  # whose meter and daily sums count a row that is not there
