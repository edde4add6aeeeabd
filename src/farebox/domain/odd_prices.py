"""Prices that are probably not meant: told, and not refused, as no rule knows what a model costs."""

from collections.abc import Iterator
from typing import Final

from farebox.domain.money import BASIS_POINTS, NANODOLLARS_PER_USD, format_usd
from farebox.domain.prices import Price
from farebox.domain.product import Product
from farebox.domain.providers import ModelName

# No published price is on the wrong side of these, see `test_no_published_price_is_odd`.
USD_PER_MTOK_MIN: Final = 0.001  # the cheapest for a million tokens are at 0.003, the dearest for one token at 0.0006
TURNED_MIN, TURNED_MAX = 1.5, 10.0  # how many times as dear as output input is, where the two were probably swapped
MARKUP_TIMES_MIN: Final = 10


def odd_prices(product: Product) -> Iterator[str]:
    """What looks odd in the founder's file, each in a sentence without its stop."""
    for model, price in product.founder_prices.items():
        yield from odd_price(model, price)
    for plan in product.plans:
        markup = plan.markup_basis_points / BASIS_POINTS
        if markup >= MARKUP_TIMES_MIN:
            charged = f"which charges {1 + markup:g} times the model's cost"
            yield f"Plan({plan.name!r}) has markup={markup:g}, {charged}; for {markup:g} % write {markup / 100:g}"


def odd_price(model: ModelName, price: Price) -> Iterator[str]:
    read, written = price.input_per_mtok, price.output_per_mtok
    said = f"your file has {format_usd(read)} in and {format_usd(written)} out, a million tokens, for {model.name}"
    least = USD_PER_MTOK_MIN * NANODOLLARS_PER_USD
    if any(0 < figure < least for figure in price[:4]):
        yield f"{said}; all figures are for a million tokens: check that none of them is for one token"
    elif written and TURNED_MIN <= read / written <= TURNED_MAX:
        yield f"{said}; input comes first, then output: check that they are not swapped"
