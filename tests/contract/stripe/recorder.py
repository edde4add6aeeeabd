"""What the stand-in answers, held against the classes of Stripe's own library."""

import json
import typing
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, ForwardRef, get_args, get_origin
from urllib.parse import urlsplit

import stripe
from stripe import ListObject, StripeObject
from stripe._object_classes import get_object_class
from stripe.events._event_classes import get_v2_event_class

Answer = tuple[str, str, Any]
GONE = {"id", "object", "deleted"}
PLAIN: dict[Any, tuple[type, ...]] = {
    str: (str,), int: (int,), bool: (bool,), float: (int, float), Decimal: (str,), dict: (dict,), list: (list,)
}  # fmt: skip


class Recorder(stripe.RequestsClient):
    """Stripe's own way to send, that remembers what came back."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: list[Answer] = []
        """Method, path and body of each answer that is no error."""

    def request(  # type: ignore[override]  # the library's own two do not agree either
        self, method: str, url: str, headers: Mapping[str, str] | None, post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        content, status, answered = super().request(method, url, headers, post_data)
        if status == 200:
            self.answers.append((method.upper(), urlsplit(url).path, json.loads(content)))
        return content, status, answered


def wrong(thing: Any, where: str = "") -> Iterator[str]:
    """What is not as Stripe's class of the object has it: fields that are missing, made up, or of another type."""
    if isinstance(thing, list):
        for place, one in enumerate(thing):
            yield from wrong(one, f"{where}[{place}]")
    if not isinstance(thing, dict):
        return
    kind = thing.get("object")
    if kind == "list":
        yield from _missing_of_list(thing, where)
        yield from wrong(thing["data"], f"{where}.data")
    elif kind is not None and not (thing.get("deleted") and set(thing) <= GONE):
        cls = _class_of(thing, kind)
        if cls is StripeObject:
            yield f"{where}: there is no object of the kind {kind}"
        else:
            yield from _of_class(thing, cls, f"{where}<{kind}>")


def _class_of(thing: dict[str, Any], kind: str) -> Any:
    if kind == "v2.core.event":
        return get_v2_event_class(thing["type"])
    return get_object_class("V2" if kind.startswith("v2.") else "V1", kind)


def _missing_of_list(thing: dict[str, Any], where: str) -> Iterator[str]:
    for name in ("data", "has_more", "url"):
        if name not in thing:
            yield f"{where}: a list without {name}"


def _of_class(thing: dict[str, Any], cls: Any, where: str) -> Iterator[str]:
    wire = {own: name for name, own in cls._field_remappings.items()}
    bases = [base for base in reversed(cls.__mro__) if issubclass(base, StripeObject) and base is not StripeObject]
    known = {
        wire.get(name, name): annotation
        for base in bases
        for name, annotation in base.__annotations__.items()
        if get_origin(annotation) is not typing.ClassVar and not name.startswith("_")
    }
    for name in sorted(set(thing) - set(known)):
        yield f"{where}.{name}: Stripe has no such field"
    for name, annotation in known.items():
        if name not in thing:
            if not _may_be_null(annotation):
                yield f"{where}.{name}: it is not there"
        elif thing[name] is None:
            if not _may_be_null(annotation):
                yield f"{where}.{name}: it is null"
        else:
            yield from _of_type(thing[name], annotation, f"{where}.{name}")


def _may_be_null(annotation: Any) -> bool:
    return get_origin(annotation) is typing.Union and type(None) in get_args(annotation)


def _of_type(value: Any, annotation: Any, where: str) -> Iterator[str]:
    options = get_args(annotation) if get_origin(annotation) is typing.Union else (annotation,)
    found = [list(_of_option(value, option, where)) for option in options if option is not type(None)]
    if all(found):  # every option has something to say against it
        yield from min(found, key=len)


def _of_option(value: Any, option: Any, where: str) -> Iterator[str]:
    origin = get_origin(option)
    if origin is typing.Literal:
        if value not in get_args(option):
            yield f"{where}: {value!r} is none of {get_args(option)[:9]}"
    elif origin is list:
        if not isinstance(value, list):
            yield f"{where}: {value!r} is no list"
        else:
            for place, one in enumerate(value):
                yield from _of_type(one, get_args(option)[0], f"{where}[{place}]")
    elif origin is ListObject or isinstance(option, ForwardRef):
        if not (isinstance(value, dict) and "object" in value):
            yield f"{where}: {value!r} is no object"
        else:
            yield from wrong(value, where)
    elif isinstance(option, type) and issubclass(option, StripeObject):
        yield from _of_object(value, option, where)
    elif not isinstance(value, PLAIN.get(origin or option, (object,))) or (option is int and isinstance(value, bool)):
        yield f"{where}: {value!r} is no {option}"


def _of_object(value: Any, option: type, where: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{where}: {value!r} is no object"
    elif isinstance(value.get("object"), str):
        yield from wrong(value, where)
    elif not option.__module__.endswith("_stripe_object"):
        yield from _of_class(value, option, where)
