"""Taxes: with the setting Stripe reckons them on plans, packs and each later invoice; without it nobody does."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import stripe as sdk
from pydantic import SecretStr
from stripe import Invoice
from stripe.checkout import Session

from farebox.account import buy
from farebox.account.till import CannotBuy
from farebox.cli.doctor_stripe import check_stripe
from farebox.settings import Settings
from farebox.store.database import Database
from tests.contract.selling.counter import PRODUCT, Counter
from tests.services.stripe import StripeStandin

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the SDK closes nothing

BACK = "https://till.example"


def set_up(stripe: StripeStandin) -> None:
    stripe.client().v1.tax.settings.update({"head_office": {"address": {"country": "US", "state": "NY"}}})


@pytest.fixture
def taxed(database: Database, stripe: StripeStandin) -> Iterator[Counter]:
    stripe.heal()
    set_up(stripe)
    counter = Counter(database, stripe, PRODUCT, is_taxed=True)
    counter.sync()
    yield counter
    counter.close()


def session_of(counter: Counter, account_id: str) -> Session:
    """The newest one."""
    asked = {"customer": counter.row(account_id).customer_id}
    return counter.client.v1.checkout.sessions.list(asked).data[0]  # type: ignore[arg-type]


def invoices(counter: Counter, account_id: str) -> list[Invoice]:
    """The oldest first."""
    return counter.client.v1.invoices.list({"customer": counter.row(account_id).customer_id}).data[::-1]


def test_without_the_setting_no_tax_is_added_whatever_the_accounts_own_is(counter: Counter) -> None:
    account_id = counter.subscribed("pro")
    session = session_of(counter, account_id)
    assert (session.automatic_tax.enabled, session.amount_total, session.billing_address_collection) == (
        False, 2900, None,
    )  # fmt: skip
    [invoice] = invoices(counter, account_id)
    assert (invoice.automatic_tax.enabled, invoice.total, invoice.total_taxes) == (False, 2900, [])
    counter.buy_pack(account_id, "small")
    pack = session_of(counter, account_id)
    assert (pack.mode, pack.automatic_tax.enabled, pack.amount_total) == ("payment", False, 1000)
    kept = counter.client.v1.customers.retrieve(counter.row(account_id).customer_id)
    assert kept.address is None


def test_with_it_a_plan_is_taxed_and_so_is_each_later_invoice(taxed: Counter) -> None:
    account_id = taxed.subscribed("pro")
    session = session_of(taxed, account_id)
    assert (session.automatic_tax.enabled, session.amount_total, session.billing_address_collection) == (
        True, 3190, "required",
    )  # fmt: skip
    kept = taxed.client.v1.customers.retrieve(taxed.row(account_id).customer_id)
    assert kept.address is not None
    assert kept.address.country == "US", "what was entered is kept for the invoices to come"
    buy.change_plan(taxed.till, taxed.row(account_id), "team")
    first, second = invoices(taxed, account_id)
    assert (first.automatic_tax.enabled, first.subtotal, first.total, first.amount_paid) == (True, 2900, 3190, 3190)
    assert second.automatic_tax.enabled
    assert second.total == second.subtotal + (second.subtotal + 5) // 10 > second.subtotal
    known = taxed.till.billing.subscription(account_id)
    assert known is not None
    coming = taxed.client.v1.invoices.create_preview({"subscription": known.id})
    assert (coming.subtotal, coming.total) == (9900, 10890)


def test_of_a_pack_the_tax_is_paid_on_top_and_is_no_credit(taxed: Counter) -> None:
    account_id = taxed.account()
    taxed.paid(account_id, taxed.buy_pack(account_id, "small"))
    session = session_of(taxed, account_id)
    assert (session.automatic_tax.enabled, session.amount_subtotal, session.amount_total) == (True, 1000, 1100)
    assert taxed.till.credit.balance(account_id) == 10 * 10**9
    taxed.client.v1.refunds.create({"payment_intent": str(session.payment_intent), "amount": 550})
    taxed.hear(account_id)
    assert taxed.till.credit.balance(account_id) == 5 * 10**9, "half of what was paid is half of the credit"


def test_stripe_wants_an_address_to_reckon_by(counter: Counter) -> None:
    v1 = counter.client.v1
    customer = v1.customers.create({"email": "ada@example.com"})
    price = v1.prices.list({"lookup_keys": ["farebox_pack_small_1000"]}).data[0]
    with pytest.raises(sdk.InvalidRequestError) as refused:
        v1.checkout.sessions.create(
            {
                "mode": "payment", "customer": customer.id, "success_url": BACK, "automatic_tax": {"enabled": True},
                "line_items": [{"price": price.id, "quantity": 1}],
            }
        )  # fmt: skip
    assert refused.value.code == "customer_tax_location_invalid"


def test_taxes_that_nobody_has_set_up_are_told_to_the_founder(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with (
        StripeStandin(tmp_path) as stripe,
        closing(Database(f"sqlite:///{tmp_path}/farebox.db")) as database,
        closing(Counter(database, stripe, PRODUCT, is_taxed=True)) as counter,
    ):
        database.migrate()
        counter.sync()
        with pytest.raises(CannotBuy, match="stripe_tax_inactive"):
            buy.buy_plan(counter.till, counter.row(counter.account()), "pro")
        assert "a purchase failed: Stripe refused this (stripe_tax_inactive" in caplog.text
        [line] = [line for line in told(stripe, is_taxed=True) if "Stripe Tax" in line]
        assert line.startswith("FIX stripe: FAREBOX_STRIPE_TAX is on, and Stripe Tax lacks head_office")
        stripe.fault("status", status=403, path="/v1/tax/settings")
        [line] = [line for line in told(stripe, is_taxed=True) if "Stripe Tax" in line]
        assert line.startswith("note stripe: whether Stripe Tax is set up")
        set_up(stripe)
        for is_taxed in (True, False):
            assert not [line for line in told(stripe, is_taxed=is_taxed) if "Stripe Tax" in line]
        assert buy.buy_plan(counter.till, counter.row(counter.account()), "pro").startswith(stripe.url)


def told(stripe: StripeStandin, *, is_taxed: bool) -> list[str]:
    """What the doctor says."""
    settings = Settings().model_copy(
        update={
            "stripe_secret_key": SecretStr(stripe.key),
            "stripe_api_base": stripe.url,
            "stripe_tax": is_taxed,
            "database_url": "sqlite://",
        }
    )
    return [str(finding) for finding in check_stripe(settings, PRODUCT)]
