"""The shape of each object: every field that Stripe's own classes annotate, null where null is allowed."""

import copy
import functools
import typing
from decimal import Decimal
from typing import Any, Final, ForwardRef, get_args, get_origin

import stripe
from stripe import ListObject, StripeObject

from farebox.sandbox.stripe.things import Thing, listed

EMPTY: Final[dict[Any, Any]] = {bool: False, int: 0, float: 0.0, str: "", Decimal: "0"}
API_VERSION: Final = stripe.api_version
NOT_THERE: Final = frozenset({"deleted"})
"""Fields that only deleted objects have."""


def blank(kind: str) -> Thing:
    """A blank object of a kind, named as in the field `object`."""
    return {**copy.deepcopy(_shape(class_of(kind))), "object": kind}


def nested(kind: str, path: str) -> Thing:
    """A blank part of an object: `nested("invoice", "Parent")`."""
    place = class_of(kind)
    for name in path.split("."):
        place = getattr(place, name)
    return copy.deepcopy(_shape(place))


@functools.cache
def class_of(kind: str) -> Any:
    """Stripe's class of a kind of object."""
    from stripe._object_classes import get_object_class  # noqa: PLC0415  (it loads what it is asked for)

    return get_object_class("V1", kind)


@functools.cache
def _shape(cls: Any) -> Thing:
    fields: Thing = {}
    wire_names = {own: wire for wire, own in cls._field_remappings.items()}
    for name, annotation in cls.__annotations__.items():
        if get_origin(annotation) is typing.ClassVar or name.startswith("_") or name in NOT_THERE:
            continue
        fields[wire_names.get(name, name)] = _empty(annotation)
    return fields


def _empty(annotation: Any) -> Any:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is typing.Union:
        return None if type(None) in inner else _empty(inner[0])
    if origin is typing.Literal:
        return inner[0]
    if origin is list:
        return []
    if origin is ListObject:
        return listed("", [])
    if isinstance(annotation, ForwardRef):
        return ""
    if isinstance(annotation, type) and issubclass(annotation, StripeObject):
        return {} if annotation.__module__.startswith("stripe._stripe_object") else _nested(annotation)
    return EMPTY.get(annotation, {} if origin is not None else None)


def _nested(cls: Any) -> Any:
    """A part inside of an object; None for an object in its own right (a price in an item), which its maker puts in."""
    return None if hasattr(cls, "OBJECT_NAME") else copy.deepcopy(_shape(cls))
