"""The smallest sensible value that conforms to a JSON schema. A pattern is the one thing it cannot satisfy."""

import math
from collections.abc import Mapping
from typing import Any

# Below this depth only what is required: a schema may contain itself.
DEPTH_MAX = 6
GIVE_UP_DEPTH = 64
FORMATS = {
    "date-time": "2024-01-02T03:04:05Z",
    "date": "2024-01-02",
    "time": "03:04:05Z",
    "duration": "P1D",
    "email": "dog@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}

Schema = Mapping[str, Any]


def example(schema: Schema | bool) -> Any:  # noqa: ANN401, FBT001 - JSON; `true` is a schema too
    root = schema if isinstance(schema, Mapping) else {}
    return _value(schema, root, 0)


def _value(schema: Schema | bool, root: Schema, depth: int) -> Any:  # noqa: ANN401, FBT001
    if depth > GIVE_UP_DEPTH:
        raise ValueError("the schema requires itself without end")
    if not isinstance(schema, Mapping):
        return "dog"
    if "$ref" in schema:
        return _value(_merged(schema, _referred(schema["$ref"], root)), root, depth + 1)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    if "allOf" in schema:
        return _value(_merged(schema, *(_resolved(part, root) for part in schema["allOf"])), root, depth)
    for choice in ("anyOf", "oneOf"):
        if choice in schema:
            return _value(_merged(schema, _chosen(schema[choice], depth)), root, depth + 1)
    return _typed(schema, root, depth)


def _typed(schema: Schema, root: Schema, depth: int) -> Any:  # noqa: ANN401 - JSON
    match _type(schema, depth):
        case "object":
            return _object(schema, root, depth)
        case "array":
            return _array(schema, root, depth)
        case "integer" | "number" as kind:
            return _number(schema, whole=kind == "integer")
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return _string(schema)


def _type(schema: Schema, depth: int) -> str:
    kinds = schema.get("type")
    if isinstance(kinds, list):
        return "null" if depth > DEPTH_MAX and "null" in kinds else str(kinds[0])
    if kinds is None and "properties" in schema:
        return "object"
    if kinds is None and ("items" in schema or "prefixItems" in schema):
        return "array"
    return str(kinds)


def _chosen(choices: list[Schema], depth: int) -> Schema:
    """The first; deep down one that leads no deeper."""
    if depth > DEPTH_MAX:
        flat = [choice for choice in choices if not {"$ref", "properties", "items"} & choice.keys()]
        return (flat or choices[::-1])[0]
    return choices[0]


def _referred(reference: str, root: Schema) -> Schema:
    target: Any = root
    for step in reference.removeprefix("#").split("/")[1:]:
        target = target[step.replace("~1", "/").replace("~0", "~")]
    return target if isinstance(target, Mapping) else {}


def _resolved(schema: Schema, root: Schema) -> Schema:
    return _merged(schema, _referred(schema["$ref"], root)) if "$ref" in schema else schema


def _merged(schema: Schema, *others: Schema) -> dict[str, Any]:
    """One schema for what several ask; what referred or chose is resolved by now."""
    merged = {name: value for name, value in schema.items() if name not in {"$ref", "allOf", "anyOf", "oneOf"}}
    for other in others:
        both = {**merged.get("properties", {}), **other.get("properties", {})}
        required = [*merged.get("required", ()), *other.get("required", ())]
        merged |= other
        if both:
            merged |= {"properties": both, "required": required}
    return merged


def _object(schema: Schema, root: Schema, depth: int) -> dict[str, Any]:
    required = schema.get("required", ())
    properties = schema.get("properties", {})
    wanted = [name for name in properties if name in required or depth < DEPTH_MAX]
    wanted += [name for name in required if name not in properties]
    return {name: _value(properties.get(name, True), root, depth + 1) for name in wanted}


def _array(schema: Schema, root: Schema, depth: int) -> list[Any]:
    first = schema.get("prefixItems", ())
    count = max(schema.get("minItems", 0), len(first), int(depth < DEPTH_MAX))
    count = min(count, schema.get("maxItems", count))
    rest = schema.get("items", True)
    if rest is False:
        count = min(count, len(first))
    items = [_value(first[i] if i < len(first) else rest, root, depth + 1) for i in range(count)]
    if schema.get("uniqueItems"):
        items = [item if i == 0 else _other(item, i) for i, item in enumerate(items)]
    return items


def _other(item: Any, number: int) -> Any:  # noqa: ANN401 - JSON
    return item + number if isinstance(item, int | float) else f"{item}{number}"


def _number(schema: Schema, *, whole: bool) -> Any:  # noqa: ANN401 - JSON
    lowest, highest = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
    step = schema.get("multipleOf", 1 if whole else 0.5)
    if "exclusiveMinimum" in schema:
        lowest = max(lowest, schema["exclusiveMinimum"] + step)
    if "exclusiveMaximum" in schema:
        highest = min(highest, schema["exclusiveMaximum"] - step)
    number = min(max(1 if "multipleOf" not in schema else step, lowest), highest)
    if "multipleOf" in schema:
        number = math.ceil(number / step) * step
    return math.ceil(number) if whole else number


def _string(schema: Schema) -> str:
    if schema.get("format") in FORMATS:
        return FORMATS[schema["format"]]
    text = "dog fun"
    shortest = schema.get("minLength", 0)
    text = text.ljust(shortest, "x")
    return text[: max(shortest, schema.get("maxLength", len(text)))]
