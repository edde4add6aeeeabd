"""What an account has bought, on both databases: what is told late, or of something else, changes nothing."""

from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any, Final

import pytest
from sqlalchemy import text

from farebox.domain.billing import Invoice, InvoiceLine
from farebox.domain.period import DAY_US
from farebox.store.database import Database
from farebox.store.money.billing import StoredBilling
from tests.contract.usage_world import UsageWorld

START: Final = 1_800_000_000_000_000
END: Final = START + 30 * DAY_US


def line(end_us: int, *, is_usage: bool = True) -> InvoiceLine:
    return InvoiceLine("Calls", 5, 1, START, end_us, is_usage)


def an_invoice(*lines: InvoiceLine, **more: Any) -> Invoice:  # noqa: ANN401  # any field of an Invoice
    invoice = Invoice(
        "in_1", "cus_ada", "sub_ada", "A-1", "open", "usd", 1, 0, START, END, END, lines or (line(END),), "",
    )  # fmt: skip
    return invoice._replace(**more)


@pytest.fixture
def billing(database: Database) -> StoredBilling:
    UsageWorld(database).subscribe("ada", start_us=START, end_us=END, invoiced_until_us=START)
    return StoredBilling(database)


def invoiced_until(billing: StoredBilling) -> int:
    known = billing.subscription("ada")
    assert known is not None
    return known.invoiced_until_us


@pytest.mark.parametrize(
    ("invoice", "until_us"),
    [
        (an_invoice(), END),
        (an_invoice(line(START + DAY_US), line(END), line(START)), END),
        (an_invoice(line(START + DAY_US), line(END, is_usage=False)), START + DAY_US),
        (an_invoice(line(END, is_usage=False)), START),
        (an_invoice(status="draft"), START),
        (an_invoice(subscription_id="sub_before"), START),
        (an_invoice(subscription_id=""), START),
        (an_invoice(line(START - DAY_US)), START),
    ],
    ids=["closed", "the last line", "no flat price", "no usage", "a draft", "another's", "nobody's", "an older one"],
)
def test_an_invoice_that_is_closed_takes_usage_of_its_time_no_more(
    billing: StoredBilling, invoice: Invoice, until_us: int
) -> None:
    assert billing.keep_invoice("ada", invoice, END)
    assert invoiced_until(billing) == until_us


def test_an_invoice_is_kept_as_it_was_seen_last(billing: StoredBilling) -> None:
    seen_us = billing.now_us() - 10
    assert billing.keep_invoice("ada", an_invoice(status="paid"), seen_us + 1)
    assert not billing.keep_invoice("ada", an_invoice(), seen_us)
    assert billing.keep_invoice("ada", an_invoice(status="void"), seen_us + 2)


def test_an_account_has_one_customer_at_stripe_though_two_make_one_at_once(
    billing: StoredBilling, database: Database
) -> None:
    with ThreadPoolExecutor(1) as pool:
        with database.write() as first:
            first.execute(text("UPDATE account SET customer_id = 'cus_first'"))
            other = pool.submit(billing.set_customer, "ada", "cus_other")
            assert wait([other], 0.2).not_done
        assert other.result() == "cus_first"
    assert billing.account_of("cus_first") == billing.account("ada")


def test_a_plan_that_is_wanted_next_is_of_its_own_subscription(billing: StoredBilling) -> None:
    """And of the plan in force that was seen: who has moved meanwhile has left it."""
    for subscription, plan, wanted in (("sub_before", "pro", ""), ("sub_ada", "team", ""), ("sub_ada", "pro", "basic")):
        known = billing.subscription("ada")
        assert known is not None
        billing.want_next(known._replace(id=subscription, plan=plan), "basic")
        after = billing.subscription("ada")
        assert after is not None
        assert after.next_plan == wanted
