"""A call made and run, and what its models are asked."""

import asyncio
import json
from collections.abc import Awaitable
from typing import Any, Final

from farebox import Call

SANDBOX: Final = "farebox-sandbox"


def requests_of(made: Call) -> list[dict[str, Any]]:
    """What the models are asked from now on."""
    asked: list[dict[str, Any]] = []
    upstream = made._wire.service.models["live"][0].upstream
    send = upstream.send

    async def noted(path: str, body: bytes, seconds_max: float) -> Any:  # noqa: ANN401  # a Reply
        asked.append(json.loads(body))
        return await send(path, body, seconds_max)

    upstream.send = noted  # type: ignore[method-assign]
    return asked


def assert_rest_is_left(made: Call) -> None:
    """What no question has used is there for the next one."""
    wire, hold, spent = made._wire, made._wire.admitted.hold, made.spent
    assert wire.input_left == hold.input_tokens_max - spent.input_tokens
    assert wire.output_left == hold.output_tokens_max - spent.output_tokens


def run(work: Awaitable[Any]) -> Any:  # noqa: ANN401
    async def scene() -> Any:  # noqa: ANN401
        return await work

    return asyncio.run(scene())
