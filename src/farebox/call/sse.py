"""The events of a provider's stream, as bytes: where one ends, what it says, and whether it begins a stream."""

import re
from typing import Final

from farebox.domain.dialects import Dialect
from farebox.domain.dialects.base import Event

BLANK: Final = re.compile(rb"\n\r?\n")
# The beginning of an event that says nothing: a comment, a name alone, or only an empty line.
SILENT: Final = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?::|(?:data|event|id|retry)[:\r\n]|\Z)")
FIRST_BYTES_MAX: Final = 65_536  # a longer first event is not looked at


def payload_of(event: bytes) -> bytes:
    """The data of an event, without its name; empty for a comment."""
    return b"\n".join(line[5:].strip() for line in event.splitlines() if line.startswith(b"data:")).strip()


def is_silent(event: bytes) -> bool:
    """Whether an event without data is one at all (a comment, a name, an empty line), and not a gateway's page."""
    return SILENT.match(event) is not None


def has_first(piece: bytes) -> bool:
    """Whether enough of a stream is there for `begins` to tell."""
    return len(piece) > FIRST_BYTES_MAX or BLANK.search(piece) is not None


def begins(dialect: Dialect, piece: bytes) -> bool:
    """Whether a stream begins with this: an event of SSE, and no error unless it reports usage."""
    assert dialect.stream is not None, "who asks for a stream has looked"
    end = BLANK.search(piece)
    payload = payload_of(piece[: end and end.end()])
    if not payload or (end is None and len(piece) > FIRST_BYTES_MAX):
        return is_silent(piece)
    reader = dialect.stream()
    return reader.read(payload)[0] is not Event.ERROR or reader.usage is not None
