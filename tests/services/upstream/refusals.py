"""As strict as OpenAI where a mistake of ours would show; and how its errors look."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from tests.services.upstream import asked
from tests.services.upstream.behaviour import Behaviour
from tests.services.upstream.paths import CHAT, EMBEDDINGS, RESPONSES

ERRORS: dict[int, tuple[str, str | None, str]] = {
    400: ("invalid_request_error", None, "We could not parse the JSON body of your request."),
    401: ("invalid_request_error", "invalid_api_key", "Incorrect API key provided: sk-test***."),
    403: ("invalid_request_error", "unsupported_country_region_territory", "Region not supported"),
    404: (
        "invalid_request_error",
        "model_not_found",
        "The model does not exist or you do not have access to it.",
    ),
    429: ("requests", "rate_limit_exceeded", "Rate limit reached for gpt-4o-mini on requests per min (RPM)."),
    500: ("server_error", None, "The server had an error while processing your request. Sorry about that!"),
    503: ("server_error", None, "The engine is currently overloaded, please try again later."),
}

# OpenAI's own least for a response; a chat may ask for one token.
RESPONSE_TOKENS_MIN = 16
EMBEDDING_INPUTS_MAX = 2048
# Names that belong to another path: only a mistake of ours would send them here.
STRANGERS: Mapping[str, Sequence[str]] = {
    CHAT: ("input", "instructions", "max_output_tokens", "text", "previous_response_id"),
    RESPONSES: ("messages", "max_tokens", "max_completion_tokens", "response_format", "n"),
    EMBEDDINGS: ("messages", "max_tokens", "max_completion_tokens", "max_output_tokens", "stream", "stream_options"),
}
ROLES = {"system", "developer", "user", "assistant", "tool", "function"}


class Refusal(NamedTuple):
    """Why a request is answered 400."""

    message: str
    param: str | None = None
    code: str | None = None

    def as_json(self) -> dict[str, Any]:
        return {"error": {"type": "invalid_request_error", **self._asdict()}}


def error(how: Behaviour) -> dict[str, Any]:
    kind, code, message = ERRORS.get(how.status, ("server_error", None, "Something went wrong."))
    if how.error_code == "insufficient_quota":
        kind, message = "insufficient_quota", "You exceeded your current quota, please check your plan."
    return {"error": {"message": message, "type": kind, "param": None, "code": how.error_code or code}}


def error_event(path: str, how: Behaviour) -> dict[str, Any]:
    """An error in the middle of a stream; a response's has its parts at the top as well."""
    whole = error(Behaviour(status=500, error_code=how.error_code))
    return whole | whole["error"] | {"type": "error"} if path == RESPONSES else whole


# -- refusals


def refusal(path: str, body: object) -> Refusal | None:
    if not isinstance(body, dict):
        return Refusal(ERRORS[400][2])
    if not isinstance(body.get("model"), str):
        return Refusal("you must provide a model parameter", "model")
    for name in STRANGERS[path]:
        if name in body:
            return Refusal(f"Unknown parameter: '{name}'.", name, "unknown_parameter")
    for name, is_sound in TYPES.items():
        if body.get(name) is not None and not is_sound(body[name]):
            return Refusal(f"Invalid value for '{name}'.", name, "invalid_type")
    if path == EMBEDDINGS:
        return _embedding_refusal(body)
    return (_chat_refusal(body) if path == CHAT else _response_refusal(body)) or _shared_refusal(body)


def _is_whole(value: object, least: int, most: int = 1 << 31) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _is_number(value: object, least: float, most: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


TYPES: Mapping[str, Callable[[Any], bool]] = {
    "stream": _is_flag,
    "stream_options": lambda value: isinstance(value, dict),
    "max_tokens": lambda value: _is_whole(value, 1),
    "max_completion_tokens": lambda value: _is_whole(value, 1),
    "max_output_tokens": lambda value: _is_whole(value, RESPONSE_TOKENS_MIN),
    "n": lambda value: _is_whole(value, 1, 128),
    "temperature": lambda value: _is_number(value, 0, 2),
    "top_p": lambda value: _is_number(value, 0, 1),
    "frequency_penalty": lambda value: _is_number(value, -2, 2),
    "presence_penalty": lambda value: _is_number(value, -2, 2),
    "seed": lambda value: isinstance(value, int),
    "stop": lambda value: isinstance(value, str | list),
    "user": _is_text,
    "instructions": _is_text,
    "previous_response_id": _is_text,
    "store": _is_flag,
    "parallel_tool_calls": _is_flag,
    "metadata": lambda value: isinstance(value, dict),
    "response_format": lambda value: isinstance(value, dict),
    "text": lambda value: isinstance(value, dict),
    "dimensions": lambda value: _is_whole(value, 1, 4096),
    "encoding_format": lambda value: value in ("float", "base64"),
}


def _shared_refusal(body: Mapping[str, Any]) -> Refusal | None:
    if body.get("stream_options") is not None and not body.get("stream"):
        text = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
        return Refusal(text, "stream_options")
    form = body.get("response_format") or (body.get("text") or {}).get("format")
    if form is not None and (found := _format_refusal(form)):
        return found
    return _tools_refusal(body)


def _format_refusal(form: object) -> Refusal | None:
    kind = form.get("type") if isinstance(form, dict) else None
    if not isinstance(form, dict) or kind not in {"text", "json_object", "json_schema"}:
        return Refusal("Invalid value: supported values are: 'text', 'json_object', 'json_schema'.", "response_format")
    described = form.get("json_schema", form)
    if kind == "json_schema" and not (isinstance(described, dict) and isinstance(described.get("name"), str)):
        return Refusal("Missing required parameter: 'json_schema.name'.", "response_format")
    if kind == "json_schema" and not isinstance(described.get("schema", {}), dict):
        return Refusal("Invalid schema: it must be an object.", "response_format")
    return None


def _tools_refusal(body: Mapping[str, Any]) -> Refusal | None:
    tools, choice = body.get("tools"), body.get("tool_choice")
    if tools is not None and not (isinstance(tools, list) and all(isinstance(t, dict) and "type" in t for t in tools)):
        return Refusal("Invalid type for 'tools'.", "tools", "invalid_type")
    described = [tool.get("function", tool) for tool in tools or () if tool["type"] == "function"]
    if not all(isinstance(f, dict) and isinstance(f.get("name"), str) for f in described):
        return Refusal("Missing required parameter: 'tools[0].function.name'.", "tools", "missing_required_parameter")
    if choice is None or choice in ("none", "auto"):
        return None
    if not isinstance(choice, dict) and choice != "required":
        return Refusal("Invalid value for 'tool_choice'.", "tool_choice", "invalid_value")
    if not tools:
        return Refusal("'tool_choice' is only allowed when 'tools' are specified.", "tool_choice")
    if isinstance(choice, dict) and choice.get("type") == "function":
        name = asked.named_function(choice)
        if name not in {f["name"] for f in described}:
            return Refusal(f"Tool choice '{name}' not found in 'tools' parameter.", "tool_choice")
    return None


def _chat_refusal(body: Mapping[str, Any]) -> Refusal | None:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        return Refusal("Missing required parameter: 'messages'.", "messages", "missing_required_parameter")
    if body.get("max_tokens") is not None and body.get("max_completion_tokens") is not None:
        text = "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported."
        return Refusal(text, "max_tokens", "invalid_parameter_combination")
    called: set[str] = set()
    for index, message in enumerate(messages):
        place = f"messages[{index}]"
        if not isinstance(message, dict) or str(message.get("role")) not in ROLES:
            return Refusal(f"Invalid value for '{place}.role'.", f"{place}.role", "invalid_value")
        if not isinstance(message.get("content"), str | list | None):
            return Refusal(f"Invalid type for '{place}.content'.", f"{place}.content", "invalid_type")
        called |= {call.get("id", "") for call in message.get("tool_calls") or ()}
        if message["role"] == "tool" and message.get("tool_call_id") not in called:
            text = "messages with role 'tool' must be a response to a preceeding message with 'tool_calls'."
            return Refusal(f"Invalid parameter: {text}", f"{place}.role")
    return None


def _response_refusal(body: Mapping[str, Any]) -> Refusal | None:
    given = body.get("input")
    if not isinstance(given, str | list) or not given:
        return Refusal("Missing required parameter: 'input'.", "input", "missing_required_parameter")
    if "include_usage" in (body.get("stream_options") or {}):
        name = "stream_options.include_usage"
        return Refusal(f"Unknown parameter: '{name}'.", name, "unknown_parameter")
    called: set[object] = set()
    for index, item in enumerate(given if isinstance(given, list) else ()):
        if not isinstance(item, dict) or ("role" not in item and "type" not in item):
            return Refusal(f"Invalid value for 'input[{index}]'.", f"input[{index}]", "invalid_value")
        if "content" in item and not isinstance(item["content"], str | list):
            return Refusal(f"Invalid type for 'input[{index}].content'.", f"input[{index}].content", "invalid_type")
        if item.get("type") == "function_call":
            called.add(item.get("call_id"))
        is_answer = item.get("type") == "function_call_output"
        if is_answer and item.get("call_id") not in called and not body.get("previous_response_id"):
            return Refusal(f"No tool call found for function call output with call_id {item.get('call_id')}.", "input")
    return None


def _embedding_refusal(body: Mapping[str, Any]) -> Refusal | None:
    given = body.get("input")
    if isinstance(given, str) and given:
        return None
    kinds = {_kind(part) for part in given} if isinstance(given, list) else set()
    if len(kinds) != 1 or "" in kinds or len(given or ()) > EMBEDDING_INPUTS_MAX:
        return Refusal("'$.input' is invalid. Please check the API reference.", "input")
    return None


def _kind(part: object) -> str:
    """Of one input: a text, a token or a list of tokens; empty for anything else."""
    if isinstance(part, str):
        return "text" if part else ""
    if isinstance(part, list):
        return "tokens" if part and all(_is_whole(token, 0) for token in part) else ""
    return "token" if _is_whole(part, 0) else ""
