"""The background loop, which any process may run: end the holds whose owner died, forget what was kept long enough."""

import asyncio
import logging

from farebox.domain.errors import CallError
from farebox.ports.calls import Ledger

log = logging.getLogger("farebox.settle")


async def settle(ledger: Ledger, sweep_seconds: float) -> None:
    """Sweep for ever; a database that is away is asked again at the next sweep."""
    while True:
        is_more = False
        try:
            expired = await ledger.expire()
            if expired:
                log.warning("%d holds expired: their process died, or their call took too long", expired)
            is_more = await ledger.forget()
        except CallError as error:
            log.warning("the sweep has to wait: %s", error.detail)
        except Exception:
            log.exception("the sweep failed")
        if not is_more:  # or what is kept by many calls would grow for ever
            await asyncio.sleep(sweep_seconds)
