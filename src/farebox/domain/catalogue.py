"""What a founder's file has for sale, as Stripe is to have it: products, prices with lookup keys, and one meter.

A price is never edited: its lookup key says what it costs, so that another amount is another price.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal, NamedTuple

from farebox.domain.billing import Interval
from farebox.domain.errors import FounderError
from farebox.domain.money import NANODOLLARS_PER_CENT, format_usd
from farebox.domain.pack import Pack
from farebox.domain.plan import Plan
from farebox.domain.webhooks import TYPES, Endpoint

METER: Final = "farebox_usage"
"""The meter's event name. Its unit is the nanodollar, as the ledger has already decided what a call costs."""
USAGE: Final = "usage"
PORTAL: Final = "portal"
_BASE_KEY: Final = re.compile(r"farebox_(.+)_(month|year)_\d+", re.ASCII)


class ForSale(NamedTuple):
    """A price that Stripe has to have. `own` names its product in Stripe's metadata; usage has no `cents`."""

    lookup_key: str
    own: str
    name: str
    cents: int | None
    interval: Interval | None


class Offered(NamedTuple):
    """A price of ours that Stripe has. Usage, in nanodollars, has no `cents`."""

    id: str
    lookup_key: str
    cents: int | None
    interval: Interval | None
    is_active: bool


class AtStripe(NamedTuple):
    """What Stripe has of ours."""

    products: Mapping[str, str]
    """Their ids, by the name in their metadata."""
    prices: Sequence[Offered]
    meter: str
    """Its id, or empty."""
    portal: str = ""
    """The id of the settings of the page where customers look after their cards, or empty."""
    endpoint: Endpoint | None = None
    """The endpoint that gets its webhooks, if that was asked for."""


class Change(NamedTuple):
    """A line of the difference. `+` adds, or restores what was archived; `-` archives; `=` is there already."""

    sign: Literal["+", "-", "="]
    what: Literal["meter", "product", "price", "portal", "webhook"]
    key: str
    words: str


def base_key(plan: Plan) -> str:
    return f"farebox_{plan.name}_{plan.every}_{plan.price_nanodollars // NANODOLLARS_PER_CENT}"


def usage_key(interval: Interval) -> str:
    return f"farebox_{USAGE}_{interval}"


def pack_key(pack: Pack) -> str:
    return f"farebox_pack_{pack.name}_{pack.price_cents}"


def keys_of(plan: Plan) -> list[str]:
    """The lookup keys of all prices that a subscription to the plan has."""
    return [base_key(plan), *([usage_key(plan.every)] if plan.is_invoiced else [])]


def plan_of(lookup_key: str) -> str:
    """The plan whose base price has this key; empty where it is no base price."""
    found = _BASE_KEY.fullmatch(lookup_key)
    return found[1] if found is not None else ""


def usage_keys(lookup_keys: Iterable[str]) -> tuple[str, str]:
    """The lookup key of usage at the interval of a plan with these keys, and the one at the other interval."""
    by_year = any(found[2] == "year" for found in map(_BASE_KEY.fullmatch, lookup_keys) if found is not None)
    month, year = usage_key("month"), usage_key("year")
    return (year, month) if by_year else (month, year)


def for_sale(plans: Iterable[Plan], packs: Iterable[Pack]) -> list[ForSale]:
    """All prices that Stripe has to have: those of plans that cost something, of their usage, and of packs.

    Raises:
        FounderError: two of them would have the same lookup key.
    """
    sold = [plan for plan in plans if plan.price_nanodollars]
    found = [
        ForSale(
            base_key(plan), f"plan:{plan.name}", plan.name, plan.price_nanodollars // NANODOLLARS_PER_CENT, plan.every
        )
        for plan in sold
    ]
    # One per interval: a customer who moves to a plan without usage still has to pay the usage of the old one.
    is_metered = any(plan.is_invoiced for plan in sold)
    metered = dict.fromkeys(plan.every for plan in sold if is_metered)
    found += [ForSale(usage_key(every), USAGE, "Use beyond the plan", None, every) for every in metered]
    found += [
        ForSale(pack_key(pack), f"pack:{pack.name}", f"Credit, {pack.name}", pack.price_cents, None) for pack in packs
    ]
    keys = [one.lookup_key for one in found]
    twice = next((key for key in keys if keys.count(key) > 1), None)
    if twice is not None:
        raise FounderError(f"A plan and a pack would both be called {twice} at Stripe; give one of them another name.")
    return found


def difference(wanted: Sequence[ForSale], has: AtStripe, webhook_url: str = "") -> list[Change]:
    """What has to be done, and what is there already, in the order in which it is done.

    Webhooks are a part of it where there is an address for them.
    """
    changes = []
    if any(one.cents is None for one in wanted):
        changes.append(Change("=" if has.meter else "+", "meter", METER, "counts use, in nanodollars"))
    for own, name in dict.fromkeys((one.own, one.name) for one in wanted):
        changes.append(Change("=" if own in has.products else "+", "product", own, name))
    known = {price.lookup_key: price for price in has.prices}
    for one in wanted:
        price = known.get(one.lookup_key)
        sign: Literal["+", "="] = "=" if price is not None and price.is_active else "+"
        again = ", which was archived" if price is not None and not price.is_active else ""
        changes.append(Change(sign, "price", one.lookup_key, cost(one.cents, one.interval) + again))
    keys = {one.lookup_key for one in wanted}
    changes += [
        Change("-", "price", price.lookup_key or price.id, f"{cost(price.cents, price.interval)}, no longer sold")
        for price in has.prices
        if price.is_active and price.lookup_key not in keys
    ]
    if wanted:
        changes.append(
            Change("=" if has.portal else "+", "portal", PORTAL, "cards, addresses and invoices of customers")
        )
    if wanted and webhook_url:
        changes.append(_webhook(has.endpoint, webhook_url))
    return changes


def _webhook(endpoint: Endpoint | None, url: str) -> Change:
    if endpoint is None:
        return Change("+", "webhook", url, f"told of {len(TYPES)} kinds of event")
    lacks = ", ".join(endpoint.lacks)
    due = ([] if endpoint.is_enabled else ["enabled again"]) + ([f"told of {lacks} as well"] if lacks else [])
    return Change("+" if due else "=", "webhook", url, ", ".join(due) or "told of all that matters")


def cost(cents: int | None, interval: Interval | None) -> str:
    """'$29.00 a month'."""
    if cents is None:
        return f"what was used, each {interval}"
    return format_usd(cents * NANODOLLARS_PER_CENT) + (f" a {interval}" if interval else ", once")
