"""The account's credit: what is left of it, packs to buy, and buying one by itself when it runs low."""

from typing import Annotated, Final

from fastapi import APIRouter, Form, Request, Response

from farebox.account import buy
from farebox.account.till import CannotBuy
from farebox.domain.money import format_usd
from farebox.ports.billing import TopUp
from farebox.ports.money import Purse
from farebox.ports.people import Visit
from farebox.web.pages.frame import Frame
from farebox.web.pages.sale import elsewhere, leads_to, till_of
from farebox.web.pages.told import form_of
from farebox.web.pages.visitor import OwnerVisitor, Visitor, client_of, see_other
from farebox.web.pages.words import money, plan_name

HERE: Final = "/credit"
TOLD: Final = {
    "bought": "Your credit is there. From your next call on, it pays what your plan does not include.",
    "unused": "Your credit is there.",
    "top-up": "A pack will be bought automatically when your credit falls below that.",
    "no-top-up": "Nothing is bought automatically any more.",
}


def routes(frame: Frame) -> APIRouter:
    router = APIRouter()

    @router.get(HERE)
    def credit(request: Request, visitor: Visitor) -> Response:
        return _page(frame, request, visitor)

    @router.post(f"{HERE}/buy")
    def bought(request: Request, visitor: OwnerVisitor, name: Annotated[str, Form()] = "") -> Response:
        try:
            return elsewhere(buy.buy_pack(till_of(frame), visitor.account, name))
        except CannotBuy as error:
            return _page(frame, request, visitor, error)

    @router.post(f"{HERE}/top-up")
    def topped_up(
        request: Request, visitor: OwnerVisitor, pack: Annotated[str, Form()] = "", below: Annotated[str, Form()] = ""
    ) -> Response:
        try:
            buy.wish_top_up(till_of(frame), visitor.account, pack, below)
        except CannotBuy as error:
            return _page(frame, request, visitor, error, pack=pack, below=below)
        frame.site.desk.upkeep.archive.note(visitor, "top_up_set" if pack else "top_up_ended", client_of(request))
        return see_other(f"{HERE}?told={'top-up' if pack else 'no-top-up'}")

    return router


def _page(frame: Frame, request: Request, visitor: Visit, error: CannotBuy | None = None, **values: str) -> Response:
    till, account = frame.site.till, visitor.account
    purse = till().credit.purse(account.id) if till is not None else Purse(0, 0, ())
    wish = till().billing.top_up(account.id) if till is not None else None
    plan = frame.site.product.by_name.get(account.plan)
    uses_credit = plan is not None and plan.has_overage
    told = request.query_params.get("told", "")
    if error is None:
        values = _wished(wish)
    page = frame.page(
        request,
        "credit.html",
        status=error.status if error is not None else 200,
        visitor=visitor,
        form=form_of(error, **values),
        is_open=till is not None,
        plan=plan,
        uses_credit=uses_credit,
        users=[plan_name(one.name) for one in frame.site.product.plans if one.has_overage],
        now_us=purse.now_us,
        grants=purse.grants,
        left=purse.left_nanodollars,
        held=sum(one.grant.held_nanodollars for one in purse.grants),
        wish=wish if wish is not None and wish.pack else None,
        choices=[("", "Buy nothing automatically"),
                 *((pack.name, _choice(pack.name, pack.price_nanodollars)) for pack in frame.site.product.packs)],
        has_card=bool(account.customer_id),
        told=TOLD.get("unused" if told == "bought" and not uses_credit else told),
    )  # fmt: skip
    return leads_to(frame, page)


def _choice(name: str, price: int) -> str:
    return f"{plan_name(name)}, {money(price)}"


def _wished(wish: TopUp | None) -> dict[str, str]:
    if wish is None or not wish.pack:
        return {"pack": "", "below": ""}
    return {"pack": wish.pack, "below": format_usd(wish.below_nanodollars).removeprefix("$").replace(",", "")}
