"""The life of an invoice: drafted, made final, paid or not, tried again."""

from typing import Final

from farebox.sandbox.stripe import lines
from farebox.sandbox.stripe.desk import Desk
from farebox.sandbox.stripe.errors import StripeError, refused
from farebox.sandbox.stripe.rooms import payment_intents
from farebox.sandbox.stripe.shelf import setting
from farebox.sandbox.stripe.things import Thing, listed

DRAFT_SECONDS: Final = 3_600
RETRY_DAYS: Final = (3, 5, 7)
"""How long after each attempt the next one comes; after the last, the subscription ends."""
DAY_SECONDS: Final = 86_400


def drafted(desk: Desk, customer: Thing, found: list[Thing], reason: str, **values: object) -> Thing:
    """A draft of these lines."""
    clock = customer["test_clock"]
    now = desk.now(clock)
    invoice = desk.new(
        "invoice",
        clock=clock,
        status="draft",
        billing_reason=reason,
        customer=customer["id"],
        customer_email=customer["email"],
        customer_name=customer["name"],
        customer_address=customer["address"],
        customer_phone=customer["phone"],
        customer_tax_exempt="none",
        customer_tax_ids=[],
        collection_method="charge_automatically",
        auto_advance=True,
        currency=found[0]["currency"] if found else "usd",
        period_start=now,
        period_end=now,
        account_country="US",
        account_name="The stand-in",
        issuer={"type": "self", "account": None},
        total_discount_amounts=[],
        total_pretax_credit_amounts=[],
        total_taxes=[],
        test_clock=clock,
        livemode=False,
    )
    invoice |= values
    owner = desk.find(subscription_of(invoice) or "")
    invoice["automatic_tax"] = taxed(invoice["automatic_tax"], is_on=bool(owner and owner["automatic_tax"]["enabled"]))
    invoice = with_lines(invoice, found)
    if invoice["auto_advance"]:
        invoice |= {"automatically_finalizes_at": now + DRAFT_SECONDS, "_due_at": now + DRAFT_SECONDS}
    desk.put(invoice)
    _own_items(desk, invoice)
    desk.emit("invoice.created", invoice)
    return invoice


def _own_items(desk: Desk, invoice: Thing) -> None:
    """Note the invoice on the items that waited for it."""
    for made in invoice["lines"]["data"]:
        for details in ("invoice_item_details", "subscription_item_details"):
            id_ = ((made["parent"] or {}).get(details) or {}).get("invoice_item")
            item = desk.find(id_) if id_ else None
            if item is not None:
                desk.put({**item, "invoice": invoice["id"]})


def parent_of(subscription: Thing) -> Thing:
    """The `parent` of an invoice, which names the subscription that it is for."""
    details = {
        "metadata": subscription["metadata"],
        "subscription": subscription["id"],
        "subscription_proration_date": None,
    }
    return {"type": "subscription_details", "quote_details": None, "subscription_details": details}


def subscription_of(invoice: Thing) -> str | None:
    details = (invoice["parent"] or {}).get("subscription_details") or {}
    return details.get("subscription")


def taxed(automatic_tax: Thing, *, is_on: bool) -> Thing:
    """The `automatic_tax` of a session, a subscription or an invoice."""
    said = {**automatic_tax, "enabled": is_on}
    return {**said, "status": "complete"} if is_on and "status" in said else said


def tax_on(cents: int) -> int:
    """A tenth on top, to the nearest cent."""
    return (max(cents, 0) + 5) // 10


def _tax(cents: int, of: int) -> Thing:
    return {"amount": cents, "taxable_amount": of, "tax_behavior": "exclusive", "taxability_reason": "standard_rated",
            "type": "tax_rate_details", "tax_rate_details": None}  # fmt: skip


def with_lines(invoice: Thing, found: list[Thing]) -> Thing:
    """The invoice with these lines, and their sum."""
    subtotal = sum(made["amount"] for made in found)
    tax = tax_on(subtotal) if invoice["automatic_tax"]["enabled"] else 0
    total = subtotal + tax
    due = max(total, 0)
    own = [{**made, "invoice": invoice["id"]} for made in found]
    return {
        **invoice,
        "lines": listed(f"/v1/invoices/{invoice['id']}/lines", own),
        "subtotal": subtotal,
        "subtotal_excluding_tax": subtotal,
        "total": total,
        "total_excluding_tax": subtotal,
        "total_taxes": [_tax(tax, subtotal)] if tax else [],
        "amount_due": due,
        "amount_remaining": due,
    }


def refreshed(desk: Desk, invoice: Thing) -> Thing:
    """The draft, reckoned again by the usage that counts now."""
    if invoice["status"] != "draft":
        return invoice
    return with_lines(invoice, [lines.counted(desk, made) for made in invoice["lines"]["data"]])


def finalized(desk: Desk, invoice: Thing) -> Thing:
    """The invoice, fixed, numbered, and to be paid; one for nothing is paid at once.

    Raises:
        StripeError: it is not a draft any more.
    """
    if invoice["status"] != "draft":
        raise refused("This invoice is already finalized, you can't re-finalize a non-draft invoice.",
                      code="invoice_not_editable")  # fmt: skip
    invoice = refreshed(desk, invoice)
    customer = desk.get("customer", invoice["customer"])
    invoice = _balanced(desk, customer, invoice)
    now = desk.now(invoice.get("_clock"))
    number = customer["next_invoice_sequence"]
    customer = desk.get("customer", invoice["customer"])
    desk.put({**customer, "next_invoice_sequence": number + 1})
    url = f"{desk.base_url}/invoice/{invoice['id']}"
    new = {
        "status": "open",
        "number": f"{customer['invoice_prefix']}-{number:04d}",
        "hosted_invoice_url": url,
        "invoice_pdf": f"{url}/pdf",
        "effective_at": now,
        "automatically_finalizes_at": None,
        "status_transitions": {**invoice["status_transitions"], "finalized_at": now},
        "_due_at": None,
    }
    invoice = desk.put({**invoice, **new})
    if invoice["amount_due"]:
        invoice = _with_intent(desk, invoice)
    desk.emit("invoice.finalized", invoice)
    return invoice if invoice["amount_due"] else paid(desk, invoice)


def _balanced(desk: Desk, customer: Thing, invoice: Thing) -> Thing:
    """Pay with the customer's balance first; a negative total is added to it for the next invoice."""
    balance, total = customer["balance"], invoice["total"]
    if total < 0:
        rest, due = balance + total, 0
    else:
        due = max(total + balance, 0)
        rest = balance + total - due
    if rest != balance:
        desk.update(customer, "customer.updated", balance=rest)
    return {**invoice, "starting_balance": balance, "ending_balance": rest, "amount_due": due, "amount_remaining": due}


def _with_intent(desk: Desk, invoice: Thing) -> Thing:
    intent = payment_intents.made(
        desk, invoice["amount_due"], invoice["currency"], invoice["customer"], _invoice=invoice["id"],
        setup_future_usage="off_session" if invoice["billing_reason"] == "subscription_create" else None,
    )  # fmt: skip
    payment = desk.new(
        "invoice_payment",
        clock=invoice.get("_clock"),
        amount_requested=invoice["amount_due"],
        amount_paid=None,
        currency=invoice["currency"],
        invoice=invoice["id"],
        is_default=True,
        status="open",
        payment={"type": "payment_intent", "payment_intent": intent["id"], "charge": None, "payment_record": None},
        livemode=False,
    )
    desk.put(payment)
    secret = {"client_secret": intent["client_secret"], "type": "payment_intent"}
    return desk.put({**invoice, "_intent": intent["id"], "_payment": payment["id"], "confirmation_secret": secret})


def paid(desk: Desk, invoice: Thing, *, is_elsewhere: bool = False) -> Thing:
    """The invoice, paid, and what follows for its subscription."""
    from farebox.sandbox.stripe.cycle import invoice_paid  # noqa: PLC0415  (subscriptions make invoices)

    now = desk.now(invoice.get("_clock"))
    payment = desk.find(invoice["_payment"]) if invoice.get("_payment") else None
    if payment is not None and not is_elsewhere:
        times = {**payment["status_transitions"], "paid_at": now}
        payment = desk.put(
            {**payment, "status": "paid", "amount_paid": invoice["amount_due"], "status_transitions": times}
        )
    new = {
        "status": "paid",
        "amount_paid": invoice["amount_due"],
        "amount_remaining": 0,
        "attempted": True,
        "next_payment_attempt": None,
        "status_transitions": {**invoice["status_transitions"], "paid_at": now},
        "_due_at": None,
    }
    previous = {"status": invoice["status"], "amount_remaining": invoice["amount_remaining"]}
    invoice = desk.put({**invoice, **new})
    desk.emit("invoice.updated", invoice, previous)
    desk.emit("invoice.paid", invoice)
    desk.emit("invoice.payment_succeeded", invoice)
    if payment is not None and not is_elsewhere:
        desk.emit("invoice_payment.paid", payment)
    invoice_paid(desk, invoice)
    return invoice


def method_of(desk: Desk, invoice: Thing) -> str | None:
    """The payment method to charge: that of the invoice, else of its subscription, else of its customer."""
    subscription = desk.find(subscription_of(invoice) or "") or {}
    customer = desk.find(invoice["customer"]) or {}
    method: str | None = (
        invoice["default_payment_method"]
        or subscription.get("default_payment_method")
        or customer.get("invoice_settings", {}).get("default_payment_method")
    )
    return method


def charged(desk: Desk, invoice: Thing, method: str | None = None, *, off_session: bool = True) -> Thing:
    """The open invoice after an attempt to charge for it.

    Raises:
        StripeError: it was not paid. The attempt is kept, and the invoice says when the next one comes.
    """
    if invoice["status"] != "open":
        raise refused(f"Invoice is already {invoice['status']}.", code="invoice_payment_not_allowed")
    method = method or method_of(desk, invoice)
    if method is None:
        error = StripeError(400, "This customer has no attached payment source or default payment method. "
                            "Please consider adding a default payment method.", code="resource_missing")  # fmt: skip
        error.keeps = True
        failed(desk, invoice)
        raise error
    intent = {**desk.get("payment_intent", invoice["_intent"]), "payment_method": method}
    try:
        intent = payment_intents.confirmed(desk, intent, off_session=off_session)
    except StripeError as error:
        if error.body.get("code") == "authentication_required":
            raise _needs_action(desk, invoice, method) from error
        failed(desk, invoice)
        raise
    if intent["status"] == "requires_action":
        raise _needs_action(desk, invoice, method)
    return paid(desk, invoice) if intent["status"] == "succeeded" else invoice


def _needs_action(desk: Desk, invoice: Thing, method: str) -> StripeError:
    intent = desk.get("payment_intent", invoice["_intent"])
    intent = desk.put({**intent, "status": "requires_action", "payment_method": method,
                       "next_action": payment_intents.ACTION})  # fmt: skip
    failed(desk, invoice, "invoice.payment_action_required")
    error = StripeError(402, "The customer has to confirm this payment.", code="invoice_payment_intent_requires_action")
    error.keeps = True
    return error


def failed(desk: Desk, invoice: Thing, also: str = "") -> Thing:
    """The invoice after an attempt that failed: when it is tried again, and what follows for its subscription."""
    from farebox.sandbox.stripe.cycle import invoice_failed  # noqa: PLC0415  (subscriptions make invoices)

    attempts = invoice["attempt_count"] + 1
    now = desk.now(invoice.get("_clock"))
    is_first = invoice["billing_reason"] == "subscription_create"
    again = None
    if attempts <= len(RETRY_DAYS) and invoice["auto_advance"] and not is_first:
        again = now + RETRY_DAYS[attempts - 1] * DAY_SECONDS
    new = {"attempted": True, "attempt_count": attempts, "next_payment_attempt": again, "_due_at": again}
    invoice = desk.put({**invoice, **new})
    if also:
        desk.emit(also, invoice)
    desk.emit("invoice.payment_failed", invoice)
    is_over = again is None and not is_first and bool(invoice["auto_advance"])
    invoice_failed(desk, invoice, is_over=is_over, how=setting(desk.db, "dunning_ends", "cancel"))
    return invoice


def work_off(desk: Desk, invoice: Thing) -> None:
    """An invoice whose time has come: a draft becomes final and is charged for, an open one is charged for again."""
    if invoice["status"] == "draft":
        invoice = finalized(desk, {**invoice, "_due_at": None})
    else:
        invoice = desk.put({**invoice, "_due_at": None})
    if invoice["status"] == "open" and invoice["collection_method"] == "charge_automatically":
        try_to_charge(desk, invoice)


def try_to_charge(
    desk: Desk, invoice: Thing, method: str | None = None, *, off_session: bool = True
) -> StripeError | None:
    """Charge, and say what went wrong instead of raising it."""
    try:
        charged(desk, invoice, method, off_session=off_session)
    except StripeError as error:
        return error
    return None


def voided(desk: Desk, invoice: Thing) -> Thing:
    """The invoice, as if it had never been.

    Raises:
        StripeError: it is a draft, or paid.
    """
    if invoice["status"] not in {"open", "uncollectible"}:
        raise refused(f"You can only pass in open or uncollectible invoices. This invoice isn't: {invoice['status']}")
    times = {**invoice["status_transitions"], "voided_at": desk.now(invoice.get("_clock"))}
    invoice = desk.put({**invoice, "status": "void", "status_transitions": times, "next_payment_attempt": None,
                        "amount_remaining": 0, "_due_at": None})  # fmt: skip
    if invoice.get("_intent"):
        intent = desk.get("payment_intent", invoice["_intent"])
        desk.emit(
            "payment_intent.canceled", desk.put({**intent, "status": "canceled", "cancellation_reason": "void_invoice"})
        )
    desk.emit("invoice.voided", invoice)
    return invoice
