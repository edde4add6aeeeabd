"""The first wrong value of a request decides. There may be as many as there are bytes.

Pydantic tells each with all the names above it, which the sender may have made up: a body of a megabyte could come to
gigabytes of them.
"""

import json
from collections.abc import Callable
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import CoreSchema, PydanticCustomError, SchemaValidator

SEQUENCES: Final = ("list", "tuple", "set", "frozenset")
NAMED: Final = ("values_schema", "extras_schema")
"""Where a core schema has the type of values whose names the sender makes up."""
INNER: Final = (*NAMED, "items_schema", "schema")
PLAIN: Final = ("any", "bool", "float", "int", "str")
"""The types that have at most one error for a value."""
NO_SCHEMAS: Final = ("default", "expected", "members", "metadata")
"""What may be in a core schema and is none, but a value of the founder's."""
OWN: Final = "function-wrap[_first_alone()]"
_decoder: Final = json.JSONDecoder()


def validator_of(schema: CoreSchema) -> SchemaValidator:
    """The schema's validator, which tells one error of a sequence, of a value under a name, and of a type in itself."""
    schema = _failing_fast(schema)
    try:
        # Models have validators of their own already, which would look on.
        return SchemaValidator(schema, _use_prebuilt=False)
    except TypeError:  # a pydantic that has no such argument: then a model's own validator does look on
        return SchemaValidator(schema)


def first_fault(error: ValidationError) -> dict[str, Any]:
    """The type, loc and msg of the first error."""
    # Pydantic builds all of them; as text in a fifth of the time that objects take.
    text = error.json(include_url=False, include_context=False, include_input=False)
    fault: dict[str, Any] = _decoder.raw_decode(text, len("["))[0]
    # The type of a union's choice is in its errors' loc, as pydantic names it, with what was put into it here.
    fault["loc"] = [one.replace(OWN, "...") if isinstance(one, str) else one for one in fault["loc"]]
    return fault


def _failing_fast(part: Any) -> Any:  # noqa: ANN401  # any part of a core schema
    if isinstance(part, list | tuple):
        return type(part)(map(_failing_fast, part))
    if not isinstance(part, dict):
        return part
    kind = part.get("type")
    if not isinstance(kind, str):  # the fields of a model, by their names
        return {name: _failing_fast(one) for name, one in part.items()}
    found = {name: one if name in NO_SCHEMAS else _failing_fast(one) for name, one in part.items()}
    for name in INNER:
        if isinstance(found.get(name), dict) and _may_have_many(name, found[name]["type"]):
            found[name] = _with_one_error(found[name])
    return found | {"fail_fast": True} if kind in SEQUENCES else found


def _may_have_many(name: str, kind: str) -> bool:
    # A reference is to a type that may be in itself, a hundred times.
    return kind == "definition-ref" or (name in NAMED and kind not in PLAIN)


def _with_one_error(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "function-wrap", "function": {"type": "no-info", "function": _first_alone}, "schema": schema}


def _first_alone(value: object, validate: Callable[[object], object]) -> object:
    try:
        return validate(value)
    except ValidationError as error:
        if error.error_count() == 1:
            raise
        fault = first_fault(error)
    kind = PydanticCustomError(fault["type"], fault["msg"])
    raise ValidationError.from_exception_data("", [{"type": kind, "loc": tuple(fault["loc"]), "input": None}])
