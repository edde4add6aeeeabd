"""`expand[]`: objects in the place of their ids, and lists that are only there when asked for."""

from collections.abc import Callable
from typing import Any, Final

from farebox.sandbox.stripe.desk import Desk
from farebox.sandbox.stripe.errors import refused
from farebox.sandbox.stripe.rooms.checkout import items_of
from farebox.sandbox.stripe.things import Thing, listed, public

DEPTH_MAX: Final = 4


def expanded(desk: Desk, answer: Thing, whole: Thing, paths: list[str]) -> Thing:
    """The answer with the objects and lists that these paths lead to.

    Raises:
        StripeError: one leads nowhere.
    """
    for path in paths:
        steps = path.split(".")
        if len(steps) > DEPTH_MAX + 1:
            raise refused("You cannot expand more than 4 levels of a property.", param="expand")
        if not _walk(desk, answer, whole, steps):
            raise refused(f"This property cannot be expanded ({steps[-1]}).", param="expand")
    return answer


def _walk(desk: Desk, place: Any, whole: Any, steps: list[str]) -> bool:
    if not steps or place is None:
        return True
    if isinstance(place, list):
        wholes = whole if isinstance(whole, list) and len(whole) == len(place) else place
        found = [_walk(desk, one, with_inside, steps) for one, with_inside in zip(place, wholes, strict=True)]
        return all(found)
    if not isinstance(place, dict):
        return False
    name, *rest = steps
    lazy = LAZY.get((str(place.get("object")), name))
    if lazy is not None and not (place.get(name) or {}):
        place[name] = lazy(desk, whole)
    elif name not in place:
        return False
    inside = place[name]
    if isinstance(inside, str):
        found_thing = desk.find(inside)
        if found_thing is None:
            return not rest and not inside.startswith(("txn_", "acct_"))
        place[name], inside = public(found_thing), found_thing
    elif isinstance(inside, list) and inside and all(isinstance(one, str) for one in inside):
        place[name] = [public(desk.find(one) or {"id": one}) for one in inside]
    within = inside if isinstance(inside, dict) else (whole or {}).get(name) if isinstance(whole, dict) else None
    return _walk(desk, place[name], within if within is not None else place[name], rest)


def _line_items(desk: Desk, session: Thing) -> Thing:
    session = desk.get("checkout.session", session["id"])
    items = [public(item) for item in items_of(desk, session)]
    return listed(f"/v1/checkout/sessions/{session['id']}/line_items", items)


def _payments(desk: Desk, invoice: Thing) -> Thing:
    found = desk.find((desk.find(invoice["id"]) or {}).get("_payment") or "")
    return listed(f"/v1/invoice_payments?invoice={invoice['id']}", [public(found)] if found else [])


def _refunds(desk: Desk, charge: Thing) -> Thing:
    ids = reversed((desk.find(charge["id"]) or {}).get("_refunds", []))
    found = [public(desk.get("refund", id_)) for id_ in ids]
    return listed(f"/v1/charges/{charge['id']}/refunds", found)


def _subscriptions(desk: Desk, customer: Thing) -> Thing:
    found = [one for one in desk.all("subscription", customer["id"]) if one["status"] != "canceled"]
    return listed(f"/v1/customers/{customer['id']}/subscriptions", [public(one) for one in found])


def _tiers(desk: Desk, price: Thing) -> list[Thing] | None:
    found = desk.find(price["id"]) or {}
    return found.get("_tiers")


LAZY: Final[dict[tuple[str, str], Callable[[Desk, Thing], Any]]] = {
    ("checkout.session", "line_items"): _line_items,
    ("invoice", "payments"): _payments,
    ("charge", "refunds"): _refunds,
    ("customer", "subscriptions"): _subscriptions,
    ("price", "tiers"): _tiers,
}
