"""Published model prices, from genai-prices. They are estimates: the founder's own come first.

Run as a program, because the table takes 30 MB that a serving process would keep for the sake of one line:
`python -m farebox.adapters.price_data openai gpt-4o-mini` prints the price as JSON, or null.
"""

import json
import subprocess
import sys
from decimal import Decimal
from typing import Any

from farebox.domain.prices import Price, price_of_usd

LOOKUP_SECONDS_MAX = 30


def look_up(provider: str, model: str) -> Price | None:
    """The published price of a model, or None where it is not known."""
    done = subprocess.run(
        [sys.executable, "-m", "farebox.adapters.price_data", provider, model],
        capture_output=True, text=True, timeout=LOOKUP_SECONDS_MAX, check=False,
    )  # fmt: skip
    found = json.loads(done.stdout) if done.returncode == 0 else None
    return Price(*found) if found is not None else None


def published(provider: str, model: str) -> Price | None:
    """The price in the installed table, for a prompt below its first tier's bound."""
    from genai_prices.data_snapshot import get_snapshot

    try:
        _, info = get_snapshot().find_provider_model(model, None, provider, None)
    except LookupError:
        return None
    prices = info.get_prices(_now())
    fresh, written = _base(prices.input_mtok), _base(prices.output_mtok)
    if fresh is None or written is None:
        return None
    return price_of_usd(fresh, written, _base(prices.cache_read_mtok))


def _now() -> Any:
    from datetime import UTC, datetime

    return datetime.now(UTC)


def _base(price: Any) -> Decimal | None:
    return price if price is None or isinstance(price, Decimal) else price.base


if __name__ == "__main__":
    print(json.dumps(published(sys.argv[1], sys.argv[2])))
