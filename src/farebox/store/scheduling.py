"""In a crowd, a thread that wakes does not push the others of its processor aside (decision 24)."""

import os
import sys
from contextlib import suppress
from typing import Final

CROWD: Final = 8


class Courtesy:
    """How the calling thread takes its turns on a processor. For one thread; only Linux has such a choice.

    Who waits for a single call is served sooner by a thread that pushes in. In a crowd that cuts everybody's
    work into pieces, each with a cold cache, and finds less company waiting.
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
