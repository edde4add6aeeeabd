"""Instructor, in an environment of its own: it wants an older jiter than the newest `openai` does."""

from functools import cache
from typing import Any

import instructor  # type: ignore[import-not-found,unused-ignore]
import openai
from pydantic import BaseModel

from tests.clients.programs.talk import Said, Task, failed, said, work


class City(BaseModel):
    """A city and its people."""

    name: str
    people: int


@cache
def _connected(base_url: str, api_key: str, mode: str) -> Any:  # noqa: ANN401 - not installed where types are checked
    client = openai.OpenAI(base_url=base_url, api_key=api_key)
    return instructor.from_openai(client, mode=instructor.Mode[mode])


def _asked(task: Task, mode: str) -> tuple[City, Any]:
    city, answer = _connected(task.base_url, task.api_key, mode).create_with_completion(
        model=task.model, messages=[{"role": "user", "content": task.prompt}], response_model=City
    )
    return city, answer.usage


def structured(task: Task) -> Said:
    """As JSON of a given form, which OpenAI calls a structured output."""
    city, usage = _asked(task, "JSON_SCHEMA")
    return said(None, usage.prompt_tokens, usage.completion_tokens, data=city.model_dump())


def structured_as_tool(task: Task) -> Said:
    """As the arguments of a tool, which is what it does unless told otherwise."""
    city, usage = _asked(task, "TOOLS")
    return said(None, usage.prompt_tokens, usage.completion_tokens, data=city.model_dump())


def structured_stream(task: Task) -> Said:
    """Half-filled objects, while the model writes. It tells no usage."""
    parts = _connected(task.base_url, task.api_key, "TOOLS").create_partial(
        model=task.model, messages=[{"role": "user", "content": task.prompt}], response_model=City
    )
    *_, city = parts
    return said(None, None, None, data=city.model_dump())


def responses_structured(task: Task) -> Said:
    city, usage = _asked(task, "RESPONSES_TOOLS")
    return said(None, usage.input_tokens, usage.output_tokens, data=city.model_dump())


def told(error: Exception) -> Said | None:
    """It wraps the errors of the `openai` package, and tries again only where an answer did not fit."""
    cause = error.__cause__
    if isinstance(cause, openai.APIStatusError):
        return failed(cause, cause.status_code, cause.code)
    return None


if __name__ == "__main__":
    work(
        {
            "structured": structured,
            "structured_as_tool": structured_as_tool,
            "structured_stream": structured_stream,
            "responses_structured": responses_structured,
        },
        told,
    )
