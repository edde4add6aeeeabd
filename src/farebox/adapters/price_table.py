"""A program: the published prices of models, from genai-prices' table.

`python price_table.py '[["openai", "gpt-4o-mini", false]]'` prints for each model a list of [tokens, figures]: for a
prompt of more than so many tokens, US dollars for a million read, written, read from the cache and written to it; null
for what is not known. It imports nothing of Farebox, which would take longer than all the rest.
"""

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from genai_prices.data_snapshot import get_snapshot

Figures = tuple[str | None, ...]


def published(provider: str, model: str, is_embedding: bool) -> list[tuple[int, Figures]] | None:  # noqa: FBT001  # as it comes
    """The prices in the installed table, from the shortest prompts on."""
    try:
        _, info = get_snapshot().find_provider_model(model, None, provider, None)
    except LookupError:
        return None
    prices = info.get_prices(datetime.now(UTC))
    figures = [prices.input_mtok, prices.output_mtok, prices.cache_read_mtok, prices.cache_write_mtok]
    if figures[1] is None and is_embedding:
        figures[1] = Decimal(0)  # it writes no token
    bounds = sorted({tier.start for figure in figures for tier in getattr(figure, "tiers", ())})
    return [(0, _figures(figures, 0)), *((above, _figures(figures, above + 1)) for above in bounds)]


def _figures(figures: Sequence[Any], input_tokens: int) -> Figures:
    """The figures for a prompt of so many tokens."""
    return tuple(_of_tier(figure, input_tokens) for figure in figures)


def _of_tier(figure: Any, input_tokens: int) -> str | None:  # noqa: ANN401  # a price in tiers, or a plain one
    found = getattr(figure, "base", figure)
    for tier in getattr(figure, "tiers", ()):
        if input_tokens > tier.start:
            found = tier.price
    return str(found) if isinstance(found, Decimal) else None


if __name__ == "__main__":
    sys.stdout.write(json.dumps([published(*each) for each in json.loads(sys.argv[1])]))
