"""A pack: credit that is bought beforehand, and used up by calls beyond what a plan includes."""

import re
from dataclasses import dataclass, field
from typing import Final

from farebox.domain.errors import FounderError
from farebox.domain.money import NANODOLLARS_PER_CENT, Usd, usd_to_nanodollars

DAYS_DEFAULT: Final = 365
DAYS_MAX: Final = 36_500
_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,39}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Pack:
    """Credit for sale, paid for once.

    Args:
        name: lower-case, as in 'small'; it stays the same once sold.
        usd: what it costs, in US dollars.
        credit_usd: what it is worth; None is what it costs.
        days: how long it can be used.

    Raises:
        FounderError: a value makes no sense.
    """

    name: str
    usd: Usd
    credit_usd: Usd | None = None
    days: int = DAYS_DEFAULT
    price_nanodollars: int = field(init=False, repr=False, default=0)
    credit_nanodollars: int = field(init=False, repr=False, default=0)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise FounderError(
                f"Pack({self.name!r}): a pack's name has to be lower-case letters, digits, '-' and '_', a letter "
                "first, and no more than 40 characters, as in 'small'."
            )
        price = self._nanodollars("usd", self.usd)
        credit = price if self.credit_usd is None else self._nanodollars("credit_usd", self.credit_usd)
        object.__setattr__(self, "price_nanodollars", price)
        object.__setattr__(self, "credit_nanodollars", credit)
        if price % NANODOLLARS_PER_CENT or not price:
            raise FounderError(f"Pack({self.name!r}): a pack has to cost whole cents, and more than 0, as in usd=10.")
        if not credit:
            raise FounderError(f"Pack({self.name!r}): credit_usd has to be more than 0; leave it out for what usd is.")
        if isinstance(self.days, bool) or not isinstance(self.days, int) or not 1 <= self.days <= DAYS_MAX:
            raise FounderError(
                f"Pack({self.name!r}): days has to be a whole number from 1 to {DAYS_MAX:,}, not {self.days!r}."
            )

    def _nanodollars(self, name: str, usd: Usd) -> int:
        try:
            return usd_to_nanodollars(usd)
        except (ValueError, TypeError) as error:
            raise FounderError(f"Pack({self.name!r}): {name}={error}.") from None

    @property
    def price_cents(self) -> int:
        """What a card is charged."""
        return self.price_nanodollars // NANODOLLARS_PER_CENT
