"""What the tests of the stand-in sell: a plan a month, and usage by a meter."""

import secrets
import time
from typing import Any, NamedTuple

from stripe import Customer, Invoice, Price, StripeClient, Subscription

from tests.services.process import wait_until

DAY = 86_400
HOUR = 3_600


class Shop(NamedTuple):
    """A base price of 29 dollars a month, and a nanodollar of usage for a nanodollar."""

    client: StripeClient
    base: Price
    usage: Price
    meter: str
    event_name: str

    def subscribe(self, customer: Customer, **more: Any) -> Subscription:
        items = [{"price": self.base.id}, {"price": self.usage.id}]
        given: Any = {"customer": customer.id, "items": items, **more}
        return self.client.v1.subscriptions.create(given)

    def use(self, customer: Customer, nanodollars: int, timestamp: int | None = None) -> None:
        when = {} if timestamp is None else {"timestamp": timestamp}
        payload = {"stripe_customer_id": customer.id, "value": str(nanodollars)}
        given: Any = {"event_name": self.event_name, "payload": payload, "identifier": secrets.token_hex(8), **when}
        self.client.v1.billing.meter_events.create(given)

    def invoices(self, customer: Customer) -> list[Invoice]:
        """The oldest first."""
        return self.client.v1.invoices.list({"customer": customer.id, "limit": 100}).data[::-1]


def portal_with(client: StripeClient, *features: str) -> str:
    """What the customer portal lets people do; its id."""
    given: Any = {"features": {name: {"enabled": True} for name in features}}
    return client.v1.billing_portal.configurations.create(given).id


def opened(client: StripeClient) -> Shop:
    name = f"usage_{secrets.token_hex(4)}"
    product = client.v1.products.create({"name": "Tagliner Pro"})
    meter = client.v1.billing.meters.create(
        {"display_name": "Usage", "event_name": name, "default_aggregation": {"formula": "sum"}}
    )
    base = client.v1.prices.create(
        {"product": product.id, "currency": "usd", "unit_amount": 2900, "recurring": {"interval": "month"}}
    )
    recurring: Any = {"interval": "month", "usage_type": "metered", "meter": meter.id}
    given: Any = {"product": product.id, "currency": "usd", "unit_amount_decimal": "0.0000001", "recurring": recurring}
    return Shop(client, base, client.v1.prices.create(given), meter.id, name)


def customer_on_clock(client: StripeClient, card: str | None = "pm_card_visa", at: int | None = None) -> Customer:
    """Somebody whose time is told by a clock of his own."""
    clock = client.v1.test_helpers.test_clocks.create({"frozen_time": at or int(time.time())})
    given: Any = {"email": "ada@example.com", "test_clock": clock.id}
    if card is not None:
        given |= {"payment_method": card, "invoice_settings": {"default_payment_method": card}}
    return client.v1.customers.create(given)


def advance(client: StripeClient, customer: Customer, to: int) -> None:
    """Move the customer's clock, and wait until it has arrived."""
    clock = str(customer.test_clock)
    client.v1.test_helpers.test_clocks.advance(clock, {"frozen_time": to})
    wait_until(lambda: client.v1.test_helpers.test_clocks.retrieve(clock).status == "ready", "the clock to arrive")


def period_of(subscription: Subscription) -> tuple[int, int]:
    item = subscription["items"].data[0]
    return item.current_period_start, item.current_period_end


def events_of(client: StripeClient, kind: str, id_: str) -> list[Any]:
    """The events of a kind about an object."""
    wanted: Any = {"type": kind, "limit": 100}
    found = [event for event in client.v1.events.list(wanted).data if event.data.object["id"] == id_]
    return found[::-1]
