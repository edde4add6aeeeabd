"""Billing periods: months counted from an account's anchor, in UTC. They tile time without gap or overlap."""

from calendar import monthrange
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, NamedTuple

MICROSECONDS: Final = 10**6
DAY_US: Final = 86_400 * MICROSECONDS


class Period(NamedTuple):
    """A half-open span of time, [start_us, end_us), in microseconds since the epoch."""

    start_us: int
    end_us: int


def _datetime(us: int) -> datetime:
    seconds, rest = divmod(us, MICROSECONDS)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest)


def _microseconds(moment: datetime) -> int:
    return int(moment.replace(microsecond=0).timestamp()) * MICROSECONDS + moment.microsecond


def _months_after(anchor: datetime, months: int) -> datetime:
    # Counted from the anchor, not from the last period: an anchor on the 31st comes back to the 31st.
    year, month0 = divmod(anchor.year * 12 + anchor.month - 1 + months, 12)
    day = min(anchor.day, monthrange(year, month0 + 1)[1])
    return anchor.replace(year=year, month=month0 + 1, day=day)


@lru_cache(maxsize=4096)
def _start_us(anchor_us: int, months: int) -> int:
    return _microseconds(_months_after(_datetime(anchor_us), months))


def period_at(anchor_us: int, now_us: int) -> Period:
    """The period that contains `now_us`; moments before the anchor have periods too."""
    anchor, now = _datetime(anchor_us), _datetime(now_us)
    months = (now.year - anchor.year) * 12 + now.month - anchor.month
    if _start_us(anchor_us, months) > now_us:
        months -= 1
    return Period(_start_us(anchor_us, months), _start_us(anchor_us, months + 1))


def period_after(anchor_us: int, start_us: int, months: int) -> Period:
    """The period of so many months that begins at `start_us`, the start of one of the anchor's periods."""
    anchor, start = _datetime(anchor_us), _datetime(start_us)
    passed = (start.year - anchor.year) * 12 + start.month - anchor.month
    return Period(start_us, _start_us(anchor_us, passed + months))


def iso(us: int) -> str:
    """A moment for people and JSON: '2026-11-23T09:07:58.000000Z'."""
    return _datetime(us).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def day(us: int) -> str:
    """The UTC day of a moment, as '2026-11-23'."""
    return _day_name(us // DAY_US)


@lru_cache(maxsize=64)
def _day_name(day_number: int) -> str:
    return _datetime(day_number * DAY_US).strftime("%Y-%m-%d")
