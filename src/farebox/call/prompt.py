"""Run the model, and read from the bytes what it used. Whatever the provider does, the call gets an ending."""

import asyncio
import logging
import random
from http import HTTPStatus
from time import monotonic
from typing import Final, NamedTuple

from pydantic_core import to_json

from farebox.call.service import CallRequest, Model, Service
from farebox.domain.completion import read_completion, request_body
from farebox.domain.errors import CallError, UpstreamBusy, UpstreamError, UpstreamFailed, UpstreamNoMessage
from farebox.domain.ledger import NOTHING_SPENT, Ending, Hold, Mark, Spent
from farebox.ports import Reply

log = logging.getLogger("farebox.upstream")

RETRIED_STATUSES: Final = frozenset({408, 429, 500, 502, 503, 504})
BUSY_SECONDS: Final = 5
BUSY_SECONDS_MAX: Final = 3600
BACKOFF_SECONDS: Final = 0.5


class Answer(NamedTuple):
    """How the model call ended: a text or an error, and what to record."""

    text: str
    ending: Ending
    spent: Spent
    error: CallError | None = None


async def prompt(service: Service, hold: Hold, request: CallRequest, deadline: float) -> Answer:
    """One answer of the model, after as many attempts as the settings allow before the deadline."""
    model = service.models[hold.mode]
    body = request_body(model.name, request.prompt, hold.output_tokens_max)
    attempts: list[dict[str, object]] = []
    while True:
        started = monotonic()
        reply = await _send(model, body, deadline - started)
        attempts.append(_attempt(model, reply, started))
        pause = _pause_before_retry(reply, len(attempts))
        if len(attempts) > service.upstream_retries_max or pause is None or monotonic() + pause >= deadline:
            break
        await asyncio.sleep(pause)
    text, ending, spent, error = _failed(reply) if isinstance(reply, UpstreamError) else _read(reply, hold, request)
    if error is not None:
        log.warning("call %s: %s", hold.call_id, attempts)
    spent = spent._replace(attempts=to_json(attempts).decode(), error=error.code if error is not None else "")
    return Answer(text, ending, spent, error)


async def _send(model: Model, body: bytes, seconds_max: float) -> Reply | UpstreamError:
    try:
        return await model.upstream.complete(body, max(seconds_max, 0.001))
    except UpstreamError as error:
        return error
    except Exception as error:
        log.exception("the way to the model broke")
        failed = UpstreamFailed("The model call failed. Nothing was charged; try again.")
        failed.__cause__ = error
        return failed


def _attempt(model: Model, reply: Reply | UpstreamError, started: float) -> dict[str, object]:
    outcome: dict[str, object] = {"model": model.name, "ms": round((monotonic() - started) * 1000)}
    if isinstance(reply, UpstreamError):
        return {**outcome, "error": reply.code, "cause": type(reply.__cause__).__name__}
    return {**outcome, "status": reply.status}


def _pause_before_retry(reply: Reply | UpstreamError, tries: int) -> float | None:
    """Seconds to wait before the provider is asked again, or None where that cannot help."""
    if isinstance(reply, Reply):
        if reply.status not in RETRIED_STATUSES:
            return None
        told = _retry_after(reply)
        if told is not None:
            return float(told)
    elif not isinstance(reply, UpstreamFailed):
        return None
    jitter = 1 + random.random()  # noqa: S311  # not a secret
    return float(BACKOFF_SECONDS * 2 ** (tries - 1) * jitter)


def _retry_after(reply: Reply) -> int | None:
    told = reply.headers.get("retry-after", "")
    return min(max(int(told), 1), BUSY_SECONDS_MAX) if told.isascii() and told.isdigit() else None


def _failed(error: CallError, spent: Spent = NOTHING_SPENT) -> Answer:
    return Answer("", "void", spent, error)


def _read(reply: Reply, hold: Hold, request: CallRequest) -> Answer:
    if reply.status in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}:
        wait = _retry_after(reply) or BUSY_SECONDS
        return _failed(UpstreamBusy("The model is busy. Nothing was charged; try again.", retry_after_seconds=wait))
    if reply.status != HTTPStatus.OK:
        return _failed(UpstreamFailed("The model call failed. Nothing was charged; try again."))
    completion = read_completion(reply.body, hold, request.prompt)
    text, spent, is_whole = completion
    if not is_whole:
        unread = UpstreamFailed("The model's answer could not be read. Nothing was charged; try again.")
        return _failed(unread, spent)
    if text is None:
        spent = spent._replace(marks=(*spent.marks, Mark.NO_MESSAGE))
        detail = "The model returned no message for this prompt. Nothing was charged; change the prompt."
        return Answer("", "post_free", spent, UpstreamNoMessage(detail))
    return Answer(text, "post", spent)
