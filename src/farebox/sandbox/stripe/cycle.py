"""A subscription in time: its first invoice, its renewals, the end of its trial, what failed payments do, its end."""

from typing import Final

from farebox.sandbox.stripe import billing, lines
from farebox.sandbox.stripe.desk import Desk
from farebox.sandbox.stripe.periods import end_after
from farebox.sandbox.stripe.things import Thing

HOUR_SECONDS: Final = 3_600
INCOMPLETE_SECONDS: Final = 23 * HOUR_SECONDS
TRIAL_WARNING_SECONDS: Final = 3 * 24 * HOUR_SECONDS
UPCOMING_SECONDS: Final = 7 * 24 * HOUR_SECONDS
TAKEN: Final = "in_taken"
"""Stands for the invoice of an item while the item is being put onto one."""
GONE: Final = frozenset({"canceled", "incomplete_expired"})


def items_of(subscription: Thing) -> list[Thing]:
    found: list[Thing] = subscription["items"]["data"]
    return found


def with_items(subscription: Thing, items: list[Thing]) -> Thing:
    return {**subscription, "items": {**subscription["items"], "data": items}}


def next_due(desk: Desk, subscription: Thing) -> int | None:
    """The moment when the subscription changes next by itself."""
    if subscription["status"] in {*GONE, "paused"}:
        return None
    if subscription["status"] == "incomplete":
        return int(subscription["created"]) + INCOMPLETE_SECONDS
    moments = [item["current_period_end"] for item in items_of(subscription)]
    if subscription["cancel_at"] is not None:
        moments.append(subscription["cancel_at"])
    if subscription["status"] == "trialing":
        moments.append(subscription["trial_end"])
        if not subscription.get("_is_trial_end_told"):
            now = desk.now(subscription.get("_clock"))
            moments.append(max(subscription["trial_end"] - TRIAL_WARNING_SECONDS, now))
    tells_at = _tells_of_next_invoice_at(subscription)
    if tells_at is not None:
        moments.append(max(tells_at, desk.now(subscription.get("_clock"))))
    return int(min(moments))


def _tells_of_next_invoice_at(subscription: Thing) -> int | None:
    """The moment to announce the next invoice; None if that was done, or if a period is too short for it."""
    end = min(item["current_period_end"] for item in items_of(subscription))
    start = min(item["current_period_start"] for item in items_of(subscription))
    if subscription["cancel_at"] is not None or subscription.get("_told_of_invoice_at") == end:
        return None
    return end - UPCOMING_SECONDS if end - UPCOMING_SECONDS > start else None


def kept(desk: Desk, subscription: Thing, event: str = "", **values: object) -> Thing:
    """Write the subscription, and when its time comes next."""
    old = desk.find(subscription["id"]) or subscription
    new = {**subscription, **values}
    new["_due_at"] = next_due(desk, new)
    return desk.update(old, event, **new)


# -- the first invoice, and payments


def first_invoice(desk: Desk, subscription: Thing) -> Thing:
    """Make the first invoice: final, and not yet paid, unless there is nothing to pay."""
    customer = desk.get("customer", subscription["customer"])
    found = []
    for item in items_of(subscription):
        period = (item["current_period_start"], item["current_period_end"])
        if lines.is_metered(item):
            continue
        if subscription["status"] == "trialing":
            found.append(lines.of_item(desk, subscription, item, 0, period, description="Trial period"))
        else:
            found.append(_first_line(desk, subscription, item, period))
    found += pending_lines(desk, subscription)
    invoice = billing.drafted(
        desk, customer, found, "subscription_create", parent=billing.parent_of(subscription), auto_advance=False,
        currency=subscription["currency"], collection_method=subscription["collection_method"],
    )  # fmt: skip
    kept(desk, subscription, latest_invoice=invoice["id"])
    return billing.finalized(desk, {**invoice, "auto_advance": True})


def _first_line(desk: Desk, subscription: Thing, item: Thing, period: tuple[int, int]) -> Thing:
    """The first line of an item: only a share, if the anchor comes before a whole interval is over."""
    whole_end = end_after(period[0], item["price"]["recurring"], period[0])
    if whole_end <= period[1]:
        return lines.advance(desk, subscription, item, period)
    amount = lines.share(
        lines.amount_of(item["price"], item["quantity"]), 0, whole_end - period[1], whole_end - period[0]
    )
    if subscription.get("_is_stub_free"):
        amount = 0
    return lines.of_item(desk, subscription, item, amount, period, proration=True)


def invoice_paid(desk: Desk, invoice: Thing) -> None:
    """Update the subscription of an invoice that was paid."""
    id_ = billing.subscription_of(invoice)
    subscription = desk.find(id_) if id_ else None
    if subscription is None or subscription["status"] not in {"incomplete", "past_due", "unpaid"}:
        return
    if subscription["latest_invoice"] == invoice["id"] or not _open_invoices(desk, subscription):
        kept(desk, subscription, "customer.subscription.updated", status="active")


def _open_invoices(desk: Desk, subscription: Thing) -> list[Thing]:
    return [
        invoice
        for invoice in desk.all("invoice", subscription["customer"])
        if invoice["status"] == "open" and billing.subscription_of(invoice) == subscription["id"]
    ]


def invoice_failed(desk: Desk, invoice: Thing, *, is_over: bool, how: str) -> None:
    """Update the subscription of an invoice whose payment failed; the last attempt may end it."""
    id_ = billing.subscription_of(invoice)
    subscription = desk.find(id_) if id_ else None
    if subscription is None or subscription["status"] in {*GONE, "incomplete"}:
        return
    if is_over and how == "cancel":
        ended(desk, subscription, "payment_failed")
    else:
        status = "unpaid" if is_over and how == "unpaid" else "past_due"
        kept(desk, subscription, "customer.subscription.updated", status=status)


# -- what time does


def work_off(desk: Desk, subscription: Thing) -> None:
    """Do what is due for a subscription at `desk.at`, the moment that is being worked off."""
    now = desk.now(subscription.get("_clock"))
    if subscription["status"] == "incomplete":
        _expire(desk, subscription)
    elif _is_trial_warning(subscription, now):
        subscription = kept(desk, {**subscription, "_is_trial_end_told": True})
        desk.emit("customer.subscription.trial_will_end", subscription)
    elif _is_invoice_to_be_told_of(subscription, now):
        _tell_of_next_invoice(desk, subscription)
    elif subscription["cancel_at"] is not None and subscription["cancel_at"] <= now:
        ended(desk, subscription, "cancellation_requested", bills_usage=True)
    elif subscription["status"] == "trialing" and subscription["trial_end"] <= now:
        end_trial(desk, subscription)
    else:
        renewed(desk, subscription)


def _is_trial_warning(subscription: Thing, now: int) -> bool:
    return (
        subscription["status"] == "trialing"
        and not subscription.get("_is_trial_end_told")
        and subscription["trial_end"] - TRIAL_WARNING_SECONDS <= now < subscription["trial_end"]
    )


def _is_invoice_to_be_told_of(subscription: Thing, now: int) -> bool:
    tells_at = _tells_of_next_invoice_at(subscription)
    return tells_at is not None and tells_at <= now < tells_at + UPCOMING_SECONDS


def _tell_of_next_invoice(desk: Desk, subscription: Thing) -> None:
    from farebox.sandbox.stripe.rooms.previews import create  # noqa: PLC0415  (it looks at what is done here)

    end = min(item["current_period_end"] for item in items_of(subscription))
    kept(desk, subscription, _told_of_invoice_at=end)
    desk.emit("invoice.upcoming", create(desk, {"subscription": subscription["id"]}))


def _expire(desk: Desk, subscription: Thing) -> None:
    for invoice in _open_invoices(desk, subscription):
        billing.voided(desk, invoice)
    kept(desk, subscription, "customer.subscription.updated", status="incomplete_expired")


def end_trial(desk: Desk, subscription: Thing) -> Thing:
    """End a trial: bill the subscription, or pause it, or end it, as was agreed."""
    customer = desk.get("customer", subscription["customer"])
    has_card = subscription["default_payment_method"] or customer["invoice_settings"]["default_payment_method"]
    settings = subscription["trial_settings"] or {}
    behavior = settings.get("end_behavior", {}).get("missing_payment_method", "create_invoice")
    if not has_card and behavior == "pause":
        paused = kept(desk, subscription, "customer.subscription.updated", status="paused")
        desk.emit("customer.subscription.paused", paused)
        return paused
    if not has_card and behavior == "cancel":
        return ended(desk, subscription, "payment_failed")
    return renewed(desk, kept(desk, subscription, status="active"), was="trialing")


def renewed(desk: Desk, subscription: Thing, was: str | None = None) -> Thing:
    """Begin the next period of each item whose period is over, and draft an invoice for it."""
    now = desk.now(subscription.get("_clock"))
    over = [item for item in items_of(subscription) if item["current_period_end"] <= now]
    span = (
        min(item["current_period_start"] for item in over),
        max(item["current_period_end"] for item in over),
    )
    found, items = [], []
    for item in items_of(subscription):
        if item["current_period_end"] > now:
            items.append(item)
            continue
        start, end = item["current_period_start"], item["current_period_end"]
        new_end = end_after(subscription["billing_cycle_anchor"], item["price"]["recurring"], end)
        new = {**item, "current_period_start": end, "current_period_end": new_end}
        items.append(new)
        if not lines.is_metered(item):
            found.append(lines.advance(desk, subscription, new, (end, new["current_period_end"])))
        elif was is None:  # usage in a trial, or in a pause, is not billed
            found.append(lines.arrears(desk, subscription, item, (start, end)))
    before = desk.find(subscription["id"]) or subscription
    subscription = with_items(subscription, items)
    invoice = cycle_invoice(desk, subscription, found, span)
    subscription = {**subscription, "latest_invoice": invoice["id"], "_due_at": None}
    subscription["_due_at"] = next_due(desk, subscription)
    if was is not None:
        desk.put({**before, "status": was})
    return desk.update({**before, "status": was or before["status"]}, "customer.subscription.updated", **subscription)


def cycle_invoice(desk: Desk, subscription: Thing, found: list[Thing], span: tuple[int, int]) -> Thing:
    """The draft at the end of a period."""
    customer = desk.get("customer", subscription["customer"])
    return billing.drafted(
        desk, customer, [*pending_lines(desk, subscription), *found], "subscription_cycle",
        parent=billing.parent_of(subscription), currency=subscription["currency"],
        period_start=span[0], period_end=span[1], auto_advance=subscription["status"] != "unpaid",
        collection_method=subscription["collection_method"], metadata={},
    )  # fmt: skip


def pending_lines(desk: Desk, subscription: Thing | None, customer: str = "") -> list[Thing]:
    """Take the lines that wait for the next invoice."""
    owner = subscription["customer"] if subscription else customer
    found = []
    for item in reversed(desk.all("invoiceitem", owner)):
        of = item.get("_subscription")
        if item["invoice"] is None and of in ({subscription["id"], None} if subscription else {None}):
            desk.put({**item, "invoice": TAKEN})
            found.append(line_of(desk, item))
    return found


def line_of(desk: Desk, item: Thing) -> Thing:
    """The line that an invoice item becomes."""
    made = lines.line(desk, item.get("_price"), item["quantity"], item["amount"],
                      (item["period"]["start"], item["period"]["end"]), description=item["description"],
                      currency=item["currency"], metadata=item["metadata"])  # fmt: skip
    details = {"invoice_item": item["id"], "proration": item["proration"],
               "proration_details": {"credited_items": None}, "subscription": item.get("_subscription")}  # fmt: skip
    parent: Thing = {"type": "invoice_item_details", "invoice_item_details": details, "subscription_item_details": None}
    if item.get("_item"):
        own = {**details, "subscription_item": item["_item"]}
        parent = {"type": "subscription_item_details", "subscription_item_details": own, "invoice_item_details": None}
    return {**made, "parent": parent, "subscription": item.get("_subscription")}


def ended(
    desk: Desk, subscription: Thing, reason: str, *, bills_usage: bool = False, details: Thing | None = None
) -> Thing:
    """End the subscription now; with `bills_usage`, what was used is still billed."""
    now = desk.now(subscription.get("_clock"))
    if bills_usage:
        subscription = _last_invoice(desk, subscription, now)
    for invoice in _open_invoices(desk, subscription):
        desk.put({**invoice, "auto_advance": False, "next_payment_attempt": None, "_due_at": None})
    told = {**(subscription["cancellation_details"] or {"comment": None, "feedback": None}), **(details or {})}
    old = desk.find(subscription["id"]) or subscription
    gone = {**subscription, "status": "canceled", "ended_at": now, "_due_at": None,
            "canceled_at": subscription["canceled_at"] or now,
            "cancellation_details": {**told, "reason": reason}}  # fmt: skip
    desk.put({**old, **gone})
    desk.emit("customer.subscription.deleted", gone)
    return gone


def _last_invoice(desk: Desk, subscription: Thing, now: int) -> Thing:
    found = [
        lines.arrears(desk, subscription, item, (item["current_period_start"], min(item["current_period_end"], now)))
        for item in items_of(subscription)
        if lines.is_metered(item)
    ]
    found += pending_lines(desk, subscription)
    if not found:
        return subscription
    invoice = cycle_invoice(desk, subscription, found, (items_of(subscription)[0]["current_period_start"], now))
    return {**subscription, "latest_invoice": invoice["id"]}
