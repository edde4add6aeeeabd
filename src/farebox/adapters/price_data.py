"""Published model prices, from genai-prices. They are estimates: the founder's own come first.

Run as a program, because the table takes 30 MB that a serving process would keep for the sake of a few lines:
`python -m farebox.adapters.price_data '[["openai", "gpt-4o-mini", false]]'` prints the prices as JSON, null where
there is none.
"""

import json
import logging
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple

from farebox.domain.prices import Price, price_of_usd

log = logging.getLogger("farebox.prices")

LOOKUP_SECONDS_MAX: Final = 30


class Sold(NamedTuple):
    """A model as the price list has it: its provider, its name, and whether it makes embeddings."""

    provider: str
    model: str
    is_embedding: bool = False


def look_up(models: Sequence[Sold]) -> list[Price | None]:
    """The published price of each model, or None where it is not known."""
    if not models:
        return []
    done = subprocess.run(  # noqa: S603  # ourselves, with the founder's own model names as one argument
        [sys.executable, "-m", "farebox.adapters.price_data", json.dumps(models)],
        capture_output=True, text=True, timeout=LOOKUP_SECONDS_MAX, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        log.error("the published prices could not be read: %s", done.stderr.strip()[-200:])
        return [None] * len(models)
    return [_read(found) if found is not None else None for found in json.loads(done.stdout)]


def _read(found: list[Any]) -> Price:
    *figures, tiers = found
    return Price(*figures)._replace(tiers=tuple((above, _read(price)) for above, price in tiers))


def published(sold: Sold) -> Price | None:
    """The price in the installed table, with those of longer prompts where it has tiers."""
    from genai_prices.data_snapshot import get_snapshot  # noqa: PLC0415  # see above

    try:
        _, info = get_snapshot().find_provider_model(sold.model, None, sold.provider, None)
    except LookupError:
        return None
    prices = info.get_prices(datetime.now(UTC))
    figures = prices.input_mtok, prices.output_mtok, prices.cache_read_mtok, prices.cache_write_mtok
    if figures[1] is None and sold.is_embedding:
        figures = figures[0], Decimal(0), *figures[2:]  # it writes no token
    base = _price(figures, 0)
    if base is None:
        return None
    bounds = sorted({tier.start for figure in figures for tier in getattr(figure, "tiers", ())})
    tiers = [(above, _price(figures, above + 1)) for above in bounds]
    return base._replace(tiers=tuple((above, price) for above, price in tiers if price is not None))


def _price(figures: Sequence[Any], input_tokens: int) -> Price | None:
    """The price of a prompt of so many tokens."""
    fresh, written, cached, cache_write = (_of_tier(figure, input_tokens) for figure in figures)
    return None if fresh is None or written is None else price_of_usd(fresh, written, cached, cache_write)


def _of_tier(figure: Any, input_tokens: int) -> Decimal | None:  # noqa: ANN401  # a price in tiers, or a plain one
    found = getattr(figure, "base", figure)
    for tier in getattr(figure, "tiers", ()):
        if input_tokens > tier.start:
            found = tier.price
    return found if isinstance(found, Decimal) else None


if __name__ == "__main__":
    sys.stdout.write(json.dumps([published(Sold(*each)) for each in json.loads(sys.argv[1])]))
