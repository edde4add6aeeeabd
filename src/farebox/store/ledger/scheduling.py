"""In a crowd of calls, a thread that wakes does not preempt the others on its processor (decision 24)."""

import os
import sys
from contextlib import suppress
from typing import Final

CROWD: Final = 8


class Courtesy:
    """The scheduling of the calling thread. For one thread; only Linux has the choice.

    A thread that preempts serves a single waiting call sooner. In a crowd, preempting cuts everybody's work into
    pieces, each with a cold cache, and the thread finds fewer calls waiting for it.
    """

    def __init__(self) -> None:
        self._is_courteous = False

    def among(self, size: int) -> None:
        """Adjust to a batch of `size`."""
        if sys.platform == "linux" and (size >= CROWD) != self._is_courteous:
            self._is_courteous = not self._is_courteous
            policy = os.SCHED_BATCH if self._is_courteous else os.SCHED_OTHER
            with suppress(OSError):  # a sandbox may forbid it, and then things are as they were
                os.sched_setscheduler(0, policy, os.sched_param(0))
