"""A room's routes: a method, a path, and the type of the parameters, as Stripe's library names it."""

import re
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from farebox.sandbox.stripe.desk import Desk
from farebox.sandbox.stripe.errors import refused
from farebox.sandbox.stripe.things import Thing, listed

Handler = Callable[..., Thing]
LIMIT_MAX: Final = 100


class Route(NamedTuple):
    method: str
    path: re.Pattern[str]
    params: str | None
    """None where only the handler checks the parameters."""
    handler: Handler


class Room:
    """The endpoints of one resource."""

    def __init__(self) -> None:
        self.routes: list[Route] = []

    def __call__(self, method: str, path: str, params: str | None) -> Callable[[Handler], Handler]:
        pattern = re.compile(re.sub(r"\{\w+\}", "([^/]+)", path) + "/?")

        def add(handler: Handler) -> Handler:
            self.routes.append(Route(method, pattern, params, handler))
            return handler

        return add


def page(desk: Desk, url: str, things: list[Thing], given: Thing, *equal: str) -> Thing:
    """One page of a list, of the objects whose fields in `equal` are as asked for.

    Raises:
        StripeError: the cursor names no object, or the limit is out of bounds.
    """
    for name in equal:
        if name in given:
            things = [thing for thing in things if thing.get(name) == given[name]]
    things = _created(things, given.get("created"))
    limit = given.get("limit", 10)
    if not 1 <= limit <= LIMIT_MAX:
        raise refused("Invalid limit: must be between 1 and 100", code="parameter_invalid_integer", param="limit")
    if "ending_before" in given:
        before = things[: _place(desk, things, given["ending_before"], "ending_before")]
        return listed(url, before[-limit:], has_more=len(before) > limit)
    if "starting_after" in given:
        things = things[_place(desk, things, given["starting_after"], "starting_after") + 1 :]
    return listed(url, things[:limit], has_more=len(things) > limit)


def _place(desk: Desk, things: list[Thing], id_: str, param: str) -> int:
    for place, thing in enumerate(things):
        if thing["id"] == id_:
            return place
    found = desk.find(id_)
    kind = found["object"] if found else "object"
    raise refused(f"No such {kind}: '{id_}'", code="resource_missing", param=param)


def _created(things: list[Thing], bounds: Any) -> list[Thing]:
    if bounds is None:
        return things
    if not isinstance(bounds, dict):
        return [thing for thing in things if thing["created"] == int(bounds)]
    tests = {"gt": int.__gt__, "gte": int.__ge__, "lt": int.__lt__, "lte": int.__le__}
    return [
        thing for thing in things if all(tests[name](thing["created"], int(bound)) for name, bound in bounds.items())
    ]
