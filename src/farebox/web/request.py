"""A paid request as it arrives: who sends it, its body, its Idempotency-Key. All of this is free, and comes first."""

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Generator
from contextlib import suppress
from math import isfinite
from os import urandom
from time import time
from types import coroutine
from typing import Any, Final, NamedTuple

from pydantic_core import from_json, to_json
from starlette.types import Message, Receive, Scope

from farebox.domain import apikey
from farebox.domain.admission import Once
from farebox.domain.apikey import ApiKey
from farebox.domain.errors import BadRequest, BodyTooLarge, CallError, InvalidApiKey, InvalidRequest
from farebox.domain.period import MICROSECONDS

# Of a sender who is refused, the body is read and dropped up to here: they would see a reset, and not the answer.
DRAIN_BYTES_MAX: Final = 32 << 20
BODY_SECONDS_MAX: Final = 30
UNCHECKED_BYTES_MAX: Final = 65_536
ONCE_CHARS_MAX: Final = 255
NUMBER_CHARS_MAX: Final = 100  # of a number that is refused
SPACE: Final = " \t\n\r"
NO_KEY: Final = "Send your API key in the X-API-Key header, or as 'Authorization: Bearer …'."


class ClientGone(Exception):
    """The client left before its request was whole."""


class Head(NamedTuple):
    """What the headers of a paid request say."""

    key: ApiKey
    idempotency_key: str | None
    content_type: bytes


def new_call_id() -> str:
    """The call's id and the answer's x-request-id; in the order of time, so that rows are added at the end."""
    return f"req_{int(time() * 1000):012x}{urandom(10).hex()}"


def read_head(scope: Scope) -> Head:
    """The caller's key, if its form and checksum are right, and what else the headers say.

    Raises:
        InvalidApiKey: there is none, or it cannot be one.
        InvalidRequest: the Idempotency-Key cannot be one.
    """
    headers = dict(scope["headers"])
    sent = headers.get(b"x-api-key")
    if sent is None:
        bearer = headers.get(b"authorization", b"")
        sent = bearer[7:] if bearer[:7].lower() == b"bearer " else None
    if sent is None:
        raise InvalidApiKey(NO_KEY)
    key = apikey.parse(sent.decode("latin-1").strip())
    if key is None:
        raise InvalidApiKey("This is not an API key of this service. Check that you copied all of it.")
    once = headers.get(b"idempotency-key")
    return Head(key, None if once is None else _idempotency_key(once), headers.get(b"content-type", b""))


def _idempotency_key(sent: bytes) -> str:
    """The key as it was sent, bare or as a quoted string."""
    once = sent.decode("latin-1").strip().strip('"')
    if not (0 < len(once) <= ONCE_CHARS_MAX and once.isascii() and once.isprintable()):
        raise InvalidRequest(
            f"The Idempotency-Key has to be 1 to {ONCE_CHARS_MAX} printable ASCII characters, such as a UUID.",
            param="Idempotency-Key",
        )
    return once


def read_key(scope: Scope) -> ApiKey:
    """The caller's key alone: where nothing is paid, an Idempotency-Key has no meaning.

    Raises:
        InvalidApiKey: there is none, or it cannot be one.
    """
    headers = [(name, value) for name, value in scope["headers"] if name != b"idempotency-key"]
    return read_head({"headers": headers}).key


def once_of(head: Head, path: str, body: bytes, seconds: int, *, is_stream: bool) -> Once | None:
    """The identity of a request that came with an Idempotency-Key; None without one.

    A key is scoped to its account and mode; the request's digest tells whether it is the same one again.
    """
    if head.idempotency_key is None:
        return None
    name = hashlib.sha256(f"{head.key.mode} {head.idempotency_key}".encode()).hexdigest()
    fingerprint = hashlib.sha256(path.encode() + b"\0" + body).hexdigest()
    return Once(name, fingerprint, is_stream, seconds * MICROSECONDS)


async def read_body(receive: Receive, bytes_max: int, check: Callable[[], Awaitable[object]] | None = None) -> bytes:
    """The whole body; one of more than 64 KiB only of a sender whom `check` does not refuse.

    Raises:
        CallError: as `check` raises it.
        BodyTooLarge: it is over the limit.
        BadRequest: it did not arrive in time.
        ClientGone: it never became whole.
    """
    # Nearly all bodies are there, and whole. A clock costs more, so it is set only where something has to come yet.
    steps = receive().__await__()
    waits_for = message = None
    try:
        waits_for = next(steps)
    except StopIteration as done:
        message = done.value
        if message["type"] == "http.request" and not message.get("more_body"):
            body: bytes = message.get("body", b"")
            if len(body) <= min(bytes_max, UNCHECKED_BYTES_MAX):
                return body
    parts = _Parts(receive, bytes_max, check)
    try:
        async with asyncio.timeout(BODY_SECONDS_MAX):
            if message is None:
                message = await _go_on(steps, waits_for)
            return await parts.read(message)
    except TimeoutError:
        late = BadRequest(f"The body did not arrive within {BODY_SECONDS_MAX} s. Send it whole.")
        raise parts.refusal or late from None


async def drop_body(scope: Scope, receive: Receive) -> None:
    """Read the body of a request that was refused by its head, and keep nothing, so that the sender sees the answer.

    Raises:
        ClientGone: it never became whole.
    """
    if any(name == b"expect" for name, _ in scope["headers"]):
        return  # who asks whether to send it has not sent it, and is not told to
    with suppress(CallError):
        await read_body(receive, 0)


@coroutine
def _go_on(steps: Generator[Any, Any, Message], waits_for: object) -> Generator[Any, Any, Message]:
    """The rest of an await whose first step was taken; otherwise the same as `yield from steps`."""
    try:
        while True:
            try:
                sent = yield waits_for
            except BaseException as error:  # noqa: BLE001  # a cancelled task is told so where it waits
                waits_for = steps.throw(error)
            else:
                waits_for = steps.send(sent)
    except StopIteration as done:
        message: Message = done.value
        return message


class _Parts:
    """A body that comes in parts.

    Attributes:
        refusal: why the sender is refused, though more of it may come; that is read and dropped.
    """

    def __init__(self, receive: Receive, bytes_max: int, check: Callable[[], Awaitable[object]] | None) -> None:
        self.refusal: CallError | None = None
        self._receive = receive
        self._bytes_max = bytes_max
        self._check = check

    async def read(self, message: Message) -> bytes:
        chunks: list[bytes] = []
        size = 0
        while True:
            if message["type"] == "http.disconnect":
                raise ClientGone
            chunk = message.get("body", b"")
            size += len(chunk)
            chunks.append(chunk)
            is_whole = not message.get("more_body")
            if self.refusal is None:
                await self._judge(size)
            if self.refusal is not None:
                chunks.clear()
            if is_whole or (self.refusal is not None and size > DRAIN_BYTES_MAX):
                break
            message = await self._receive()
        if self.refusal is not None:
            raise self.refusal
        return b"".join(chunks)

    async def _judge(self, size: int) -> None:
        if size > self._bytes_max:
            self.refusal = BodyTooLarge(f"The body is larger than {self._bytes_max:,} bytes. Send less.")
        elif self._check is not None and size > UNCHECKED_BYTES_MAX:
            check, self._check = self._check, None
            try:
                await check()
            except CallError as error:
                self.refusal = error


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise InvalidRequest("The JSON has the same key twice. Send each key once.")
    return found


def _no_constant(name: str) -> None:
    raise InvalidRequest(f"The JSON has {name[:NUMBER_CHARS_MAX]}, which is not a finite number. Send a number.")


def _finite(text: str) -> float:
    number = float(text)
    if not isfinite(number):  # JSON allows 1e999, and no float holds it
        _no_constant(text)
    return number


strict_json = json.JSONDecoder(object_pairs_hook=_no_repeats, parse_constant=_no_constant, parse_float=_finite)


def read_json(body: bytes, example: str = '{"prompt": "…"}') -> dict[str, Any]:
    """The body as a JSON object.

    Raises:
        InvalidRequest: it is none: not UTF-8, not JSON, not an object, too deep, a key twice.
    """
    try:
        text = body.decode().strip(SPACE)
        value, end = strict_json.raw_decode(text)
        if end < len(text):
            raise InvalidRequest(f"There is more text after the JSON. Send one object, such as {example}.")
    except UnicodeDecodeError:
        raise InvalidRequest("The body is not UTF-8 text. Send JSON in UTF-8.") from None
    except RecursionError:
        raise InvalidRequest("The JSON is nested too deep.") from None
    except ValueError:
        raise InvalidRequest(f"The body is not JSON. Send an object such as {example}.") from None
    if not isinstance(value, dict):
        raise InvalidRequest(f"The body is not a JSON object. Send one such as {example}.")
    return value


def read_writable(body: bytes, example: str) -> dict[str, Any]:
    """The body as a JSON object that can be written again.

    Raises:
        InvalidRequest: it is none, is nested too deep, or has half of a surrogate pair.
    """
    value = _at_a_glance(body)
    if value is not None:
        return value
    value = read_json(body, example)
    try:
        to_json(value)
    except (ValueError, RecursionError):
        raise InvalidRequest(
            "The JSON is nested too deep, or has half of a surrogate pair, which is no character."
        ) from None
    return value


def _at_a_glance(body: bytes) -> dict[str, Any] | None:
    """The object, if it is plain that no key is in it twice; None if a closer look is needed."""
    if b" :" in body or b"\n:" in body or b"\t:" in body or b"\r:" in body:
        return None
    try:
        value = from_json(body, allow_inf_nan=False)
        # Each key is followed by '":', and little else is. A key that comes twice is only once in the object.
        return value if type(value) is dict and body.count(b'":') == _keys_in(value) else None
    except ValueError:
        return None


def _keys_in(value: dict[str, Any] | list[Any]) -> int:
    """How many keys there are.

    Raises:
        ValueError: there is a number that is not finite, as 1e999 is read.
    """
    keys, inner = (len(value), value.values()) if type(value) is dict else (0, value)
    one: Any
    for one in inner:
        kind = type(one)
        if kind is dict or kind is list:
            keys += _keys_in(one)
        elif kind is float and not isfinite(one):
            raise ValueError(one)
    return keys
