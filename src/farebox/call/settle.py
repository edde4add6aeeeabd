"""The background loop, which any process may run: expire the holds whose owner died."""

import asyncio
import logging

from farebox.domain.errors import CallError
from farebox.ports.calls import Ledger

log = logging.getLogger("farebox.settle")


async def settle(ledger: Ledger, sweep_seconds: float) -> None:
    """Sweep for ever; a database that is away is asked again at the next sweep."""
    while True:
        try:
            expired = await ledger.expire()
            if expired:
                log.warning("%d holds expired: their process died, or their call took too long", expired)
        except CallError as error:
            log.warning("the sweep has to wait: %s", error.detail)
        except Exception:
            log.exception("the sweep failed")
        await asyncio.sleep(sweep_seconds)
