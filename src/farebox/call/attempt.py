"""One try at one model: send the request, and say what came of it."""

import logging
import random
from email.utils import parsedate_to_datetime
from math import ceil
from time import monotonic, time
from typing import Final, NamedTuple

from pydantic_core import from_json

from farebox.call.service import Model
from farebox.call.sse import begins, has_first
from farebox.domain.dialects import Dialect
from farebox.domain.errors import (
    CallError,
    RequestRefused,
    UpstreamBusy,
    UpstreamError,
    UpstreamFailed,
    UpstreamTimeout,
)
from farebox.ports.calls import Reply, Streamed

log = logging.getLogger("farebox.upstream")

OK: Final = 200
SERVER_ERRORS: Final = 500
BUSY_STATUSES: Final = frozenset({429, 503, 529})  # 529 is Anthropic's
RETRIED_STATUSES: Final = BUSY_STATUSES | {408, 500, 502, 504, 520, 521, 522, 523, 524}  # from 520 on: Cloudflare's
REFUSED_STATUSES: Final = frozenset({400, 413, 422})
BUSY_SECONDS: Final = 5
BUSY_SECONDS_MAX: Final = 3600
DIGITS_MAX: Final = 10  # of seconds; int() refuses more than 4,300
BACKOFF_SECONDS: Final = 0.5
REFUSAL_CHARS_MAX: Final = 500
ERROR_BYTES_MAX: Final = 65_536
FAILED: Final = "The model call failed. Nothing was charged; try again."
UNREADABLE: Final = "The model's answer could not be read. Nothing was charged; try again."


class Attempt(NamedTuple):
    """One try at one model. `reply` is None if nothing came back; `stream` and `piece` are set if a stream began.

    `unasked` says why the provider was left alone, if it was.
    """

    model: Model
    started: float
    reply: Reply | None = None
    error: UpstreamError | None = None
    stream: Streamed | None = None
    piece: bytes = b""
    unasked: str = ""


async def try_once(
    model: Model, dialect: Dialect, body: bytes, deadline: float, *, is_stream: bool, fair_seconds: float
) -> Attempt:
    """Ask a model once, unless its provider is out of order. The attempt holds the outcome, errors too.

    Args:
        model: whom to ask.
        dialect: which of the provider's endpoints, and how its answer is read.
        body: the request.
        deadline: when it has to be over, in monotonic seconds.
        is_stream: whether the answer comes in pieces.
        fair_seconds: a timeout shorter than this does not count against the breaker.
    """
    started = monotonic()
    breaker = model.breaker
    if not breaker.may_try(started):
        wait = max(breaker.retry_after(started), 1)
        resting = UpstreamBusy("The model is not available now. Try again later.", retry_after_seconds=wait)
        unasked = f"not asked for {wait} s, after {breaker.failures} failures (FAREBOX_BREAKER_FAILURES)"
        return Attempt(model, started, error=resting, unasked=unasked)
    seconds_max = max(deadline - started, 0.001)
    try:
        if is_stream:
            attempt = await _open(model, dialect, body, seconds_max)
        else:
            attempt = Attempt(model, started, await model.upstream.send(dialect.path, body, seconds_max))
    except UpstreamError as error:
        if seconds_max >= fair_seconds or not isinstance(error, UpstreamTimeout):
            breaker.failed(monotonic())
        return Attempt(model, started, error=error)
    except Exception as error:
        log.exception("the connection to the model broke")
        failed = UpstreamFailed(FAILED)
        failed.__cause__ = error
        return Attempt(model, started, error=failed)
    if attempt.reply is not None and attempt.reply.status >= SERVER_ERRORS:
        breaker.failed(monotonic())
    else:
        breaker.succeeded()
    return attempt


async def _open(model: Model, dialect: Dialect, body: bytes, seconds_max: float) -> Attempt:
    """Open a stream and read its first event: until then, another model may still be asked.

    A model may think for long before it says anything, so the wait is bounded by the deadline alone.
    """
    started = monotonic()
    stream = await model.upstream.stream(dialect.path, body, seconds_max)
    try:
        if stream.status != OK:
            reply = Reply(stream.status, stream.headers, await _read_bounded(stream))
            await stream.close()
            return Attempt(model, started, reply)
        piece = await _read_first(stream)
    except BaseException:
        await stream.close()
        raise
    reply = Reply(stream.status, stream.headers, b"")
    if piece and begins(dialect, piece):
        return Attempt(model, started, reply, stream=stream, piece=piece)
    await stream.close()
    if not piece:
        raise UpstreamFailed(UNREADABLE)
    # Returned, not raised: raising counts against the breaker, and an error under a 200 may concern this request alone.
    # Nor is the model asked again: it may have answered, only not in a stream.
    return Attempt(model, started, reply)


async def _read_first(stream: Streamed) -> bytes:
    """Read until the first event is complete: usually that is one piece."""
    piece = await stream.read()
    while piece and not has_first(piece):
        more = await stream.read()
        if not more:
            break
        piece += more
    return piece


async def _read_bounded(stream: Streamed) -> bytes:
    found = b""
    while len(found) < ERROR_BYTES_MAX and (piece := await stream.read()):
        found += piece
    return found


def error_of(attempt: Attempt) -> CallError:
    if attempt.error is not None:
        return attempt.error
    reply = attempt.reply
    assert reply is not None
    if reply.status in BUSY_STATUSES:
        wait = _retry_after(reply) or BUSY_SECONDS
        return UpstreamBusy("The model is busy. Nothing was charged; try again.", retry_after_seconds=wait)
    if reply.status in REFUSED_STATUSES:
        return _refusal(reply)
    return UpstreamFailed(FAILED)


def _refusal(reply: Reply) -> CallError:
    """The provider's objection to the request, in its own words: they are about the caller's fields."""
    try:
        said = from_json(reply.body)
    except ValueError:
        said = None
    error = said.get("error") if isinstance(said, dict) else None
    message = error.get("message") if isinstance(error, dict) else None
    param = error.get("param") if isinstance(error, dict) else None
    if not isinstance(message, str) or not message:
        return UpstreamFailed(FAILED)
    return RequestRefused(
        f"The model's provider refused this request: {message[:REFUSAL_CHARS_MAX]}",
        param=param if isinstance(param, str) else None,
    )


def pause_before_retry(attempt: Attempt, tries: int) -> float | None:
    """Seconds to wait before the provider is asked again, or None where that cannot help."""
    if attempt.reply is not None and attempt.error is None:
        if attempt.reply.status not in RETRIED_STATUSES:
            return None
        told = _retry_after(attempt.reply)
        if told is not None:
            return float(told)
    elif not isinstance(attempt.error, UpstreamFailed):
        return None
    jitter = 1 + random.random()  # noqa: S311  # not a secret
    return float(BACKOFF_SECONDS * 2 ** (tries - 1) * jitter)


def _retry_after(reply: Reply) -> int | None:
    """The header in seconds: it holds seconds or a date (RFC 9110, section 10.2.3)."""
    told = reply.headers.get("retry-after", "")
    if told.isascii() and told.isdigit():
        seconds = int(told) if len(told) <= DIGITS_MAX else BUSY_SECONDS_MAX
        return min(max(seconds, 1), BUSY_SECONDS_MAX)
    try:
        until = parsedate_to_datetime(told).timestamp()
    except (ValueError, OverflowError):
        return None
    return min(max(ceil(until - time()), 1), BUSY_SECONDS_MAX)
