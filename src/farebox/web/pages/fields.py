"""What an endpoint takes, in words: made from its JSON schema."""

import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

KINDS: Final = {
    "string": "text", "integer": "whole number", "number": "number", "boolean": "true or false", "array": "list",
    "object": "object", "null": "nothing",
}  # fmt: skip
CHOICES_MAX: Final = 6  # as many as a line has room for


class Field(NamedTuple):
    name: str
    kind: str
    """As 'text', 'warm or bold', 'list of whole numbers', 'object of name, age'."""
    is_required: bool
    default: str
    """As JSON; empty where there is none that says anything."""
    description: str


def fields(schema: Mapping[str, Any]) -> list[Field]:
    """The fields of a request, in the order in which the function has them."""
    required = set(schema.get("required", ()))
    found = []
    for name, part in schema.get("properties", {}).items():
        default = part.get("default")
        told = "" if default is None or default in ("", [], {}) else json.dumps(default, ensure_ascii=False)
        whole = opened(part, schema)
        found.append(Field(name, kind_of(part, schema), name in required, told, str(whole.get("description", ""))))
    return found


def kind_of(part: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """What a value may be, in a few words; nothing is not worth a word where there is something else."""
    part = opened(part, schema)
    choices = part.get("enum", [part["const"]] if "const" in part else [])
    if choices:
        shown = [str(one) if isinstance(one, str) else json.dumps(one) for one in choices]
        return _or(shown if len(shown) <= CHOICES_MAX else [*shown[: CHOICES_MAX - 1], "…"])
    several = part.get("anyOf") or part.get("oneOf") or []
    if several:
        kinds = dict.fromkeys(kind_of(one, schema) for one in several if one.get("type") != "null")
        return _or(list(kinds))
    if part.get("format") == "binary":
        return "file"
    kind = part.get("type")
    if kind == "array":
        items = part.get("items")
        return f"list of {_many(kind_of(items, schema))}" if isinstance(items, dict) and items else "list"
    inner = part.get("properties")
    if kind == "object" and inner:
        return f"object of {', '.join(inner)}"
    return KINDS.get(str(kind), "any value")


def opened(part: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The part, and what it refers to."""
    name = str(part.get("$ref", "")).rpartition("/")[2]
    found: Mapping[str, Any] = schema.get("$defs", {}).get(name, {})
    return {**found, **part} if found else part


def _or(words: list[str]) -> str:
    return " or ".join([*([", ".join(words[:-1])] if len(words) > 1 else []), *words[-1:]])


def _many(kind: str) -> str:
    plain = {
        "text": "texts",
        "file": "files",
        "object": "objects",
        "number": "numbers",
        "whole number": "whole numbers",
    }
    return plain.get(kind, kind)
