"""What the client programs have in common: a task a line comes in, and a line goes out with what the client saw.

Only the standard library, so that a client in an environment of its own can use it too.
"""

import asyncio
import json
import sys
import traceback
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

Said = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Task:
    """One thing to do against one server."""

    scenario: str
    base_url: str
    api_key: str
    model: str
    embedding_model: str
    prompt: str


def said(text: str | None, input_tokens: int | None, output_tokens: int | None, **more: object) -> Said:
    return {"text": text, "input_tokens": input_tokens, "output_tokens": output_tokens, **more}


def failed(error: BaseException, status: int | None, code: str | None) -> Said:
    return {"error": {"class": type(error).__name__, "status": status, "code": code}}


def work(
    scenarios: Mapping[str, Callable[[Task], Said | Awaitable[Said]]],
    told: Callable[[Exception], Said | None],
) -> None:
    """Do what is asked until the input ends. `told` reads the errors that the client is meant to raise."""
    answers, sys.stdout = sys.stdout, sys.stderr  # what a library prints must not get in between
    with asyncio.Runner() as runner:
        for line in sys.stdin:
            task = Task(**json.loads(line))
            try:
                result = scenarios[task.scenario](task)
                answer = result if isinstance(result, dict) else runner.run(_waited(result))
            except Exception as error:  # noqa: BLE001 - whatever went wrong is the answer
                answer = told(error) or {"crash": traceback.format_exc()}
            print(json.dumps(answer), file=answers, flush=True)


async def _waited(result: Awaitable[Said]) -> Said:
    return await result
