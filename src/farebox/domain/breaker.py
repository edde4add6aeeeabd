"""A circuit breaker: a provider that fails again and again is left alone for a while, and then tried with one call."""

from math import ceil


class Breaker:
    """Closed, it lets every call through; open, only one trial every `seconds`. Times are passed in, in seconds.

    Args:
        failures_max: how many failures in a row open it; with 0 it never opens.
        seconds: how long it stays open before a call is let through to try.
    """

    __slots__ = ("_failures", "_failures_max", "_is_trying", "_open_until", "_seconds")

    def __init__(self, failures_max: int, seconds: float) -> None:
        assert failures_max >= 0
        assert seconds >= 0
        self._failures_max = failures_max
        self._seconds = seconds
        self._failures = 0
        self._open_until: float | None = None
        self._is_trying = False

    @property
    def is_open(self) -> bool:
        return self._open_until is not None

    @property
    def failures(self) -> int:
        """How many there were without a success between them; while it is open, none is counted."""
        return self._failures

    def may_try(self, now: float) -> bool:
        """Whether the provider may be asked. A caller that gets True has to ask, as it may be the one trial."""
        if self._open_until is None:
            return True
        if now < self._open_until:
            return False
        # If a trial's end is never reported (its caller left), the next trial can still begin after `seconds`.
        self._open_until = now + self._seconds
        self._is_trying = True
        return True

    def succeeded(self) -> None:
        """The provider answered: with anything but a 5xx, so a 429 or a 4xx too."""
        self._failures = 0
        self._open_until = None
        self._is_trying = False

    def failed(self, now: float) -> None:
        """The provider could not be reached, did not answer in time, or answered with a 5xx."""
        if self._open_until is None:
            self._failures += 1
            if self._failures_max and self._failures >= self._failures_max:
                self._open_until = now + self._seconds
        elif self._is_trying:
            # Only a trial prolongs it: calls from before it opened may go on failing until their deadline.
            self._open_until = now + self._seconds
            self._is_trying = False

    def retry_after(self, now: float) -> int:
        """Whole seconds until the next call is let through; 0 if one is now."""
        return 0 if self._open_until is None else max(ceil(self._open_until - now), 0)
