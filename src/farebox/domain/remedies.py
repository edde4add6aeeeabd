"""What callers are told to do about a refusal that money mends."""

from typing import Final, NamedTuple

from farebox.domain.product import Product


class Remedies(NamedTuple):
    """A sentence for each such refusal, and the page of one for lack of credit. The defaults are those of Stripe."""

    payment_failed: str = "Update the payment method at /plan."
    no_plan: str = "Choose another plan at /plan."
    no_credit: str = "An owner can buy credit at /credit."
    credit_page: str = "/credit"


ONLINE: Final = Remedies()


def remedies_of(product: Product, *, sells: bool) -> Remedies:
    """What is true of this product: without Stripe nothing can be paid, and only a free first plan can be chosen."""
    if sells:
        return ONLINE
    write = f"Write to {product.contact or 'the support of this service'}."
    nothing_sold = f"Nothing can be bought online here yet. {write}"
    return Remedies(
        payment_failed=f"It cannot be paid online here. {write}",
        no_plan=ONLINE.no_plan if product.plans[0].price_nanodollars == 0 else nothing_sold,
        no_credit=nothing_sold,
        credit_page="/plan",
    )
