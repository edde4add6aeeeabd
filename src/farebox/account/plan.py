"""An account's plan, its own cap, and its limit mails."""

from typing import Final

from farebox.account.desk import Desk
from farebox.domain.money import usd_to_nanodollars
from farebox.domain.people import Client, NotAllowed, PersonError
from farebox.domain.plan import Plan
from farebox.domain.product import Product
from farebox.ports.people import Visit

NOT_AN_AMOUNT: Final = "Enter US dollars, such as 25 or 12.50, or leave it empty for no cap."


def can_be_chosen(product: Product, plan: Plan) -> bool:
    """Whether owners can move their account to this plan: the one that every account starts on, if it is free."""
    return plan is product.plans[0] and plan.price_nanodollars == 0


def choose_plan(desk: Desk, here: Visit, client: Client, name: str) -> None:
    """Move the account to another plan.

    Raises:
        NotAllowed: the plan cannot be chosen like this, or they are no owner (any more).
    """
    product = desk.product
    plan = product.by_name.get(name)
    if plan is None or not can_be_chosen(product, plan):
        raise NotAllowed("This plan cannot be chosen here.")
    if name != here.account.plan:
        desk.upkeep.plans.choose(here, name, client)
        desk.upkeep.limits_changed(here.account.id)


def set_spend_cap(desk: Desk, here: Visit, client: Client, usd: str) -> None:
    """Set the most that a month's calls may come to, or remove that cap if nothing was typed.

    Raises:
        PersonError: it is no amount of money, or the plan charges nothing by use.
        NotAllowed: they are no owner (any more).
    """
    text = usd.strip().removeprefix("$").replace(",", "")
    plan = desk.product.by_name.get(here.account.plan)
    if text and (plan is None or not plan.charges_by_use):
        raise PersonError("Your plan charges nothing by use, so there is nothing to cap.")
    try:
        cap = usd_to_nanodollars(text) if text else None
    except ValueError:
        raise PersonError(NOT_AN_AMOUNT, field="cap") from None
    desk.upkeep.plans.set_spend_cap(here, cap, client)
    desk.upkeep.limits_changed(here.account.id)
