"""The paid endpoints, on bare ASGI: bytes in, bytes out, nothing between the socket and the call."""

import asyncio
import json
import logging
from os import urandom
from time import time
from typing import Any, Final

from pydantic_core import to_json
from starlette.types import Message, Receive, Scope, Send

from farebox.call import CallRequest, Receipt, Service, paid_call
from farebox.domain import apikey
from farebox.domain.apikey import ApiKey
from farebox.domain.errors import (
    BadRequest,
    BodyTooLarge,
    CallError,
    InternalError,
    InvalidApiKey,
    InvalidRequest,
)
from farebox.web.limits import Headers, limit_headers
from farebox.web.problem import problem

log = logging.getLogger("farebox.web")

PROMPT_CHARS_MIN: Final = 3
PROMPT_CHARS_MAX: Final = 2_000
MAX_TOKENS_MAX: Final = 2**31
# A body over the limit is read and dropped up to here, so that the sender sees the answer and not a reset.
DRAIN_BYTES_MAX: Final = 32 << 20
BODY_SECONDS_MAX: Final = 30
NO_KEY: Final = "Send your API key in the X-API-Key header, or as 'Authorization: Bearer …'."


class ClientGone(Exception):
    """The client left before its request was whole."""


def new_call_id() -> str:
    """The call's id and the answer's x-request-id; in the order of time, so that rows are added at the end."""
    return f"req_{int(time() * 1000):012x}{urandom(10).hex()}"


class GenerateEndpoint:
    """POST /v1/generate."""

    def __init__(self, service: Service, body_bytes_max: int, public_url: str) -> None:
        self._service = service
        self._body_bytes_max = body_bytes_max
        self._public_url = public_url

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        call_id = new_call_id()
        try:
            receipt = await self._call(call_id, scope, receive)
            status, headers, body = _answer(receipt)
        except ClientGone:
            return
        except CallError as error:
            status, headers, body = problem(error, call_id, self._public_url)
        except Exception:
            log.exception("call %s failed", call_id)
            failed = InternalError("Something went wrong on our side. Try again.")
            status, headers, body = problem(failed, call_id, self._public_url)
        await respond(send, status, headers, body)

    async def _call(self, call_id: str, scope: Scope, receive: Receive) -> Receipt:
        # What is free comes first: the form of the key, the size and the form of the body. Then the database.
        key = read_key(scope)
        prompt, max_tokens = _read_generate(await read_body(receive, self._body_bytes_max))
        return await paid_call(self._service, CallRequest(call_id, key, "/v1/generate", prompt, max_tokens))


def read_key(scope: Scope) -> ApiKey:
    """The caller's key, if its form and checksum are right.

    Raises:
        InvalidApiKey: there is none, or it cannot be one.
    """
    sent: bytes | None = None
    for name, value in scope["headers"]:
        if name == b"x-api-key":
            sent = value
            break
        if name == b"authorization" and value[:7].lower() == b"bearer ":
            sent = value[7:]
    if sent is None:
        raise InvalidApiKey(NO_KEY)
    key = apikey.parse(sent.decode("latin-1").strip())
    if key is None:
        raise InvalidApiKey("This is not an API key of this service. Check that it was copied whole.")
    return key


async def read_body(receive: Receive, bytes_max: int) -> bytes:
    """The whole body.

    Raises:
        BodyTooLarge: it is over the limit.
        BadRequest: it did not arrive in time.
        ClientGone: it never became whole.
    """
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):
        body: bytes = message.get("body", b"")
        if len(body) <= bytes_max:
            return body  # whole at once, as nearly all are
    try:
        async with asyncio.timeout(BODY_SECONDS_MAX):
            return await _read_parts(message, receive, bytes_max)
    except TimeoutError:
        raise BadRequest(f"The body did not arrive within {BODY_SECONDS_MAX} s. Send it whole.") from None


async def _read_parts(message: Message, receive: Receive, bytes_max: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while True:
        if message["type"] == "http.disconnect":
            raise ClientGone
        chunk = message.get("body", b"")
        size += len(chunk)
        if size <= bytes_max:
            chunks.append(chunk)
        else:
            chunks.clear()
        if not message.get("more_body") or size > max(bytes_max, DRAIN_BYTES_MAX):
            break
        message = await receive()
    if size > bytes_max:
        raise BodyTooLarge(f"The body is larger than {bytes_max:,} bytes. Send less.")
    return b"".join(chunks)


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise InvalidRequest("The JSON has the same key twice. Send each key once.")
    return found


def _no_constant(name: str) -> None:
    raise InvalidRequest(f"The JSON has {name}, which JSON does not know. Send a number.")


_strict_json = json.JSONDecoder(object_pairs_hook=_no_repeats, parse_constant=_no_constant)


def read_json(body: bytes) -> dict[str, Any]:
    """The body as a JSON object.

    Raises:
        InvalidRequest: it is none: not UTF-8, not JSON, not an object, too deep, a key twice.
    """
    try:
        value = _strict_json.decode(body.decode())
    except UnicodeDecodeError:
        raise InvalidRequest("The body is not UTF-8 text. Send JSON in UTF-8.") from None
    except RecursionError:
        raise InvalidRequest("The JSON is nested too deep.") from None
    except ValueError:
        raise InvalidRequest('The body is not JSON. Send an object such as {"prompt": "…"}.') from None
    if not isinstance(value, dict):
        raise InvalidRequest('The body is not a JSON object. Send one such as {"prompt": "…"}.')
    return value


def _read_generate(body: bytes) -> tuple[str, int | None]:
    request = read_json(body)
    if "prompt" not in request:
        raise InvalidRequest("prompt is missing. Send what the model should answer.", param="prompt")
    prompt = request["prompt"]
    if not isinstance(prompt, str):
        raise InvalidRequest("prompt is not a string.", param="prompt")
    if not PROMPT_CHARS_MIN <= len(prompt) <= PROMPT_CHARS_MAX:
        raise InvalidRequest(
            f"prompt has {len(prompt):,} characters; send {PROMPT_CHARS_MIN} to {PROMPT_CHARS_MAX:,}.", param="prompt"
        )
    try:
        prompt.encode()
    except UnicodeEncodeError:
        raise InvalidRequest("prompt has half of a surrogate pair, which is no character.", param="prompt") from None
    max_tokens = request.get("max_tokens")
    if isinstance(max_tokens, float) and max_tokens.is_integer():
        max_tokens = int(max_tokens)  # JSON has one kind of number: 5.0 is a whole one
    if max_tokens is not None and not (type(max_tokens) is int and 1 <= max_tokens <= MAX_TOKENS_MAX):
        raise InvalidRequest("max_tokens is a whole number of 1 or more.", param="max_tokens")
    if request.get("stream") is not None and request["stream"] is not False:  # 0 is no boolean
        raise InvalidRequest("This endpoint does not stream. Leave stream out.", param="stream")
    return prompt, max_tokens


def _answer(receipt: Receipt) -> tuple[int, Headers, bytes]:
    outcome, (plan, meter, _) = receipt.outcome, receipt.standing
    left = None if plan.calls is None else max(plan.calls - meter.posted_calls - meter.held_calls, 0)
    body = {
        "text": receipt.text,
        "input_tokens": outcome.input_tokens,
        "output_tokens": outcome.output_tokens,
        "tokens": outcome.input_tokens + outcome.output_tokens,
        "calls_used": meter.posted_calls,
        "calls_remaining": left,
    }
    headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    headers += limit_headers(receipt.standing)
    headers.append((b"x-request-id", receipt.call_id.encode()))
    return 200, headers, to_json(body)


async def respond(send: Send, status: int, headers: Headers, body: bytes) -> None:
    headers.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
