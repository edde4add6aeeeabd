"""A customer's overview: what is used and left, and the last calls."""

from fastapi import APIRouter, Request, Response

from farebox.account.buy import price_of
from farebox.domain.ledger import Meter
from farebox.domain.period import DAY_US
from farebox.ports.calls import Summary
from farebox.web.pages.call_words import line_of
from farebox.web.pages.frame import Frame
from farebox.web.pages.offers import offers
from farebox.web.pages.sale import sale_of, trial_credit
from farebox.web.pages.snippets import snippets
from farebox.web.pages.use_words import facts, last_days, limits
from farebox.web.pages.visitor import Visitor

CHART_DAYS = 30


def routes(frame: Frame) -> APIRouter:
    router = APIRouter()
    first_offer = offers(frame.site)[0]

    @router.get("/overview")
    def overview(request: Request, visitor: Visitor) -> Response:
        account = visitor.account
        found = frame.site.readings.summary(account.id, account.anchor_us)
        plan = frame.site.product.by_name.get(account.plan)
        live = _live(found, account.id)
        credit = trial_credit(frame, account, found.now_us)
        return frame.page(
            request,
            "overview.html",
            visitor=visitor,
            plan=plan,
            price_nanodollars=price_of(plan, sale_of(frame, account, found.now_us).known) if plan else 0,
            period=found.period,
            begun_us=max(found.period.start_us, account.created_us),  # a trial's month is counted back from its end
            days_left=max(-(-(found.period.end_us - found.now_us) // DAY_US), 1),
            limits=limits(plan, live, account.spend_cap_nanodollars, credit) if plan else [],
            facts=facts(plan, live, found.meters.get("test")) if plan else [],
            days=last_days(found.days, found.now_us, CHART_DAYS),
            calls=[line_of(call, found.keys) for call in found.calls],
            has_key=found.has_key,
            code=[] if found.calls else snippets(first_offer, frame.address(request)),
        )

    return router


def _live(found: Summary, account_id: str) -> Meter:
    return found.meters.get("live") or Meter(account_id, "live", *found.period)
