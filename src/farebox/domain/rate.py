"""The burst limit: GCRA, a token bucket that needs to store one number.

Source: the generic cell rate algorithm of ITU-T I.371, in its virtual-scheduling form.
"""

import re
from typing import Final, NamedTuple

from farebox.domain.period import MICROSECONDS

BURST_SECONDS_MAX: Final = 86_400
_BURST = re.compile(r"([1-9]\d{0,8})/([1-9]\d{0,4})?(s|m|h)", re.ASCII)
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600}


class Burst(NamedTuple):
    """A bucket of `calls`, refilled evenly over `window_us`."""

    calls: int
    window_us: int

    @property
    def interval_us(self) -> int:
        """The time in which one call comes back; rounded up, so never more than the limit."""
        return -(-self.window_us // self.calls)


class Taken(NamedTuple):
    """What the bucket says: passed or not, its new state, and what to tell the caller."""

    passed: bool
    tat_us: int
    remaining: int
    retry_after_us: int
    full_after_us: int


def parse_burst(text: str) -> Burst:
    """'5/10s' → 5 calls in 10 seconds. Also '60/m', '1000/h', '20/5m'.

    Raises:
        ValueError: the text has another form, or the window is longer than a day.
    """
    match = _BURST.fullmatch(str(text))  # whatever a founder's file says
    seconds = int(match[2] or 1) * _UNIT_SECONDS[match[3]] if match else 0
    if match is None or seconds > BURST_SECONDS_MAX:
        raise ValueError(
            f"{text!r} is not a burst limit; write calls/time such as '5/10s', '60/m' or '1000/h', up to a day"
        )
    return Burst(int(match[1]), seconds * MICROSECONDS)


def look(burst: Burst, tat_us: int, now_us: int) -> Taken:
    """The bucket as it stands, taking nothing."""
    interval_us = burst.interval_us
    full_us = burst.calls * interval_us
    tat_us = max(tat_us, now_us)
    if tat_us > now_us + full_us:
        # Only a clock that was set back, or a plan that changed, leaves more owed than a bucket holds. One call
        # passes and puts the state right; otherwise the caller would wait until the clock has caught up.
        tat_us = now_us + full_us - interval_us
    owed_us = tat_us - now_us
    remaining = (full_us - owed_us) // interval_us
    retry_after_us = max(0, owed_us - (burst.calls - 1) * interval_us)
    return Taken(remaining > 0, tat_us, remaining, retry_after_us, owed_us)


def take(burst: Burst, tat_us: int, now_us: int) -> Taken:
    """Take one call from the bucket; a refusal takes nothing."""
    seen = look(burst, tat_us, now_us)
    if not seen.passed:
        return seen
    return look(burst, seen.tat_us + burst.interval_us, now_us)._replace(passed=True)
