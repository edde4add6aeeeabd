"""Buying, changing and losing a plan, against a stand-in for Stripe: what the account is on afterwards."""

import secrets
from dataclasses import replace

import pytest

from farebox.account import buy
from farebox.account.sync import sync_invoice, sync_subscription
from farebox.account.till import CannotBuy
from farebox.adapters.stripe_invoices import invoice_of
from farebox.adapters.stripe_usage import StripeUsage
from farebox.domain.events import PaymentFailed
from farebox.domain.period import MICROSECONDS
from farebox.ports.money import UsageEvent
from tests.contract.selling.counter import Counter


def test_a_plan_that_is_paid_holds_when_its_buyer_comes_back(counter: Counter) -> None:
    account_id = counter.account()
    session = counter.buy(account_id, "pro")
    assert counter.row(account_id).plan == "free"
    assert buy.paid(counter.till, counter.row(account_id), session) == "plan"
    row, theirs = counter.row(account_id), counter.subscription(account_id)
    assert (row.plan, row.is_subscribed, row.grace_until_us) == ("pro", 1, None)
    assert row.anchor_us == theirs.anchor_us
    assert counter.changed == [account_id]


def test_a_customer_is_made_once(counter: Counter) -> None:
    account_id = counter.account()
    first = buy.customer_of(counter.till, counter.row(account_id))
    before = counter.row(account_id)._replace(customer_id="")  # another process, that has not seen it yet
    assert buy.customer_of(counter.till, before) == first == counter.row(account_id).customer_id


def test_a_customer_that_is_deleted_at_stripe_buys_as_a_new_one(counter: Counter) -> None:
    account_id = counter.subscribed("pro")
    v1, gone = counter.client.v1, counter.row(account_id).customer_id
    [invoice] = v1.invoices.list({"customer": gone}).data
    sub_id = counter.subscription(account_id).id
    v1.customers.delete(gone)
    sync_subscription(counter.till, sub_id)
    assert counter.row(account_id).plan == "free"
    assert buy.portal(counter.till, counter.row(account_id))
    customer = counter.row(account_id).customer_id
    assert customer not in {"", gone}
    assert buy.customer_of(counter.till, counter.row(account_id)._replace(customer_id=gone)) == customer, "in 2 tabs"
    counter.paid(account_id, counter.buy(account_id, "team"))
    row = counter.row(account_id)
    assert (row.plan, row.customer_id) == ("team", customer)
    sync_invoice(counter.till, invoice.id)
    kept = counter.rows("SELECT id FROM invoice WHERE account_id = :id", id=account_id)
    assert (invoice.id,) in kept, "what the old one was billed is still read"


def test_somebody_elses_payment_is_not_told(counter: Counter) -> None:
    session, other = counter.buy(counter.account(), "pro"), counter.account()
    buy.customer_of(counter.till, counter.row(other))
    with pytest.raises(CannotBuy, match="another account"):
        counter.paid(other, session)
    for session in ("cs_nothing", "cs_/..", "", "."):  # without a name, Stripe lists them all
        with pytest.raises(CannotBuy, match="does not know"):
            counter.paid(other, session)


def test_a_dearer_plan_holds_at_once_and_is_paid_at_once(counter: Counter) -> None:
    account_id = counter.subscribed("pro")
    anchor_us = counter.row(account_id).anchor_us
    assert buy.change_plan(counter.till, counter.row(account_id), "team") == "now"
    row = counter.row(account_id)
    assert (row.plan, row.anchor_us) == ("team", anchor_us)
    invoices = counter.client.v1.invoices.list({"customer": row.customer_id}).data
    assert sum(invoice.amount_paid for invoice in invoices) == 9900


def test_a_dearer_plan_that_cannot_be_paid_is_not_had(counter: Counter) -> None:
    account_id = counter.subscribed("pro")
    counter.pays_with(account_id, "pm_card_chargeCustomerFail")
    with pytest.raises(CannotBuy, match="declined"):
        buy.change_plan(counter.till, counter.row(account_id), "team")
    assert counter.row(account_id).plan == counter.subscription(account_id).plan == "pro"


def test_a_trial_is_of_its_own_plan_and_a_dearer_one_is_paid_for(counter: Counter) -> None:
    account_id = counter.subscribed("tried")
    counter.pays_with(account_id, "pm_card_chargeCustomerFail")
    with pytest.raises(CannotBuy, match="declined"):
        buy.change_plan(counter.till, counter.row(account_id), "team")
    theirs = counter.subscription(account_id)
    assert (counter.row(account_id).plan, theirs.plan, theirs.status) == ("tried", "tried", "trialing")
    counter.pays_with(account_id, "pm_card_visa")
    assert buy.change_plan(counter.till, counter.row(account_id), "team") == "now"
    row, theirs = counter.row(account_id), counter.subscription(account_id)
    assert (row.plan, row.trial_end_us, theirs.status, row.anchor_us) == ("team", None, "active", theirs.anchor_us)
    invoices = counter.client.v1.invoices.list({"customer": row.customer_id}).data
    assert sum(invoice.amount_paid for invoice in invoices) == 9900


def test_a_cheaper_plan_holds_when_what_is_paid_for_was_had(counter: Counter) -> None:
    account_id = counter.subscribed("pro")
    assert buy.change_plan(counter.till, counter.row(account_id), "basic") == "later"
    known = counter.till.billing.subscription(account_id)
    assert known is not None
    assert (known.plan, known.next_plan, counter.row(account_id).plan) == ("pro", "basic", "pro")
    counter.hear(account_id)
    assert counter.row(account_id).plan == "pro"
    counter.stripe.advance(by="month")
    counter.stripe.advance(by="hour")
    counter.hear(account_id)
    known = counter.till.billing.subscription(account_id)
    assert known is not None
    assert (known.plan, known.next_plan, counter.row(account_id).plan) == ("basic", "", "basic")
    paid = sorted(invoice.amount_paid for invoice in
                  counter.client.v1.invoices.list({"customer": counter.row(account_id).customer_id}).data)  # fmt: skip
    assert paid == [900, 2900]


def test_a_move_down_can_be_taken_back_and_a_move_up_counts_from_what_was_paid(counter: Counter) -> None:
    account_id = counter.subscribed("pro")
    buy.change_plan(counter.till, counter.row(account_id), "basic")
    assert buy.change_plan(counter.till, counter.row(account_id), "pro") == "same"
    known = counter.till.billing.subscription(account_id)
    assert known is not None
    assert (known.plan, known.next_plan, counter.subscription(account_id).plan) == ("pro", "", "pro")
    buy.change_plan(counter.till, counter.row(account_id), "basic")
    assert buy.change_plan(counter.till, counter.row(account_id), "team") == "now"
    assert counter.row(account_id).plan == "team"
    paid = [one.amount_paid for one in
            counter.client.v1.invoices.list({"customer": counter.row(account_id).customer_id}).data]  # fmt: skip
    assert sum(paid) == 9900


def test_a_year_after_months_counts_usage_by_the_year_alone(counter: Counter) -> None:
    account_id = counter.subscribed("lite")
    assert buy.change_plan(counter.till, counter.row(account_id), "yearly") == "now"
    items = counter.client.v1.subscriptions.retrieve(counter.subscription(account_id).id)["items"].data
    assert sorted(item.price.lookup_key for item in items) == ["farebox_usage_year", "farebox_yearly_year_29000"]
    with pytest.raises(CannotBuy, match="by the year"):  # which is paid
        buy.change_plan(counter.till, counter.row(account_id), "basic")


@pytest.mark.parametrize("interval", ["month", "year"])
def test_use_that_is_still_to_be_reported_has_a_line_on_a_plan_without_any(counter: Counter, interval: str) -> None:
    account_id = counter.subscribed("pro" if interval == "month" else "yearly")
    assert buy.change_plan(counter.till, counter.row(account_id), "flat") == "now"
    items = counter.client.v1.subscriptions.retrieve(counter.subscription(account_id).id)["items"].data
    assert sorted(item.price.lookup_key for item in items) == ["farebox_flat_month_7900", "farebox_usage_month"]


def test_a_wish_that_stripe_was_not_told_is_told_later(counter: Counter) -> None:
    account_id = counter.subscribed("pro")
    known = counter.till.billing.subscription(account_id)
    assert known is not None
    counter.till.billing.want_next(known, "basic")  # and the process dies
    counter.hear(account_id)
    assert counter.subscription(account_id).plan == "basic"
    assert counter.row(account_id).plan == "pro"


def test_a_cancelled_plan_goes_on_until_its_end_and_then_the_first_one_holds(counter: Counter) -> None:
    account_id = counter.subscribed("pro")
    buy.cancel(counter.till, counter.row(account_id))
    known = counter.till.billing.subscription(account_id)
    assert known is not None
    assert (known.ends_at_period_end, counter.row(account_id).plan) == (1, "pro")
    buy.resume(counter.till, counter.row(account_id))
    assert not counter.subscription(account_id).ends_at_period_end
    buy.cancel(counter.till, counter.row(account_id))
    counter.stripe.advance(by="month")
    counter.hear(account_id)
    row = counter.row(account_id)
    assert (row.plan, row.is_subscribed, row.grace_until_us) == ("free", 0, None)
    assert counter.mails_of(account_id) == []


def test_a_plan_that_stripe_ends_is_over_at_once_and_can_be_bought_again(counter: Counter) -> None:
    account_id = counter.subscribed("pro")
    counter.till.payments.cancel_now(counter.subscription(account_id).id)
    counter.hear(account_id)
    assert counter.row(account_id).plan == "free"
    session = counter.buy(account_id, "team")
    buy.paid(counter.till, counter.row(account_id), session)
    assert counter.row(account_id).plan == "team"
    counter.hear(account_id)  # what is told of the first one changes nothing
    assert counter.row(account_id).plan == "team"


def test_a_trial_is_had_once(counter: Counter) -> None:
    account_id = counter.subscribed("tried")
    theirs = counter.subscription(account_id)
    assert (theirs.status, counter.row(account_id).plan) == ("trialing", "tried")
    assert counter.row(account_id).anchor_us == theirs.trial_end_us
    counter.till.payments.cancel_now(theirs.id)
    counter.hear(account_id)
    counter.paid(account_id, counter.buy(account_id, "tried"))
    assert counter.subscription(account_id).status == "active"


@pytest.mark.parametrize("names", [("pro", "basic"), ("basic", "pro"), ("pro", "team")])
def test_of_two_plans_bought_at_once_one_is_had_and_use_is_billed_once(
    counter: Counter, names: tuple[str, str]
) -> None:
    account_id = counter.account()
    first, second = (buy.buy_plan(counter.till, counter.row(account_id), name) for name in names)
    sessions = [counter._pay(url, "visa") for url in (first, second)]
    customer = counter.row(account_id).customer_id
    now_us = int(counter.stripe.control("state")["now"]) * MICROSECONDS
    used = UsageEvent(secrets.token_hex(8), account_id, customer, 0, 3 * 10**9, 1, now_us, None, 1)
    StripeUsage(counter.client).send_usage(used)
    counter.stripe.advance(by="hour")
    for session in sessions:
        buy.paid(counter.till, counter.row(account_id), session)
    counter.hear(account_id)
    live = [one for one in counter.till.payments.subscriptions_of(customer) if one.status == "active"]
    assert len(live) == 1
    assert counter.row(account_id).plan == live[0].plan
    counter.stripe.advance(by="month")
    invoices = counter.client.v1.invoices.list({"customer": customer, "limit": 100}).data
    lines = [line for one in invoices for line in invoice_of(one).lines if line.is_usage]
    assert sum(line.quantity for line in lines) == used.nanodollars, "what is used is billed once"


def test_what_else_the_founder_sells_to_the_same_customer_is_left_alone(counter: Counter) -> None:
    account_id = counter.subscribed("pro")
    v1, customer, ours = counter.client.v1, counter.row(account_id).customer_id, counter.subscription(account_id)
    counter.pays_with(account_id, "pm_card_visa")
    product = v1.products.create({"name": "Help by telephone"}).id
    price = v1.prices.create(
        {"product": product, "currency": "usd", "unit_amount": 500, "recurring": {"interval": "month"}}
    )
    other = v1.subscriptions.create({"customer": customer, "items": [{"price": price.id}]}).id
    counter.hear(account_id)
    sync_subscription(counter.till, other)
    sync_subscription(counter.till, ours.id)
    assert [counter.till.payments.subscription(one).status for one in (ours.id, other)] == ["active", "active"]
    assert (counter.row(account_id).plan, counter.subscription(account_id).id) == ("pro", ours.id)
    buy.end_for_good(counter.till, counter.row(account_id))
    counter.rows("UPDATE account SET closed_us = 1 WHERE id = :id", id=account_id)
    sync_subscription(counter.till, other)
    assert [counter.till.payments.subscription(one).status for one in (ours.id, other)] == ["canceled", "active"]


def test_a_move_up_that_is_declined_takes_no_cancellation_back(counter: Counter) -> None:
    account_id = counter.subscribed("pro")
    buy.cancel(counter.till, counter.row(account_id))
    counter.pays_with(account_id, "pm_card_chargeCustomerFail")
    with pytest.raises(CannotBuy, match="declined"):
        buy.change_plan(counter.till, counter.row(account_id), "team")
    assert counter.subscription(account_id).ends_at_period_end
    counter.pays_with(account_id, "pm_card_visa")
    buy.change_plan(counter.till, counter.row(account_id), "team")
    theirs = counter.subscription(account_id)
    assert (theirs.plan, theirs.ends_at_period_end, counter.row(account_id).grace_until_us) == ("team", False, None)


def test_a_move_up_that_is_declined_leaves_the_move_down_that_was_wished(counter: Counter) -> None:
    account_id = counter.subscribed("pro")
    buy.change_plan(counter.till, counter.row(account_id), "basic")
    counter.pays_with(account_id, "pm_card_chargeCustomerFail")
    with pytest.raises(CannotBuy, match="declined"):
        buy.change_plan(counter.till, counter.row(account_id), "team")
    counter.hear(account_id)
    known = counter.till.billing.subscription(account_id)
    assert known is not None
    assert (known.plan, known.next_plan, counter.subscription(account_id).plan) == ("pro", "basic", "basic")


def test_a_move_down_that_stripe_refuses_is_not_wished_any_more(counter: Counter) -> None:
    account_id = counter.subscribed("pro")
    [price] = counter.client.v1.prices.list({"lookup_keys": ["farebox_basic_month_900"]}).data
    counter.client.v1.prices.update(price.id, {"active": False})
    try:
        with pytest.raises(CannotBuy, match="cannot be bought"):
            buy.change_plan(counter.till, counter.row(account_id), "basic")
    finally:
        counter.client.v1.prices.update(price.id, {"active": True})
    counter.hear(account_id)
    known = counter.till.billing.subscription(account_id)
    assert known is not None
    assert (known.next_plan, counter.subscription(account_id).plan) == ("", "pro")


def test_a_payment_that_fails_leads_to_grace_then_limits_then_back(counter: Counter) -> None:
    account_id = counter.subscribed("pro", card="failsLater")
    counter.stripe.advance(by="month")
    counter.stripe.advance(by="hour")
    counter.hear(account_id)
    row, now_us = counter.row(account_id), counter.till.billing.now_us()
    assert row.grace_until_us is not None
    assert now_us < row.grace_until_us <= now_us + 7 * 86_400 * 10**6
    assert (row.plan, row.is_subscribed, counter.mails_of(account_id)) == ("pro", 1, ["payment_failed"])
    assert counter.told == [PaymentFailed(account_id, "pro")]
    counter.hear(account_id)
    assert counter.row(account_id).grace_until_us == row.grace_until_us
    with pytest.raises(CannotBuy, match="Pay it first"):
        buy.change_plan(counter.till, counter.row(account_id), "team")
    # The grace is over: the ledger goes by the clock, and the owners are told once.
    counter.rows("UPDATE account SET grace_until_us = :now WHERE id = :id", now=now_us, id=account_id)
    counter.clerk.look()
    counter.clerk.look()
    assert counter.mails_of(account_id) == ["payment_failed", "payment_lapsed"]
    # Paid again, with another card: back by itself.
    customer = row.customer_id
    card = counter.pays_with(account_id, "pm_card_visa")
    due = [one for one in counter.client.v1.invoices.list({"customer": customer}).data if one.status == "open"]
    counter.client.v1.invoices.pay(due[0].id, {"payment_method": card})
    counter.hear(account_id)
    row = counter.row(account_id)
    assert (row.plan, row.grace_until_us) == ("pro", None)
    assert counter.mails_of(account_id) == ["payment_failed", "payment_lapsed", "payment_restored"]


def test_invoices_are_kept_as_stripe_has_them(counter: Counter) -> None:
    account_id = counter.subscribed("pro")
    counter.hear(account_id)
    customer = counter.row(account_id).customer_id
    theirs = [(one.id, one.status, one.total) for one in counter.client.v1.invoices.list({"customer": customer}).data]
    ours = counter.rows("SELECT id, status, total_cents FROM invoice WHERE account_id = :id", id=account_id)
    assert ours == theirs
    ahead = "UPDATE invoice SET synced_us = synced_us + 86400000000, status = 'open' WHERE account_id = :id"
    counter.rows(ahead, id=account_id)  # as kept by a clock that was ahead
    sync_invoice(counter.till, theirs[0][0])
    assert counter.rows("SELECT id, status, total_cents FROM invoice WHERE account_id = :id", id=account_id) == theirs
    counter.stripe.advance(by="month")
    counter.hear(account_id)
    assert counter.invoices_open == [customer]


def test_a_page_that_is_open_when_its_account_is_deleted_cannot_be_paid_on(counter: Counter) -> None:
    account_id = counter.account()
    for url in (
        buy.buy_plan(counter.till, counter.row(account_id), "pro"),
        buy.buy_pack(counter.till, counter.row(account_id), "small"),
    ):
        assert url
    customer = counter.row(account_id).customer_id
    buy.end_for_good(counter.till, counter.row(account_id))
    pages = counter.client.v1.checkout.sessions.list({"customer": customer}).data
    assert [one.status for one in pages] == ["expired", "expired"]


def test_what_is_paid_for_a_deleted_account_is_not_had_and_is_told(
    counter: Counter, caplog: pytest.LogCaptureFixture
) -> None:
    account_id = counter.account()
    counter.buy(account_id, "pro")
    counter.buy_pack(account_id, "small")
    counter.rows("UPDATE account SET closed_us = 1 WHERE id = :id", id=account_id)
    counter.hear(account_id)
    [theirs] = counter.till.payments.subscriptions_of(counter.row(account_id).customer_id)
    assert (theirs.status, counter.till.credit.balance(account_id)) == ("canceled", 0)
    told = [line.getMessage() for line in caplog.records if "may be due back" in line.getMessage()]
    assert any(line.startswith(f"{theirs.id} was bought for {account_id}") for line in told)
    assert any(line.startswith("pi_") for line in told)


def test_what_is_deleted_pays_no_more_once_its_use_was_reported(counter: Counter) -> None:
    account_id = counter.subscribed("pro")
    reported: list[str] = []
    till = replace(counter.till, invoice_open=lambda _: reported.append(counter.subscription(account_id).status))
    buy.end_for_good(till, counter.row(account_id))
    assert (reported, counter.subscription(account_id).status) == (["active"], "canceled")
