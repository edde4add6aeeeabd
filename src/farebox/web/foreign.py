"""Limits that a field's type cannot be held to, as `ge=1` for a text: pydantic takes them, and fails at each value."""

from collections.abc import Callable, Iterator
from datetime import date, timedelta
from decimal import Decimal
from functools import partial
from typing import Any, Final

from pydantic_core import SchemaValidator

Check = Callable[[Any], object]
SAMPLES: Final[dict[str, Any]] = {
    "str": "", "int": 1, "float": 1.0, "bool": True, "bytes": b"", "decimal": Decimal(1),
    "list": [], "tuple": (), "set": set(), "frozenset": frozenset(), "dict": {}, "typed-dict": {},
    "date": date.min, "timedelta": timedelta(1),
}  # fmt: skip
"""A value of each plain type, by pydantic's name for it."""


def foreign_limit(schema: Any) -> str | None:  # noqa: ANN401  # a core schema
    """The first such limit in a core schema, and the type that has it, in words."""
    for node in _nodes(schema):
        for limits, check, inner in _checks(node):
            for sample in _samples(inner):
                try:
                    check(sample)
                except TypeError:
                    name, most = next(iter(limits.items()))
                    return f"{name}={most!r}, and no {type(sample).__name__} can be held to that"
                except Exception:  # noqa: BLE001, S112  # it can be checked, and this sample is beyond it
                    continue
    return None


def _nodes(part: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401  # any part of a core schema
    if isinstance(part, dict):
        yield part
        part = list(part.values())
    if isinstance(part, list | tuple):
        for one in part:
            yield from _nodes(one)


def _checks(node: dict[str, Any]) -> Iterator[tuple[dict[str, Any], Check, Any]]:
    """The limits of a node that are checked by a function, that function, and the schema of what it is given."""
    match node:
        case {"type": "function-after", "function": {"function": partial() as check}, "schema": inner}:
            if check.keywords and _is_pydantics(check.func):
                yield check.keywords, check, inner
        case {"type": "chain", "steps": [first, *steps]}:
            yield from ((limits, check, first) for step in steps for limits, check in _of_text(step))
        case _:
            pass


def _of_text(step: dict[str, Any]) -> Iterator[tuple[dict[str, Any], Check]]:
    """The limits of a text, where they stand behind a schema that may give another value."""
    match step:
        case {"type": "function-wrap", "function": {"function": check}, "schema": {"type": "str"} as text}:
            limits = {name: most for name, most in text.items() if name != "type"}
            if limits and _is_pydantics(check):
                validator = SchemaValidator(step["schema"])
                yield limits, lambda sample: check(sample, validator.validate_python)
        case _:
            pass


def _is_pydantics(function: object) -> bool:
    """Whether it is one of pydantic's own; a founder's validators are never run here."""
    return str(getattr(function, "__module__", "")).startswith("pydantic.")


def _samples(schema: Any) -> Iterator[Any]:  # noqa: ANN401  # a core schema
    """Values that it may give; none where a function of the founder's makes them."""
    match schema:
        case {"type": "enum", "members": values} | {"type": "literal", "expected": values}:
            yield from values
        case {"type": "model", "cls": model}:
            yield model.__new__(model)
        case {"type": "union", "choices": choices}:
            for choice in choices:
                yield from _samples(choice[0] if isinstance(choice, tuple) else choice)
        case {"type": "default" | "nullable" | "function-before", "schema": inner}:
            yield from _samples(inner)
        case {"type": str(kind)} if kind in SAMPLES:
            yield SAMPLES[kind]
        case _:
            for _, _, inner in _checks(schema):
                yield from _samples(inner)
