"""An example of what a JSON schema describes: the same one each time, and no larger than it has to be."""

import json
from collections.abc import Iterator
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

from farebox.sandbox.example_merge import TYPES, JsonObject, merged
from farebox.sandbox.example_number import number
from farebox.sandbox.example_text import text
from farebox.sandbox.words import SANDBOX_MODEL

DEPTH_MAX: Final = 60
SIZE_MAX: Final = 40_000  # about the characters of the largest example, which also bounds the work of making it
NODE_SIZE: Final = 10
PATTERN_READINGS: Final = 4  # how often a pattern is read to find a text of a fitting length
KEYWORDS: Final = {  # the type of a schema that states none, by the first of these keywords in it
    "properties": "object", "required": "object", "additionalProperties": "object", "patternProperties": "object",
    "minProperties": "object", "propertyNames": "object", "items": "array", "prefixItems": "array",
    "minItems": "array", "contains": "array", "minimum": "number", "maximum": "number", "multipleOf": "number",
    "exclusiveMinimum": "number", "exclusiveMaximum": "number",
}  # fmt: skip


class DeadEnd(ValueError):
    """There is no example this way: the schema allows nothing, or goes on without end."""


class TooLarge(ValueError):
    """The schema asks for more than the sandbox makes."""


def example(schema: object) -> Any:  # noqa: ANN401  # JSON
    """A value that conforms to the schema.

    `not`, `if` and the `dependent…` keywords are not looked at, and patterns are kept to as well as can be.

    Raises:
        ValueError: there is none, or it would be very large.
    """
    try:
        try:
            return _Maker(schema).make(schema, _Place())
        except TooLarge:
            return _Maker(schema, is_spare=True).make(schema, _Place())
    except (OverflowError, RecursionError) as error:
        raise ValueError("the JSON schema asks for what the sandbox cannot make") from error


class _Place(NamedTuple):
    """The place where an example is made: how deep, inside which references, as which of several, by which variants."""

    depth: int = 0
    refs: frozenset[str] = frozenset()
    nth: int = 0
    takes_turns: bool = False


class _Maker:
    """Makes the example of one schema; each step counts, so that a small schema cannot ask for endless work.

    With `is_spare` it leaves out all that may be left out.
    """

    def __init__(self, root: object, *, is_spare: bool = False) -> None:
        self.root, self.is_spare = root, is_spare
        self.size_left = SIZE_MAX

    def spend(self, size: int) -> None:
        self.size_left -= size
        if self.size_left < 0:
            raise TooLarge("the JSON schema asks for more than the sandbox makes")

    def make(self, schema: object, place: _Place) -> Any:  # noqa: ANN401  # JSON
        self.spend(NODE_SIZE)
        if schema is False or place.depth > DEPTH_MAX:
            raise DeadEnd("the JSON schema allows no example that comes to an end")
        if not isinstance(schema, dict):
            return SANDBOX_MODEL
        place = place._replace(depth=place.depth + 1)
        schema, place = self.opened(schema, place)
        if "allOf" in schema:
            return self.make(*self.joined(schema, place))
        if "const" in schema:
            return self.given(schema["const"])
        for name in ("anyOf", "oneOf"):
            if isinstance(schema.get(name), list) and schema[name]:
                return self.one_of(schema, name, place)
        return self.of_type(schema, place)

    def opened(self, schema: JsonObject, place: _Place) -> tuple[JsonObject, _Place]:
        """The schema, with its reference replaced by what that refers to."""
        while True:
            self.spend(_breadth(schema))
            ref = schema.get("$ref")
            if not isinstance(ref, str):
                return schema, place
            if ref in place.refs:  # if there is a finite example, there is one without a reference inside of itself
                raise DeadEnd("the JSON schema goes on without end")
            place = place._replace(refs=place.refs | {ref})
            found = self.find(ref)
            if found is False:
                raise DeadEnd("the JSON schema allows nothing")
            rest = {name: value for name, value in schema.items() if name not in {"$ref", "$defs", "definitions"}}
            schema = merged(found, rest) if isinstance(found, dict) else rest

    def find(self, ref: str) -> object:
        """Find what a reference inside of the schema points to.

        Raises:
            ValueError: it points to nothing, or to another place.
        """
        found: Any = self.root
        first, *names = unquote(ref).split("/")
        try:
            for name in names:
                key = name.replace("~1", "/").replace("~0", "~")
                found = found[int(key)] if isinstance(found, list) else found[key]
        except (KeyError, IndexError, TypeError, ValueError):
            first = ""
        if first != "#":
            raise ValueError(f"the JSON schema's $ref {ref[:80]!r} points to nothing in it")
        return found

    def joined(self, schema: JsonObject, place: _Place) -> tuple[JsonObject, _Place]:
        """The schema and all of its `allOf` as one."""
        whole = {name: value for name, value in schema.items() if name != "allOf"}
        for part in schema["allOf"] if isinstance(schema["allOf"], list) else ():
            if part is False:
                raise DeadEnd("the JSON schema allows nothing")
            if isinstance(part, dict):
                opened, place = self.opened(part, place)
                whole = merged(whole, opened)
                self.spend(_breadth(whole))
        return whole, place

    def one_of(self, schema: JsonObject, name: str, place: _Place) -> Any:  # noqa: ANN401  # JSON
        """An example of the first variant that has one. A null comes last; with `is_spare`, references do."""
        if self.is_spare:
            variants = sorted(schema[name], key=lambda variant: isinstance(variant, dict) and "$ref" in variant)
        else:
            variants = sorted(schema[name], key=lambda variant: variant == {"type": "null"})
        rest = {key: value for key, value in schema.items() if key != name}
        turn, start = divmod(place.nth, len(variants)) if place.takes_turns else (place.nth, 0)
        for variant in (*variants[start:], *variants[:start]):
            try:
                return self.make({**rest, "allOf": [variant]}, place._replace(nth=turn))
            except DeadEnd:
                continue
        raise DeadEnd("the JSON schema allows no example that comes to an end")

    def of_type(self, schema: JsonObject, place: _Place) -> Any:  # noqa: ANN401  # JSON
        types = schema.get("type")
        if types is None:
            types = next((kind for keyword, kind in KEYWORDS.items() if keyword in schema), "string")
        types = types[: len(TYPES)] if isinstance(types, list) else [types]
        if isinstance(schema.get("enum"), list):
            return self.one_listed(schema, types, place)
        for kind in sorted(types, key=lambda kind: kind == "null"):
            try:
                return self.of_one_type(schema, kind, place)
            except DeadEnd:
                continue
        raise DeadEnd("the JSON schema allows no example that comes to an end")

    def one_listed(self, schema: JsonObject, types: list[Any], place: _Place) -> Any:  # noqa: ANN401  # JSON
        """A value of an `enum`."""
        fitting = [value for value in schema["enum"] if "type" not in schema or _has_type(value, types)]
        if not fitting:
            raise DeadEnd("the JSON schema has an enum that allows nothing")
        return self.given(fitting[place.nth % len(fitting)])

    def given(self, value: Any) -> Any:  # noqa: ANN401  # JSON
        """A value that the schema itself names, unless it is one that JSON cannot write, such as NaN."""
        try:
            written = json.dumps(value, allow_nan=False)
        except ValueError:
            raise DeadEnd("the JSON schema names a number that JSON cannot write") from None
        self.spend(len(written))
        return value

    def of_one_type(self, schema: JsonObject, kind: object, place: _Place) -> Any:  # noqa: ANN401  # JSON
        match kind:
            case "object":
                return self.members(schema, place)
            case "array":
                return self.items(schema, place)
            case "integer" | "number":
                return number(schema, place.nth, is_whole=kind == "integer")
            case "boolean":
                return place.nth % 2 == 0
            case "null":
                return None
            case _:
                return self.text(schema, place)

    def text(self, schema: JsonObject, place: _Place) -> str:
        least, most = _bound(schema, "minLength") or 0, _bound(schema, "maxLength")
        pattern = schema.get("pattern")
        self.spend(
            max(least, len(SANDBOX_MODEL)) + (PATTERN_READINGS * len(pattern) if isinstance(pattern, str) else 0)
        )
        return text(schema, place.nth, least, most)

    def members(self, schema: JsonObject, place: _Place) -> JsonObject:
        """All members that the object may have, except optional ones without a finite example."""
        properties = schema["properties"] if isinstance(schema.get("properties"), dict) else {}
        required = schema["required"] if isinstance(schema.get("required"), list) else []
        needed = {name for name in required if isinstance(name, str)}
        others, key_schema = self.others(schema)
        room = max(0, (_bound(schema, "maxProperties") or SIZE_MAX) - len(needed))
        found: JsonObject = {}
        for name in dict.fromkeys((*properties, *sorted(needed))):
            if name not in needed and (room == 0 or self.is_spare):
                continue
            self.spend(len(name))
            try:
                found[name] = self.make(properties.get(name, others), place)
                room -= name not in needed
            except DeadEnd:
                if name in needed:
                    raise
        self.fill(found, schema, others, key_schema, place)
        return found

    def others(self, schema: JsonObject) -> tuple[object, JsonObject]:
        """The schema of values that are not listed by name, and that of their names."""
        patterns = schema.get("patternProperties")
        names = schema["propertyNames"] if isinstance(schema.get("propertyNames"), dict) else {}
        if isinstance(patterns, dict) and patterns:
            pattern, others = next(iter(patterns.items()))
            return others, {**names, "pattern": pattern}
        return schema.get("additionalProperties", True), names

    def fill(
        self, found: JsonObject, schema: JsonObject, others: object, key_schema: JsonObject, place: _Place
    ) -> None:
        """Add values under names of our own: as many as there have to be, and one to a map from any name."""
        least = _bound(schema, "minProperties") or 0
        is_map = isinstance(others, dict) and not found and _bound(schema, "maxProperties") != 0
        wanted = max(least, 1 if is_map else 0)
        for nth in range(2 * wanted):
            if len(found) >= wanted:
                return
            try:
                name = self.make({"type": "string", **key_schema}, place._replace(nth=nth))
                found[str(name)] = self.make(others, place)
            except DeadEnd:
                if len(found) < least:
                    raise
                return

    def items(self, schema: JsonObject, place: _Place) -> list[Any]:
        """One item, or as many as there have to be."""
        items, first = schema.get("items", True), schema.get("prefixItems")
        if isinstance(items, list):  # as prefixItems was written in older drafts
            items, first = schema.get("additionalItems", True), items
        first = first if isinstance(first, list) else []
        if isinstance(schema.get("contains"), dict):
            items = {"allOf": [items, schema["contains"]]}
        least, most = _bound(schema, "minItems") or 0, _bound(schema, "maxItems")
        wanted = least if self.is_spare else max(least, len(first) or 1)
        wanted = wanted if most is None else min(wanted, most)
        is_set = schema.get("uniqueItems") is True
        found: list[Any] = []
        seen: set[str] = set()
        for nth, takes_turns in _attempts(2 * wanted, is_set=is_set):
            if len(found) == wanted:
                break
            one = place._replace(nth=place.nth + nth, takes_turns=takes_turns)
            try:
                item = self.make(first[nth] if nth < len(first) else items, one)
            except DeadEnd:
                if len(found) < least:
                    raise
                break
            key = json.dumps(item, sort_keys=True) if is_set else str(nth)
            if key not in seen:
                found.append(item)
                seen.add(key)
        return found


def _attempts(number: int, *, is_set: bool) -> Iterator[tuple[int, bool]]:
    """Numbers of items to try; in a set, variants then take turns, in case the first alone has too few values."""
    yield from ((nth, False) for nth in range(number))
    if is_set:
        yield from ((nth, True) for nth in range(2 * number))


def _breadth(schema: JsonObject) -> int:
    """The size of one schema, without what is inside of its parts."""
    return len(schema) + sum(len(value) for value in schema.values() if isinstance(value, dict | list))


def _bound(schema: JsonObject, name: str) -> int | None:
    """A size that the schema states."""
    value = schema.get(name)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _has_type(value: object, types: list[Any]) -> bool:
    match value:
        case bool():
            return "boolean" in types
        case int():
            return "integer" in types or "number" in types
        case float():
            return "number" in types or (value.is_integer() and "integer" in types)
        case str():
            return "string" in types
        case dict():
            return "object" in types
        case list():
            return "array" in types
        case _:
            return "null" in types
