"""Files that a customer sends, and the form that they come in."""

import inspect
import re
from collections.abc import AsyncGenerator
from dataclasses import dataclass, fields, is_dataclass
from types import UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin

from pydantic import BaseModel, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema
from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from farebox.domain.errors import InvalidRequest

FORM: Final = "multipart/form-data"
PARTS_MAX: Final = 1_000
BOUNDARY: Final = re.compile(rb"[\w'()+,./:=?-]{1,70}")  # RFC 2046, section 5.1.1, and nothing that ends a parameter


@dataclass(frozen=True, slots=True)
class File:
    """A file as a customer sent it. Its name and type are what the customer says they are."""

    content: bytes
    filename: str = ""
    content_type: str = "application/octet-stream"

    def text(self) -> str:
        """Its text.

        Raises:
            InvalidRequest: it is no UTF-8; as an error of the handler, it tells the customer so.
        """
        try:
            return self.content.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise InvalidRequest(f"The file {self.filename[:100]!r} is not UTF-8 text. Send it as UTF-8.") from None

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        del source, handler
        return core_schema.is_instance_schema(cls)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        del schema, handler
        return {"type": "string", "format": "binary"}


def takes_file(annotation: object) -> bool:
    """Whether a parameter is one that a form has files for: `File`, `File | None`, `list[File]`."""
    if annotation is File:
        return True
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return takes_file(inner[0])
    return origin in {Union, UnionType, list} and any(map(takes_file, inner))


def mentions(annotation: Any, kind: type, seen: frozenset[object] = frozenset()) -> bool:  # noqa: ANN401  # a type
    """Whether a kind of file is anywhere in a type, also inside of a model."""
    if inspect.isclass(annotation) and issubclass(annotation, kind):
        return True
    inner: list[Any] = list(get_args(annotation))
    if inspect.isclass(annotation) and annotation not in seen:
        seen |= {annotation}
        if issubclass(annotation, BaseModel):
            inner += [field.annotation for field in annotation.model_fields.values()]
        elif is_dataclass(annotation):
            inner += [field.type for field in fields(annotation)]
    return any(mentions(part, kind, seen) for part in inner)


def in_utf8(content_type: bytes) -> bytes:
    """The content type of a form without the charset, which the form has none of (RFC 7578, section 5.1.2).

    Starlette would decode the form by any codec that is named there, and some take minutes for a megabyte.
    """
    said = content_type.lower()
    if FORM.encode() not in said or b"charset" not in said:
        return content_type
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    return b"%b; boundary=%b" % (kind, boundary) if BOUNDARY.fullmatch(boundary) else kind


async def read_form(body: bytes, content_type: bytes) -> list[tuple[str, str | File]]:
    """The fields of a form, in the order they were sent in.

    Raises:
        InvalidRequest: it is none.
    """
    if content_type.partition(b";")[0].strip().lower() != FORM.encode():
        raise InvalidRequest(f"This endpoint takes a file. Send {FORM}, as a form does.")
    parser = MultiPartParser(
        Headers(raw=[(b"content-type", in_utf8(content_type))]), _once(body),
        max_files=PARTS_MAX, max_fields=PARTS_MAX, max_part_size=len(body),
    )  # fmt: skip
    try:
        async with _Parsed(parser) as form:
            return [(name, await _file(value) if isinstance(value, UploadFile) else value) for name, value in form]
    except MultiPartException as error:
        raise InvalidRequest(f"The form cannot be read: {error.message}") from None


class _Parsed:
    """A form, whose files are closed at its end."""

    def __init__(self, parser: MultiPartParser) -> None:
        self._parser = parser

    async def __aenter__(self) -> list[tuple[str, str | UploadFile]]:
        self._form = await self._parser.parse()
        return self._form.multi_items()

    async def __aexit__(self, *_: object) -> None:
        await self._form.close()


async def _file(upload: UploadFile) -> File:
    kind = upload.content_type or "application/octet-stream"
    return File(await upload.read(), upload.filename or "", kind)


async def _once(body: bytes) -> AsyncGenerator[bytes, None]:
    yield body
