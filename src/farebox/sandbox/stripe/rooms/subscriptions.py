"""Subscriptions: made, changed, ended."""

from typing import Final

from farebox.sandbox.stripe import billing, changes, cycle
from farebox.sandbox.stripe.desk import Desk, new_id
from farebox.sandbox.stripe.errors import StripeError, refused, wanted
from farebox.sandbox.stripe.periods import end_after
from farebox.sandbox.stripe.room import Room, page
from farebox.sandbox.stripe.rooms.catalog import create_price, plan_of
from farebox.sandbox.stripe.rooms.payment_methods import attached
from farebox.sandbox.stripe.things import Thing, listed

room = Room()
ITEMS_MAX: Final = 20
DAY_SECONDS: Final = 86_400


@room("POST", "/v1/subscriptions", "SubscriptionCreateParams")
def create(desk: Desk, given: Thing) -> Thing:
    return created(desk, given)


def created(desk: Desk, given: Thing, *, is_there: bool = False) -> Thing:
    """A new subscription, with its first invoice; `is_there` is whether its owner is present to confirm a payment.

    Raises:
        StripeError: it cannot be as asked for, or it was not paid, and `error_if_incomplete` was asked for.
    """
    customer = desk.named("customer", given.get("customer") or "", "customer")
    clock = customer["test_clock"]
    now = desk.now(clock)
    subscription = desk.new("subscription", clock=clock, customer=customer["id"], test_clock=clock)
    trial_end = _trial_end(given, now)
    anchor = trial_end or given.get("billing_cycle_anchor") or now
    if anchor < now:
        raise refused("billing_cycle_anchor cannot be in the past.", param="billing_cycle_anchor")
    items = [item_of(desk, subscription["id"], wish, anchor, now, trial_end) for wish in _wishes(given)]
    currency = items[0]["price"]["currency"]
    if any(item["price"]["currency"] != currency for item in items):
        raise refused("All prices of a subscription need one currency.", param="items")
    subscription |= _terms(desk, given, customer, now) | {
        "billing_cycle_anchor": anchor,
        "currency": currency,
        "items": listed(f"/v1/subscription_items?subscription={subscription['id']}", items),
        "status": "trialing" if trial_end else "incomplete",
        "trial_start": now if trial_end else None,
        "trial_end": trial_end,
        "_is_stub_free": given.get("proration_behavior") == "none",
    }
    _cancel_terms(subscription, given)
    subscription = cycle.kept(desk, subscription)
    _set_default(desk, subscription, given)
    desk.emit("customer.subscription.created", subscription)
    return _begun(desk, subscription["id"], given, is_there=is_there)


def _begun(desk: Desk, id_: str, given: Thing, *, is_there: bool) -> Thing:
    """The subscription after its first invoice."""
    invoice = cycle.first_invoice(desk, desk.get("subscription", id_))
    subscription = desk.get("subscription", id_)
    behavior = given.get("payment_behavior", "allow_incomplete")
    if subscription["collection_method"] == "send_invoice":
        return cycle.kept(desk, subscription, "customer.subscription.updated", status="active")
    if invoice["status"] == "open" and behavior != "default_incomplete":
        if billing.method_of(desk, invoice) is None:
            raise StripeError(400, "This customer has no attached payment source or default payment method. Please "
                              "consider adding a default payment method.", code="resource_missing")  # fmt: skip
        error = billing.try_to_charge(desk, invoice, off_session=bool(given.get("off_session")) and not is_there)
        if error is not None and behavior == "error_if_incomplete":
            error.keeps = False
            raise error
    return desk.get("subscription", id_)


def _trial_end(given: Thing, now: int) -> int | None:
    if "trial_end" in given and given["trial_end"] != "now":
        return int(given["trial_end"]) if int(given["trial_end"]) > now else None
    days = given.get("trial_period_days")
    return now + days * DAY_SECONDS if days else None


def _wishes(given: Thing) -> list[Thing]:
    wishes: list[Thing] = given.get("items", [])
    if not wishes:
        raise wanted("items")
    if len(wishes) > ITEMS_MAX:
        raise refused("A subscription has at most 20 items.", param="items")
    return wishes


def item_of(desk: Desk, subscription: str, wish: Thing, anchor: int, now: int, trial_end: int | None) -> Thing:
    """An item of a subscription, as it is asked for.

    Raises:
        StripeError: its price is not there, is not recurring, or is metered, and so takes no quantity.
    """
    price = price_of(desk, wish)
    end = trial_end or end_after(anchor, price["recurring"], now)
    item = desk.new(
        "subscription_item",
        id=new_id("subscription_item"),
        created=now,
        current_period_start=now,
        current_period_end=min(end, anchor) if anchor > now else end,
        price=price,
        plan=plan_of(price, desk),
        subscription=subscription,
        metadata=wish.get("metadata", {}),
        tax_rates=[],
        discounts=[],
    )
    item["quantity"] = wish.get("quantity", 1)
    if price["recurring"]["usage_type"] == "metered":
        if "quantity" in wish:
            raise refused("You cannot set the quantity for metered plans.", param="items[0][quantity]")
        del item["quantity"]
    return item


def price_of(desk: Desk, wish: Thing) -> Thing:
    """The price that an item, or a line, names or makes up."""
    if "price_data" in wish:
        return create_price(desk, wish["price_data"])
    if "price" not in wish:
        raise wanted("items[0][price]")
    price = desk.named("price", wish["price"], "items[0][price]")
    if not price["active"]:
        raise refused(f"The price specified is inactive. This field only accepts active prices: {price['id']}",
                      param="items[0][price]")  # fmt: skip
    if price["recurring"] is None:
        raise refused("The price specified is set to `type=one_time` but this field only accepts prices with "
                      "`type=recurring`.", param="items[0][price]")  # fmt: skip
    return price


def _terms(desk: Desk, given: Thing, customer: Thing, now: int) -> Thing:
    method = given.get("default_payment_method")
    if method:
        method = attached(desk, method, customer["id"], "default_payment_method")["id"]
    end_behavior = {"missing_payment_method": "create_invoice"}
    return {
        "start_date": now,
        "collection_method": given.get("collection_method", "charge_automatically"),
        "days_until_due": given.get("days_until_due"),
        "default_payment_method": method or None,
        "description": given.get("description"),
        "discounts": [],
        "billing_schedules": [],
        "default_tax_rates": [],
        "metadata": given.get("metadata") or {},
        "billing_mode": {"type": "flexible", "flexible": {"proration_discounts": "included"}, "updated_at": now},
        "automatic_tax": {"enabled": bool(given.get("automatic_tax", {}).get("enabled")), "liability": None,
                          "disabled_reason": None},
        "invoice_settings": {"account_tax_ids": None, "issuer": {"type": "self", "account": None}},
        "payment_settings": {"payment_method_options": None, "payment_method_types": None,
                             "save_default_payment_method": "off", **given.get("payment_settings", {})},
        "trial_settings": {"end_behavior": end_behavior, **given.get("trial_settings", {})},
        "cancellation_details": {"comment": None, "feedback": None, "reason": None},
        "livemode": False,
    }  # fmt: skip


def _cancel_terms(subscription: Thing, given: Thing) -> None:
    if given.get("cancel_at_period_end"):
        ends = [item["current_period_end"] for item in subscription["items"]["data"]]
        subscription |= {"cancel_at_period_end": True, "cancel_at": min(ends), "canceled_at": subscription["created"]}
    elif isinstance(given.get("cancel_at"), int):
        subscription |= {"cancel_at": given["cancel_at"], "canceled_at": subscription["created"]}


def _set_default(desk: Desk, subscription: Thing, given: Thing) -> None:
    saves = given.get("payment_settings", {}).get("save_default_payment_method")
    if saves == "on_subscription" and subscription["default_payment_method"] is None:
        customer = desk.get("customer", subscription["customer"])
        default = customer["invoice_settings"]["default_payment_method"]
        desk.put({**subscription, "default_payment_method": default})


@room("GET", "/v1/subscriptions/{id}", "SubscriptionRetrieveParams")
def retrieve(desk: Desk, _given: Thing, id_: str) -> Thing:
    return desk.get("subscription", id_)


@room("POST", "/v1/subscriptions/{id}", "SubscriptionUpdateParams")
def update(desk: Desk, given: Thing, id_: str) -> Thing:
    subscription = desk.get("subscription", id_)
    if subscription["status"] in cycle.GONE and set(given) - {"metadata", "cancellation_details"}:
        raise refused("A canceled subscription can only update its cancellation_details and metadata.")
    return changes.changed(desk, subscription, given)


@room("DELETE", "/v1/subscriptions/{id}", "SubscriptionCancelParams")
def cancel(desk: Desk, given: Thing, id_: str) -> Thing:
    subscription = desk.get("subscription", id_)
    if subscription["status"] in cycle.GONE:
        raise StripeError(404, f"No such subscription: '{id_}'", code="resource_missing", param="id")
    return cycle.ended(desk, subscription, "cancellation_requested", bills_usage=bool(given.get("invoice_now")),
                       details=given.get("cancellation_details"))  # fmt: skip


def end_now(desk: Desk, subscription: Thing) -> Thing:
    return cycle.ended(desk, subscription, "cancellation_requested")


@room("POST", "/v1/subscriptions/{id}/resume", "SubscriptionResumeParams")
def resume(desk: Desk, _given: Thing, id_: str) -> Thing:
    subscription = desk.get("subscription", id_)
    if subscription["status"] != "paused":
        raise refused("Only paused subscriptions can be resumed.")
    now = desk.now(subscription.get("_clock"))
    items = [{**item, "current_period_end": now} for item in cycle.items_of(subscription)]
    resumed = cycle.with_items({**subscription, "status": "active", "billing_cycle_anchor": now}, items)
    resumed = cycle.renewed(desk, resumed, was="paused")
    desk.emit("customer.subscription.resumed", resumed)
    return resumed


@room("GET", "/v1/subscriptions", "SubscriptionListParams")
def list_(desk: Desk, given: Thing) -> Thing:
    found = desk.all("subscription", given.get("customer"))
    status = given.get("status")
    if status is None:
        found = [one for one in found if one["status"] != "canceled"]
    elif status == "ended":
        found = [one for one in found if one["status"] in cycle.GONE]
    elif status != "all":
        found = [one for one in found if one["status"] == status]
    if "price" in given:
        found = [one for one in found if any(item["price"]["id"] == given["price"] for item in cycle.items_of(one))]
    return page(desk, "/v1/subscriptions", found, given, "collection_method")
