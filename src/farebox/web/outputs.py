"""The output of a founder's function: the response's schema, and a value in it as JSON."""

import re
import traceback
from collections.abc import Iterator, Mapping
from math import isfinite
from pathlib import Path
from typing import Annotated, Any, Final, get_args, get_origin

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, to_json

from farebox.domain.errors import FounderError
from farebox.web.inputs import NOT_MEANT, first_sentence
from farebox.web.upload import File, mentions

TEXT_SCHEMA: Final = {
    "type": "object",
    "properties": {"text": {"type": "string", "description": "The answer."}},
    "required": ["text"],
}
FAULTS_MAX: Final = 10  # a wrong answer may be wrong in a thousand places
_FIELD: Final = re.compile(r"field_name='(\w+)'")
_RAISED: Final = re.compile(r"Error calling function `(\w+)`: (\w+)")  # a serializer of the founder's


class Output:
    """The answer of one endpoint, or an item of its stream: a text, an object, or any other value.

    Raises:
        FounderError: there is no JSON for its type.
    """

    def __init__(self, name: str, returns: Any) -> None:  # noqa: ANN401  # a type
        plain = get_args(returns)[0] if get_origin(returns) is Annotated else returns
        self.is_text = plain is str
        if mentions(returns, File):
            raise FounderError(f"{name} returns a File, but its answer is JSON; return the file's text, or a link.")
        try:
            self.adapter: TypeAdapter[Any] = TypeAdapter(returns)
            self.adapter.rebuild(raise_errors=True)  # which names an annotation that is not there
            schema = self.adapter.json_schema(mode="serialization")
        except NOT_MEANT as error:
            reason = first_sentence(error)
            raise FounderError(f"{name}: there is no JSON for what it returns: {reason}") from None
        self._known = frozenset(_names(schema))
        while "$ref" in schema:
            schema = schema["$defs"][schema["$ref"].rpartition("/")[2]]
        self.is_object = schema.get("type") == "object"

    @property
    def takes_none(self) -> bool:
        """Whether a function that returns nothing keeps its promise."""
        try:
            self.adapter.validate_python(None)
        except Exception:  # noqa: BLE001  # a validator of the founder's may raise any
            return False
        return True

    def body(self, value: object) -> bytes:
        """The answer's body.

        Raises:
            ValueError: the value is not of the type that the function promised, or has a number that is not finite.
        """
        if self.is_object:
            return self._json(value)
        return b'{"text":' + self._json(value) + b"}" if self.is_text else b'{"result":' + self._json(value) + b"}"

    def item(self, value: object) -> bytes:
        """An item of a stream.

        Raises:
            ValueError: as `body`.
        """
        if not self.is_text:
            return self._json(value)
        if type(value) is not str:
            value = self._valid(value)
        return to_json({"text": value})

    def enclosed(self, value: Any) -> Any:  # noqa: ANN401  # JSON
        """A JSON value as it stands in the body."""
        return value if self.is_object else {"text" if self.is_text else "result": value}

    def wrapped(self, schema: dict[str, Any]) -> dict[str, Any]:
        """The schema of the body, given that of the value."""
        if self.is_text:
            return TEXT_SCHEMA
        if self.is_object:
            return schema
        return {"type": "object", "properties": {"result": schema}, "required": ["result"]}

    def _json(self, value: object) -> bytes:
        value = self._valid(value)
        try:
            body = self.adapter.dump_json(value, by_alias=True, warnings="error")
        except PydanticSerializationError as error:  # its message quotes the value
            raise ValueError(f"the answer cannot be written as JSON: {self._unwritten(str(error))}") from None
        if b"null" in body and not _is_finite(self.adapter.dump_python(value)):
            raise ValueError("the answer has a number that is not finite, for which JSON has no word")
        return body

    def _valid(self, value: object) -> Any:  # noqa: ANN401  # of the type that the function promised
        try:
            return self.adapter.validate_python(value)
        except ValidationError as error:
            faults = [self._fault(fault) for fault in error.errors(include_url=False)[:FAULTS_MAX]]
            raise ValueError(f"the answer is not of the type after the arrow: {'; '.join(faults)}") from None

    def _fault(self, fault: Mapping[str, Any]) -> str:
        """The place and the kind only: the rest, and the keys of a dict, are words of customers and of models."""
        known = [str(part) if type(part) is int or part in self._known else "…" for part in fault["loc"]]
        told = f"{'.'.join(known) or 'all of it'}: {fault['type']}, from {type(fault['input']).__name__}"
        raised = fault.get("ctx", {}).get("error")
        if not isinstance(raised, Exception) or raised.__traceback__ is None:
            return told
        *_, last = traceback.extract_tb(raised.__traceback__)  # in a validator of the founder's
        return f"{told}, raised by {last.name} ({Path(last.filename).name}, line {last.lineno})"

    def _unwritten(self, told: str) -> str:
        """Why, in words that are the founder's own."""
        if raised := _RAISED.search(told):
            return f"{raised[1]} raised {raised[2]}"
        places = ", ".join(sorted(self._known.intersection(_FIELD.findall(told)))) or "it"
        return f"{places} is not of its type"


def _names(schema: object) -> Iterator[str]:
    """The names of all fields in a JSON schema."""
    for part in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        yield from _names(part)
    if isinstance(schema, dict) and isinstance(schema.get("properties"), dict):
        yield from schema["properties"]


def _is_finite(value: object) -> bool:
    """Whether no number in it is nan or infinite: those are written as null."""
    if isinstance(value, float):
        return isfinite(value)
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    return not isinstance(value, list | tuple | set | frozenset) or all(map(_is_finite, value))
