"""Subscriptions and their invoices, in time."""

import calendar
from datetime import UTC, datetime
from typing import Any

import pytest
import stripe
from stripe import StripeClient

from tests.contract.stripe.shop import DAY, HOUR, Shop, advance, customer_on_clock, events_of, opened, period_of


@pytest.fixture(scope="module")
def shop(client: StripeClient) -> Shop:
    return opened(client)


def test_a_subscription_is_paid_at_once_and_its_periods_stand_on_its_items(shop: Shop) -> None:
    ada = customer_on_clock(shop.client)
    subscription = shop.subscribe(ada, metadata={"account": "acct_1"})
    start, end = period_of(subscription)
    assert subscription.status == "active"
    assert subscription.billing_cycle_anchor == start
    assert end - start in {days * DAY for days in (28, 29, 30, 31)}
    invoice = shop.invoices(ada)[0]
    assert invoice.id == subscription.latest_invoice
    assert (invoice.status, invoice.billing_reason, invoice.amount_paid) == ("paid", "subscription_create", 2900)
    assert invoice.parent is not None
    assert invoice.parent.subscription_details is not None
    assert invoice.parent.subscription_details.subscription == subscription.id
    assert invoice.parent.subscription_details.metadata is not None
    assert invoice.parent.subscription_details.metadata["account"] == "acct_1"
    assert [(line.amount, line.period.start, line.period.end) for line in invoice.lines.data] == [(2900, start, end)]
    assert [event.data.object["status"] for event in events_of(shop.client, "invoice.paid", str(invoice.id))] == [
        "paid"
    ]


def test_a_renewal_is_a_draft_for_an_hour_in_which_late_usage_still_counts(shop: Shop) -> None:
    ada = customer_on_clock(shop.client)
    start, end = period_of(shop.subscribe(ada))
    shop.use(ada, 1_234_567_890, start + 5)
    advance(shop.client, ada, end + 60)
    draft = shop.invoices(ada)[1]
    assert (draft.status, draft.billing_reason) == ("draft", "subscription_cycle")
    assert draft.automatically_finalizes_at == end + HOUR
    shop.use(ada, 2_000_000_000, end - 1)  # late, and of the old period
    shop.use(ada, 5_000_000_000, end)  # of the new one
    advance(shop.client, ada, end + HOUR + 60)
    invoice = shop.client.v1.invoices.retrieve(str(draft.id))
    base, usage = invoice.lines.data
    assert (invoice.status, invoice.total) == ("paid", 2900 + 323)
    assert (base.amount, base.period.start) == (2900, end)
    assert (usage.quantity, usage.amount, usage.period.start, usage.period.end) == (3_234_567_890, 323, start, end)
    preview = shop.client.v1.invoices.create_preview({"subscription": str(base.subscription)})
    assert [line.amount for line in preview.lines.data] == [2900, 500]
    shop.use(ada, 7_000_000_000, end - 1)  # too late
    assert shop.client.v1.invoices.retrieve(str(draft.id)).total == 3223


def test_a_preview_leaves_nothing_behind(shop: Shop) -> None:
    ada = customer_on_clock(shop.client)
    subscription = shop.subscribe(ada)
    last: Any = {"type": "invoice.created", "limit": 1}
    before = shop.client.v1.events.list(last).data[0].id
    preview = shop.client.v1.invoices.create_preview(
        {"subscription": subscription.id, "subscription_details": {"cancel_at_period_end": True}}
    )
    assert str(preview.id).startswith("upcoming_")
    assert shop.client.v1.events.list(last).data[0].id == before
    assert len(shop.invoices(ada)) == 1
    assert shop.client.v1.subscriptions.retrieve(subscription.id).cancel_at_period_end is False


def test_a_card_may_work_now_and_fail_at_the_renewal(shop: Shop) -> None:
    ada = customer_on_clock(shop.client, "pm_card_failsLater")
    subscription = shop.subscribe(ada)
    assert subscription.status == "active"
    advance(shop.client, ada, period_of(subscription)[1] + HOUR + 60)
    assert shop.client.v1.subscriptions.retrieve(subscription.id).status == "past_due"


def test_a_failing_card_leads_to_past_due_and_another_card_back_to_active(shop: Shop) -> None:
    ada = customer_on_clock(shop.client)
    subscription = shop.subscribe(ada)
    end = period_of(subscription)[1]
    _set_card(shop, ada.id, "pm_card_chargeCustomerFail")
    advance(shop.client, ada, end + HOUR + 60)
    invoice = shop.invoices(ada)[1]
    assert (invoice.status, invoice.attempt_count) == ("open", 1)
    assert invoice.next_payment_attempt == end + HOUR + 3 * DAY
    assert shop.client.v1.subscriptions.retrieve(subscription.id).status == "past_due"
    advance(shop.client, ada, end + 4 * DAY)
    assert shop.client.v1.invoices.retrieve(str(invoice.id)).attempt_count == 2
    _set_card(shop, ada.id, "pm_card_visa")
    advance(shop.client, ada, end + 9 * DAY)
    assert shop.client.v1.invoices.retrieve(str(invoice.id)).status == "paid"
    assert shop.client.v1.subscriptions.retrieve(subscription.id).status == "active"
    assert len(events_of(shop.client, "invoice.payment_failed", str(invoice.id))) == 2


def test_after_the_last_attempt_the_subscription_ends(shop: Shop) -> None:
    ada = customer_on_clock(shop.client)
    subscription = shop.subscribe(ada)
    end = period_of(subscription)[1]
    _set_card(shop, ada.id, "pm_card_chargeCustomerFail")
    advance(shop.client, ada, end + 20 * DAY)
    subscription = shop.client.v1.subscriptions.retrieve(subscription.id)
    invoice = shop.invoices(ada)[1]
    assert (subscription.status, invoice.status, invoice.attempt_count) == ("canceled", "open", 4)
    assert invoice.next_payment_attempt is None
    assert subscription.cancellation_details is not None
    assert subscription.cancellation_details.reason == "payment_failed"
    assert len(events_of(shop.client, "customer.subscription.deleted", subscription.id)) == 1


def test_a_first_payment_that_fails_leaves_it_incomplete_for_23_hours(shop: Shop) -> None:
    ada = customer_on_clock(shop.client, "pm_card_chargeCustomerFail")
    subscription = shop.subscribe(ada)
    assert subscription.status == "incomplete"
    advance(shop.client, ada, subscription.created + DAY)
    assert shop.client.v1.subscriptions.retrieve(subscription.id).status == "incomplete_expired"
    assert shop.invoices(ada)[0].status == "void"


def test_a_first_payment_that_fails_is_an_error_where_that_is_asked_for_and_leaves_nothing(shop: Shop) -> None:
    ada = customer_on_clock(shop.client, "pm_card_chargeCustomerFail")
    with pytest.raises(stripe.CardError) as raised:
        shop.subscribe(ada, payment_behavior="error_if_incomplete")
    assert raised.value.code == "card_declined"
    assert not shop.invoices(ada)


def test_a_trial_costs_nothing_warns_three_days_before_its_end_and_is_paid_for_then(shop: Shop) -> None:
    ada = customer_on_clock(shop.client)
    subscription = shop.subscribe(ada, trial_period_days=14)
    assert (subscription.status, period_of(subscription)[1]) == ("trialing", subscription.trial_end)
    assert [(one.status, one.total) for one in shop.invoices(ada)] == [("paid", 0)]
    assert subscription.trial_end is not None
    shop.use(ada, 9_000_000_000, subscription.created + 60)
    advance(shop.client, ada, subscription.trial_end - 2 * DAY)
    assert len(events_of(shop.client, "customer.subscription.trial_will_end", subscription.id)) == 1
    advance(shop.client, ada, subscription.trial_end + HOUR + 60)
    subscription = shop.client.v1.subscriptions.retrieve(subscription.id)
    assert (subscription.status, subscription.billing_cycle_anchor) == ("active", subscription.trial_end)
    assert [(one.status, one.total) for one in shop.invoices(ada)] == [("paid", 0), ("paid", 2900)]


def test_a_trial_without_a_card_pauses_where_that_is_agreed(shop: Shop) -> None:
    ada = customer_on_clock(shop.client, None)
    settings = {"end_behavior": {"missing_payment_method": "pause"}}
    subscription = shop.subscribe(ada, trial_period_days=3, trial_settings=settings)
    assert subscription.trial_end is not None
    advance(shop.client, ada, subscription.trial_end + 60)
    assert shop.client.v1.subscriptions.retrieve(subscription.id).status == "paused"
    _set_card(shop, ada.id, "pm_card_visa")
    assert shop.client.v1.subscriptions.resume(subscription.id).status == "active"


def test_cancelled_at_the_periods_end_its_last_usage_is_still_billed(shop: Shop) -> None:
    ada = customer_on_clock(shop.client)
    subscription = shop.subscribe(ada)
    end = period_of(subscription)[1]
    subscription = shop.client.v1.subscriptions.update(subscription.id, {"cancel_at_period_end": True})
    assert (subscription.status, subscription.cancel_at) == ("active", end)
    shop.use(ada, 4_000_000_000, subscription.created + 60)
    advance(shop.client, ada, end + HOUR + 60)
    subscription = shop.client.v1.subscriptions.retrieve(subscription.id)
    assert (subscription.status, subscription.ended_at) == ("canceled", end)
    assert [(one.status, one.total) for one in shop.invoices(ada)] == [("paid", 2900), ("paid", 400)]
    with pytest.raises(stripe.InvalidRequestError):
        shop.client.v1.subscriptions.update(subscription.id, {"cancel_at_period_end": False})


def test_a_cancellation_may_be_taken_back(shop: Shop) -> None:
    ada = customer_on_clock(shop.client)
    subscription = shop.subscribe(ada)
    end = period_of(subscription)[1]
    shop.client.v1.subscriptions.update(subscription.id, {"cancel_at_period_end": True})
    shop.client.v1.subscriptions.update(subscription.id, {"cancel_at_period_end": False})
    advance(shop.client, ada, end + 60)
    assert shop.client.v1.subscriptions.retrieve(subscription.id).status == "active"


@pytest.mark.parametrize(
    ("behavior", "amounts"),
    [("always_invoice", [2900, 5000]), ("create_prorations", [2900]), ("none", [2900])],
)
def test_an_upgrade_is_prorated_as_asked_for(shop: Shop, behavior: str, amounts: list[int]) -> None:
    ada = customer_on_clock(shop.client)
    subscription = shop.subscribe(ada)
    item = subscription["items"].data[0]
    start, end = period_of(subscription)
    price = shop.client.v1.prices.create(
        {
            "product": str(shop.base.product),
            "currency": "usd",
            "unit_amount": 12_900,
            "recurring": {"interval": "month"},
        }
    )
    advance(shop.client, ada, start + (end - start) // 2)
    given: Any = {"items": [{"id": item.id, "price": price.id}], "proration_behavior": behavior}
    subscription = shop.client.v1.subscriptions.update(subscription.id, given)
    assert period_of(subscription) == (start, end)
    assert subscription["items"].data[0].price.id == price.id
    assert [one.total for one in shop.invoices(ada)] == amounts
    waiting = {"always_invoice": 0, "create_prorations": 5000, "none": 0}[behavior]
    preview = shop.client.v1.invoices.create_preview({"subscription": subscription.id})
    assert preview.total == 12_900 + waiting
    advance(shop.client, ada, end + HOUR + 60)
    assert shop.invoices(ada)[-1].total == 12_900 + waiting


def test_an_upgrade_that_cannot_be_paid_changes_nothing_where_that_is_asked_for(shop: Shop) -> None:
    ada = customer_on_clock(shop.client)
    subscription = shop.subscribe(ada)
    item = subscription["items"].data[0]
    _set_card(shop, ada.id, "pm_card_chargeCustomerFail")
    given: Any = {"items": [{"id": item.id, "quantity": 3}], "proration_behavior": "always_invoice",
                  "payment_behavior": "error_if_incomplete"}  # fmt: skip
    with pytest.raises(stripe.CardError):
        shop.client.v1.subscriptions.update(subscription.id, given)
    assert shop.client.v1.subscriptions.retrieve(subscription.id)["items"].data[0].quantity == 1
    assert len(shop.invoices(ada)) == 1


def test_another_interval_begins_a_new_period_and_bills_what_was_used_so_far(shop: Shop) -> None:
    ada = customer_on_clock(shop.client)
    subscription = shop.subscribe(ada)
    base, usage = subscription["items"].data
    start, end = period_of(subscription)
    product = str(shop.base.product)
    yearly = shop.client.v1.prices.create(
        {"product": product, "currency": "usd", "unit_amount": 29_000, "recurring": {"interval": "year"}}
    )
    recurring: Any = {"interval": "year", "usage_type": "metered", "meter": shop.meter}
    given: Any = {"product": product, "currency": "usd", "unit_amount_decimal": "0.0000001", "recurring": recurring}
    yearly_usage = shop.client.v1.prices.create(given)
    shop.use(ada, 3_000_000_000, start + 60)
    half = start + (end - start) // 2
    advance(shop.client, ada, half)
    wishes: Any = [{"id": base.id, "price": yearly.id}, {"id": usage.id, "price": yearly_usage.id}]
    subscription = shop.client.v1.subscriptions.update(subscription.id, {"items": wishes})
    assert period_of(subscription)[0] == half == subscription.billing_cycle_anchor
    assert shop.invoices(ada)[-1].total == 29_000 - 1450 + 300
    assert shop.client.v1.invoices.create_preview({"subscription": subscription.id}).total == 29_000


def test_a_schedule_changes_to_a_cheaper_plan_at_the_periods_end(shop: Shop) -> None:
    v1, ada = shop.client.v1, customer_on_clock(shop.client)
    subscription = shop.subscribe(ada)
    end = period_of(subscription)[1]
    cheap = v1.prices.create(
        {"product": str(shop.base.product), "currency": "usd", "unit_amount": 900, "recurring": {"interval": "month"}}
    )
    schedule = v1.subscription_schedules.create({"from_subscription": subscription.id})
    now, later = ([{"price": price.id, "quantity": 1}, {"price": shop.usage.id}] for price in (shop.base, cheap))
    phases: Any = [
        {"items": now, "start_date": schedule.phases[0].start_date, "end_date": end},
        {"items": later, "duration": {"interval": "month"}},
    ]
    v1.subscription_schedules.update(schedule.id, {"phases": phases, "end_behavior": "release"})
    shop.use(ada, 1_000_000_000, subscription.created + 60)
    advance(shop.client, ada, end + HOUR + 60)
    assert [one.total for one in shop.invoices(ada)] == [2900, 900 + 100]
    advance(shop.client, ada, period_of(v1.subscriptions.retrieve(subscription.id))[1] + HOUR + 60)
    assert v1.subscription_schedules.retrieve(schedule.id).status == "completed"
    assert v1.subscriptions.retrieve(subscription.id).status == "active"
    assert shop.invoices(ada)[-1].total == 900


@pytest.mark.parametrize("day", [1, 15, 28, 29, 30, 31])
def test_renewals_keep_to_the_anchors_day_or_the_months_last(shop: Shop, day: int) -> None:
    anchor = datetime(2027, 1, day, 12, 30, tzinfo=UTC)
    ada = customer_on_clock(shop.client, at=int(anchor.timestamp()))
    start, end = period_of(shop.subscribe(ada))
    ends = []
    for month in range(2, 6):
        last = calendar.monthrange(2027, month)[1]
        assert end == int(anchor.replace(month=month, day=min(day, last)).timestamp())
        ends.append(end)
        advance(shop.client, ada, end + HOUR + 1)
        subscription = shop.client.v1.subscriptions.list({"customer": ada.id}).data[0]
        start, end = period_of(subscription)
        assert start == ends[-1]
    lines = [line for one in shop.invoices(ada) for line in one.lines.data if line.amount]
    assert [line.period.start for line in lines] == [int(anchor.timestamp()), *ends]


def test_the_next_invoice_is_told_of_a_week_before(shop: Shop) -> None:
    ada = customer_on_clock(shop.client)
    subscription = shop.subscribe(ada)
    end = period_of(subscription)[1]
    advance(shop.client, ada, end - 8 * DAY)
    assert not _upcoming(shop, ada.id)
    advance(shop.client, ada, end + HOUR)
    told = _upcoming(shop, ada.id)
    assert [(one["amount_due"], one["status"]) for one in told] == [(2900, "draft")]
    assert shop.client.v1.subscriptions.retrieve(subscription.id).status == "active"


def _upcoming(shop: Shop, customer: str) -> list[Any]:
    events = shop.client.v1.events.list({"type": "invoice.upcoming", "limit": 100}).data
    return [event.data.object for event in events if event.data.object["customer"] == customer]


def test_a_jump_over_months_renews_each_of_them_in_turn(shop: Shop) -> None:
    ada = customer_on_clock(shop.client)
    subscription = shop.subscribe(ada)
    advance(shop.client, ada, subscription.created + 100 * DAY)
    invoices = shop.invoices(ada)
    assert [one.status for one in invoices] == ["paid"] * 4
    assert all(one.created == line.period.start for one in invoices[1:] for line in one.lines.data[:1])


def _set_card(shop: Shop, customer: str, card: str) -> None:
    method = shop.client.v1.payment_methods.attach(card, {"customer": customer})
    shop.client.v1.customers.update(customer, {"invoice_settings": {"default_payment_method": method.id}})
