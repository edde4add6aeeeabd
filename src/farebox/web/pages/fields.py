"""The fields of an endpoint in words, made from its JSON schema."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

Json = Mapping[str, Any]
KINDS: Final = {
    "string": "text", "integer": "whole number", "number": "number", "boolean": "true or false", "array": "list",
    "object": "object", "null": "nothing",
}  # fmt: skip
FORMATS: Final = {
    "binary": "file", "date": "date", "date-time": "date and time", "email": "e-mail address", "uri": "URL",
    "uuid": "UUID",
}  # fmt: skip
CHOICES_MAX: Final = 6  # as many as a line has room for
BOUNDS: Final = (
    ("minLength", "maxLength", "character"), ("minItems", "maxItems", "item"), ("minimum", "maximum", ""),
)  # fmt: skip
BEYOND: Final = {"exclusiveMinimum": "More than", "exclusiveMaximum": "Less than", "multipleOf": "A multiple of"}


class Field(NamedTuple):
    name: str
    kind: str
    """As 'text', 'warm or bold', 'list of whole numbers', 'object of name, age'."""
    is_required: bool
    default: str
    """As JSON; empty where there is none, or an empty one."""
    description: str
    limits: tuple[str, ...] = ()
    """As 'Up to 200 characters'."""


def fields(schema: Json) -> list[Field]:
    """The fields of a request, in the order in which the function has them."""
    required = schema.get("required", ())
    return [field_of(name, part, schema, is_required=name in required) for name, part in _properties(schema)]


def all_fields(part: Json, schema: Json) -> list[Field]:
    """The fields of an object, and those inside of them, under names such as `lead.company` and `ideas[].title`.

    The fields of a shape that occurs again are listed where it occurs first.
    """
    return list(_all(part, schema, "", set()))


def _all(part: Json, schema: Json, place: str, told: set[str]) -> Iterator[Field]:
    if part.get("$ref") in told:
        return
    told |= {part["$ref"]} if "$ref" in part else set()
    whole = opened(part, schema)
    for name, inner in _properties(whole):
        yield field_of(f"{place}{name}", inner, schema, is_required=name in whole.get("required", ()))
        yield from _all(inner, schema, f"{place}{name}.", told)
    for one in whole.get("anyOf") or whole.get("oneOf") or ():
        yield from _all(one, schema, place, told)
    for name, step in (("items", "[]."), ("additionalProperties", ".*.")):
        if isinstance(whole.get(name), dict):
            yield from _all(whole[name], schema, f"{place.removesuffix('.')}{step}".removeprefix("."), told)


def field_of(name: str, part: Json, schema: Json, *, is_required: bool) -> Field:
    """One field in words."""
    default, whole = part.get("default"), opened(part, schema)
    shown = "" if default is None or default in ("", [], {}) else json.dumps(default, ensure_ascii=False)
    something = [variant for variant in variants_of(whole, schema) if variant.get("type") != "null"]
    limits = [*_choices(something[0], schema), *limits_of(something[0])] if len(something) == 1 else []
    return Field(name, kind_of(part, schema), is_required, shown, str(whole.get("description", "")), tuple(limits))


def _choices(part: Json, schema: Json) -> list[str]:
    """All choices for a value, or for a list's items, where the kind does not name them all."""
    items = part.get("items")
    choices = (opened(items, schema) if isinstance(items, dict) else part).get("enum", ())
    if len(choices) <= CHOICES_MAX:
        return []
    return [f"One of {', '.join(one if isinstance(one, str) else json.dumps(one) for one in choices)}"]


def variants_of(whole: Json, schema: Json) -> list[Json]:
    """The variants that a value may be one of; mostly there is one."""
    return [opened(one, schema) for one in whole.get("anyOf") or whole.get("oneOf") or [whole]]


def limits_of(part: Json) -> list[str]:
    """The limits of a value, as '1 to 9'."""
    told = [_range(part, *bound) for bound in BOUNDS]
    told += [f"{words} {part[name]:,}" for name, words in BEYOND.items() if name in part]
    if "pattern" in part:
        told.append(f"It has to match {part['pattern']} as a regular expression")
    return [text for text in told if text]


def kind_of(part: Json, schema: Json, inside: frozenset[str] = frozenset()) -> str:
    """The kind of a value, in a few words; null is left out where there is another kind.

    `inside` are the names of the types around it: where one of them comes again, it is "any value".
    """
    name = str(part.get("$ref", ""))
    if name in inside:
        return "any value"
    if name:
        inside |= {name}
    part = opened(part, schema)
    choices = part.get("enum", [part["const"]] if "const" in part else [])
    if choices:
        return _or(_few([str(one) if isinstance(one, str) else json.dumps(one) for one in choices]))
    several = part.get("anyOf") or part.get("oneOf") or []
    if several:
        kinds = dict.fromkeys(kind_of(one, schema, inside) for one in several if one.get("type") != "null")
        return _or(list(kinds))
    if part.get("format") in FORMATS:
        return FORMATS[part["format"]]
    kind = part.get("type")
    if isinstance(kind, list):
        return _or([KINDS[one] for one in kind if one != "null"])
    if kind == "array":
        items = part.get("items")
        return f"list of {_many(kind_of(items, schema, inside))}" if isinstance(items, dict) and items else "list"
    inner = part.get("properties")
    if kind == "object" and inner:
        return f"object of {', '.join(_few(list(inner)))}"
    return KINDS.get(str(kind), "any value")


def opened(part: Json, schema: Json) -> Json:
    """The part, merged with what its `$ref` refers to."""
    name = str(part.get("$ref", "")).rpartition("/")[2]
    found: Json = schema.get("$defs", {}).get(name, {})
    return {**found, **part} if found else part


def _properties(part: Json) -> list[tuple[str, Json]]:
    return list(part.get("properties", {}).items())


def _range(part: Json, least: str, most: str, what: str) -> str:
    """'3 to 2,000 characters', '2 items', 'Up to 5 items', '1 or more'."""
    low, high = part.get(least), part.get(most)
    if what and not low:
        low = None
    if low is None and high is None:
        return ""
    unit = f" {what}{'' if (low if high is None else high) == 1 else 's'}" if what else ""
    if low is None:
        return f"Up to {high:,}{unit}"
    if high is None:
        return f"{low:,}{unit} or more"
    return f"{low:,}{unit}" if low == high else f"{low:,} to {high:,}{unit}"


def _few(words: list[str]) -> list[str]:
    return words if len(words) <= CHOICES_MAX else [*words[: CHOICES_MAX - 1], "…"]


def _or(words: list[str]) -> str:
    return " or ".join([*([", ".join(words[:-1])] if len(words) > 1 else []), *words[-1:]])


def _many(kind: str) -> str:
    if kind.startswith("object of "):
        return f"objects{kind.removeprefix('object')}"
    return f"{kind}s" if kind in {"text", "file", "object", "number", "whole number", "URL"} else kind
