"""What an account can buy, and what it has bought, for its pages."""

from typing import Final, Literal, NamedTuple

from fastapi import HTTPException, Response

from farebox.account.buy import change_of, has_trial
from farebox.account.plan import can_be_chosen
from farebox.account.till import CannotBuy, Till
from farebox.domain.plan import Plan
from farebox.domain.product import Product
from farebox.domain.subscribing import Known
from farebox.ports.calls import AccountRow
from farebox.web.pages.frame import Frame
from farebox.web.pages.guard import POLICY
from farebox.web.pages.use_words import is_in_trial
from farebox.web.site import Site

NOT_SOLD: Final = "Nothing can be bought online here yet."
ELSEWHERE: Final = 303
Way = Literal["choose", "buy", "now", "later", "wanted", "other_interval", "none"]
"""How to get a plan: choose a free one; buy it; change to it, now or at the period's end; or it is wanted already."""


class Sale(NamedTuple):
    """What the account has bought."""

    is_open: bool
    """Whether anything can be bought here."""
    known: Known | None
    """Its subscription, while that gives it a plan."""
    grace_until_us: int | None
    is_lapsed: bool
    has_customer: bool
    has_trial: bool = True
    """Whether a plan that it buys begins with the plan's trial."""


def sale_of(frame: Frame, account: AccountRow, now_us: int) -> Sale:
    till = frame.site.till
    stored = till().billing.subscription(account.id) if till is not None and account.customer_id else None
    known = stored if stored is not None and stored.is_live else None
    has_failed = known is None or known.status == "past_due"  # else it is cancelled, and the page says that instead
    grace_us = account.grace_until_us if has_failed else None
    return Sale(
        till is not None,
        known,
        grace_us,
        grace_us is not None and grace_us <= now_us,
        bool(account.customer_id),
        has_trial(stored),
    )


def way_to(product: Product, sale: Sale, plan: Plan | None, other: Plan) -> Way:
    """How an account can get another plan than its own."""
    known = sale.known
    if known is None:
        if can_be_chosen(product, other):
            return "choose"
        return "buy" if sale.is_open and other.price_nanodollars else "none"
    if other.name == known.next_plan or (known.ends_at_period_end and can_be_chosen(product, other)):
        return "wanted"
    if not other.price_nanodollars:
        return "later" if can_be_chosen(product, other) else "none"
    change = change_of(plan, known, other)
    if change == "later" and plan is not None and plan.every != other.every:
        return "other_interval"
    return "later" if change == "later" else "now"


def trial_credit(frame: Frame, account: AccountRow, now_us: int) -> int | None:
    """What is left of the credit of an account in its trial; None where there is none under way."""
    if not is_in_trial(account, now_us):
        return None
    till = frame.site.till
    return till().credit.balance(account.id) if till is not None else 0


def place_to_buy(site: Site, name: str) -> str:
    """The page where a plan that somebody chose comes first; empty where it is none that can be bought."""
    plan = site.product.by_name.get(name)
    return f"/plan?plan={plan.name}" if plan is not None and plan.price_nanodollars and site.till is not None else ""


def till_of(frame: Frame) -> Till:
    """The till to buy at.

    Raises:
        CannotBuy: nothing is sold here.
    """
    if frame.site.till is None:
        raise CannotBuy(NOT_SOLD)
    return frame.site.till()


def leads_to(frame: Frame, response: Response) -> Response:
    """Let the page's forms lead on to a page to pay on: browsers hold a form's redirects to the page's policy."""
    if frame.site.till is not None:
        origins = " ".join(frame.site.till().pay_origins)
        response.headers["content-security-policy"] = POLICY.replace(
            "form-action 'self'", f"form-action 'self' {origins}"
        )
    return response


def elsewhere(url: str) -> Response:
    """Redirect to a page at Stripe, whose address is not changed."""
    if not url.startswith(("https://", "http://")):
        raise HTTPException(502, "The payment page could not be opened. Try again.")
    return Response(None, ELSEWHERE, {"location": url})
