"""What a request's body asks for, on whichever path. Nothing here fails over a body that makes no sense."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

TOOL_MARKER = re.compile(r"\[\[tool:([\w.-]+)\]\]")
LIMITS = ("max_completion_tokens", "max_tokens", "max_output_tokens")

Body = Mapping[str, Any]


def message_texts(body: Body) -> list[str]:
    """Of a chat's messages, of a response's instructions and items, or of what is to be embedded."""
    texts = [body["instructions"]] if isinstance(body.get("instructions"), str) else []
    given = body.get("input")
    if isinstance(given, str):
        return [*texts, given]
    return texts + [_item_text(item) for item in items(body)]


def items(body: Body) -> Sequence[Any]:
    """A chat's messages or a response's input items."""
    found = body.get("messages", body.get("input"))
    return found if isinstance(found, list) else []


def _item_text(item: object) -> str:
    if isinstance(item, str):
        return item
    if not isinstance(item, dict):
        return ""
    calls = item.get("tool_calls")
    called = [call.get("function") for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
    arguments = [_text(function.get("arguments")) for function in [item, *called] if isinstance(function, dict)]
    return "".join([_text(item.get("content")), _text(item.get("output")), *arguments])


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "".join(_text(part.get("text")) for part in parts if isinstance(part, dict))


def output_limit(body: Body) -> int | None:
    limits = [limit for name in LIMITS if isinstance(limit := body.get(name), int)]
    return limits[0] if limits else None


def choice_count(body: Body) -> int:
    return body["n"] if isinstance(body.get("n"), int) else 1


def definitions(body: Body) -> str:
    """What the model reads beside the messages: its tools and the form of its answer."""
    found = [body.get("tools"), body.get("response_format"), _format(body) if "text" in body else None]
    return "".join(json.dumps(part) for part in found if part)


def answer_schema(body: Body) -> Any:  # noqa: ANN401 - JSON
    """The schema that the answer's text has to conform to; None where it is free."""
    form = body.get("response_format", _format(body))
    if not isinstance(form, dict):
        return None
    match form.get("type"):
        case "json_schema":
            return form.get("json_schema", form).get("schema", True)
        case "json_object":
            return {"type": "object", "properties": {"answer": {"type": "string"}}}
        case _:
            return None


def _format(body: Body) -> Any:  # noqa: ANN401 - JSON
    text = body.get("text")
    return text.get("format") if isinstance(text, dict) else None


def functions(body: Body) -> dict[str, Any]:
    """The schema of each function that may be called, by its name. A response's tool has them at the top."""
    tools = [tool for tool in body.get("tools") or () if isinstance(tool, dict) and tool.get("type") == "function"]
    described = [tool.get("function", tool) for tool in tools]
    return {function["name"]: function.get("parameters") or {"type": "object"} for function in described}


def called_function(body: Body) -> str | None:
    """The function that the answer has to call."""
    names = functions(body)
    if not names or (items(body) and is_tool_result(items(body)[-1])):
        return None
    choice = body.get("tool_choice")
    if isinstance(choice, dict):
        return named_function(choice)
    marked = _marked_function(body) if choice != "none" else None
    if marked in names:
        return marked
    return next(iter(names)) if choice == "required" else None


def named_function(choice: Mapping[str, Any]) -> str | None:
    name = choice.get("function", choice).get("name")
    return name if isinstance(name, str) else None


def is_tool_result(item: object) -> bool:
    return isinstance(item, dict) and (item.get("role") == "tool" or item.get("type") == "function_call_output")


def _marked_function(body: Body) -> str | None:
    """From `[[tool:NAME]]` in the last message, if that is the user's."""
    last = items(body)[-1] if items(body) else {"role": "user", "content": body.get("input")}
    if not isinstance(last, dict) or last.get("role") != "user":
        return None
    found = TOOL_MARKER.search(_text(last.get("content")))
    return found[1] if found else None
