"""A number that keeps to a JSON schema's bounds."""

import math
from fractions import Fraction
from typing import Any

JsonObject = dict[str, Any]


def number(schema: JsonObject, nth: int, *, is_whole: bool) -> int | float:
    """The `nth` number that the bounds allow, reckoned with fractions, as floats are not exact."""
    low, high = _edge(schema, "minimum", "exclusiveMinimum"), _edge(schema, "maximum", "exclusiveMaximum")
    step = _figure(schema.get("multipleOf"))
    step = step if step is not None and step > 0 else None
    if is_whole:
        step = Fraction(step.numerator if step is not None else 1)  # the whole multiples of p/q are those of p
    found = _between(low, high, nth) if step is None else _stepped(low, high, step, nth)
    return found.numerator if is_whole or (step is not None and found.denominator == 1) else float(found)


Edge = tuple[Fraction, bool] | None
"""A bound, and whether the bound itself is left out."""


def _figure(value: object) -> Fraction | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return Fraction(value if isinstance(value, int) else repr(value))


def _edge(schema: JsonObject, closed_name: str, open_name: str) -> Edge:
    closed, is_open = _figure(schema.get(closed_name)), schema.get(open_name)
    beyond = _figure(is_open)
    if beyond is not None and closed is not None:
        is_tighter = beyond >= closed if "Min" in open_name else beyond <= closed
        return (beyond, True) if is_tighter else (closed, False)
    if beyond is not None:
        return beyond, True
    return None if closed is None else (closed, is_open is True)  # before draft 6 of JSON schema it is a boolean


def _stepped(low: Edge, high: Edge, step: Fraction, nth: int) -> Fraction:
    first = last = None
    if low is not None:
        first = math.ceil(low[0] / step) * step
        first += step if low[1] and first == low[0] else 0
    if high is not None:
        last = math.floor(high[0] / step) * step
        last -= step if high[1] and last == high[0] else 0
    start = math.ceil(1 / step) * step
    start = start if first is None else max(first, start)
    start = start if last is None else min(last, start)
    if last is None or start + nth * step <= last:
        return start + nth * step
    if first is None:
        return last - nth * step
    return first + nth % max(1, int((last - first) / step) + 1) * step


def _between(low: Edge, high: Edge, nth: int) -> Fraction:
    start = Fraction(3, 2) + nth
    is_above = low is None or start > low[0] or (start == low[0] and not low[1])
    is_below = high is None or start < high[0] or (start == high[0] and not high[1])
    if is_above and is_below:
        return start
    if low is not None and high is not None:
        return low[0] + (high[0] - low[0]) * Fraction(nth + 1, nth + 2)
    if low is not None:
        return low[0] + nth + low[1]
    return high[0] - nth - high[1] if high is not None else start
