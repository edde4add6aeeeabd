"""Reads what a request asks for, from either form of OpenAI's wire, or refuses it with the field that is wrong."""

import json
import math
from typing import Any, Final, NamedTuple, NoReturn

from farebox.sandbox.words import SANDBOX_MODEL, echo

JsonObject = dict[str, Any]
TOOL_KINDS: Final = ("function", "custom")


class BadRequest(ValueError):
    """A request that no answer can be given to."""

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


class Tool(NamedTuple):
    """A tool that the answer has to call."""

    kind: str
    name: str
    parameters: object


class Wish(NamedTuple):
    """The answer that is wished for.

    With a tool it is a call of that; else, with `is_json`, a value of the schema; else words.
    """

    prompt: str
    tokens_max: int | None
    is_json: bool
    schema: object
    format_name: str
    tool: Tool | None


def load(body: bytes) -> JsonObject:
    """The request, from its bytes.

    Raises:
        BadRequest: they are no JSON object.
    """
    try:
        request = json.loads(body, parse_constant=_no_number, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise BadRequest("the body has to be JSON") from error
    if not isinstance(request, dict):
        raise BadRequest("the body has to be a JSON object")
    return request


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _no_number(text)


def whole_number(request: JsonObject, name: str, most: int | None = None) -> int | None:
    """A field that is a whole number of 1 or more, or absent.

    Raises:
        BadRequest: it is something else.
    """
    value = request.get(name)
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # JSON has one kind of number: 5.0 is a whole one
    if type(value) is not int or value < 1 or (most is not None and value > most):
        wanted = "of 1 or more" if most is None else f"from 1 to {most}"
        raise BadRequest(f"{name} has to be a whole number {wanted}", name)
    return value


def text_of(content: object) -> str:
    """A message's text: the content itself, or its parts of text; images and the like have none."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "".join(str(part.get("text") or "") for part in parts if isinstance(part, dict))


def flat(value: object) -> Any:  # noqa: ANN401  # JSON
    """`{"type": "function", "function": {…}}`, as chat has tools, choices and formats, the way /responses has them."""
    if not isinstance(value, dict):
        return value
    kind = value.get("type")
    inner = value.get(kind) if isinstance(kind, str) else None
    return {**inner, "type": kind} if isinstance(inner, dict) else value


def read_wish(
    prompt: str, tokens_max: int | None, wanted_format: object, tools: object, choice: object, *, format_name: str
) -> Wish:
    """What to answer, from the parts of a request in their flat form.

    Raises:
        BadRequest: a part is not as it has to be.
    """
    is_json, schema = _schema_wanted(prompt, wanted_format, format_name)
    return Wish(prompt, tokens_max, is_json, schema, format_name, _tool_wanted(read_tools(tools), choice))


def _schema_wanted(prompt: str, wanted: object, format_name: str) -> tuple[bool, object]:
    if wanted is None:
        return False, None
    if isinstance(wanted, dict):
        schema = wanted.get("schema", {"type": "object"})
        match wanted.get("type"):
            case "text":
                return False, None
            case "json_object":
                return True, {"const": {"model": SANDBOX_MODEL, "you_wrote": echo(prompt)}}
            case "json_schema" if isinstance(schema, dict):
                return True, schema
    raise BadRequest(f"{format_name} has to be text, json_object, or json_schema with a schema", format_name)


def read_tools(tools: object) -> list[JsonObject]:
    """The tools in their flat form.

    Raises:
        BadRequest: a tool is not the caller's own, has no name, or its parameters are no schema.
    """
    if tools is None:
        return []
    if not isinstance(tools, list):
        raise BadRequest("tools has to be a list", "tools")
    for tool in tools:
        if not isinstance(tool, dict) or tool.get("type") not in TOOL_KINDS:
            raise BadRequest("a tool has to be of the type function or custom", "tools")
        if not isinstance(tool.get("name"), str) or not tool["name"]:
            raise BadRequest("a tool has to have a name", "tools")
        if not isinstance(tool.get("parameters"), dict | None):
            raise BadRequest(f"the parameters of {tool['name']} have to be a JSON schema", "tools")
    return tools


def _tool_wanted(tools: list[JsonObject], choice: object) -> Tool | None:
    """The tool that has to be called; where the model may choose, the sandbox answers itself."""
    if isinstance(choice, dict) and choice.get("type") == "allowed_tools":
        given = choice.get("tools")
        allowed = [flat(tool).get("name") for tool in (given if isinstance(given, list) else ()) if type(tool) is dict]
        tools = [tool for tool in tools if tool["name"] in allowed]
        choice = choice.get("mode", "")
    elif isinstance(choice, dict) and choice.get("type") in TOOL_KINDS:
        tools = [tool for tool in tools if (tool["type"], tool["name"]) == (choice["type"], choice.get("name"))]
        choice = "required"
    match choice:
        case None | "auto" | "none":
            return None
        case "required" if tools:
            first = tools[0]
            return Tool(first["type"], first["name"], first.get("parameters") or {"type": "object"})
        case "required":
            raise BadRequest("tool_choice asks for a tool that is not among the tools", "tool_choice")
        case _:
            raise BadRequest("tool_choice has to be none, auto, required, or name a tool", "tool_choice")
