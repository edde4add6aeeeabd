"""The till, with which the use cases of buying work."""

from collections.abc import Callable
from dataclasses import dataclass

from farebox.domain.events import Event
from farebox.domain.people import PersonError
from farebox.domain.period import MICROSECONDS
from farebox.domain.places import Places
from farebox.domain.product import Product
from farebox.domain.subscribing import Rules
from farebox.ports.billing import Billing
from farebox.ports.money import Credit, Payments

STRIPE_AWAY = (
    "The payment service cannot be reached right now. Look here again in a minute; if nothing has changed by then, try "
    "again."
)


class CannotBuy(PersonError):
    """Why something cannot be bought or changed, in a sentence."""


@dataclass(frozen=True, slots=True)
class Till:
    """Where customers buy. The founder's product says what is for sale."""

    payments: Payments
    billing: Billing
    credit: Credit
    product: Product
    url: str
    """The address of this site, without a slash at its end."""
    pay_origins: tuple[str, ...]
    """The origins of the pages to pay on, to which forms lead."""
    grace_seconds: int
    mail_written: Callable[[], None]
    tell: Callable[[Event], None]
    """Tell the founder's listeners."""
    account_changed: Callable[[str], None]
    """Tell that an account's plan, limits or credit may have changed."""
    invoice_open: Callable[[str], None]
    """Have the usage of a customer sent at once: an invoice of theirs is being made."""
    places: Places
    """Where pages wait for Stripe; the same for all tills of a process."""

    @property
    def rules(self) -> Rules:
        first = self.product.plans[0]
        return Rules(first.name, first.price_nanodollars == 0, self.grace_seconds * MICROSECONDS)
