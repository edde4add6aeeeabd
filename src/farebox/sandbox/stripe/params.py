"""The parameters that may be sent, read off the types of Stripe's own library, so that no list has to be kept."""

import functools
import types
import typing
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal, InvalidOperation
from importlib import import_module
from typing import Any, Final, NotRequired, get_args, get_origin

import typing_extensions
from stripe._request_options import RequestOptions

from farebox.sandbox.stripe.errors import refused, wanted
from farebox.sandbox.stripe.things import Thing

OPTIONS: Final = frozenset(RequestOptions.__annotations__)
"""Options that the library takes in the same dict, and sends as headers."""
NEEDED: Final = (typing.Required, typing_extensions.Required)
MARKS: Final = (NotRequired, typing_extensions.NotRequired, *NEEDED)


@functools.cache
def hints(name: str) -> dict[str, Any]:
    """The parameters of `billing.MeterCreateParams`, say, and their types."""
    *folders, kind = name.split(".")
    return _fields(getattr(import_module(".".join(["stripe.params", *folders])), kind))


@functools.cache
def _fields(kind: Any) -> dict[str, Any]:
    """A TypedDict's fields; the type of a required one is wrapped in a tuple."""
    takes_options = set(kind.__annotations__) >= OPTIONS
    own = {name: hint for name, hint in kind.__annotations__.items() if not (takes_options and name in OPTIONS)}
    resolved = typing.get_type_hints(
        type(kind.__name__, (), {"__annotations__": own, "__module__": kind.__module__}), include_extras=True
    )
    found = {}
    for name, hint in resolved.items():
        is_needed, inner = name in kind.__required_keys__, hint
        if get_origin(hint) in MARKS:
            is_needed, inner = get_origin(hint) in NEEDED, get_args(hint)[0]
        found[name] = (inner,) if is_needed else inner
    return found


def checked(name: str, given: Thing) -> Thing:
    """Check the parameters, and convert their values to their types.

    Raises:
        StripeError: one is unknown, missing, or not of its type.
    """
    return _group(hints(name), given, "")


def _group(fields: dict[str, Any], given: Thing, path: str) -> Thing:
    for name in given:
        if name not in fields:
            where = _at(path, name)
            raise refused(f"Received unknown parameter: {where}", code="parameter_unknown", param=where)
    for name, hint in fields.items():
        if isinstance(hint, tuple) and name not in given:
            raise wanted(_at(path, name))
    return {name: _value(_bare(fields[name]), value, _at(path, name)) for name, value in given.items()}


def _bare(hint: Any) -> Any:
    return hint[0] if isinstance(hint, tuple) else hint


def _at(path: str, name: object) -> str:
    return f"{path}[{name}]" if path else str(name)


def _value(hint: Any, value: Any, path: str) -> Any:
    options = _options(hint)
    if isinstance(value, dict):
        return _of_group(options, value, path)
    if isinstance(value, list):
        inner = next((get_args(option)[0] for option in options if get_origin(option) in (list, typing.List)), Any)  # noqa: UP006
        return [_value(inner, item, _at(path, place)) for place, item in enumerate(value)]
    return _of_leaf(options, value, path)


def _options(hint: Any) -> list[Any]:
    """The members of a union; any other type alone."""
    if get_origin(hint) in (typing.Union, types.UnionType):
        return [option for part in get_args(hint) for option in _options(part) if option is not type(None)]
    return [hint]


def _of_group(options: list[Any], value: Thing, path: str) -> Thing:
    for option in options:
        if typing.is_typeddict(option) or typing_extensions.is_typeddict(option):
            return _group(_fields(option), value, path)
    if any(get_origin(option) is dict or option is Any for option in options):
        return value
    raise refused(f"Invalid {path}: it is no group of values.", code="parameter_invalid", param=path)


def _of_leaf(options: list[Any], value: Any, path: str) -> Any:
    literals = [member for option in options if get_origin(option) is typing.Literal for member in get_args(option)]
    if value in literals or (value == "" and not _is_one_of(options, str)):
        return value
    words = [member for member in literals if member]
    if len(words) > 1 and all(option is str or get_origin(option) is typing.Literal for option in options):
        raise refused(f"Invalid {path}: must be one of {', '.join(map(str, words))}", param=path)
    for kind, read in READERS.items():
        if _is_one_of(options, kind):
            with suppress(ValueError, InvalidOperation):
                return read(value)
    if any(option is Any for option in options):
        return value
    wanted_kind = next((option.__name__ for option in options if isinstance(option, type)), "value")
    code = {"int": "parameter_invalid_integer", "str": "parameter_invalid_string_blank"}.get(wanted_kind, "")
    raise refused(f"Invalid {wanted_kind}: {value}", code=code, param=path)


def _is_one_of(options: list[Any], kind: type) -> bool:
    return any(option is kind for option in options)


def _boolean(value: Any) -> bool:
    if str(value).lower() in {"true", "false"}:
        return str(value).lower() == "true"
    raise ValueError(value)


def _decimal(value: Any) -> str:
    return format(Decimal(str(value)), "f")


def _string(value: Any) -> str:
    if isinstance(value, str):
        return value
    raise ValueError(value)


READERS: Final[dict[type, Callable[[Any], Any]]] = {
    bool: _boolean,
    int: lambda value: int(str(value)),
    float: lambda value: float(str(value)),
    Decimal: _decimal,
    str: _string,
}
