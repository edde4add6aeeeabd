"""What a model costs. A price is looked up once, at admission, and frozen into the call's row."""

from collections.abc import Sequence
from typing import NamedTuple

from farebox.domain.money import TOKENS_PER_MTOK, Usd, divide_up, usd_to_nanodollars


class Price(NamedTuple):
    """A model's price, in nanodollars per million tokens."""

    input_per_mtok: int
    cached_per_mtok: int
    output_per_mtok: int


FREE = Price(0, 0, 0)


def price_of_usd(input_usd: Usd, output_usd: Usd, cached_usd: Usd | None = None) -> Price:
    """A price from US dollars per million tokens, as providers publish them."""
    fresh = usd_to_nanodollars(input_usd)
    cached = fresh if cached_usd is None else usd_to_nanodollars(cached_usd)
    return Price(fresh, cached, usd_to_nanodollars(output_usd))


def dearest(prices: Sequence[Price | None]) -> Price | None:
    """A price that none of these is above, or None where one of them is not known."""
    known = [price for price in prices if price is not None]
    if len(known) < len(prices) or not known:
        return None
    return known[0] if len(known) == 1 else Price(*map(max, zip(*known, strict=True)))


def cost_nanodollars(price: Price, input_tokens: int, cached_tokens: int, output_tokens: int) -> int:
    """The provider's charge for one call; `cached_tokens` are the part of `input_tokens` read from its cache."""
    return divide_up(
        (input_tokens - cached_tokens) * price.input_per_mtok
        + cached_tokens * price.cached_per_mtok
        + output_tokens * price.output_per_mtok,
        TOKENS_PER_MTOK,
    )


def worst_cost_nanodollars(price: Price, input_tokens_max: int, output_tokens_max: int) -> int:
    """The most a call can cost: no provider charges more for a cached token than for the dearer of the two."""
    dearest = max(price.input_per_mtok, price.cached_per_mtok)
    return divide_up(input_tokens_max * dearest + output_tokens_max * price.output_per_mtok, TOKENS_PER_MTOK)
