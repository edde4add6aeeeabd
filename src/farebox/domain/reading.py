"""What a customer reads of their calls: sums, and a search that looks at no more calls than it may.

A call's id begins with the moment at which it came, so the ids of a day lie side by side, and finding them takes no
index but the primary key.
"""

import re
from collections.abc import Sequence
from datetime import date
from itertools import pairwise
from typing import Final, NamedTuple

from farebox.domain.apikey import Mode
from farebox.domain.ledger import Meter, State
from farebox.domain.period import DAY_US, MICROSECONDS, Period, day

# The process that takes a call makes its id, and the ledger gives its time of admission a little later, by its own
# clock. The clocks of two machines may be this far apart.
CLOCKS_APART_US: Final = 600 * MICROSECONDS
CALL_ID: Final = re.compile(r"req_[0-9a-f]{32}", re.ASCII)
PLACE: Final = re.compile(r"req_[0-9a-f]{12}(?:[0-9a-f]{20})?", re.ASCII)
"""A call's id, or the beginning that all ids of a moment share."""
ABOVE_ALL: Final = "req_g"
FIRST_DAY: Final = date(1970, 1, 2)
LAST_DAY: Final = date(9999, 1, 1)
BETWEEN_MAX: Final = 1_000
"""How many calls can be gone through in the time of one more statement."""
MOMENT_US_MAX: Final = 2**48 * 1000 - 1


class Sums(NamedTuple):
    """The sums of some calls: those of a day, of an endpoint, of a key or of a model."""

    name: str
    posted: int
    voided: int
    expired: int
    calls: int
    tokens: int
    input_tokens: int
    output_tokens: int
    charge_nanodollars: int

    @property
    def failed(self) -> int:
        """Calls that ended without an answer."""
        return self.voided + self.expired


class Search(NamedTuple):
    """Which calls are looked for, the newest first; an empty field does not narrow the search."""

    state: State | None = None
    endpoint: str = ""
    key_id: str = ""
    mode: Mode | None = None
    day: str = ""
    before: str = ""
    """Where to go on: the id of a call, or the beginning that all ids of a moment share."""
    is_invoiced: bool = False
    """Only what comes onto an invoice."""

    @property
    def is_narrow(self) -> bool:
        """Whether there may be calls that do not fit."""
        return self._replace(before="") != Search()

    @property
    def below(self) -> str:
        return self.before or ABOVE_ALL


class Span(NamedTuple):
    """The ids from `low` on, below `high`."""

    low: str
    high: str


def place_of(us: int) -> str:
    """A lower bound of all ids from a moment on."""
    return f"req_{min(max(us, 0), MOMENT_US_MAX) // 1000:012x}"


def moment_us(place: str) -> int:
    """The moment of an id, or of a place between ids."""
    return int(place[4:16], 16) * 1000


def day_start_us(name: str) -> int:
    return (date.fromisoformat(name) - date(1970, 1, 1)).days * DAY_US


def is_day(name: str) -> bool:
    """Whether it is a day as rollups name it, of a time in which there are calls."""
    try:
        found = date.fromisoformat(name)
    except ValueError:
        return False
    return FIRST_DAY <= found <= LAST_DAY and found.isoformat() == name


def span_of(first_day: str, last_day: str) -> Span:
    """The span of all ids that calls of these days can have; it has some ids of other days, too."""
    low_us, high_us = day_start_us(first_day), day_start_us(last_day) + DAY_US
    return Span(place_of(low_us - CLOCKS_APART_US), place_of(high_us + CLOCKS_APART_US))


def place_before(first_day: str) -> str:
    """The place below which all calls of earlier days are; some calls of the day itself are below it, too."""
    return place_of(day_start_us(first_day) + CLOCKS_APART_US)


class DayCount(NamedTuple):
    """How many calls of a day fit a search, and how many there are at all."""

    name: str
    fitting: int
    whole: int


class Route(NamedTuple):
    """Where a search looks, the newest first."""

    spans: list[Span]
    """All calls in these are looked at."""
    rest: Span | None
    """Behind them, only as many calls as may still be looked at: `rest_max`."""
    rest_max: int
    is_whole: bool
    """Whether there is no older day on which a call fits."""


def route(days: Sequence[DayCount], below: str, wanted: int, looked_at_max: int) -> Route:
    """The way through the days with calls, until there are as many as wanted or enough were looked at.

    Days on which no call fits are stepped over, unless they are so small that going through them is less work.
    """
    found: list[Span] = []
    left, sure, between = looked_at_max, 0, 0
    for name, fitting, whole in sorted(days, reverse=True):
        low, top = span_of(name, name)
        high = min(top, below)
        if low >= high:
            continue
        if not fitting:
            between += whole
            continue
        if sure >= wanted:
            return Route(found, None, 0, is_whole=False)
        goes_on = bool(found) and between <= BETWEEN_MAX
        cost = whole + between if goes_on else whole
        if cost > left:
            rest = Span(low, min(high, found[-1].low) if found else high)
            return Route(found, rest if left and low < rest.high else None, left, is_whole=False)
        if goes_on:
            found[-1] = Span(low, found[-1].high)
        else:
            found.append(Span(low, high))
        left, between = left - cost, 0
        # How many calls are left of the day in which an earlier page ended is not known.
        sure += fitting if top <= below else 0
    return Route(found, None, 0, is_whole=True)


def days_looked_at(search: Search, now_us: int, most: int) -> tuple[str, str]:
    """The first and the last of the days that one search goes through."""
    if search.day:
        return search.day, search.day
    newest_us = min(moment_us(search.before), now_us) if search.before else now_us
    newest_us += CLOCKS_APART_US
    return day(max(newest_us - (most - 1) * DAY_US, 0)), day(newest_us)


def days_between(first_us: int, last_us: int) -> list[str]:
    """The names of the days from one moment to another."""
    return [day(us) for us in range(first_us // DAY_US * DAY_US, last_us + 1, DAY_US)]


def under_way(meters: Sequence[Meter], mode: Mode, now_us: int) -> Meter | None:
    """The meter that the calls of a mode count on at this moment: another mode's may have begun at another one."""
    return next((one for one in meters if one.name == mode and one.period_start_us <= now_us < one.period_end_us), None)


def periods_of(meters: Sequence[Meter], current: Period) -> list[Period]:
    """The account's billing periods in which there was a call, and the one under way, the newest first."""
    return sorted({current, *(Period(one.period_start_us, one.period_end_us) for one in meters)}, reverse=True)


def close_starts(periods: Sequence[Period]) -> set[int]:
    """The starts within a day of another one, as a purchase makes them: the day alone does not tell them apart."""
    starts = sorted(period.start_us for period in periods)
    return {us for two in pairwise(starts) if two[1] - two[0] < DAY_US for us in two}


def starting_at(periods: Sequence[Period], start_us: int) -> Period | None:
    return next((period for period in periods if period.start_us == start_us), None)
