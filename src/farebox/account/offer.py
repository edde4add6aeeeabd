"""Have Stripe sell what the founder's file says: only adding and archiving, and nothing twice."""

from collections.abc import Sequence

from farebox.domain.catalogue import AtStripe, Change, ForSale, difference, for_sale
from farebox.domain.product import Product
from farebox.ports_billing import Catalogue


def compare(catalogue: Catalogue, product: Product) -> tuple[AtStripe, list[Change]]:
    """What Stripe has of ours, and what differs from the file.

    Raises:
        PaymentsUnavailable: Stripe cannot be asked.
        PaymentRefused: it said no, as to a key that it does not know.
        FounderError: two prices would be called the same.
    """
    wanted = for_sale(product.plans, product.packs)
    has = catalogue.read([one.lookup_key for one in wanted])
    return has, difference(wanted, has)


def make_so(catalogue: Catalogue, product: Product, has: AtStripe, changes: Sequence[Change]) -> int:
    """Do what differs, in its order; how much it was. Where it breaks off, doing it again does the rest.

    Raises:
        PaymentsUnavailable: Stripe cannot be asked.
        PaymentRefused: it said no.
    """
    wanted = {one.lookup_key: one for one in for_sale(product.plans, product.packs)}
    names = {one.own: one.name for one in wanted.values()}
    products, meter = dict(has.products), has.meter
    known = {price.lookup_key or price.id: price for price in has.prices}
    due = [change for change in changes if change.sign != "="]
    for change in due:
        if change.what == "meter":
            meter = catalogue.add_meter()
        elif change.what == "product":
            products[change.key] = catalogue.add_product(change.key, names[change.key])
        elif change.key in known:
            catalogue.set_active(known[change.key].id, is_active=change.sign == "+")
        else:
            price: ForSale = wanted[change.key]
            catalogue.add_price(price, products[price.own], meter)
    return len(due)


def missing(catalogue: Catalogue, product: Product) -> list[str]:
    """The lookup keys of what the file sells and Stripe does not.

    Raises:
        PaymentsUnavailable: Stripe cannot be asked.
        PaymentRefused: it said no.
    """
    changes = compare(catalogue, product)[1]
    return [change.key for change in changes if change.sign == "+" and change.what == "price"]
