"""Usage and invoices at Stripe, over a client of stripe-python."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Final, cast

import stripe

from farebox.adapters.stripe_client import BAD_KEY, told
from farebox.domain.billing import Invoice, InvoiceLine, InvoiceStatus
from farebox.domain.catalogue import METER
from farebox.domain.period import MICROSECONDS
from farebox.ports_money import PaymentRefused, PaymentsUnavailable, UsageEvent

NANODOLLAR_IN_CENTS: Final = Decimal("0.0000001")
"""The one price that is for a nanodollar: a line at it is usage."""
# As Stripe answers an identifier that it has counted already; by now it says so with a code, too.
DUPLICATE: Final = "duplicate_meter_event"
DUPLICATE_WORDS: Final = "already exists with identifier"


class StripeUsage:
    """The port `UsageMeter`, and the part of `Payments` that reads invoices."""

    def __init__(self, client: Callable[[], stripe.StripeClient]) -> None:
        self._client = client
        self._meter_id = ""

    def send_usage(self, event: UsageEvent) -> None:
        """Report an event; it counts once by its identifier.

        Each try has its own idempotency key: under one and the same, Stripe would repeat a fault of its own for a day.
        """
        with _waiting():
            try:
                self._client().v1.billing.meter_events.create(
                    {
                        "event_name": METER,
                        "identifier": event.id,
                        "timestamp": event.timestamp_us // MICROSECONDS,
                        "payload": {"stripe_customer_id": event.customer, "value": str(event.nanodollars)},
                    },
                    {"idempotency_key": f"{event.id}-{event.tries}"},
                )
            except stripe.InvalidRequestError as error:
                if not _is_duplicate(error):
                    raise

    def usage_sum(self, customer: str, start_us: int, end_us: int) -> int:
        with _waiting():
            meter_id = self._meter()
            if meter_id is None:
                return 0
            summaries = self._client().v1.billing.meters.event_summaries.list(
                meter_id,
                {"customer": customer, "start_time": start_us // MICROSECONDS, "end_time": end_us // MICROSECONDS},
            )
            return sum(int(one.aggregated_value) for one in summaries.auto_paging_iter())

    def _meter(self) -> str | None:
        """The meter's id; none where `farebox stripe sync` has not made it."""
        if not self._meter_id:
            meters = self._client().v1.billing.meters.list({"status": "active", "limit": 100})
            self._meter_id = next((one.id for one in meters.auto_paging_iter() if one.event_name == METER), "")
        return self._meter_id or None

    def invoice(self, invoice_id: str) -> Invoice:
        with told():
            return invoice_of(self._client().v1.invoices.retrieve(invoice_id))

    def next_invoice(self, subscription_id: str) -> Invoice:
        with told():
            found = self._client().v1.invoices.create_preview({"subscription": subscription_id})
            return invoice_of(found)._replace(id="", number="", url="")


def invoice_of(found: stripe.Invoice) -> Invoice:
    """An invoice as Stripe has it, in our words."""
    lines = found.lines.auto_paging_iter() if found.lines.has_more else iter(found.lines.data)
    return Invoice(
        id=found.id or "",
        customer=_id(found.customer),
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
        will_retry=found.next_payment_attempt is not None,
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
    return _id(details.subscription) if details is not None else ""


def _id(value: object) -> str:
    """The id of what may have been expanded."""
    return value if isinstance(value, str) else str(getattr(value, "id", "") or "")


def _is_duplicate(error: stripe.InvalidRequestError) -> bool:
    return error.code == DUPLICATE or DUPLICATE_WORDS in (error.user_message or "")


@contextmanager
def _waiting() -> Iterator[None]:
    """As `told`; but what is to be reported waits for a key that works."""
    try:
        with told():
            yield
    except PaymentRefused as error:
        if str(error) == BAD_KEY:
            raise PaymentsUnavailable(BAD_KEY) from None
        raise
