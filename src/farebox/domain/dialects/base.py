"""What the dialects have in common: how much a request can come to, how usage is read, how it is estimated."""

import json
from collections.abc import Callable, Iterator, Mapping
from enum import Enum, auto
from typing import Any, Final, NamedTuple, Protocol

from pydantic_core import from_json

from farebox.domain.errors import InvalidRequest
from farebox.domain.ledger import TOKENS_MAX
from farebox.domain.money import divide_up

JsonObject = dict[str, Any]

# No tokeniser makes more tokens than the text has bytes; the rest is the frame around the messages.
FRAME_TOKENS: Final = 16
TOOLS_TOKENS: Final = 1_000  # some providers put a prompt of their own before the tools
IMAGE_TOKENS_MAX: Final = 50_000  # an image in full detail, as the dearest model counts it
BYTES_PER_TOKEN: Final = 4
TEXT_FIELDS: Final = 2  # role and content

# Tuples, not sets: where a type should be, a request may hold a list, which is not hashable.
TEXT_TYPES: Final = ("text", "output_text")
IMAGE_TYPES: Final = ("image_url", "input_image")
PART_TEXTS: Final = ("text", "thinking", "refusal")
HOLDERS: Final = ("content", "output", "summary")


class Usage(NamedTuple):
    """Tokens of one model call, as the provider reports them.

    `cached_tokens` and `cache_write_tokens` are parts of the input: read from the provider's cache, and written to it.
    """

    input_tokens: int
    cached_tokens: int
    output_tokens: int
    cache_write_tokens: int = 0


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
    USAGE_ONLY = auto()  # we asked for it: to the customer only if the customer asked too
    ERROR = auto()  # the provider breaks off


class StreamReader(Protocol):
    """Reads the events of one stream, and adds up what they say."""

    usage: Usage | None
    text_bytes: int
    has_message: bool
    is_done: bool
    """Whether the stream's proper end was seen."""

    def skim(self, event: bytes) -> str | None:
        """The text of an event that is plain text and nothing else; it is counted then, and must not be read again.

        None for any other event, and for bytes that are not one whole event.
        """
        ...

    def read(self, data: bytes) -> tuple[Event, str]:
        """Read one `data:` line's content: what to do with it, and the text that it adds to the answer, if any."""
        ...


class Dialect(Protocol):
    """One endpoint of the OpenAI wire."""

    path: str
    """Below the provider's base URL."""

    def check(self, request: JsonObject) -> None:
        """Refuse what would have costs that token counts do not show.

        Raises:
            InvalidRequest: with the field as `param`.
        """
        ...

    def may_grow(self, request: JsonObject) -> bool:
        """Whether a checked request's prompt may get longer when it is written out again, as `1e15` does."""
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

    @property
    def stream(self) -> Callable[[], StreamReader] | None:
        """Makes the reader of a stream; None where the endpoint has no streams."""
        ...


def json_object(content: bytes) -> JsonObject | None:
    """A provider's answer, if it is a JSON object at all."""
    try:
        answer = from_json(content)
    except ValueError:
        answer = json_in_halves(content)
    return answer if isinstance(answer, dict) else None


def json_in_halves(content: bytes) -> Any:  # noqa: ANN401  # JSON
    """JSON with halves of characters, as gateways in JavaScript write them and `from_json` refuses, each read as "?".

    None where there are no such halves, or it is no JSON at all.
    """
    if b"\\ud" not in content.lower():
        return None
    try:
        return from_json(json.dumps(json.loads(content), ensure_ascii=False).encode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None


def count(value: object) -> int | None:
    """The value, if it is a believable number of tokens."""
    # Not isinstance: a bool is no number of tokens.
    return value if type(value) is int and 0 <= value <= TOKENS_MAX else None


def usage_of(usage: object, read: str, written: str, details: str) -> Usage | None:
    """Read a provider's usage by the dialect's names for it."""
    if not isinstance(usage, dict):
        return None
    input_tokens, output_tokens = count(usage.get(read)), count(usage.get(written))
    if input_tokens is None or output_tokens is None:
        return None
    # Some providers, Gemini among them, bill the model's thinking as output, but show it only in the total.
    thought = (count(usage.get("total_tokens")) or 0) - input_tokens - output_tokens
    if thought > 0:
        output_tokens += thought
    detail = usage.get(details)
    if not isinstance(detail, dict):
        return Usage(input_tokens, 0, output_tokens)
    cached = count(detail.get("cached_tokens"))
    cached = min(cached, input_tokens) if cached else 0
    if not detail.get("cache_write_tokens"):  # as nearly always
        return Usage(input_tokens, cached, output_tokens)
    return Usage(
        input_tokens, cached, output_tokens, min(count(detail["cache_write_tokens"]) or 0, input_tokens - cached)
    )


def text_of(content: object) -> str:
    """The text of a message: itself, or its text parts."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else ()
    texts = [part.get("text") for part in parts if isinstance(part, dict) and part.get("type") in TEXT_TYPES]
    return "".join(text for text in texts if isinstance(text, str))


def written_bytes(*written: object) -> int:
    """The size of all that the model wrote: texts, and the texts in lists of parts."""
    size = 0
    for value in written:
        if not value:
            continue
        if isinstance(value, str):
            size += len(value) if value.isascii() else len(value.encode("utf-8", "replace"))
        elif isinstance(value, list):
            size += written_bytes(*value)
        elif isinstance(value, dict):
            size += written_bytes(*(value.get(name) for name in PART_TEXTS))
    return size


def estimated_tokens(text_bytes: int) -> int:
    """The documented estimate where no usage was reported: a token for each 4 bytes."""
    return divide_up(text_bytes, BYTES_PER_TOKEN)


def input_tokens_max(text: str) -> int:
    """More tokens than any tokeniser can make of a prompt."""
    return len(text.encode()) + FRAME_TOKENS


def request_tokens_max(size_bytes: int, request: JsonObject) -> int:
    """More input tokens than a request of this size can come to. Images count by their number, not by their bytes."""
    images, image_bytes = 0, 0
    messages = request.get("messages")
    parts = () if has_only_texts(messages) else parts_of(messages)
    for part in (*parts, *parts_of(request["input"])) if "input" in request else parts:
        if part.get("type") in IMAGE_TYPES:
            url = part.get("image_url")
            url = url.get("url") if isinstance(url, dict) else url
            images += 1
            image_bytes += len(url) if isinstance(url, str) else 0
    tokens = size_bytes - image_bytes + images * IMAGE_TOKENS_MAX + FRAME_TOKENS
    return tokens + (TOOLS_TOKENS if request.get("tools") or request.get("functions") else 0)


def has_only_texts(messages: object) -> bool:
    """Whether messages are roles and texts, and nothing else: as most are."""
    if not isinstance(messages, list):
        return False
    for message in messages:
        if not isinstance(message, dict) or not isinstance(message.get("content"), str) or len(message) != TEXT_FIELDS:
            return False
        if "role" not in message:
            return False
    return True


def parts_of(messages: object) -> Iterator[JsonObject]:
    """The parts of those messages that are made of parts, and not just of a text."""
    for message in messages if isinstance(messages, list) else ():
        for holder in HOLDERS:
            parts = message.get(holder) if isinstance(message, dict) else None
            for part in parts if isinstance(parts, list) else ():
                if isinstance(part, dict):
                    yield part


def flag(request: Mapping[str, Any], name: str) -> bool:
    """A field that is true, or else false or absent.

    Raises:
        InvalidRequest: it is something else.
    """
    value = request.get(name)
    if value is not None and not isinstance(value, bool):  # 0 is no boolean
        raise InvalidRequest(f"{name} has to be true or false.", param=name)
    return bool(value)


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
        raise InvalidRequest(f"{name} has to be a whole number of 1 or more.", param=name)
    if value > most and name == "n":
        raise InvalidRequest(f"{name} has to be a whole number from 1 to {most}.", param=name)
    return min(value, most)
