"""What is for sale at Stripe. Ours is what has our metadata, and the endpoint at our address; others are left alone."""

from collections.abc import Sequence
from typing import Any, Final

import stripe

from farebox.adapters.stripe_client import NANODOLLAR_IN_CENTS, VERSION, told
from farebox.domain.catalogue import METER, PORTAL, AtStripe, ForSale, Offered
from farebox.domain.webhooks import Endpoint

OWN: Final = "farebox"
PAGE: Final = 100
PORTAL_FEATURES: Final[Any] = {
    "customer_update": {"enabled": True, "allowed_updates": ["name", "address", "tax_id"]},
    "invoice_history": {"enabled": True},
    "payment_method_update": {"enabled": True},
    "subscription_cancel": {"enabled": False},
    "subscription_update": {"enabled": False},
}
"""Plans are changed and cancelled on our own page, which says what that costs; the e-mail is that of the account."""
KEYS_AT_ONCE: Final = 10  # as many lookup keys as Stripe takes in one question


class StripeCatalogue:
    """The port `Catalogue`."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._api = client.v1

    def read(self, lookup_keys: Sequence[str]) -> AtStripe:
        with told():
            products = self._api.products.list({"active": True, "limit": PAGE}).auto_paging_iter()
            found = {_own(product): product.id for product in products if _own(product)}
            active = self._api.prices.list({"active": True, "limit": PAGE}).auto_paging_iter()
            prices = {price.id: price for price in active if _own(price)}
            for first in range(0, len(lookup_keys), KEYS_AT_ONCE):
                keys = list(lookup_keys[first : first + KEYS_AT_ONCE])
                prices |= {
                    price.id: price for price in self._api.prices.list({"lookup_keys": keys, "limit": PAGE}).data
                }
            meters = self._api.billing.meters.list({"status": "active", "limit": PAGE}).auto_paging_iter()
            meter = next((one.id for one in meters if one.event_name == METER), "")
            portal = portal_of(self._api)
        return AtStripe(found, [_offered(price) for price in prices.values()], meter, portal)

    def add_meter(self) -> str:
        with told():
            made = self._api.billing.meters.create(
                {
                    "display_name": "Use beyond the plan, in nanodollars",
                    "event_name": METER,
                    "default_aggregation": {"formula": "sum"},
                    "customer_mapping": {"type": "by_id", "event_payload_key": "stripe_customer_id"},
                    "value_settings": {"event_payload_key": "value"},
                }
            )
        return made.id

    def add_product(self, own: str, name: str) -> str:
        with told():
            return self._api.products.create({"name": name, "metadata": {OWN: own}}).id

    def add_price(self, price: ForSale, product: str, meter: str) -> None:
        asked: Any = {
            "product": product, "currency": "usd", "lookup_key": price.lookup_key, "metadata": {OWN: price.own}
        }  # fmt: skip
        if price.cents is None:
            asked["unit_amount_decimal"] = NANODOLLAR_IN_CENTS
            asked["recurring"] = {"interval": price.interval, "usage_type": "metered", "meter": meter}
        else:
            asked["unit_amount"] = price.cents
            if price.interval is not None:
                asked["recurring"] = {"interval": price.interval}
        with told():
            self._api.prices.create(asked)

    def add_portal(self) -> None:
        with told():
            self._api.billing_portal.configurations.create({"features": PORTAL_FEATURES, "metadata": {OWN: PORTAL}})

    def set_active(self, price_id: str, *, is_active: bool) -> None:
        with told():
            self._api.prices.update(price_id, {"active": is_active})

    def taxes_lack(self) -> Sequence[str]:
        with told():
            found = self._api.tax.settings.retrieve()
        if found.status == "active":
            return ()
        pending = found.status_details.pending
        return (pending.missing_fields if pending is not None else None) or ("head_office",)

    def endpoints(self) -> list[Endpoint]:
        with told():
            found = self._api.webhook_endpoints.list({"limit": PAGE}).auto_paging_iter()
            return [Endpoint(one.id, one.url, one.status == "enabled", tuple(one.enabled_events)) for one in found]

    def add_endpoint(self, url: str, types: Sequence[str]) -> str:
        asked: Any = {"url": url, "enabled_events": list(types), "api_version": VERSION, "description": "Farebox"}
        with told():
            made = self._api.webhook_endpoints.create(asked)
        return made.secret or ""

    def mend_endpoint(self, endpoint_id: str, types: Sequence[str]) -> None:
        asked: Any = {"enabled_events": list(types), "disabled": False}
        with told():
            self._api.webhook_endpoints.update(endpoint_id, asked)


def portal_of(api: stripe.V1Services) -> str:
    """The id of our settings of the customer portal, or empty."""
    found = api.billing_portal.configurations.list({"active": True, "limit": PAGE}).auto_paging_iter()
    return next((one.id for one in found if _own(one) == PORTAL), "")


def _own(of: Any) -> str:  # noqa: ANN401  # a product, a price, or the portal's settings
    found = of.metadata.to_dict() if of.metadata is not None else {}
    return str(found.get(OWN, ""))


def _offered(price: stripe.Price) -> Offered:
    recurring = price.recurring
    interval: Any = recurring.interval if recurring is not None else None
    is_usage = recurring is not None and recurring.usage_type == "metered"
    return Offered(price.id, price.lookup_key or "", None if is_usage else price.unit_amount, interval, price.active)
