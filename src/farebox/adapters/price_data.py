"""Published model prices, from genai-prices. They are estimates: the founder's own come first.

Another process reads them (price_table.py): the table takes 30 MB, which a serving process would keep for the sake of
a few lines.
"""

import json
import logging
import subprocess
import sys
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Final, NamedTuple

from farebox.domain.prices import Price, price_of_usd

log = logging.getLogger("farebox.prices")

LOOKUP_SECONDS_MAX: Final = 30
TABLE: Final = Path(__file__).with_name("price_table.py")
Published = Sequence[tuple[int, Sequence[str | None]]]
"""Above how many tokens of a prompt which figures hold."""


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
        [sys.executable, "-P", TABLE, json.dumps(models)],
        capture_output=True, text=True, timeout=LOOKUP_SECONDS_MAX, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        log.error("the published prices could not be read: %s", done.stderr.strip()[-200:])
        return [None] * len(models)
    return [_read(found) if found else None for found in json.loads(done.stdout)]


def _read(found: Published) -> Price | None:
    """A price, with those of longer prompts where it has tiers."""
    (_, base), *tiers = ((above, _price(figures)) for above, figures in found)
    if base is None:
        return None
    return base._replace(tiers=tuple((above, price) for above, price in tiers if price is not None))


def _price(figures: Sequence[str | None]) -> Price | None:
    """A price to the nanodollar: some figures in the table were computed, such as 0.18000000000000002."""
    rounded = (None if figure is None else round(Decimal(figure), 9) for figure in figures)
    fresh, written, cached, cache_write = rounded
    return None if fresh is None or written is None else price_of_usd(fresh, written, cached, cache_write)
