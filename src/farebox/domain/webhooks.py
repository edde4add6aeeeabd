"""Which object at Stripe an event is about, and no more: the state of the object is fetched anew.

And which events an endpoint at Stripe has to get, so that nothing is missed.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, NamedTuple

Verb = Literal["checkout", "subscription", "invoice", "payment", "charge", "usage"]
ID_CHARS_MAX: Final = 255
PATH: Final = "/stripe/webhook"
"""Where Stripe sends webhooks to, behind the public address."""
ALL: Final = "*"

VERBS: Final[Mapping[str, Verb]] = {
    "checkout.session.completed": "checkout",
    "checkout.session.async_payment_succeeded": "checkout",
    "checkout.session.async_payment_failed": "checkout",
    "checkout.session.expired": "checkout",
    "customer.subscription.created": "subscription",
    "customer.subscription.updated": "subscription",
    "customer.subscription.deleted": "subscription",
    "customer.subscription.paused": "subscription",
    "customer.subscription.resumed": "subscription",
    "customer.subscription.trial_will_end": "subscription",
    "invoice.created": "invoice",
    "invoice.updated": "invoice",
    "invoice.finalized": "invoice",
    "invoice.finalization_failed": "invoice",
    "invoice.paid": "invoice",
    "invoice.payment_succeeded": "invoice",
    "invoice.payment_failed": "invoice",
    "invoice.payment_action_required": "invoice",
    "invoice.voided": "invoice",
    "invoice.marked_uncollectible": "invoice",
    "invoice.overdue": "invoice",
    "payment_intent.succeeded": "payment",
    "payment_intent.payment_failed": "payment",
    "payment_intent.canceled": "payment",
    "charge.refunded": "charge",
    "charge.refund.updated": "charge",
    "refund.created": "charge",
    "refund.updated": "charge",
    "refund.failed": "charge",
    "charge.dispute.created": "charge",
    "charge.dispute.updated": "charge",
    "charge.dispute.closed": "charge",
    "charge.dispute.funds_withdrawn": "charge",
    "charge.dispute.funds_reinstated": "charge",
    "v1.billing.meter.error_report_triggered": "usage",
    "v1.billing.meter.no_meter_found": "usage",
}
"""What is done about an event; for other types it is only noted that one came."""
TYPES: Final = tuple(kind for kind in VERBS if not kind.startswith("v1."))
"""The types of events that a webhook endpoint at Stripe has to get."""


class Endpoint(NamedTuple):
    """A webhook endpoint at Stripe: where it leads to, and what it is told of."""

    id: str
    url: str
    is_enabled: bool
    types: tuple[str, ...]

    @property
    def lacks(self) -> tuple[str, ...]:
        """The types that it should get, and does not."""
        return () if ALL in self.types else tuple(kind for kind in TYPES if kind not in self.types)


def endpoint_at(endpoints: Iterable[Endpoint], url: str) -> Endpoint | None:
    """The endpoint that leads to `url` or, if that is empty, to our path on any host; of several the best one."""
    ours = [one for one in endpoints if (one.url == url if url else one.url.endswith(PATH))]
    return min(ours, key=lambda one: (not one.is_enabled, len(one.lacks)), default=None)


def webhook_url(public_url: str) -> str:
    """The address to which Stripe can send webhooks; empty where it would take none."""
    return f"{public_url.rstrip('/')}{PATH}" if public_url.startswith("https://") else ""


class Event(NamedTuple):
    """The part of an event that matters here."""

    id: str
    type: str
    object_id: str
    created_us: int
    is_live: bool


def verb_of(kind: str, object_id: str) -> Verb | None:
    """What to fetch, and what to do with it; None where nothing is to be done."""
    verb = VERBS.get(kind)
    if not object_id:
        return None
    if verb == "charge":  # refunds and disputes name the payment where there is one, else the charge
        return "payment" if object_id.startswith("pi_") else "charge"
    return verb


def object_of(kind: str, event: Mapping[str, Any]) -> str:
    """The id of the object that an event of this type is about; empty where it names none."""
    found = event.get("data")
    about = found.get("object") if isinstance(found, Mapping) else event.get("related_object")
    if not isinstance(about, Mapping):
        return ""
    if VERBS.get(kind) == "charge":
        return _id(about.get("payment_intent")) or _id(about.get("charge")) or _id(about.get("id"))
    return _id(about.get("id"))


def _id(value: object) -> str:
    """An id, also that of an object that was expanded."""
    if isinstance(value, Mapping):
        value = value.get("id")
    return value if isinstance(value, str) and len(value) <= ID_CHARS_MAX else ""
