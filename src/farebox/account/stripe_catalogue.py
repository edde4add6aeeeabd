"""Have Stripe sell what the founder's file says: only adding and archiving, and nothing twice."""

from collections.abc import Sequence
from typing import NamedTuple

from farebox.domain.catalogue import AtStripe, Change, ForSale, difference, for_sale
from farebox.domain.product import Product
from farebox.domain.webhooks import TYPES, Endpoint, endpoint_at
from farebox.ports.billing import Catalogue


class Made(NamedTuple):
    """The number of changes, and the secret that a new endpoint's webhooks are signed with."""

    changes: int
    webhook_secret: str


def compare(catalogue: Catalogue, product: Product, webhook_url: str = "") -> tuple[AtStripe, list[Change]]:
    """What Stripe has of ours, and how it differs from the file; webhooks as well, if there is an address for them.

    Raises:
        PaymentsUnavailable: Stripe cannot be asked.
        PaymentRefused: it said no, as to a key that it does not know.
        FounderError: two prices would be called the same.
    """
    wanted = for_sale(product.plans, product.packs)
    has = catalogue.read([one.lookup_key for one in wanted])
    if wanted and webhook_url:
        has = has._replace(endpoint=endpoint_at(catalogue.endpoints(), webhook_url))
    return has, difference(wanted, has, webhook_url)


def make_so(catalogue: Catalogue, product: Product, has: AtStripe, changes: Sequence[Change]) -> Made:
    """Make the changes, in their order. If it breaks off, doing it again does the rest.

    Raises:
        PaymentsUnavailable: Stripe cannot be asked.
        PaymentRefused: it said no.
    """
    wanted = {one.lookup_key: one for one in for_sale(product.plans, product.packs)}
    names = {one.own: one.name for one in wanted.values()}
    products, meter, secret = dict(has.products), has.meter, ""
    known = {price.lookup_key or price.id: price for price in has.prices}
    due = [change for change in changes if change.sign != "="]
    for change in due:
        if change.what == "meter":
            meter = catalogue.add_meter()
        elif change.what == "product":
            products[change.key] = catalogue.add_product(change.key, names[change.key])
        elif change.what == "portal":
            catalogue.add_portal()
        elif change.what == "webhook":
            secret = _tell(catalogue, has.endpoint, change.key)
        elif change.key in known:
            catalogue.set_active(known[change.key].id, is_active=change.sign == "+")
        else:
            price: ForSale = wanted[change.key]
            catalogue.add_price(price, products[price.own], meter)
    return Made(len(due), secret)


def _tell(catalogue: Catalogue, endpoint: Endpoint | None, url: str) -> str:
    """Have webhooks sent; return the secret of a new endpoint. An old one keeps the other types that it was told of."""
    if endpoint is None:
        return catalogue.add_endpoint(url, TYPES)
    catalogue.mend_endpoint(endpoint.id, (*endpoint.types, *endpoint.lacks))
    return ""


def missing(catalogue: Catalogue, product: Product) -> tuple[list[str], bool]:
    """The lookup keys of what the file sells and Stripe does not, and whether the portal is missing.

    Raises:
        PaymentsUnavailable: Stripe cannot be asked.
        PaymentRefused: it said no.
    """
    changes = compare(catalogue, product)[1]
    new = [change for change in changes if change.sign == "+"]
    return [change.key for change in new if change.what == "price"], any(change.what == "portal" for change in new)
