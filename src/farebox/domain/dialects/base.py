"""What the dialects have in common: how much a request can come to, how usage is read, how it is estimated."""

from collections.abc import Mapping
from enum import Enum, auto
from typing import Any, Final, NamedTuple, Protocol

from farebox.domain.errors import InvalidRequest
from farebox.domain.ledger import TOKENS_MAX
from farebox.domain.money import divide_up

JsonObject = dict[str, Any]

# No tokeniser makes more tokens than the text has bytes; the rest is the frame around the messages.
FRAME_TOKENS: Final = 16
TOOLS_TOKENS: Final = 1_000  # some providers put a prompt of their own before the tools
IMAGE_TOKENS_MAX: Final = 50_000  # an image in full detail, where the dearest model counts it
BYTES_PER_TOKEN: Final = 4


class Usage(NamedTuple):
    """Tokens of one model call, as the provider reports them; `cached_tokens` are a part of the input."""

    input_tokens: int
    cached_tokens: int
    output_tokens: int


class Completion(NamedTuple):
    """What a provider's answer says.

    `is_whole` is false where the body is no answer of this dialect, so that only its usage, if any, can be believed.
    `text_bytes` is the size of all that the model wrote, for the estimate where the provider sent no usage.
    """

    text: str | None
    usage: Usage | None
    has_message: bool
    text_bytes: int
    is_whole: bool = True


UNREADABLE: Final = Completion(None, None, has_message=False, text_bytes=0, is_whole=False)


class Event(Enum):
    """What to do with one event of a stream."""

    PASS = auto()  # to the customer at once
    END = auto()  # the answer's end begins here: to the customer when the call is recorded
    USAGE_ONLY = auto()  # was asked for by us: to the customer only if the customer asked too
    ERROR = auto()  # the provider breaks off


class StreamReader(Protocol):
    """Reads the events of one stream, and adds up what they say."""

    usage: Usage | None
    text_bytes: int
    has_message: bool
    is_done: bool
    """Whether the stream's proper end was seen."""

    def read(self, data: bytes) -> tuple[Event, str]:
        """One `data:` line's content. The text is what it adds to the answer, where the dialect has one text."""
        ...


class Dialect(Protocol):
    """One endpoint of the OpenAI wire."""

    path: str
    """Below the provider's base URL."""
    is_streamed: bool
    """Whether it has streams at all."""

    def check(self, request: JsonObject) -> None:
        """Refuse what would cost the founder more than tokens can tell.

        Raises:
            InvalidRequest: with the field as `param`.
        """
        ...

    def output_tokens_wanted(self, request: JsonObject) -> int | None:
        """The longest answer that the request asks for.

        Raises:
            InvalidRequest: it is no whole number of 1 or more.
        """
        ...

    def answers(self, request: JsonObject) -> int:
        """How many answers the request asks for.

        Raises:
            InvalidRequest: it is no whole number from 1 to 128.
        """
        ...

    def body(self, request: JsonObject, model: str, output_tokens_max: int, *, stream: bool) -> bytes:
        """The request as it goes to the provider: its model, its bound, and the usage asked for."""
        ...

    def read(self, content: bytes) -> Completion: ...
    def stream(self) -> StreamReader: ...


def count(value: object) -> int | None:
    """A number of tokens that can be believed."""
    whole = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= TOKENS_MAX
    return value if whole else None  # type: ignore[return-value]  # an int, as just checked


def usage_of(usage: object, read: str, written: str, details: str) -> Usage | None:
    """A provider's usage by the names that the dialect has for it."""
    if not isinstance(usage, dict):
        return None
    input_tokens, output_tokens = count(usage.get(read)), count(usage.get(written))
    if input_tokens is None or output_tokens is None:
        return None
    detail = usage.get(details)
    cached = count(detail.get("cached_tokens")) if isinstance(detail, dict) else None
    return Usage(input_tokens, min(cached or 0, input_tokens), output_tokens)


def estimated_tokens(text_bytes: int) -> int:
    """The stated estimate where no usage was reported: a token for each 4 bytes."""
    return divide_up(text_bytes, BYTES_PER_TOKEN)


def input_tokens_max(text: str) -> int:
    """More tokens than any tokeniser can make of a prompt."""
    return len(text.encode()) + FRAME_TOKENS


def request_tokens_max(size_bytes: int, request: JsonObject) -> int:
    """More input tokens than a request of this size can come to. Images count by their number, not by their bytes."""
    images, image_bytes = _images(request.get("messages")), 0
    images += _images(request.get("input"))
    for url in images:
        image_bytes += len(url)
    tokens = size_bytes - image_bytes + len(images) * IMAGE_TOKENS_MAX + FRAME_TOKENS
    return tokens + (TOOLS_TOKENS if request.get("tools") or request.get("functions") else 0)


def _images(messages: object) -> list[str]:
    """The URLs of all images, which may be the images themselves."""
    found: list[str] = []
    for message in messages if isinstance(messages, list) else ():
        for holder in ("content", "output"):
            parts = message.get(holder) if isinstance(message, dict) else None
            for part in parts if isinstance(parts, list) else ():
                if isinstance(part, dict) and part.get("type") in {"image_url", "input_image"}:
                    url = part.get("image_url")
                    url = url.get("url") if isinstance(url, dict) else url
                    found.append(url if isinstance(url, str) else "")
    return found


def whole_number(request: Mapping[str, Any], name: str, most: int = TOKENS_MAX) -> int | None:
    """A field that is a whole number of 1 or more, or absent.

    Raises:
        InvalidRequest: it is something else.
    """
    value = request.get(name)
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # JSON has one kind of number: 5.0 is a whole one
    if type(value) is not int or value < 1:
        raise InvalidRequest(f"{name} is a whole number of 1 or more.", param=name)
    if value > most and name == "n":
        raise InvalidRequest(f"{name} is a whole number from 1 to {most}.", param=name)
    return min(value, most)


def refuse(request: Mapping[str, Any], unmetered: Mapping[str, str]) -> None:
    """Refuse fields that cost money which no token count shows, or reach for what is not in the request.

    Raises:
        InvalidRequest: the first of them that is set.
    """
    for name, why in unmetered.items():
        if request.get(name):
            raise InvalidRequest(f"{name} is not offered here: {why} Leave it out.", param=name)


def refuse_tools(tools: object, kinds: frozenset[str]) -> None:
    """Refuse the tools that a provider runs, and bills, by itself.

    Raises:
        InvalidRequest: a tool that is not the caller's own.
    """
    for tool in tools if isinstance(tools, list) else ():
        kind = tool.get("type") if isinstance(tool, dict) else None
        if kind not in kinds:
            raise InvalidRequest(
                f"The tool type {kind!r} is not offered here: the provider bills it apart. Use tools of your own, "
                f"of type {' or '.join(sorted(map(repr, kinds)))}.", param="tools",
            )  # fmt: skip
