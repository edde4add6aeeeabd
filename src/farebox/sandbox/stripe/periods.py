"""Where one period ends and the next begins: whole intervals from an anchor, at the last day of a shorter month."""

import calendar
from datetime import UTC, datetime, timedelta
from typing import Final

from farebox.sandbox.stripe.things import Thing

MONTHS: Final = {"month": 1, "year": 12}
DAYS: Final = {"day": 1, "week": 7}
TYPICAL_DAYS: Final = {"day": 1, "week": 7, "month": 28, "year": 365}


def moved(anchor: int, recurring: Thing, count: int) -> int:
    """The anchor, moved by `count` intervals, which may be negative."""
    start = datetime.fromtimestamp(anchor, UTC)
    steps = count * int(recurring["interval_count"])
    if recurring["interval"] in DAYS:
        return int((start + timedelta(days=steps * DAYS[recurring["interval"]])).timestamp())
    months = start.year * 12 + start.month - 1 + steps * MONTHS[recurring["interval"]]
    year, month = divmod(months, 12)
    day = min(start.day, calendar.monthrange(year, month + 1)[1])
    return int(start.replace(year=year, month=month + 1, day=day).timestamp())


def end_after(anchor: int, recurring: Thing, at: int) -> int:
    """The first end of a period that is later than a moment."""
    days = TYPICAL_DAYS[recurring["interval"]] * int(recurring["interval_count"])
    count = (at - anchor) // (days * 86_400) + 2
    while moved(anchor, recurring, count - 1) > at:
        count -= 1
    return moved(anchor, recurring, count)
