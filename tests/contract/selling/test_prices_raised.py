"""A price that the founder raises: whoever bought before is charged the old one, and is told so."""

from typing import Any

import pytest

from farebox.account import buy
from farebox.account.till import CannotBuy
from farebox.adapters.stripe_invoices import invoice_of
from farebox.domain.billing import Invoice
from farebox.domain.plan import Plan
from farebox.domain.product import Product
from farebox.domain.upcoming import next_invoice
from farebox.store.money.invoices import StoredInvoices
from farebox.web.pages.sale import Sale, way_to
from tests.contract.selling.counter import PRODUCT, Counter

USD = 10**9


def reprice(counter: Counter, **usd: int) -> None:
    """The founder writes other prices into the file, syncs and deploys."""
    plans = [Plan(one.name, usd=usd[one.name], calls=one.calls, every=one.every, overage_usd="0.01")
             if one.name in usd else one for one in counter.product.plans]  # fmt: skip
    counter.product = Product("Till", plans=plans, packs=PRODUCT.packs)
    counter.till = counter.another_till()
    assert counter.sync()


def ours(counter: Counter, account_id: str) -> Invoice:
    """The next invoice as its page tells it."""
    ahead = StoredInvoices(counter.database).ahead(account_id)
    assert ahead is not None
    by_name = counter.product.by_name
    found = next_invoice(
        ahead.subscribed, by_name[ahead.plan], by_name[ahead.next_plan], ahead.used_nanodollars, ahead.now_us
    )
    assert found is not None
    return found


def told(counter: Counter, account_id: str) -> int:
    """What both say that the next invoice comes to, in cents."""
    theirs = invoice_of(counter.client.v1.invoices.create_preview({"subscription": counter.known(account_id).id}))
    mine = ours(counter, account_id)
    assert figures(mine) == figures(theirs)
    return mine.total_cents


def figures(invoice: Invoice) -> list[tuple[Any, ...]]:
    return sorted((line.is_usage, line.quantity, line.amount_cents, *line[3:5]) for line in invoice.lines if line[1])


def test_whoever_bought_before_is_told_the_old_price_and_others_the_new_one(counter: Counter) -> None:
    ada, year = counter.subscribed("pro"), counter.subscribed("yearly")
    reprice(counter, pro=39, yearly=390)
    bob = counter.subscribed("pro")
    assert [told(counter, one) for one in (ada, bob, year)] == [2_900, 3_900, 29_000]
    counter.hear(ada)
    known = counter.known(ada)
    assert (known.price_nanodollars, known.next_price_nanodollars, told(counter, ada)) == (29 * USD, 29 * USD, 2_900)
    counter.stripe.advance(by="month")
    counter.stripe.advance(by="hour")
    counter.hear(ada)
    customer = counter.row(ada).customer_id
    assert [one.amount_paid for one in counter.client.v1.invoices.list({"customer": customer}).data] == [2_900, 2_900]
    assert told(counter, ada) == 2_900


def test_it_is_known_whether_a_subscription_has_a_line_for_use(counter: Counter) -> None:
    """Stripe goes on with one for whoever has moved to a plan without it."""
    ada, bob, year = counter.subscribed("pro"), counter.subscribed("basic"), counter.subscribed("yearly")
    buy.change_plan(counter.till, counter.row(ada), "basic")
    for one in (ada, bob, year):
        counter.hear(one)
    assert [counter.known(one).has_usage_line for one in (ada, bob, year)] == [1, 0, 1]


def test_a_row_of_before_is_told_by_the_file_until_it_is_fetched_again(counter: Counter) -> None:
    ada = counter.subscribed("pro")
    unknown = "UPDATE subscription SET price_nanodollars = NULL, next_price_nanodollars = NULL WHERE account_id = :id"
    counter.rows(unknown, id=ada)
    reprice(counter, pro=39)
    assert ours(counter, ada).total_cents == 3_900
    counter.hear(ada)
    assert told(counter, ada) == 2_900


def test_a_move_down_is_told_at_the_price_that_it_was_wished_at(counter: Counter) -> None:
    ada = counter.subscribed("pro")
    reprice(counter, pro=39)
    buy.change_plan(counter.till, counter.row(ada), "basic")
    reprice(counter, basic=12)
    counter.hear(ada)
    known = counter.known(ada)
    assert (known.plan, known.price_nanodollars, known.next_price_nanodollars) == ("pro", 29 * USD, 9 * USD)
    assert told(counter, ada) == 900
    counter.stripe.advance(by="month")
    counter.stripe.advance(by="hour")
    counter.hear(ada)
    known = counter.known(ada)
    assert (known.plan, known.price_nanodollars, told(counter, ada)) == ("basic", 9 * USD, 900)


def test_a_move_down_that_is_taken_back_is_told_at_the_price_of_now(counter: Counter) -> None:
    """Stripe takes no price that is archived."""
    ada = counter.subscribed("pro")
    reprice(counter, pro=39)
    buy.change_plan(counter.till, counter.row(ada), "basic")
    assert buy.change_plan(counter.till, counter.row(ada), "pro") == "same"
    assert (counter.known(ada).price_nanodollars, told(counter, ada)) == (39 * USD, 3_900)


def test_dearer_is_what_costs_more_than_what_is_paid(counter: Counter) -> None:
    """Whatever the file says by now of a plan that was bought before."""
    ada, bob = counter.subscribed("pro"), counter.subscribed("pro")
    reprice(counter, pro=19, basic=25)
    assert buy.change_plan(counter.till, counter.row(ada), "basic") == "later"
    assert (counter.row(ada).plan, told(counter, ada)) == ("pro", 2_500)
    reprice(counter, pro=39, basic=35)
    assert buy.change_plan(counter.till, counter.row(bob), "basic") == "now"
    assert (counter.row(bob).plan, told(counter, bob)) == ("basic", 3_500)


@pytest.mark.parametrize(("plan", "other", "every"), [("pro", "yearly", "month"), ("yearly", "basic", "year")])
def test_another_interval_is_refused_with_the_one_that_is_paid_by(
    counter: Counter, plan: str, other: str, every: str
) -> None:
    account_id = counter.subscribed(plan)
    with pytest.raises(CannotBuy, match=f"paid by the {every}"):
        buy.change_plan(counter.till, counter.row(account_id), other)


def rename(counter: Counter, plan: str, name: str) -> None:
    """The founder calls a plan something else: nobody can have the old one any more."""
    plans = [Plan(name, usd=one.usd, calls=one.calls, overage_usd="0.01") if one.name == plan else one
             for one in counter.product.plans]  # fmt: skip
    counter.product = Product("Till", plans=plans, packs=PRODUCT.packs)
    counter.till = counter.another_till()
    assert counter.sync()


@pytest.mark.parametrize(("other", "cents"), [("expert", 0), ("team", 7_000), ("basic", -2_000)])
def test_from_a_plan_that_is_offered_no_more_any_is_had_at_once(counter: Counter, other: str, cents: int) -> None:
    ada = counter.subscribed("pro")
    rename(counter, "pro", "expert")
    sale = Sale(True, counter.known(ada), None, False, True)  # noqa: FBT003  # its own names say it
    assert way_to(counter.product, sale, None, counter.product.by_name[other]) == "now"
    assert buy.change_plan(counter.till, counter.row(ada), other) == "now"
    assert (counter.row(ada).plan, counter.known(ada).next_plan) == (other, "")
    invoices = counter.client.v1.invoices.list({"customer": counter.row(ada).customer_id}).data
    assert sum(one.total for one in invoices) == 2_900 + cents, "what is left of the old one counts"


def test_a_wish_from_a_plan_that_is_offered_no_more_is_in_nobodys_way(counter: Counter) -> None:
    ada = counter.subscribed("pro")
    buy.change_plan(counter.till, counter.row(ada), "basic")
    rename(counter, "pro", "expert")
    assert buy.change_plan(counter.till, counter.row(ada), "expert") == "now"
    known = counter.known(ada)
    assert (counter.row(ada).plan, known.next_plan, told(counter, ada)) == ("expert", "", 2_900)
    invoices = counter.client.v1.invoices.list({"customer": counter.row(ada).customer_id}).data
    assert sum(one.total for one in invoices) == 2_900


def put_on(counter: Counter, account_id: str, cents: int) -> None:
    """The founder puts a price of their own at Stripe into the place of the plan's."""
    v1, sub_id = counter.client.v1, counter.known(account_id).id
    items = v1.subscriptions.retrieve(sub_id)["items"].data
    [base] = [item for item in items if item.price.recurring and item.price.recurring.usage_type == "licensed"]
    price = {"product": str(base.price.product), "currency": "usd", "unit_amount": cents}
    own = v1.prices.create({**price, "recurring": {"interval": "month"}})  # type: ignore[typeddict-item]
    v1.subscriptions.update(sub_id, {"items": [{"id": base.id, "price": own.id}], "proration_behavior": "none"})
    counter.hear(account_id)


def test_at_a_price_of_the_founders_own_a_plan_is_followed_moved_and_over(counter: Counter) -> None:
    ada = counter.subscribed("pro")
    put_on(counter, ada, 1_900)
    assert (counter.row(ada).plan, counter.known(ada).price_nanodollars, told(counter, ada)) == (
        "pro",
        19 * USD,
        1_900,
    )
    buy.cancel(counter.till, counter.row(ada))
    assert counter.known(ada).ends_at_period_end
    assert buy.change_plan(counter.till, counter.row(ada), "team") == "now"
    assert told(counter, ada) == 9_900, "the price of their own is not paid beside it"
    put_on(counter, ada, 1_900)
    counter.till.payments.cancel_now(counter.known(ada).id)
    counter.hear(ada)
    assert counter.row(ada).plan == "free"
    assert buy.buy_plan(counter.till, counter.row(ada), "pro")


def test_a_price_of_the_founders_own_in_the_place_of_a_noted_plans_is_that_plans(counter: Counter) -> None:
    ada = counter.subscribed("pro")
    buy.change_plan(counter.till, counter.row(ada), "basic")
    put_on(counter, ada, 500)
    known = counter.known(ada)
    assert (known.plan, known.next_plan, known.price_nanodollars) == ("pro", "basic", 29 * USD)
    assert (known.next_price_nanodollars, told(counter, ada)) == (5 * USD, 500)


def test_a_dearer_plan_waits_where_stripe_cannot_be_put_back_onto_what_is_paid(counter: Counter) -> None:
    ada, bob = counter.subscribed("pro"), counter.subscribed("pro")
    buy.change_plan(counter.till, counter.row(ada), "basic")
    reprice(counter, pro=189)
    assert buy.change_plan(counter.till, counter.row(ada), "team") == "later"
    assert (counter.row(ada).plan, counter.known(ada).next_plan, told(counter, ada)) == ("pro", "team", 9_900)
    assert buy.change_plan(counter.till, counter.row(bob), "team") == "now"
    paid = [sum(one.amount_paid for one in counter.client.v1.invoices.list({"customer": counter.row(who).customer_id}))
            for who in (ada, bob)]  # fmt: skip
    assert paid == [2_900, 9_900]


def test_a_dearer_plan_and_one_of_two_seats_are_told_as_stripe_charges_them(counter: Counter) -> None:
    ada = counter.subscribed("pro")
    reprice(counter, pro=39)
    buy.change_plan(counter.till, counter.row(ada), "team")
    assert told(counter, ada) == 9_900
    [base] = [
        item.id for item in counter.client.v1.subscriptions.retrieve(counter.known(ada).id)["items"].data
        if item.price.unit_amount == 9_900
    ]  # fmt: skip
    counter.client.v1.subscription_items.update(base, {"quantity": 2, "proration_behavior": "none"})
    counter.hear(ada)
    assert counter.known(ada).price_nanodollars == 198 * USD
    theirs = counter.client.v1.invoices.create_preview({"subscription": counter.known(ada).id})
    assert ours(counter, ada).total_cents == theirs.total == 19_800
