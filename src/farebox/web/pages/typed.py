"""What is typed into an endpoint's form, and the request that is made of it."""

import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import parse_qsl

from pydantic_core import from_json, to_json

from farebox.domain.errors import InvalidRequest
from farebox.web.pages.controls import ROOT, Control, shown
from farebox.web.upload import FORM, File, read_form

Typed = Mapping[str, Sequence[str | File]]
SAMPLE_NAME: Final = "document.txt"
SAMPLE_FILE: Final = File(
    b"A small coffee roaster in Lisbon buys its beans from four farms that it visits every year, roasts on Tuesdays "
    b"and Fridays, and sells half of them within a day. Its customers come back for the smell, they say, and for the "
    b"cinnamon rolls.\n",
    SAMPLE_NAME,
    "text/plain",
)
"""Sent where a file is required and none was chosen, so that one click makes the first call."""
_LEFT_OUT: Final = object()


async def read_typed(body: bytes, content_type: bytes) -> dict[str, list[str | File]]:
    """The form as the browser sent it; with or without files.

    Raises:
        InvalidRequest: it is none.
    """
    if content_type.startswith(FORM.encode()):
        pairs: Iterable[tuple[str, str | File]] = await read_form(body, content_type)
    else:
        pairs = parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)
    typed: dict[str, list[str | File]] = {}
    for name, value in pairs:
        if isinstance(value, File):
            if value.filename:
                typed.setdefault(name, []).append(value)
        else:
            typed.setdefault(name, []).append(value.replace("\r\n", "\n"))
    return typed


# -- From the form to the request -----------------------------------------------------------------------------


def request_of(controls: Iterable[Control], typed: Typed) -> dict[str, Any]:
    """The fields of the request, as JSON has them, and files as they are. Empty ones are left out.

    The endpoint checks the values: a text that should be a number, and is none, is sent as it was typed.

    Raises:
        InvalidRequest: a field that is written as JSON is not JSON.
    """
    values = {control.label: _value(control, typed) for control in controls}
    return {name: value for name, value in values.items() if value is not _LEFT_OUT}


def _value(control: Control, typed: Typed) -> Any:  # noqa: ANN401  # JSON
    given = typed.get(control.sent_as, ())
    texts = [text for text in given if isinstance(text, str)]
    match control.kind:
        case "group":
            return request_of(control.parts, typed)
        case "file" | "files":
            return _files(control, [file for file in given if isinstance(file, File)])
        case "check":
            return bool(texts)
        case "ticks":
            return [_chosen(control, text) for text in texts]
        case "lines":
            lines = [line.strip() for text in texts for line in text.splitlines() if line.strip()]
            return [_of_text(line, control.accepts) for line in lines] if lines or control.is_required else _LEFT_OUT
        case _:
            return _one(control, texts[0] if texts else "")


def _one(control: Control, text: str) -> Any:  # noqa: ANN401  # JSON
    if not text.strip():
        if control.is_required and "null" in control.accepts:
            return None
        is_text = control.is_required and "string" in control.accepts and control.kind in {"line", "area"}
        return text if is_text else _LEFT_OUT
    if control.kind in {"radios", "choice"}:
        return _chosen(control, text)
    if control.kind == "json":
        return _json(control, text)
    return _of_text(text, control.accepts)


def _files(control: Control, files: list[File]) -> Any:  # noqa: ANN401  # files
    if not files and control.is_required:
        files = [SAMPLE_FILE]
    if not files:
        return _LEFT_OUT
    return files if control.kind == "files" else files[0]


def _chosen(control: Control, text: str) -> Any:  # noqa: ANN401  # JSON
    return next((value for label, value in control.options if label == text), text)


def _of_text(text: str, accepts: frozenset[str]) -> Any:  # noqa: ANN401  # JSON
    """A text where a text will do, else the number that it says."""
    if "string" in accepts:
        return text
    try:
        found = from_json(text.strip(), allow_inf_nan=False)
    except ValueError:
        return text
    return found if isinstance(found, int | float) else text


def _json(control: Control, text: str) -> Any:  # noqa: ANN401  # JSON
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        field = control.name.removeprefix(f"{ROOT}.")
        reason = f"{error.msg}, line {error.lineno}" if isinstance(error, json.JSONDecodeError) else "it is too deep"
        raise InvalidRequest(f"{field} is not JSON: {reason}.", param=field) from None


# -- From the request to the form -----------------------------------------------------------------------------


def typed_of(controls: Iterable[Control], values: Mapping[str, Any]) -> dict[str, list[str]]:
    """The form as it is filled in at first: an optional field without a default stays empty."""
    typed: dict[str, list[str]] = {}
    for control in controls:
        value = values.get(control.label)
        if value is None or not (control.is_required or control.has_default):
            continue
        match control.kind:
            case "group":
                typed |= typed_of(control.parts, value)
            case "file" | "files":
                pass  # a page cannot choose a file
            case "check":
                typed[control.name] = ["true"] if value else []
            case "ticks":
                typed[control.sent_as] = [shown(one) for one in value]
            case "lines":
                typed[control.name] = ["\n".join(shown(one) for one in value)]
            case "json":
                typed[control.name] = [json.dumps(value, indent=2, ensure_ascii=False)]
            case _:
                typed[control.name] = [shown(value)]
    return typed


# -- The request on the wire ----------------------------------------------------------------------------------


def body_of(values: Mapping[str, Any], *, takes_files: bool) -> tuple[bytes, bytes]:
    """The content type and the body of the request.

    Raises:
        InvalidRequest: the values cannot be written.
    """
    if takes_files:
        return _multipart(values)
    try:
        return b"application/json", to_json(values)
    except (ValueError, RecursionError):
        raise InvalidRequest("The request is nested too deep, or has half of a character.") from None


def named(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values with each file's name in place of the file, as code that makes the call has them."""

    def name(value: Any) -> Any:  # noqa: ANN401  # JSON or a file
        if isinstance(value, File):
            return value.filename
        return [name(one) for one in value] if isinstance(value, list) else value

    return {field: name(value) for field, value in values.items()}


def _multipart(values: Mapping[str, Any]) -> tuple[bytes, bytes]:
    boundary = secrets.token_hex(16).encode()
    pieces: list[bytes] = []
    for name, value in values.items():
        for one in value if isinstance(value, list) and value and isinstance(value[0], File) else [value]:
            head, content = _part(one)
            pieces.append(b'--%b\r\ncontent-disposition: form-data; name="%b"%b\r\n\r\n%b\r\n'
                          % (boundary, name.encode(), head, content))  # fmt: skip
    return b"multipart/form-data; boundary=" + boundary, b"".join([*pieces, b"--", boundary, b"--\r\n"])


def _part(value: object) -> tuple[bytes, bytes]:
    if not isinstance(value, File):
        return b"", shown(value).encode("utf-8", "surrogatepass")
    # As browsers write it (HTML, "multipart form data"): nothing in a name can end it, or begin another header.
    name = value.filename.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
    kind = value.content_type.encode("latin-1", "replace").replace(b"\r", b"").replace(b"\n", b"")
    return b'; filename="%b"\r\ncontent-type: %b' % (name.encode("utf-8", "replace"), kind), value.content
