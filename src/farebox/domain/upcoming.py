"""The next invoice by the ledger's figures: what Stripe's will come to, without asking Stripe."""

from typing import Final, NamedTuple

from farebox.domain.billing import Interval, Invoice, InvoiceLine
from farebox.domain.money import NANODOLLARS_PER_CENT, cents_of
from farebox.domain.period import Period, period_after
from farebox.domain.plan import Plan

NO_INVOICE: Final = frozenset({"canceled", "incomplete", "incomplete_expired", "unpaid", "paused"})
MONTHS: Final[dict[Interval, int]] = {"month": 1, "year": 12}


class Subscribed(NamedTuple):
    """The part of a subscription that its next invoice depends on."""

    id: str
    status: str
    anchor_us: int
    period: Period
    ends: bool
    """Whether it ends with the period."""
    price_nanodollars: int | None = None
    """What the next period costs, as Stripe has it; where that is not known, it is the plan's price."""
    has_usage_line: int | None = None
    """Whether use comes onto its invoices; None is not known."""


def next_invoice(subscribed: Subscribed, plan: Plan, after: Plan, used_nanodollars: int, now_us: int) -> Invoice | None:
    """The invoice at the period's end, if there is one.

    Args:
        subscribed: the subscription.
        plan: the plan in force, whose calls are invoiced or not; those of the plan before it may still be.
        after: the plan of the next period, whose price is due at its beginning.
        used_nanodollars: the use of this period that comes onto the invoice.
        now_us: the moment it is told.
    """
    lines = []
    # Use in a trial is not invoiced: Stripe has no line for it. Use left from another plan is, if there is a line.
    can_bill_use = subscribed.has_usage_line != 0 and subscribed.status != "trialing"
    if (plan.is_invoiced or used_nanodollars) and can_bill_use:
        cents = cents_of(used_nanodollars)
        lines.append(InvoiceLine("Calls beyond the plan", used_nanodollars, cents, *subscribed.period, is_usage=True))
    if not subscribed.ends:
        paid_for = period_after(subscribed.anchor_us, subscribed.period.end_us, MONTHS[after.every])
        price = after.price_nanodollars if subscribed.price_nanodollars is None else subscribed.price_nanodollars
        lines.append(InvoiceLine("The plan", 1, price // NANODOLLARS_PER_CENT, *paid_for, is_usage=False))
    if subscribed.status in NO_INVOICE or not lines:
        return None
    return Invoice(
        id="", customer="", subscription_id=subscribed.id, number="", status="draft", currency="usd",
        total_cents=sum(line.amount_cents for line in lines), paid_cents=0, period_start_us=subscribed.period.start_us,
        period_end_us=subscribed.period.end_us, created_us=now_us, lines=tuple(lines), url="",
    )  # fmt: skip
