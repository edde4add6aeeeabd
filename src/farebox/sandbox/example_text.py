"""A text that keeps to a JSON schema's length, pattern and format."""

from collections.abc import Iterator
from typing import Any, Final

from farebox.sandbox.example_pattern import sample
from farebox.sandbox.words import SANDBOX_MODEL

JsonObject = dict[str, Any]
PATTERN_CHARS_MAX: Final = 1_000
FORMATS: Final = {
    "binary": "ZmFyZWJveA==",
    "byte": "ZmFyZWJveA==",
    "date": "2026-01-{day:02}",
    "date-time": "2026-01-{day:02}T00:00:00Z",
    "duration": "P{day}D",
    "email": SANDBOX_MODEL + "{tail}@example.com",
    "hostname": SANDBOX_MODEL + "{tail}.example.com",
    "idn-email": SANDBOX_MODEL + "{tail}@example.com",
    "idn-hostname": SANDBOX_MODEL + "{tail}.example.com",
    "ipv4": "192.0.2.{day}",
    "ipv6": "2001:db8::{day}",
    "iri": "https://example.com/" + SANDBOX_MODEL + "{tail}",
    "iri-reference": "/" + SANDBOX_MODEL + "{tail}",
    "json-pointer": "/" + SANDBOX_MODEL + "{tail}",
    "json-string": '"' + SANDBOX_MODEL + '{tail}"',
    "relative-json-pointer": "{day}",
    "time": "00:00:{day:02}Z",
    "uri": "https://example.com/" + SANDBOX_MODEL + "{tail}",
    "uri-reference": "/" + SANDBOX_MODEL + "{tail}",
    "uri-template": "https://example.com/" + SANDBOX_MODEL + "{tail}",
    "url": "https://example.com/" + SANDBOX_MODEL + "{tail}",
    "uuid": "00000000-0000-4000-8000-{nth:012}",
    "uuid4": "00000000-0000-4000-8000-{nth:012}",
}


def text(schema: JsonObject, nth: int, least: int, most: int | None) -> str:
    """The `nth` text that the schema allows, `least` to `most` characters long."""
    pattern, form = schema.get("pattern"), schema.get("format")
    if isinstance(pattern, str) and len(pattern) <= PATTERN_CHARS_MAX:
        try:
            found = _padded(pattern, nth, least)
            return next((one for one in _fitting(pattern, nth, least) if _fits(one, least, most)), found)
        except (ValueError, OverflowError, RecursionError):
            pass  # a pattern that cannot be read is passed over
    tail = f"-{nth + 1}" if nth else ""
    if isinstance(form, str) and form in FORMATS:
        found = FORMATS[form].format(day=nth % 28 + 1, nth=nth, tail=tail)
        if _fits(found, least, most):
            return found
    size = max(least, len(SANDBOX_MODEL + tail))
    return _sized(tail, size if most is None else min(size, most))


def _fits(found: str, least: int, most: int | None) -> bool:
    return least <= len(found) and (most is None or len(found) <= most)


def _fitting(pattern: str, nth: int, least: int) -> Iterator[str]:
    """Texts that fit, of several lengths; where the pattern leaves the end open, one that ends in its number."""
    shortest = sample(pattern, nth)
    if nth and not pattern.endswith("$"):
        yield f"{shortest}-{nth + 1}"
    yield shortest
    gap = max(0, least - len(shortest))
    for chars_more in (gap, -(-gap // 2), -(-gap // 3)):
        yield sample(pattern, nth, chars_more)


def _padded(pattern: str, nth: int, least: int) -> str:
    """The shortest fitting text, made longer at an end that the pattern leaves open."""
    found = sample(pattern, nth)
    filler = _sized("", max(0, least - len(found)))
    if not pattern.endswith("$"):
        return found + filler
    return found if pattern.startswith("^") else filler + found


def _sized(tail: str, size: int) -> str:
    """The sandbox's name, cut or repeated to the size; the tail, which tells texts apart, stays at the end."""
    room = max(0, size - len(tail))
    name = f"{SANDBOX_MODEL} " * (room // len(SANDBOX_MODEL) + 1)
    return name[:room] + tail[max(0, len(tail) - size) :]
