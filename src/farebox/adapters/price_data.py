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
from typing import Final, NamedTuple

from farebox.domain.prices import Price, price_of_usd

log = logging.getLogger("farebox.prices")

LOOKUP_SECONDS_MAX: Final = 30


class Sold(NamedTuple):
    """A model as the price list has it: by whom it is sold, its name, and whether it makes embeddings."""

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
    return [Price(*found) if found is not None else None for found in json.loads(done.stdout)]


def published(sold: Sold) -> Price | None:
    """The price in the installed table, for a prompt below its first tier's bound."""
    from genai_prices.data_snapshot import get_snapshot  # noqa: PLC0415  # see above

    try:
        _, info = get_snapshot().find_provider_model(sold.model, None, sold.provider, None)
    except LookupError:
        return None
    prices = info.get_prices(datetime.now(UTC))
    fresh, written = _base(prices.input_mtok), _base(prices.output_mtok)
    if written is None and sold.is_embedding:
        written = Decimal(0)  # it writes no token
    if fresh is None or written is None:
        return None
    return price_of_usd(fresh, written, _base(prices.cache_read_mtok))


def _base(price: object) -> Decimal | None:
    base = getattr(price, "base", price)  # a price in tiers, or a plain one
    return base if isinstance(base, Decimal) else None


if __name__ == "__main__":
    sys.stdout.write(json.dumps([published(Sold(*each)) for each in json.loads(sys.argv[1])]))
