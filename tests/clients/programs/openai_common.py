"""What the `openai` package is asked for, by its sync and its async client."""

from typing import Final

import openai
from openai.types.chat import ChatCompletionFunctionToolParam, ChatCompletionMessageParam
from openai.types.responses import FunctionToolParam
from openai.types.shared_params import FunctionDefinition
from pydantic import BaseModel

from tests.clients.programs.talk import Said, Task, failed


class City(BaseModel):
    """The form of a structured answer."""

    name: str
    people: int


PARAMETERS: Final[dict[str, object]] = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
FUNCTION: Final[FunctionDefinition] = {
    "name": "temperature",
    "description": "The temperature in a city, in degrees Celsius.",
    "parameters": PARAMETERS,
    "strict": True,
}
CHAT_TOOL: Final[ChatCompletionFunctionToolParam] = {"type": "function", "function": FUNCTION}
RESPONSES_TOOL: Final[FunctionToolParam] = {
    "type": "function",
    "name": "temperature",
    "description": "The temperature in a city, in degrees Celsius.",
    "parameters": PARAMETERS,
    "strict": True,
}


def messages(task: Task) -> list[ChatCompletionMessageParam]:
    return [{"role": "user", "content": task.prompt}]


def told(error: Exception) -> Said | None:
    if isinstance(error, openai.APIStatusError):
        return failed(error, error.status_code, error.code)
    return None
