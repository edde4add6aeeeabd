"""Changes of a subscription: other prices, another anchor, an end, and what they cost."""

from farebox.sandbox.stripe import billing, cycle, lines
from farebox.sandbox.stripe.desk import Desk
from farebox.sandbox.stripe.errors import StripeError, refused
from farebox.sandbox.stripe.periods import end_after
from farebox.sandbox.stripe.rooms.catalog import plan_of
from farebox.sandbox.stripe.rooms.payment_methods import attached, declined
from farebox.sandbox.stripe.things import Thing, merged_metadata


def changed(desk: Desk, subscription: Thing, given: Thing) -> Thing:
    """Change the subscription as asked for.

    Raises:
        StripeError: it cannot be changed so, or the change was not paid, and `error_if_incomplete` was asked for.
    """
    before = subscription
    subscription = _with_terms(desk, subscription, given)
    now = desk.now(subscription.get("_clock"))
    if given.get("trial_end") == "now" and subscription["status"] == "trialing":
        if "items" in given:
            subscription = cycle.with_items(subscription, _wished(desk, subscription, given, now))
        return _trial_ended(desk, before, subscription, given, now)
    if isinstance(given.get("trial_end"), int):
        subscription = _with_trial(subscription, given["trial_end"], now)
    if "items" in given or given.get("billing_cycle_anchor") == "now":
        return _with_prices(desk, before, subscription, given, now)
    subscription = _with_end(subscription, given, now)
    return cycle.kept(desk, subscription, "customer.subscription.updated")


def _with_terms(desk: Desk, subscription: Thing, given: Thing) -> Thing:
    new: Thing = {
        name: given[name] or None for name in ("description", "days_until_due", "collection_method") if name in given
    }
    if "default_payment_method" in given:
        token = given["default_payment_method"]
        owner = subscription["customer"]
        new["default_payment_method"] = attached(desk, token, owner, "default_payment_method")["id"] if token else None
    for name in ("cancellation_details", "payment_settings", "trial_settings"):
        if name in given:
            new[name] = {**(subscription[name] or {}), **given[name]}
    if "pause_collection" in given:
        new["pause_collection"] = given["pause_collection"] or None
    return {**subscription, **new, "metadata": merged_metadata(subscription["metadata"], given.get("metadata"))}


def _with_end(subscription: Thing, given: Thing, now: int) -> Thing:
    if "cancel_at_period_end" in given:
        ends = [item["current_period_end"] for item in cycle.items_of(subscription)]
        if given["cancel_at_period_end"]:
            return {**subscription, "cancel_at_period_end": True, "cancel_at": min(ends), "canceled_at": now}
        return {**subscription, "cancel_at_period_end": False, "cancel_at": None, "canceled_at": None}
    if "cancel_at" in given:
        at = given["cancel_at"]
        if at in {"", None}:
            return {**subscription, "cancel_at": None, "canceled_at": None}
        ends = [item["current_period_end"] for item in cycle.items_of(subscription)]
        at = {"min_period_end": min(ends), "max_period_end": max(ends)}.get(str(at), at)
        return {**subscription, "cancel_at": int(str(at)), "canceled_at": now}
    return subscription


def _trial_ended(desk: Desk, before: Thing, subscription: Thing, given: Thing, now: int) -> Thing:
    items = [{**item, "current_period_end": now} for item in cycle.items_of(subscription)]
    over = cycle.with_items({**subscription, "trial_end": now, "billing_cycle_anchor": now}, items)
    desk.put({**over, "status": before["status"]})
    over = cycle.end_trial(desk, over)
    if over["status"] == "active":
        invoice = desk.get("invoice", over["latest_invoice"])
        billing.work_off(desk, invoice)
    after = desk.get("subscription", subscription["id"])
    if after["status"] == "past_due" and given.get("payment_behavior") == "error_if_incomplete":
        raise declined("generic_decline")
    return after


def _with_trial(subscription: Thing, trial_end: int, now: int) -> Thing:
    """A trial, or a longer one; the period and the anchor go with it."""
    if trial_end <= now:
        raise refused("trial_end must be in the future.", param="trial_end")
    items = [{**item, "current_period_end": trial_end} for item in cycle.items_of(subscription)]
    new = {"status": "trialing", "trial_end": trial_end, "trial_start": subscription["trial_start"] or now,
           "billing_cycle_anchor": trial_end, "_is_trial_end_told": False}  # fmt: skip
    return cycle.with_items({**subscription, **new}, items)


# -- other prices


def _with_prices(desk: Desk, before: Thing, subscription: Thing, given: Thing, now: int) -> Thing:
    """Change the items. A new interval begins a new period; else the rest of the old period is settled."""
    behavior = given.get("proration_behavior", "create_prorations")
    at = given.get("proration_date", now)
    old = {item["id"]: item for item in cycle.items_of(before)}
    items = _wished(desk, subscription, given, now)
    resets = given.get("billing_cycle_anchor") == "now" or _changes_interval(list(old.values()), items)
    is_trial = subscription["status"] == "trialing"
    credits_ = [] if behavior == "none" or is_trial else _credits(desk, subscription, old, items, at, resets=resets)
    if resets and not is_trial:
        credits_ += _usage_so_far(desk, subscription, list(old.values()), now)
        items = [
            {**item, "current_period_start": now, "current_period_end": end_after(now, item["price"]["recurring"], now)}
            for item in items
        ]
        subscription = {**subscription, "billing_cycle_anchor": now}
    else:
        charges = [] if behavior == "none" or is_trial else _charges(desk, subscription, old, items, at)
        gone = [item for id_, item in old.items() if id_ not in {kept["id"] for kept in items}]
        credits_ += charges + _usage_so_far(desk, subscription, gone, now)
    subscription = _with_end(cycle.with_items(subscription, items), given, now)
    subscription = cycle.kept(desk, subscription, "customer.subscription.updated")
    if resets and not is_trial:
        credits_ += [lines.advance(desk, subscription, item, (now, item["current_period_end"]))
                     for item in items if not lines.is_metered(item)]  # fmt: skip
        return _invoiced(desk, subscription, credits_, given)
    if behavior == "always_invoice" and credits_:
        return _invoiced(desk, subscription, credits_, given)
    for made in credits_:
        _wait(desk, subscription, made)
    return subscription


def _wished(desk: Desk, subscription: Thing, given: Thing, now: int) -> list[Thing]:
    from farebox.sandbox.stripe.rooms.subscriptions import item_of, price_of  # noqa: PLC0415  (it changes them)

    items = {item["id"]: item for item in cycle.items_of(subscription)}
    first = cycle.items_of(subscription)[0]
    for wish in given.get("items", []):
        id_ = wish.get("id")
        if id_ is None:
            made = item_of(desk, subscription["id"], wish, subscription["billing_cycle_anchor"], now, None)
            if made["price"]["recurring"]["interval"] == first["price"]["recurring"]["interval"]:
                made |= {name: first[name] for name in ("current_period_start", "current_period_end")}
            items[made["id"]] = {**made, "_since": now}
            continue
        if id_ not in items:
            raise refused(f"No such subscription item: '{id_}'", code="resource_missing", param="items[0][id]")
        if wish.get("deleted"):
            del items[id_]
            continue
        item = {**items[id_], **{name: wish[name] for name in ("quantity",) if name in wish}}
        item["metadata"] = merged_metadata(item["metadata"], wish.get("metadata"))
        if ("price" in wish and wish["price"] != item["price"]["id"]) or "price_data" in wish:
            price = price_of(desk, wish)
            item |= {"price": price, "plan": plan_of(price, desk)}
            if lines.is_metered(item):
                item.pop("quantity", None)
            else:
                item.setdefault("quantity", 1)
        items[id_] = item
    if not items:
        raise refused("A subscription must have at least one active plan. To cancel a subscription, delete it.")
    return list(items.values())


def _changes_interval(old: list[Thing], new: list[Thing]) -> bool:
    def intervals(items: list[Thing]) -> set[tuple[str, int]]:
        return {
            (item["price"]["recurring"]["interval"], item["price"]["recurring"]["interval_count"]) for item in items
        }

    return intervals(old) != intervals(new)


def _is_changed(old: Thing | None, new: Thing | None) -> bool:
    if old is None or new is None:
        return True
    return bool(old["price"]["id"] != new["price"]["id"] or old.get("quantity") != new.get("quantity"))


def _credits(
    desk: Desk, subscription: Thing, old: dict[str, Thing], items: list[Thing], at: int, *, resets: bool
) -> list[Thing]:
    """Lines that give back what was paid for time that is not used any more."""
    new = {item["id"]: item for item in items}
    found = []
    for id_, item in old.items():
        if lines.is_metered(item) or not (resets or _is_changed(item, new.get(id_))):
            continue
        start, end = item["current_period_start"], item["current_period_end"]
        amount = -lines.share(lines.amount_of(item["price"], item["quantity"]), start, at, end)
        told = f"Unused time on {lines.described(desk, item['price'], item['quantity'])}"
        found.append(lines.of_item(desk, subscription, item, amount, (at, end), proration=True, description=told))
    return found


def _charges(desk: Desk, subscription: Thing, old: dict[str, Thing], items: list[Thing], at: int) -> list[Thing]:
    """Lines for the rest of the period at the new prices."""
    found = []
    for item in items:
        if lines.is_metered(item) or not _is_changed(old.get(item["id"]), item):
            continue
        start, end = item["current_period_start"], item["current_period_end"]
        amount = lines.share(lines.amount_of(item["price"], item["quantity"]), start, at, end)
        told = f"Remaining time on {lines.described(desk, item['price'], item['quantity'])}"
        found.append(lines.of_item(desk, subscription, item, amount, (at, end), proration=True, description=told))
    return found


def _usage_so_far(desk: Desk, subscription: Thing, items: list[Thing], now: int) -> list[Thing]:
    return [
        lines.arrears(desk, subscription, item, (item["current_period_start"], now))
        for item in items
        if lines.is_metered(item) and item["current_period_start"] < now
    ]


def _invoiced(desk: Desk, subscription: Thing, found: list[Thing], given: Thing) -> Thing:
    """Bill a change at once; the subscription after that."""
    customer = desk.get("customer", subscription["customer"])
    found = [*cycle.pending_lines(desk, subscription), *found]
    invoice = billing.drafted(
        desk, customer, found, "subscription_update", parent=billing.parent_of(subscription),
        currency=subscription["currency"], collection_method=subscription["collection_method"],
    )  # fmt: skip
    cycle.kept(desk, subscription, latest_invoice=invoice["id"])
    invoice = billing.finalized(desk, invoice)
    error: StripeError | None = None
    if invoice["status"] == "open" and invoice["collection_method"] == "charge_automatically":
        error = billing.try_to_charge(desk, invoice, off_session=bool(given.get("off_session")))
    if error is not None and given.get("payment_behavior") == "error_if_incomplete":
        error.keeps = False
        raise error
    return desk.get("subscription", subscription["id"])


def _wait(desk: Desk, subscription: Thing, made: Thing) -> None:
    """Keep a line for the next invoice."""
    item = desk.new(
        "invoiceitem",
        clock=subscription.get("_clock"),
        amount=made["amount"],
        currency=made["currency"],
        customer=subscription["customer"],
        date=desk.now(subscription.get("_clock")),
        description=made["description"],
        discountable=False,
        period=made["period"],
        pricing=made["pricing"],
        proration=True,
        quantity=made["quantity"],
        quantity_decimal=made["quantity_decimal"],
        test_clock=subscription["test_clock"],
        livemode=False,
    )
    price = made["pricing"]["price_details"]["price"]
    details = made["parent"]["subscription_item_details"]
    parent = {"type": "subscription_details", "subscription_details": {
        "subscription": subscription["id"], "subscription_item": details["subscription_item"]}}  # fmt: skip
    item |= {"parent": parent, "_subscription": subscription["id"], "_item": details["subscription_item"],
             "_price": desk.find(price)}  # fmt: skip
    desk.emit("invoiceitem.created", desk.put(item))
