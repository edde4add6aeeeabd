"""Money as whole nanodollars (10⁻⁹ USD), so that a single cheap token can be priced exactly."""

from decimal import Decimal, InvalidOperation
from typing import Final

NANODOLLARS_PER_USD: Final = 10**9
NANODOLLARS_PER_CENT: Final = NANODOLLARS_PER_USD // 100
TOKENS_PER_MTOK: Final = 10**6
BASIS_POINTS: Final = 10**4
USD_MAX: Final = 10**6  # far above any price, and low enough that every sum of money fits a 64-bit column
NANODOLLAR: Final = Decimal("1e-9")

Usd = int | float | str | Decimal


def usd_to_nanodollars(usd: Usd) -> int:
    """Whole nanodollars of an amount in US dollars.

    Raises:
        ValueError: the amount is not a number, is negative, is above a million, or is finer than a nanodollar.
    """
    try:
        amount = Decimal(str(usd))
    except InvalidOperation:
        raise ValueError(f"{usd!r} is not an amount of money") from None
    if not amount.is_finite() or amount < 0:
        raise ValueError(f"{usd!r} is not an amount of money of zero or more")
    if amount > USD_MAX:
        raise ValueError(f"{usd!r} is more than {USD_MAX:,} US dollars")
    # Compared, not multiplied: Decimal's arithmetic rounds to 28 digits, its comparison is exact.
    rounded = amount.quantize(NANODOLLAR)
    if rounded != amount:
        told = f"; write it as {rounded.normalize():f}" if rounded else ""
        raise ValueError(f"{usd!r} is finer than a nanodollar (10⁻⁹ USD){told}")
    return int(rounded * NANODOLLARS_PER_USD)


def format_usd(nanodollars: int) -> str:
    """An amount for people: '$1.50', '$0.00042', '-$3.00'; never rounded."""
    whole, rest = divmod(abs(nanodollars), NANODOLLARS_PER_USD)
    cents = f"{rest:09d}".rstrip("0").ljust(2, "0")
    return f"{'-' if nanodollars < 0 else ''}${whole:,}.{cents}"


def cents_of(nanodollars: int) -> int:
    """Whole cents of an amount, rounded half up, as Stripe rounds an invoice's line."""
    return (nanodollars + NANODOLLARS_PER_CENT // 2) // NANODOLLARS_PER_CENT


def divide_up(amount: int, divisor: int) -> int:
    """Integer division that rounds up, so that no fraction of a nanodollar is given away."""
    return -(-amount // divisor)
