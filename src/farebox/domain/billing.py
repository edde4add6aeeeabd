"""What Stripe knows of an account, as far as it matters here: values, as they were when they were fetched."""

import json
from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

Interval = Literal["month", "year"]
SubscriptionStatus = Literal[
    "incomplete", "incomplete_expired", "trialing", "active", "past_due", "canceled", "unpaid", "paused"
]
InvoiceStatus = Literal["draft", "open", "paid", "void", "uncollectible"]
PaymentStatus = Literal["succeeded", "processing", "requires_action", "failed", "canceled"]

LIVE: Final[frozenset[SubscriptionStatus]] = frozenset({"trialing", "active", "past_due"})
"""The statuses in which a subscription gives its plan; one that is past due does so until its grace is over."""


class Subscription(NamedTuple):
    """A subscription. Its plan comes from the lookup key of its base price, its period from its items."""

    id: str
    customer: str
    account_id: str
    """From its metadata."""
    status: SubscriptionStatus
    plan: str
    anchor_us: int
    period_start_us: int
    period_end_us: int
    trial_end_us: int | None
    ends_at_period_end: bool
    price_nanodollars: int | None = None
    """What its plan costs from the next period on; None where that is no amount in cents."""
    has_usage_line: bool = False
    """Whether use comes onto its invoices."""

    @property
    def is_ours(self) -> bool:
        """Whether it was bought here, though the founder may have put it onto a price of their own since."""
        return bool(self.plan or self.account_id)


class InvoiceLine(NamedTuple):
    """A line; `is_usage` says that its quantity is nanodollars of calls in its period."""

    text: str
    quantity: int
    amount_cents: int
    period_start_us: int
    period_end_us: int
    is_usage: bool


class Invoice(NamedTuple):
    """An invoice, or the preview of the next one (then without id and number)."""

    id: str
    customer: str
    subscription_id: str
    number: str
    status: InvoiceStatus
    currency: str
    total_cents: int
    paid_cents: int
    period_start_us: int
    period_end_us: int
    created_us: int
    lines: tuple[InvoiceLine, ...]
    url: str


class Payment(NamedTuple):
    """A one-time payment. `taken_back_cents` is what was refunded, or is disputed."""

    id: str
    customer: str
    account_id: str
    pack: str
    status: PaymentStatus
    amount_cents: int
    taken_back_cents: int
    failed: str
    """Why, in Stripe's words for people; empty where it did not fail."""
    credit_nanodollars: int = 0
    """What the pack was worth, and for how long, when it was bought."""
    days: int = 0


class Bought(NamedTuple):
    """A pack as somebody buys it: what was offered then is what they get."""

    pack: str
    lookup_key: str
    cents: int
    credit_nanodollars: int
    days: int


class Checkout(NamedTuple):
    """A page at Stripe on which somebody is to buy."""

    id: str
    account_id: str
    customer: str
    is_paid: bool
    subscription_id: str
    payment_id: str


def lines_to_json(lines: Iterable[InvoiceLine]) -> str:
    """An invoice's lines as its row keeps them: an object a line, by the names above."""
    return json.dumps([line._asdict() for line in lines], ensure_ascii=False, separators=(",", ":"))


def lines_from_json(text: str) -> tuple[InvoiceLine, ...]:
    """The lines of a row; fields that a newer Farebox has added are left out."""
    return tuple(InvoiceLine(*(line[name] for name in InvoiceLine._fields)) for line in json.loads(text))
