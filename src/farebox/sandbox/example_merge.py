"""Two JSON schemas as one that keeps to both, as far as an example needs it."""

import json
from typing import Any, Final

JsonObject = dict[str, Any]
TYPES: Final = ("object", "array", "string", "number", "integer", "boolean", "null")
PAIRS_MAX: Final = 1_000
TIGHTER: Final = {
    **dict.fromkeys(("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"), max),
    **dict.fromkeys(("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"), min),
}


def merged(one: JsonObject, other: JsonObject) -> JsonObject:
    """A schema that keeps to both; where two keywords cannot be joined, the other schema's counts."""
    both = {**one, **other}
    for name in one.keys() & other.keys():
        joined = _joined(name, one[name], other[name])
        if joined is not None:
            both[name] = joined
    return both


def _joined(name: str, one: Any, other: Any) -> object:  # noqa: ANN401  # JSON
    if name in TIGHTER:
        are_figures = all(isinstance(bound, int | float) and not isinstance(bound, bool) for bound in (one, other))
        return TIGHTER[name](one, other) if are_figures else None
    match name, one, other:
        case ("properties" | "patternProperties" | "$defs" | "definitions", dict(), dict()):
            shared = {key: {"allOf": [one[key], other[key]]} for key in one.keys() & other.keys()}
            return {**one, **other, **shared}
        case ("required" | "allOf", list(), list()):
            return [*one, *other]
        case ("anyOf" | "oneOf", list(), list()):
            if len(one) * len(other) > PAIRS_MAX:
                raise ValueError(f"the JSON schema joins too many variants in {name}")
            return [{"allOf": [left, right]} for left in one for right in other]
        case ("enum", list(), list()):
            allowed = {json.dumps(value, sort_keys=True) for value in other}
            return [value for value in one if json.dumps(value, sort_keys=True) in allowed]
        case ("items" | "additionalProperties" | "propertyNames", dict(), dict()):
            return {"allOf": [one, other]}
        case ("additionalProperties", _, _) if one is False or other is False:
            return False
        case ("type", _, _):
            return _types_of_both(one, other)
        case _:
            return None


def _types_of_both(one: object, other: object) -> list[object]:
    left, right = (types[: len(TYPES)] if isinstance(types, list) else [types] for types in (one, other))
    if "number" in left and "integer" in right:
        left = [*left, "integer"]
    if "integer" in left and "number" in right:
        right = [*right, "integer"]
    return [kind for kind in left if kind in right]
