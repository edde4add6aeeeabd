"""An invoice of stripe-python, in our words."""

from typing import cast

import stripe

from farebox.adapters.stripe_client import NANODOLLAR_IN_CENTS, id_of
from farebox.domain.billing import Invoice, InvoiceLine, InvoiceStatus
from farebox.domain.period import MICROSECONDS


def invoice_of(found: stripe.Invoice) -> Invoice:
    """An invoice as Stripe has it, or would have it."""
    lines = found.lines.auto_paging_iter() if found.lines.has_more else iter(found.lines.data)
    return Invoice(
        id=found.id or "",
        customer=id_of(found.customer),
        subscription_id=_subscription(found),
        number=found.number or "",
        status=cast(InvoiceStatus, found.status or "draft"),
        currency=found.currency,
        total_cents=found.total,
        paid_cents=found.amount_paid,
        period_start_us=found.period_start * MICROSECONDS,
        period_end_us=found.period_end * MICROSECONDS,
        created_us=found.created * MICROSECONDS,
        lines=tuple(_line(line) for line in lines),
        url=getattr(found, "hosted_invoice_url", None) or "",
    )


def _line(line: stripe.InvoiceLineItem) -> InvoiceLine:
    price = line.pricing.unit_amount_decimal if line.pricing is not None else None
    return InvoiceLine(
        text=line.description or "",
        quantity=1 if line.quantity is None else line.quantity,
        amount_cents=line.amount,
        period_start_us=line.period.start * MICROSECONDS,
        period_end_us=line.period.end * MICROSECONDS,
        is_usage=price == NANODOLLAR_IN_CENTS,
    )


def _subscription(found: stripe.Invoice) -> str:
    details = found.parent.subscription_details if found.parent is not None else None
    return id_of(details.subscription) if details is not None else ""
