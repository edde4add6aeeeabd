"""The fake provider's structured answers conform to the schema they were asked for."""

import json
from typing import Any

import jsonschema_rs
import pytest

from tests.services.upstream.examples import example

STRING = {"type": "string"}
TREE: dict[str, Any] = {
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "name": STRING,
                "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
                "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
            },
            "required": ["name", "next", "children"],
            "additionalProperties": False,
        }
    },
    "$ref": "#/$defs/node",
}
SCHEMAS: list[dict[str, Any]] = [
    {},
    {"type": "object"},
    {"type": "object", "properties": {"a": STRING, "b": {"type": "integer"}}, "required": ["a"]},
    {"type": "object", "required": ["undescribed"]},
    {"properties": {"a": {"const": 7}, "b": {"enum": ["x", "y"]}, "c": {"type": ["null", "string"]}}},
    {"type": "array", "items": {"type": "boolean"}, "minItems": 3, "maxItems": 5},
    {"type": "array", "prefixItems": [STRING, {"type": "integer"}], "items": False},
    {"type": "array", "items": {"type": "integer"}, "minItems": 3, "uniqueItems": True},
    {"type": "array", "items": STRING, "maxItems": 0},
    {"type": "integer", "minimum": 5, "maximum": 6},
    {"type": "integer", "exclusiveMinimum": 5, "multipleOf": 4},
    {"type": "integer", "maximum": -3},
    {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
    {"type": "string", "minLength": 30},
    {"type": "string", "maxLength": 2},
    *({"type": "string", "format": name} for name in ("date-time", "date", "time", "email", "uuid", "uri", "ipv4")),
    {"anyOf": [STRING, {"type": "null"}], "title": "maybe"},
    {"allOf": [{"properties": {"a": STRING}, "required": ["a"]}, {"properties": {"b": {"type": "integer"}}}]},
    TREE,
]


@pytest.mark.parametrize("schema", SCHEMAS, ids=json.dumps)
def test_an_example_conforms(schema: dict[str, Any]) -> None:
    jsonschema_rs.Draft202012Validator(schema, validate_formats=True).validate(example(schema))


def test_a_schema_that_requires_itself_has_no_example() -> None:
    with pytest.raises(ValueError, match="without end"):
        example({"type": "object", "properties": {"again": {"$ref": "#"}}, "required": ["again"]})
