"""The inputs of a founder's function: the request's schema, and the values in a request."""

import hashlib
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final

from fastapi import params
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, create_model
from pydantic.errors import PydanticUndefinedAnnotation, PydanticUserError
from pydantic.fields import FieldInfo
from pydantic_core import SchemaError, from_json
from starlette.datastructures import UploadFile

from farebox.domain.errors import FounderError, InvalidRequest
from farebox.web.first_fault import first_fault, validator_of
from farebox.web.foreign import foreign_limit
from farebox.web.request import read_writable, strict_json
from farebox.web.signature import Parameter
from farebox.web.upload import File, mentions, read_form, takes_file

NOT_MEANT: Final = (PydanticUserError, PydanticUndefinedAnnotation, SchemaError, TypeError)
"""The errors of pydantic for a type that it can make no schema of."""
LIMIT: Final = re.compile(r'Error building "([\w-]+)" validator:\s+\w+: ([^\n]+)$')  # the last, where one is in another
CONFIG: Final = ConfigDict(extra="forbid", allow_inf_nan=False)  # a text that says "inf" would be a number, too
FIELD_CHARS_MAX: Final = 100  # of a name that the sender has made up
NUMBER_TEXT_MAX: Final = 1_000
JSON_TEXT_MAX: Final = 1 << 20
PLAIN: Final = frozenset({"integer", "number", "boolean", "null"})
Values = dict[str, Any]


class Inputs:
    """The fields of one endpoint's request.

    Raises:
        FounderError: a parameter's type or default cannot be used.
    """

    def __init__(self, name: str, parameters: Mapping[str, Parameter]) -> None:
        self.names = tuple(parameters)
        self.takes_files = any(takes_file(parameter.annotation) for parameter in parameters.values())
        converts = {field: _check(name, field, parameter) for field, parameter in parameters.items()}
        # By alias, so that a field may have any name: `schema`, `json` and `copy` are pydantic's own. A default that
        # only can become one of its type, as "warm" for an Enum, becomes it, as a customer's "warm" would.
        sent = {field: Field(alias=field, validate_default=converts[field]) for field in parameters}
        fields: dict[str, Any] = {
            _inner(place): _defined(Annotated[parameter.annotation, sent[field]], parameter.default)
            for place, (field, parameter) in enumerate(parameters.items())
        }
        title = f"{name.title().replace('_', '')}In"
        self.model: type[BaseModel] = create_model(title, __config__=CONFIG, **fields)
        self.adapter: TypeAdapter[Any] = TypeAdapter(self.model)
        try:
            self.schema: dict[str, Any] = self.adapter.json_schema()
            self._validator = validator_of(self.adapter.core_schema)
        except NOT_MEANT as error:
            raise FounderError(f"{name}: there is no JSON for what it takes: {first_sentence(error)}") from None
        self.is_optional = not self.schema.get("required")
        # A Field(alias=…) has another name on the wire than in the function.
        self._kinds = {sent: _kinds(part, self.schema) for sent, part in self.schema.get("properties", {}).items()}
        self._example = "{" + ", ".join(f'"{sent}": …' for sent in self._kinds) + "}"

    async def read(self, body: bytes, content_type: bytes) -> tuple[Values, bytes]:
        """The values of a request, and the bytes by which it is known when it comes again.

        Raises:
            InvalidRequest: a field is wrong, missing, or not one of these.
        """
        if self.takes_files:
            parts = await read_form(body, content_type)
            return self._valid(self._of_form(parts)), _digest(parts)
        if not body and self.is_optional:
            return self._valid({}), body
        values = read_writable(body, self._example)
        return self._valid(values), body

    def _valid(self, values: Values) -> Values:
        try:
            found = self._validator.validate_python(values)
        except ValidationError as error:
            raise self._told(error) from None
        return {name: getattr(found, _inner(place)) for place, name in enumerate(self.names)}

    def _told(self, error: ValidationError) -> InvalidRequest:
        fault = first_fault(error)
        field = ".".join(str(part) for part in fault["loc"])[:FIELD_CHARS_MAX] or "The request"
        if fault["type"] == "missing":
            return InvalidRequest(f"{field} is missing.", param=field)
        if fault["type"] == "extra_forbidden":
            fields = f"The fields are: {', '.join(self._kinds)}." if self._kinds else "This endpoint takes no fields."
            return InvalidRequest(f"There is no field {field}. {fields}", param=field)
        if fault["type"] == "is_instance_of":  # only a File is checked like this
            return InvalidRequest(f"{field} is not a file. Send it as a form does, with filename=…", param=field)
        return InvalidRequest(f"{field}: {fault['msg'].removeprefix('Value error, ')}.", param=field)

    def _of_form(self, parts: list[tuple[str, str | File]]) -> Values:
        """A form's fields as JSON would have them."""
        values: Values = {}
        for name, part in parts:
            kinds = self._kinds.get(name, frozenset())
            value = part if isinstance(part, File) else _of_text(name, part, kinds)
            if "array" in kinds and not isinstance(value, list):
                values.setdefault(name, []).append(value)
            elif name in values:
                raise InvalidRequest(
                    f"{name[:FIELD_CHARS_MAX]} was sent twice. Send it once.", param=name[:FIELD_CHARS_MAX]
                )
            else:
                values[name] = value
        return values


def _inner(place: int) -> str:
    return f"field_{place}"


def _defined(annotation: Any, default: object) -> Any:  # noqa: ANN401  # as create_model takes a field
    """The field. Without a default it may have one in its annotation, as in Annotated[str, Field(default="x")]."""
    return annotation if default is ... else (annotation, default)


def _check(name: str, field: str, parameter: Parameter) -> bool:
    """Whether its default can go through its type."""
    annotation, default = parameter
    for said in (default, *getattr(annotation, "__metadata__", ())):
        if isinstance(said, params.Depends | params.Param):
            raise FounderError(
                f"{name}: {field} has {type(said).__name__}(…), which is for FastAPI's own routes: here each parameter "
                "is a field that the customer sends. Take it out, and get what it would bring in the function itself."
            )
    if mentions(annotation, UploadFile):
        raise FounderError(f"{name}: {field} is FastAPI's UploadFile; write it as Farebox's own, as in: {field}: File")
    if mentions(annotation, File) and not takes_file(annotation):
        raise FounderError(f"{name} takes a File inside of {field}; make it a parameter of its own, or list[File].")
    try:
        TypeAdapter(annotation)
        defined: Any = _defined(annotation, default)
        alone = create_model("Alone", __config__=CONFIG | ConfigDict(validate_default=True), field=defined)
        adapter: TypeAdapter[Any] = TypeAdapter(alone)
        adapter.rebuild(raise_errors=True)  # which names an annotation that is not there
        limit = foreign_limit(adapter.core_schema)
    except NOT_MEANT as error:
        raise FounderError(f"{name}: {field} cannot be a field: {first_sentence(error)}") from None
    if limit:
        raise FounderError(f"{name}: {field} has {limit}. Take it out, or put it at the type that it is for.")
    return _check_default(name, field, default, alone)


def _check_default(name: str, field: str, default: object, alone: type[BaseModel]) -> bool:
    try:
        alone()
    except ValidationError as error:
        fault = error.errors()[0]
        if fault["type"] == "missing" and len(fault["loc"]) == 1:  # it has none
            return True
        shown = fault["input"] if default is ... or isinstance(default, FieldInfo) else default
        raise FounderError(
            f"{name}: the default of {field} is {shown!r}, which is not of its type: {fault['msg']}."
        ) from None
    except Exception:  # noqa: BLE001  # a validator that is for what is sent, or a default_factory that needs a server
        return alone.model_fields["field"].default_factory is not None
    return True


def first_sentence(error: Exception) -> str:
    """Pydantic's objection to a type, without its advice on its own settings, which is no help here."""
    _, is_pattern, told = str(error).partition("regex parse error:")
    if is_pattern:
        reason = told.rpartition("error: ")[2]
        return f"its pattern cannot be read: {reason}. Correct it, or check that in the function."
    if limit := LIMIT.search(str(error)):
        return f"a limit of its {limit[1]} cannot be used: {limit[2]}. Correct it in the Field(…)."
    if isinstance(error, PydanticUndefinedAnnotation):
        return f"it has an unknown annotation: name {error.name!r} is not defined. Import it, or define it above."
    return str(error).partition("\n")[0].partition(". ")[0].rstrip(".") + "."


def _kinds(part: Mapping[str, Any], schema: Mapping[str, Any]) -> frozenset[str]:
    """The kinds of JSON that a field may have."""
    if "$ref" in part:
        return _kinds(schema["$defs"][part["$ref"].rpartition("/")[2]], schema)
    several = part.get("anyOf") or part.get("oneOf") or part.get("allOf")
    if several:
        return frozenset().union(*(_kinds(one, schema) for one in several))
    if "type" in part:
        return frozenset({part["type"]})
    values = part.get("enum", [part["const"]] if "const" in part else [])
    return frozenset({"string"}) if any(isinstance(value, str) for value in values) else frozenset()


def _of_text(name: str, text: str, kinds: frozenset[str]) -> Any:  # noqa: ANN401  # any JSON
    """The value of a form's text, which is read as JSON where the field is no text.

    Raises:
        InvalidRequest: it has a number that is not finite, or a key twice, or is too long.
    """
    if "string" in kinds and not ("array" in kinds and text.startswith("[")):
        return text
    if "null" in kinds and not text:
        return None
    chars_max = NUMBER_TEXT_MAX if kinds and kinds <= PLAIN else JSON_TEXT_MAX
    if len(text) > chars_max:
        field = name[:FIELD_CHARS_MAX]
        raise InvalidRequest(f"{field} is longer than {chars_max:,} characters. Send less.", param=field)
    try:
        from_json(text, allow_inf_nan=False)  # refuses half of a surrogate pair
        return strict_json.decode(text)
    except ValueError:
        return text


def _digest(parts: list[tuple[str, str | File]]) -> bytes:
    """Digest of a form's fields. Its raw body will not do: the boundary differs each time it is sent."""
    found = hashlib.sha256()
    for name, part in parts:
        texts = (name, part.filename, part.content_type) if isinstance(part, File) else (name, part)
        pieces = [text.encode("utf-8", "surrogatepass") for text in texts]
        if isinstance(part, File):
            pieces.append(part.content)
        found.update(bytes([len(pieces)]))
        for piece in pieces:
            found.update(len(piece).to_bytes(8) + piece)
    return found.digest()
