"""What a model costs. A price is looked up once, at admission, and frozen into the call's row."""

from collections.abc import Sequence
from typing import NamedTuple

from farebox.domain.money import TOKENS_PER_MTOK, Usd, divide_up, usd_to_nanodollars


class Price(NamedTuple):
    """A model's price, in nanodollars per million tokens."""

    input_per_mtok: int
    cached_per_mtok: int
    output_per_mtok: int
    cache_write_per_mtok: int = 0
    """Of input that the provider writes to its cache; 0 where that costs no more than other input."""
    tiers: "tuple[tuple[int, Price], ...]" = ()
    """The prices of all tokens of a call whose input is longer than this many tokens, the longest last."""

    def of_input(self, input_tokens: int) -> "Price":
        """The price of a call with so much input."""
        for above, price in reversed(self.tiers):
            if input_tokens > above:
                return price
        return self

    def worst(self, input_tokens_max: int) -> "Price":
        """A price without tiers that a call with at most so much input cannot exceed."""
        reached = [self, *(price for above, price in self.tiers if input_tokens_max > above)]
        return Price(
            max(max(price.input_per_mtok, price.cache_write_per_mtok) for price in reached),
            max(price.cached_per_mtok for price in reached),
            max(price.output_per_mtok for price in reached),
        )


FREE = Price(0, 0, 0)


def price_of_usd(
    input_usd: Usd, output_usd: Usd, cached_usd: Usd | None = None, cache_write_usd: Usd | None = None
) -> Price:
    """A price from US dollars per million tokens, as providers publish them."""
    fresh = usd_to_nanodollars(input_usd)
    cached = fresh if cached_usd is None else usd_to_nanodollars(cached_usd)
    cache_write = 0 if cache_write_usd is None else usd_to_nanodollars(cache_write_usd)
    return Price(fresh, cached, usd_to_nanodollars(output_usd), cache_write if cache_write > fresh else 0)


def dearest(prices: Sequence[Price | None], input_tokens_max: int = 0) -> Price | None:
    """A price without tiers that none of these exceeds, or None where one of them is not known."""
    known = [price.worst(input_tokens_max) for price in prices if price is not None]
    if len(known) < len(prices) or not known:
        return None
    return known[0] if len(known) == 1 else Price(*(max(figures) for figures in list(zip(*known, strict=True))[:3]))


def cost_nanodollars(
    price: Price, input_tokens: int, cached_tokens: int, output_tokens: int, cache_write_tokens: int = 0
) -> int:
    """The provider's charge for one call.

    Of `input_tokens`, `cached_tokens` were read from its cache, and `cache_write_tokens`, others, written to it.
    """
    dearer = 0
    if cache_write_tokens and price.cache_write_per_mtok:
        dearer = cache_write_tokens * (price.cache_write_per_mtok - price.input_per_mtok)
    return divide_up(
        (input_tokens - cached_tokens) * price.input_per_mtok
        + cached_tokens * price.cached_per_mtok
        + output_tokens * price.output_per_mtok
        + dearer,
        TOKENS_PER_MTOK,
    )


def worst_cost_nanodollars(price: Price, input_tokens_max: int, output_tokens_max: int) -> int:
    """The most a call can cost: each input token counts at the dearer of the input and the cached price."""
    dearest = max(price.input_per_mtok, price.cached_per_mtok)
    return divide_up(input_tokens_max * dearest + output_tokens_max * price.output_per_mtok, TOKENS_PER_MTOK)
