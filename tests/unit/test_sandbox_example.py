"""Examples conform to their schemas, come to an end, and cost little, whatever the schema."""

import json
import math
import re
import time
from contextlib import suppress
from datetime import date, datetime
from datetime import time as time_of_day
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import jsonschema_rs
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from openai.lib._pydantic import to_strict_json_schema
from pydantic import AnyUrl, BaseModel, Field, TypeAdapter

from farebox.sandbox.example import SIZE_MAX, example
from farebox.sandbox.example_pattern import sample
from farebox.sandbox.model import SANDBOX_MODEL


def conforms(schema: Any) -> bool:  # noqa: ANN401  # JSON
    validator = jsonschema_rs.Draft202012Validator(schema, validate_formats=True)
    found = example(schema)
    assert found == example(schema)
    return validator.is_valid(json.loads(json.dumps(found)))


# -- by hand

CONFORMING: Final[tuple[Any, ...]] = (
    {},
    True,
    {"type": "null"},
    {"type": ["null", "integer"]},
    {"const": {"a": [1, None]}},
    {"enum": ["a", 2, None]},
    {"type": "integer", "enum": ["a", 2, None]},
    {"type": "string", "maxLength": 3},
    {"type": "string", "maxLength": 0},
    {"type": "string", "minLength": 100, "maxLength": 100},
    *({"type": "string", "format": name} for name in
      ("date", "date-time", "time", "email", "uri", "uuid", "hostname", "ipv4", "ipv6", "duration", "json-pointer")),
    {"type": "string", "pattern": "^[A-Z]{3}-[0-9]{4}$"},
    {"type": "string", "pattern": r"^\+?\d{2,}(?:-\d+)*\.?$", "minLength": 20, "maxLength": 20},
    {"type": "string", "pattern": "ab|cd", "minLength": 30},
    {"type": "string", "pattern": r"^(?<year>\d{4})-[^\d\s]{2}\x41.\w+$"},
    {"type": "integer", "minimum": 10},
    {"type": "integer", "exclusiveMaximum": -10},
    {"type": "integer", "exclusiveMinimum": 1, "exclusiveMaximum": 3},
    {"type": "integer", "minimum": 7, "maximum": 9, "multipleOf": 4},
    {"type": "number", "minimum": 0, "maximum": 1},
    {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.001},
    {"type": "number", "multipleOf": 0.01, "minimum": 0.29},
    {"minimum": 5},
    {"type": "array", "items": {"type": "integer"}, "minItems": 3, "uniqueItems": True},
    {"type": "array", "items": {"type": ["boolean"]}, "minItems": 2, "uniqueItems": True},
    {"type": "array", "items": {"anyOf": [{"type": "boolean"}, {"type": "null"}]}, "minItems": 3, "uniqueItems": True},
    {"type": "array", "items": {"enum": [1, 2, 3]}, "minItems": 3, "uniqueItems": True},
    {"type": "array", "items": {"type": "string", "maxLength": 1}, "minItems": 5, "uniqueItems": True},
    {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "number"}}}, "minItems": 4,
     "uniqueItems": True},
    {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "items": False},
    {"type": "array", "contains": {"const": 4}},
    {"type": "array", "items": False},
    {"type": "array", "maxItems": 0},
    {"type": "object", "required": ["a"], "additionalProperties": {"type": "integer"}},
    {"type": "object", "minProperties": 3, "additionalProperties": {"type": "integer"}},
    {"type": "object", "properties": {"a": {}, "b": {}, "c": {}}, "required": ["c"], "maxProperties": 2},
    {"type": "object", "patternProperties": {"^x-": {"type": "integer"}}, "additionalProperties": False,
     "minProperties": 2},
    {"type": "array", "items": {"type": "string", "pattern": "^[a-f]{2}[0-9]"}, "minItems": 30, "uniqueItems": True},
    {"type": "object", "propertyNames": {"maxLength": 4}, "minProperties": 3},
    {"oneOf": [{"type": "number"}, {"type": "integer"}]},
    {"anyOf": [False, {"type": "string"}]},
    {"type": "object", "properties": {"a": {"type": "string"}}, "anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
    {"allOf": [{"type": "number", "minimum": 3}, {"type": ["integer", "string"], "minimum": 5}, {"maximum": 5}]},
    {"allOf": [{"properties": {"a": {"minLength": 2}}}, {"properties": {"a": {"maxLength": 4}}, "required": ["a"]}]},
    {"allOf": [{"anyOf": [{"const": 1}, {"const": 2}]}, {"anyOf": [{"type": "integer"}]}]},
    {"allOf": [{"enum": [1, 2, 3]}, {"enum": [3, 4]}]},
    {"$ref": "#/$defs/a~1b/allOf/0", "$defs": {"a/b": {"allOf": [{"type": "boolean"}]}}},
    {"$ref": "#/$defs/a", "minimum": 9, "$defs": {"a": {"type": "integer", "minimum": 4}}},
    {"type": "object", "properties": {"child": {"$ref": "#"}, "name": {"type": "string"}}, "required": ["name"]},
    {"type": "object", "properties": {"all": {"type": "array", "items": {"$ref": "#"}}}, "required": ["all"]},
    {"$ref": "#/$defs/expr", "$defs": {
        "expr": {"anyOf": [{"$ref": "#/$defs/sum"}, {"$ref": "#/$defs/literal"}]},
        "sum": {"type": "object", "properties": {"left": {"$ref": "#/$defs/expr"}, "right": {"$ref": "#/$defs/expr"}},
                "required": ["left", "right"]},
        "literal": {"type": "object", "properties": {"value": {"type": "number"}}, "required": ["value"]},
    }},
)  # fmt: skip


@pytest.mark.parametrize("schema", CONFORMING, ids=json.dumps)
def test_an_example_conforms(schema: Any) -> None:  # noqa: ANN401  # JSON
    assert conforms(schema)


def test_a_text_says_who_wrote_it() -> None:
    assert example({"type": "string"}) == SANDBOX_MODEL
    assert example({"type": "string", "maxLength": 7}) == "farebox"
    assert example({"type": "string", "minLength": 20}) == "farebox-sandbox fare"


def test_optional_parts_are_there_and_null_is_the_last_choice() -> None:
    schema = {
        "properties": {"a": {"anyOf": [{"type": "null"}, {"type": "integer"}]}, "b": {"type": ["null", "string"]}}
    }
    assert example(schema) == {"a": 1, "b": SANDBOX_MODEL}
    assert example({"type": "object", "additionalProperties": {"type": "integer"}}) == {SANDBOX_MODEL: 1}


# -- by chance, through a validator

bounds = st.integers(-50, 50)
texts = st.builds(
    lambda least, more: {"type": "string", "minLength": least, "maxLength": least + more},
    st.integers(0, 40), st.integers(0, 20),
)  # fmt: skip
numbers = st.builds(
    lambda kind, low, more, step: {"type": kind, "minimum": low, "maximum": low + 12 + more, "multipleOf": step},
    st.sampled_from(["integer", "number"]), bounds, st.integers(0, 50), st.sampled_from([1, 2, 0.5, 0.01, 1.5, 3]),
)  # fmt: skip
open_numbers = st.builds(
    lambda low, more: {"type": "number", "exclusiveMinimum": low, "exclusiveMaximum": low + more},
    st.floats(-50, 50), st.floats(0.01, 50),
)  # fmt: skip
plain = st.sampled_from([{"type": "boolean"}, {"type": "null"}, {"enum": ["a", 1, None]}, {"const": [1]}, {}, True])
formats = st.sampled_from(["date", "date-time", "email", "uri", "uuid", "time"]).map(
    lambda name: {"type": "string", "format": name}
)


def _objects(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.builds(
        lambda properties, required, rest: {
            "type": "object", "properties": properties, "additionalProperties": rest,
            "required": [name for name in required if name in properties],
        },
        st.dictionaries(st.text(max_size=5), parts, max_size=4), st.sets(st.text(max_size=5), max_size=3),
        st.booleans(),
    )  # fmt: skip


def _arrays(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.builds(
        lambda items, least, more: {"type": "array", "items": items, "minItems": least, "maxItems": least + more},
        parts, st.integers(0, 4), st.integers(0, 3),
    )  # fmt: skip


schemas = st.recursive(
    st.one_of(texts, numbers, open_numbers, plain, formats),
    lambda parts: st.one_of(
        _objects(parts),
        _arrays(parts),
        st.lists(parts, min_size=1, max_size=3).map(lambda variants: {"anyOf": variants}),
        parts.map(lambda part: {"allOf": [part, {"title": "Part"}]}),
    ),
    max_leaves=12,
)


@given(schemas)
def test_an_example_conforms_to_any_schema_of_these_parts(schema: Any) -> None:  # noqa: ANN401  # JSON
    assert conforms(schema)


@given(
    st.from_regex(
        r"\A(\^?([a-c]|[x-z]\+|\[[a-z0-9]{1,3}\]|\\[dws]|\.|\([a-c]\|[x-z]\))([*+?]|\{1,3\}|\{2\})?){1,5}\$?\Z"
    )
)
def test_a_sample_fits_its_pattern(pattern: str) -> None:
    assume("^" not in pattern[1:])
    assume(not re.search(r"[+*?}][+*?{]", pattern))
    assert re.search(pattern, sample(pattern))


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.floats(allow_nan=False), st.text(max_size=5)),
    lambda parts: st.one_of(st.lists(parts, max_size=4), st.dictionaries(st.text(max_size=5), parts, max_size=4)),
    max_leaves=8,
)
KEYWORDS: Final = (
    "type", "properties", "required", "additionalProperties", "patternProperties", "propertyNames", "minProperties",
    "maxProperties", "items", "prefixItems", "contains", "minItems", "maxItems", "uniqueItems", "enum", "const",
    "anyOf", "oneOf", "allOf", "$ref", "$defs", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum",
    "multipleOf", "minLength", "maxLength", "pattern", "format",
)  # fmt: skip
nonsense = st.recursive(
    json_values,
    lambda parts: st.one_of(
        st.dictionaries(st.sampled_from(KEYWORDS), parts, max_size=5),
        st.lists(parts, max_size=4),
        st.sampled_from(["object", "array", "string", "number", "integer", "#", "#/$defs", "(a", "[", "\\"]),
    ),
    max_leaves=20,
)


@settings(max_examples=300)
@given(nonsense)
def test_a_schema_that_is_none_gets_some_value_or_a_refusal(schema: Any) -> None:  # noqa: ANN401  # JSON
    try:
        found = example(schema)
    except ValueError:
        return
    json.dumps(found, allow_nan=False)


@given(st.text(alphabet="ab019^$.*+?{},()[]|\\-:<>=!PdwsxuU", max_size=12))
def test_a_pattern_that_is_none_gets_some_text(pattern: str) -> None:
    assert isinstance(example({"type": "string", "pattern": pattern}), str)


# -- the founder's types


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int = Field(gt=0, le=9)


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"
    friends: "list[Cat | Dog]" = Field(min_length=1)


class Everything(BaseModel):
    text: str
    short: Annotated[str, Field(max_length=4, min_length=2)]
    code: Annotated[str, Field(pattern=r"^[A-Z]{2}\d{3}$")]
    number: float
    amount: Decimal
    share: float = Field(ge=0, le=1)
    odd: int = Field(gt=10, lt=12)
    flag: bool
    nothing: None
    maybe: int | None = None
    day: date
    moment: datetime
    hour: time_of_day
    identity: UUID
    address: AnyUrl
    colour: Colour
    level: Level
    word: Literal["yes", "no"]
    pair: tuple[int, str]
    tags: set[str] = Field(min_length=3)
    counts: dict[str, int]
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]
    pets: list[Cat | Dog] = Field(min_length=2, max_length=2)
    anything: Any
    child: "Everything | None" = None


@pytest.mark.parametrize("is_strict", [False, True])
def test_a_founders_type_takes_its_example(is_strict: bool) -> None:  # noqa: FBT001
    schema = to_strict_json_schema(Everything) if is_strict else Everything.model_json_schema()
    if is_strict:  # what the SDK leaves of a map has no place for a value
        schema["properties"]["counts"] = {"type": "object", "additionalProperties": {"type": "integer"}}
    found = TypeAdapter(Everything).validate_json(json.dumps(example(schema)))
    assert found.text == SANDBOX_MODEL
    assert found.counts == {SANDBOX_MODEL: 1}
    assert found.child is None or found.child.child is None


# -- what never ends, or would be huge

ENDLESS: Final = {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}
REFUSED: Final[dict[str, Any]] = {
    "endless": ENDLESS,
    "a reference to itself": {"$ref": "#"},
    "nothing": False,
    "no variant": {"anyOf": [False, False]},
    "an empty enum": {"enum": []},
    "a reference to nothing": {"$ref": "#/$defs/none"},
    "a reference to elsewhere": {"$ref": "https://example.com/schema.json"},
    "a long text": {"type": "string", "minLength": 10**12},
    "many items": {"type": "array", "minItems": 10**12},
    "many properties": {"type": "object", "minProperties": 10**12},
    "many items of many": {"type": "array", "minItems": 1_000, "items": {"type": "array", "minItems": 1_000}},
    "a large constant often": {"type": "array", "minItems": 9_000, "items": {"const": "x" * 10_000}},
    "many variants twice": {"allOf": [{"anyOf": [{}] * 10_000}, {"anyOf": [{}] * 10_000}]},
    "a float without end": {"type": "number", "exclusiveMinimum": 10**400},
    "a constant without end": {"const": [math.inf]},
    "an enum of what is no number": {"enum": [math.nan]},
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_small_example_is_refused_soon(name: str) -> None:
    began = time.thread_time()
    with pytest.raises(ValueError, match=r"JSON schema|pattern"):
        example(REFUSED[name])
    assert time.thread_time() - began < 2


def test_the_largest_examples_are_made_soon() -> None:
    pattern = "(" * 100 + "a" + ")+" * 100
    items: tuple[Any, ...] = ({"type": "integer"}, {"type": "string", "pattern": pattern}, {"enum": list(range(50))})
    for item in items:
        began = time.thread_time()
        with suppress(ValueError):
            example({"type": "array", "minItems": 10**6, "uniqueItems": True, "items": item})
        assert time.thread_time() - began < 2
    assert len(example({"type": "array", "minItems": 2_000, "items": items[0]})) == 2_000
    assert len(example({"type": "string", "minLength": SIZE_MAX - 100})) == SIZE_MAX - 100


@pytest.mark.parametrize(("kinds", "branches"), [(1, 6), (2, 2), (3, 4), (6, 6)])
def test_a_tree_of_many_kinds_comes_to_an_end(kinds: int, branches: int) -> None:
    refs = [{"$ref": f"#/$defs/k{kind}"} for kind in range(kinds)]
    properties = {f"b{branch}": {"anyOf": [*refs, {"type": "null"}]} for branch in range(branches)}
    node = {"type": "object", "properties": properties, "required": list(properties)}
    schema = {**refs[0], "$defs": {f"k{kind}": node for kind in range(kinds)}}
    assert conforms(schema)
