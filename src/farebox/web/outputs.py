"""The output of a founder's function: the response's schema, and a value in it as JSON."""

from math import isfinite
from typing import Annotated, Any, Final, get_args, get_origin

from pydantic import TypeAdapter
from pydantic_core import to_json

from farebox.domain.errors import FounderError
from farebox.web.inputs import NOT_MEANT, first_sentence
from farebox.web.upload import File, mentions

TEXT_SCHEMA: Final = {
    "type": "object",
    "properties": {"text": {"type": "string", "description": "The answer."}},
    "required": ["text"],
}


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
            value = self.adapter.validate_python(value)
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
        value = self.adapter.validate_python(value)
        body = self.adapter.dump_json(value, by_alias=True, warnings="error")
        if b"null" in body and not _is_finite(self.adapter.dump_python(value)):
            raise ValueError("the answer has a number that is not finite, for which JSON has no word")
        return body


def _is_finite(value: object) -> bool:
    """Whether no number in it is nan or infinite: those are written as null."""
    if isinstance(value, float):
        return isfinite(value)
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    return not isinstance(value, list | tuple | set | frozenset) or all(map(_is_finite, value))
