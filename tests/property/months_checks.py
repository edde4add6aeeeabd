"""What has to be at the end of a life: each invoice is the sum of its calls, and both sides tell the same."""

from farebox.domain.billing import LIVE
from farebox.store.reconcile.sums import Report, reconcile
from tests.property.months_model import Line, line_of
from tests.property.months_shop import NANODOLLAR, PRODUCT, Shop


def lines_of(shop: Shop) -> list[Line]:
    """All lines about usage on Stripe's invoices."""
    found = []
    for invoice in shop.stripe.all("invoice"):
        assert invoice["status"] in {"paid", "open"}, "everything is final"
        for line in invoice["lines"]["data"]:
            if (line["pricing"] or {}).get("unit_amount_decimal") == NANODOLLAR:
                period = line["period"]
                found.append(Line(line["subscription"], period["start"], period["end"], line["quantity"]))
    return sorted(found, key=lambda line: line.start)


def broken_off_of(shop: Shop) -> list[Line]:
    """The periods in which subscriptions were ended."""
    ended = [one for one in shop.stripe.all("subscription") if one["status"] == "canceled"]
    items = [(one["id"], one["items"]["data"][0]) for one in ended]
    return [Line(id_, item["current_period_start"], item["current_period_end"], 0) for id_, item in items]


def reconciled(shop: Shop) -> Report:
    return reconcile(shop.database, PRODUCT.by_name)


def told_of(shop: Shop) -> dict[str, tuple[str, int]]:
    """With which event Stripe heard of each call, and when."""
    with shop.database.read() as connection:
        rows = connection.exec_driver_sql(
            "SELECT o.call_id, e.id, e.first_sent_us FROM usage_outbox o JOIN usage_event e ON e.id = o.event_id"
            " WHERE e.state = 'sent'"
        ).all()
    return {call_id: (event_id, sent_us) for call_id, event_id, sent_us in rows}


def check_invoices(shop: Shop) -> int:
    """Each line is the sum of the calls that belong to it; what comes onto no invoice, in nanodollars."""
    lines, broken_off, told, on_none = lines_of(shop), broken_off_of(shop), told_of(shop), 0
    last_us: dict[str, int] = {}  # calls that are told together count with the last of them
    for call in shop.model.calls:
        assert bool(call.invoiced) == (call.id in told)
        if call.invoiced:
            event_id = told[call.id][0]
            last_us[event_id] = max(last_us.get(event_id, 0), call.admitted_us)
    sums = dict.fromkeys(lines, 0)
    for call in shop.model.calls:
        if not call.invoiced:
            continue
        event_id, sent_us = told[call.id]
        line = line_of(last_us[event_id], sent_us, lines, shop.replaced, broken_off)
        if line is None:
            on_none += call.invoiced
        else:
            sums[line] += call.invoiced
    seen = [(call.admitted_us, *told[call.id], call.invoiced) for call in shop.model.calls if call.invoiced]
    assert {line: line.quantity for line in lines} == sums, (sums, seen, shop.replaced)
    return on_none


def check_state(shop: Shop) -> None:
    """What Farebox has of the subscription is what Stripe has."""
    known, theirs, row = shop.billing.subscription(shop.account_id), shop.theirs, shop.row
    if known is None or theirs is None:
        assert (known, theirs, row.plan, row.is_subscribed) == (None, None, "free", 0)
        return
    assert known.id == theirs.id
    assert (known.status, known.period_start_us, known.period_end_us, known.trial_end_us) == (
        theirs.status, theirs.period_start_us, theirs.period_end_us, theirs.trial_end_us,
    )  # fmt: skip
    if theirs.status in LIVE:
        assert (known.plan, known.next_plan, bool(known.ends_at_period_end)) == (
            theirs.plan, "", theirs.ends_at_period_end,
        )  # fmt: skip
        assert (row.plan, row.anchor_us, row.is_subscribed) == (theirs.plan, theirs.anchor_us, 1)
    else:
        assert (row.plan, row.is_subscribed) == ("free", 0)
