"""The account's plan, the other plans, its own cap, and its limit mails."""

from typing import Annotated, Final

from fastapi import APIRouter, Form, Request, Response

from farebox.account.buy import price_of
from farebox.account.plan import choose_plan, set_spend_cap
from farebox.domain.ledger import Meter
from farebox.domain.limits import PERCENTS, Limit, used_of
from farebox.domain.money import format_usd
from farebox.domain.people import PersonError
from farebox.ports.calls import AccountRow
from farebox.ports.people import Visit
from farebox.web.pages.frame import Frame
from farebox.web.pages.sale import leads_to, sale_of, trial_credit, way_to
from farebox.web.pages.told import form_of
from farebox.web.pages.use_words import is_in_trial, limits
from farebox.web.pages.visitor import OwnerVisitor, Visitor, client_of, is_not_kept, see_other
from farebox.web.pages.words import money

HERE: Final = "/plan"
TOLD: Final = {
    "plan": "You are on this plan now. What you used this month still counts.",
    "paid": "Thank you. Your plan applies from your next call.",
    "waiting": "Your payment is not confirmed yet. You get what you bought as soon as it is.",
    "later": "Your change is saved. Until the period ends, you keep what you paid for.",
    "same": "You stay on this plan.",
    "cancelled": "Your plan ends when the period that you paid for is over.",
    "resumed": "Your plan continues.",
    "cap": "Your cap is set. It applies from your next call.",
    "no-cap": "Your cap is removed.",
    "mails-on": "You will get an e-mail when a limit comes near.",
    "mails-off": "You will get no more e-mails about limits.",
}
LABELS: Final[dict[Limit, str]] = {
    "calls": "Calls", "tokens": "Tokens", "credit": "Model use", "spend_cap": "Spend cap"
}  # fmt: skip


def routes(frame: Frame) -> APIRouter:
    router = APIRouter()
    desk = frame.site.desk

    @router.get(HERE)
    def plan(request: Request, visitor: Visitor) -> Response:
        return plan_page(frame, request, visitor)

    @router.post(f"{HERE}/choose")
    def chosen(request: Request, visitor: OwnerVisitor, name: Annotated[str, Form()] = "") -> Response:
        choose_plan(desk, visitor, client_of(request), name)
        return see_other(f"{HERE}?told=plan")

    @router.post(f"{HERE}/cap")
    def capped(request: Request, visitor: OwnerVisitor, cap: Annotated[str, Form()] = "") -> Response:
        try:
            set_spend_cap(desk, visitor, client_of(request), cap)
        except PersonError as error:
            return plan_page(frame, request, visitor, error, cap=cap)
        return see_other(f"{HERE}?told={'cap' if cap.strip() else 'no-cap'}")

    @router.post(f"{HERE}/mails")
    def mailed(request: Request, visitor: OwnerVisitor, wanted: Annotated[str, Form()] = "") -> Response:
        is_wanted = wanted == "yes"
        desk.upkeep.plans.set_limit_mails(visitor, client_of(request), wanted=is_wanted)
        return see_other(f"{HERE}?told=mails-{'on' if is_wanted else 'off'}")

    return router


def plan_page(
    frame: Frame, request: Request, visitor: Visit, error: PersonError | None = None, **values: str
) -> Response:
    """The page; after an error, with what was sent and what is wrong."""
    product, account = frame.site.product, _now(frame, visitor.account)
    plan, view = product.by_name.get(account.plan), frame.site.desk.upkeep.plans.view(visitor)
    meter = view.meter or Meter(account.id, "live", *view.period)
    cap = account.spend_cap_nanodollars
    marked = used_of(plan, meter, cap) if plan is not None else []
    terms = {one.id: one for one in frame.plans}
    sale = sale_of(frame, account, view.now_us)
    is_owed = sale.is_lapsed and sale.known is None  # its own plan is to be bought, too
    if error is None or error.field != "cap":
        values = {"cap": "" if cap is None else format_usd(cap).removeprefix("$").replace(",", "")}
    if not sale.has_trial:
        terms = {name: one.without_trial() for name, one in terms.items()}
    others = [
        (terms[one.name], way_to(product, sale, plan, one)) for one in product.plans if one is not plan or is_owed
    ]
    wish = request.query_params.get("plan", "")
    page = frame.page(
        request,
        "plan.html",
        status=error.status if error is not None else 200,
        visitor=visitor,
        form=form_of(error, **values),
        plan=plan,
        words=terms[plan.name].without_trial() if plan is not None else None,
        price=money(price_of(plan, sale.known)) if plan is not None else "",
        sale=sale,
        chosen=[(one, way) for one, way in others if one.id == wish and way == "buy"],
        others=others,
        can_move=any(way != "none" for _, way in others),
        first=terms[product.plans[0].name],
        view=view,
        meter=meter,
        gauges=limits(plan, meter, cap, trial_credit(frame, account, view.now_us)) if plan is not None else [],
        in_trial=is_in_trial(account, view.now_us),
        trial_end_us=account.trial_end_us,
        marked=[(one.limit, LABELS[one.limit]) for one in marked if one.most],
        percents=PERCENTS,
        is_not_kept=is_not_kept(request, visitor),
        told=TOLD.get(request.query_params.get("told", "")),
    )
    return leads_to(frame, page)


def _now(frame: Frame, account: AccountRow) -> AccountRow:
    """The account, read again: what was just bought may have changed it since the visitor was looked up."""
    found = frame.site.till().billing.account(account.id) if frame.site.till is not None else None
    return account if found is None else found
