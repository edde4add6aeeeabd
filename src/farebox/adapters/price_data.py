"""Published model prices, from genai-prices. They are estimates: the founder's own come first.

Run as a program, because the table takes 30 MB that a serving process would keep for the sake of one line:
`python -m farebox.adapters.price_data openai gpt-4o-mini` prints the price as JSON, or null.
"""

import json
import logging
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from farebox.domain.prices import Price, price_of_usd

log = logging.getLogger("farebox.prices")

LOOKUP_SECONDS_MAX: Final = 30


def look_up(provider: str, model: str) -> Price | None:
    """The published price of a model, or None where it is not known."""
    done = subprocess.run(  # noqa: S603  # ourselves, with the founder's own model name as one argument
        [sys.executable, "-m", "farebox.adapters.price_data", provider, model],
        capture_output=True, text=True, timeout=LOOKUP_SECONDS_MAX, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        log.error("the published prices could not be read: %s", done.stderr.strip()[-200:])
        return None
    found = json.loads(done.stdout)
    return Price(*found) if found is not None else None


def published(provider: str, model: str) -> Price | None:
    """The price in the installed table, for a prompt below its first tier's bound."""
    from genai_prices.data_snapshot import get_snapshot  # noqa: PLC0415  # see above

    try:
        _, info = get_snapshot().find_provider_model(model, None, provider, None)
    except LookupError:
        return None
    prices = info.get_prices(datetime.now(UTC))
    fresh, written = _base(prices.input_mtok), _base(prices.output_mtok)
    if fresh is None or written is None:
        return None
    return price_of_usd(fresh, written, _base(prices.cache_read_mtok))


def _base(price: object) -> Decimal | None:
    base = getattr(price, "base", price)  # a price in tiers, or a plain one
    return base if isinstance(base, Decimal) else None


if __name__ == "__main__":
    sys.stdout.write(json.dumps(published(sys.argv[1], sys.argv[2])))
