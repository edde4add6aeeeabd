"""A preview of the next invoice: everything is done as it will be, looked at, and undone."""

from farebox.sandbox.stripe import changes, cycle
from farebox.sandbox.stripe.desk import Desk
from farebox.sandbox.stripe.errors import StripeError, refused, wanted
from farebox.sandbox.stripe.room import Room
from farebox.sandbox.stripe.rooms.subscriptions import created
from farebox.sandbox.stripe.things import Thing

room = Room()
SAME = ("items", "proration_behavior", "proration_date", "trial_end", "cancel_at", "cancel_at_period_end",
        "billing_cycle_anchor", "default_tax_rates")  # fmt: skip


@room("POST", "/v1/invoices/create_preview", "InvoiceCreatePreviewParams")
def create(desk: Desk, given: Thing) -> Thing:
    at = desk.at
    desk.db.execute("SAVEPOINT preview")
    try:
        invoice = _previewed(desk, given)
    finally:
        desk.db.execute("ROLLBACK TO preview")
        desk.db.execute("RELEASE preview")
        desk.at = at
    hidden = {"number": None, "hosted_invoice_url": None, "invoice_pdf": None, "automatically_finalizes_at": None}
    return {**invoice, **hidden, "id": f"upcoming_{invoice['id']}", "status": "draft", "confirmation_secret": None,
            "amount_paid": 0, "attempted": False, "attempt_count": 0}  # fmt: skip


def _previewed(desk: Desk, given: Thing) -> Thing:
    details = given.get("subscription_details", {})
    wishes = {name: details[name] for name in SAME if name in details}
    if "subscription" not in given:
        return _of_new(desk, given, wishes)
    subscription = desk.named("subscription", given["subscription"], "subscription")
    if subscription["status"] in cycle.GONE:
        raise StripeError(404, "No upcoming invoices for customer", code="invoice_upcoming_none")
    was = subscription["latest_invoice"]
    if wishes:
        subscription = changes.changed(desk, subscription, wishes)
    if subscription["latest_invoice"] != was:  # the change is billed at once
        return desk.get("invoice", subscription["latest_invoice"])
    if details.get("cancel_now"):
        cycle.ended(desk, subscription, "cancellation_requested", bills_usage=True)
    elif subscription["cancel_at"] is not None:
        desk.at = subscription["cancel_at"]
        cycle.ended(desk, subscription, "cancellation_requested", bills_usage=True)
    else:
        _renew(desk, subscription)
    id_ = desk.get("subscription", subscription["id"])["latest_invoice"]
    if id_ is None or id_ == was:
        raise StripeError(404, "No upcoming invoices for customer", code="invoice_upcoming_none")
    return desk.get("invoice", id_)


def _renew(desk: Desk, subscription: Thing) -> None:
    desk.at = min(item["current_period_end"] for item in cycle.items_of(subscription))
    if subscription["status"] == "trialing":
        cycle.renewed(desk, {**subscription, "status": "active"}, was="trialing")
    else:
        cycle.renewed(desk, subscription)


def _of_new(desk: Desk, given: Thing, wishes: Thing) -> Thing:
    """The first invoice of a subscription that is not there yet."""
    if "customer" not in given:
        raise wanted("customer")
    if "items" not in wishes:
        raise refused("You must provide a subscription, or the items of one.", param="subscription_details[items]")
    terms: Thing = {name: wishes[name] for name in ("items", "trial_end", "billing_cycle_anchor", "proration_behavior")
             if name in wishes}  # fmt: skip
    made = created(desk, {**terms, "customer": given["customer"], "payment_behavior": "default_incomplete"})
    return desk.get("invoice", made["latest_invoice"])
