"""Stripe's objects are dicts here, as they go over the wire. Keys that begin with an underscore stay inside."""

from typing import Any, TypeAlias

Thing: TypeAlias = dict[str, Any]


def public(thing: Thing) -> Thing:
    """An object without the keys that stay inside."""
    return {
        name: value if name == "metadata" else _public(value)
        for name, value in thing.items()
        if not name.startswith("_")
    }


def _public(value: Any) -> Any:
    if isinstance(value, dict):
        return public(value)
    return [_public(one) for one in value] if isinstance(value, list) else value


def listed(url: str, things: list[Thing], *, has_more: bool = False) -> Thing:
    """A list as Stripe answers it."""
    return {"object": "list", "data": things, "has_more": has_more, "url": url}


def changed(old: Thing, new: Thing) -> Thing:
    """The old values of what changed: an event's `previous_attributes`."""
    return {name: old.get(name) for name in new if not name.startswith("_") and old.get(name) != new[name]}


def merged_metadata(old: Thing | None, new: Thing | str | None) -> Thing:
    """Metadata after an update: an empty value takes its key away, an empty string takes all of it."""
    if new is None:
        return dict(old or {})
    if isinstance(new, str):
        return {}
    return {name: value for name, value in {**(old or {}), **new}.items() if value != ""}
