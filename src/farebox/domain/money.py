"""Money as whole nanodollars (10⁻⁹ USD), so that a single cheap token can be priced exactly."""

from decimal import Decimal, InvalidOperation
from typing import Final

NANODOLLARS_PER_USD: Final = 10**9
TOKENS_PER_MTOK: Final = 10**6
BASIS_POINTS: Final = 10**4

Usd = int | float | str | Decimal


def usd_to_nanodollars(usd: Usd) -> int:
    """Whole nanodollars of an amount in US dollars.

    Raises:
        ValueError: the amount is not a number, is negative, or is finer than a nanodollar.
    """
    try:
        amount = Decimal(str(usd))
    except InvalidOperation:
        raise ValueError(f"{usd!r} is not an amount of money") from None
    nanodollars = amount * NANODOLLARS_PER_USD if amount.is_finite() else None
    if nanodollars is None or nanodollars < 0:
        raise ValueError(f"{usd!r} is not an amount of money of zero or more")
    if nanodollars != nanodollars.to_integral_value():
        raise ValueError(f"{usd!r} is finer than a nanodollar (10⁻⁹ USD)")
    return int(nanodollars)


def format_usd(nanodollars: int) -> str:
    """An amount for people: '$1.50', '$0.00042', '-$3.00'; never rounded."""
    whole, rest = divmod(abs(nanodollars), NANODOLLARS_PER_USD)
    cents = f"{rest:09d}".rstrip("0").ljust(2, "0")
    return f"{'-' if nanodollars < 0 else ''}${whole:,}.{cents}"


def divide_up(amount: int, divisor: int) -> int:
    """Integer division that rounds up, so that no fraction of a nanodollar is given away."""
    return -(-amount // divisor)
