"""The form of an endpoint: a control for each field of its JSON schema; deeply nested ones are written as JSON."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal, NamedTuple

from farebox.web.pages.fields import Json, kind_of, limits_of, opened, variants_of

Kind = Literal[
    "line", "area", "number", "check", "radios", "choice", "ticks", "lines", "file", "files", "json", "group"
]  # fmt: skip
ROOT: Final = "in"  # begins each control's name, so that no field can have the name of anything else on the page
DEPTH_MAX: Final = 2  # of groups in groups; anything deeper is written as JSON
LINE_CHARS_MAX: Final = 200  # a longer text gets more than a line
RADIOS_MAX: Final = 4
CHOOSING: Final = frozenset({"radios", "choice", "ticks"})
SCALARS: Final = frozenset({"string", "integer", "number", "boolean"})
TYPES: Final = {"date": "date", "email": "email", "uri": "url", "password": "password"}
_NAME: Final = re.compile(r"[A-Za-z_]\w*", re.ASCII)


class Control(NamedTuple):
    """One field, as a form asks for it."""

    name: str
    """Its place, as "in.lead.company"."""
    label: str
    """The field's own name."""
    kind: Kind
    is_required: bool
    has_default: bool
    """Whether it has a default that is not empty."""
    accepts: frozenset[str]
    """The kinds of JSON that it may be, or that its items may."""
    what: str
    """What it is in words, as "text"; empty where the choices say it."""
    hint: str
    options: tuple[tuple[str, Any], ...]
    """Each value that can be chosen, after the text that is shown for it."""
    attributes: Mapping[str, str | int | float]
    parts: tuple["Control", ...]

    @property
    def id(self) -> str:
        """The name as an id in HTML."""
        return self.name.replace(".", "-")

    @property
    def sent_as(self) -> str:
        """Its name in the form that is sent; brackets say that it may come several times."""
        return f"{self.name}[]" if self.kind == "ticks" else self.name

    @property
    def must_be_typed(self) -> bool:
        """Whether a browser should not send the form while it is empty."""
        return self.is_required and self.kind in {"line", "area", "number", "choice", "json"} and self.is_something

    @property
    def is_something(self) -> bool:
        """Whether its kinds are known, and null is none of them."""
        return bool(self.accepts) and "null" not in self.accepts


def controls(schema: Json) -> tuple[Control, ...]:
    """The controls of a request, in the order in which the function has its fields."""
    return tuple(_parts(schema, schema, ROOT, 0))


def find_control(found: tuple[Control, ...], param: str) -> str:
    """The name of the control that a refused field is in; empty where it is none of these."""
    best = ""
    for control in found:
        path = control.name.removeprefix(f"{ROOT}.")
        if param == path or param.startswith(f"{path}."):
            best = find_control(control.parts, param) or control.name
    return best


def _parts(part: Json, schema: Json, place: str, depth: int) -> Iterator[Control]:
    required = part.get("required", ())
    for name, inner in part.get("properties", {}).items():
        yield _control(inner, schema, f"{place}.{name}", depth, is_required=name in required)


def _control(part: Json, schema: Json, name: str, depth: int, *, is_required: bool) -> Control:
    whole = opened(part, schema)
    variants = variants_of(whole, schema)
    accepts = frozenset(kind for variant in variants for kind in _types(variant))
    something = [variant for variant in variants if variant.get("type") != "null"]
    only = something[0] if len(something) == 1 else {}
    may_be_empty = "null" in accepts or not (is_required or _says_something(whole.get("default")))
    kind = _kind(only, something, schema, depth, may_be_empty=may_be_empty)
    options = _options(only, schema, kind)
    return Control(
        name=name,
        label=name.rpartition(".")[2],
        kind=kind,
        is_required=is_required,
        has_default=_says_something(whole.get("default")),
        accepts=_types(_items(only, schema)) if kind == "lines" else accepts,
        what="" if kind in CHOOSING or kind == "group" else kind_of(whole, schema),
        hint=_hint(whole, only, kind, is_required=is_required),
        options=(("", None), *options) if kind == "choice" and may_be_empty else options,
        attributes=_attributes(only, kind),
        parts=tuple(_parts(only, schema, name, depth + 1)) if kind == "group" else (),
    )


def _types(part: Json) -> frozenset[str]:
    choices = part.get("enum", [part["const"]] if "const" in part else None)
    if choices is not None:
        return frozenset(_type_of(choice) for choice in choices)
    return frozenset({part["type"]}) if isinstance(part.get("type"), str) else frozenset()


def _items(part: Json, schema: Json) -> Json:
    items = part.get("items")
    return opened(items, schema) if isinstance(items, dict) else {}


def _type_of(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case _:
            return "string"


def _kind(only: Json, variants: list[Json], schema: Json, depth: int, *, may_be_empty: bool) -> Kind:
    if len(variants) > 1:
        return "line" if all(_is_scalar(one) for one in variants) else "json"
    if "enum" in only or "const" in only:
        return "choice" if may_be_empty or len(only.get("enum", ())) > RADIOS_MAX else "radios"
    match only.get("type"):
        case "boolean":
            return "choice" if may_be_empty else "check"
        case "integer" | "number":
            return "number"
        case "string":
            return "file" if only.get("format") == "binary" else _text_kind(only)
        case "array":
            return _list_kind(only, _items(only, schema))
        case "object" if _is_group(only, depth) and not may_be_empty:
            return "group"
        case _:
            return "json"


def _text_kind(part: Json) -> Kind:
    is_short = part.get("maxLength", LINE_CHARS_MAX + 1) <= LINE_CHARS_MAX or "format" in part or "pattern" in part
    return "line" if is_short else "area"


def _list_kind(part: Json, items: Json) -> Kind:
    if "prefixItems" in part:
        return "json"
    if items.get("format") == "binary":
        return "files"
    if "enum" in items or "const" in items:
        return "ticks"
    return "lines" if _is_scalar(items) else "json"


def _is_scalar(part: Json) -> bool:
    return bool(_types(part)) and _types(part) <= SCALARS


def _is_group(part: Json, depth: int) -> bool:
    names = part.get("properties", {})
    has_others = part.get("additionalProperties") not in (None, False)
    return bool(names) and depth < DEPTH_MAX and not has_others and all(map(_NAME.fullmatch, names))


def _options(only: Json, schema: Json, kind: Kind) -> tuple[tuple[str, Any], ...]:
    listed = _items(only, schema) if kind == "ticks" else only
    values = listed.get("enum", [listed["const"]] if "const" in listed else [])
    if kind == "choice" and not values:
        values = [True, False]
    return tuple((shown(value), value) for value in values if value is not None) if kind in CHOOSING else ()


def shown(value: object) -> str:
    """A value as a form has it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


# -- What stands beside a control -----------------------------------------------------------------------------


def _hint(whole: Json, part: Json, kind: Kind, *, is_required: bool) -> str:
    told = [str(whole.get("description") or "").strip()]
    if kind == "json":
        told.append("Written as JSON")
    elif kind == "lines":
        told.append("One a line")
    elif kind in {"file", "files"} and is_required:
        told.append("Without one, a short example text is sent")
    told += limits_of(part)
    default = whole.get("default")
    if _says_something(default) and kind not in {"check", "json", "group", "ticks"}:
        told.append(f"Default: {', '.join(map(shown, default if isinstance(default, list) else [default]))}")
    return " ".join(text if text.endswith((".", "!", "?")) else f"{text}." for text in told if text)


def _says_something(default: object) -> bool:
    return default is not None and default not in ("", [], {})


def _attributes(part: Json, kind: Kind) -> dict[str, str | int | float]:
    if kind == "line":
        return {"type": TYPES.get(str(part.get("format")), "text")}
    if kind != "number":
        return {}
    is_whole = part.get("type") == "integer"
    bounds = {name: part[key] for name, key in (("min", "minimum"), ("max", "maximum")) if key in part}
    step = part.get("multipleOf", 1 if is_whole else "any")
    if step != "any" and bounds.get("min", 0) % step:
        step = "any"  # a browser counts its steps from the least, and a schema from zero
    return {"type": "number", "step": step, "inputmode": "numeric" if is_whole else "decimal", **bounds}
