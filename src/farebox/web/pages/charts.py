"""The geometry of a bar chart, in per cent of its box."""

from collections.abc import Sequence
from typing import Final, NamedTuple

GAP: Final = 0.25  # of the room of one bar
VISIBLE: Final = 0.8  # the least height of a bar that is not zero, so that it is seen
STEPS: Final = (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10)


class Bar(NamedTuple):
    x: float
    y: float
    width: float
    height: float


def top_of(values: Sequence[float]) -> int:
    """A round number, at or above every value."""
    most = max(values, default=0)
    size = 1
    while 10 * size < most:
        size *= 10
    return next((int(step * size) for step in STEPS if step * size >= most and (step * size) % 1 == 0), 10 * size)


def bars(values: Sequence[float]) -> list[Bar]:
    """A bar for each value, from the left."""
    top = top_of(values)
    room = 100 / max(1, len(values))
    heights = (max(VISIBLE, 100 * value / top) if value > 0 else 0 for value in values)
    return [
        Bar(round(at * room + room * GAP / 2, 3), round(100 - height, 3), round(room * (1 - GAP), 3), round(height, 3))
        for at, height in enumerate(heights)
    ]
