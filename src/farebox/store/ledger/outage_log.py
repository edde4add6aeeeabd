"""What the log is told while the database is away: each batch fails then, hundreds a second."""

import logging
import math
from typing import Final

log = logging.getLogger("farebox.ledger")

EVERY_SECONDS: Final = 5.0


class OutageLog:
    """The first batch that fails is told at once, then all that failed since, every few seconds. For one thread."""

    def __init__(self) -> None:
        self._untold = 0
        self._told_at = -math.inf

    def failed(self, error: BaseException | None, now: float) -> None:
        self._untold += 1
        if now - self._told_at >= EVERY_SECONDS:
            batches = "a batch" if self._untold == 1 else f"{self._untold:,} batches"
            log.warning("the database did not take %s: %r", batches, error)
            self._untold, self._told_at = 0, now
