"""Buying a plan, changing it, and coming back from paying: the forms of the plan page that lead to the till."""

from collections.abc import Callable
from typing import Annotated, Final

from fastapi import APIRouter, Form, Request, Response

from farebox.account import buy
from farebox.account.till import CannotBuy, Till
from farebox.ports.calls import AccountRow
from farebox.ports.people import Visit
from farebox.web.pages.frame import Frame
from farebox.web.pages.plan import HERE, plan_page
from farebox.web.pages.sale import elsewhere, till_of
from farebox.web.pages.visitor import OwnerVisitor, Visitor, client_of, see_other

CHANGED: Final = {"now": "plan", "later": "later", "same": "same"}
CAME_BACK: Final = {"plan": f"{HERE}?told=paid", "credit": "/credit?told=bought", "waiting": f"{HERE}?told=waiting"}


def routes(frame: Frame) -> APIRouter:
    router = APIRouter()

    @router.post(f"{HERE}/buy")
    def bought(request: Request, visitor: OwnerVisitor, name: Annotated[str, Form()] = "") -> Response:
        return _sent(frame, request, visitor, lambda till, account: buy.buy_plan(till, account, name))

    @router.post(f"{HERE}/portal")
    def looked_after(request: Request, visitor: OwnerVisitor) -> Response:
        return _sent(frame, request, visitor, buy.portal)

    @router.get(f"{HERE}/paid")
    def paid(request: Request, visitor: Visitor, cs: str = "") -> Response:
        try:
            return see_other(CAME_BACK[buy.paid(till_of(frame), visitor.account, cs)])
        except CannotBuy as error:
            return plan_page(frame, request, visitor, error)

    _add_changes(router, frame)
    return router


def _add_changes(router: APIRouter, frame: Frame) -> None:
    note = frame.site.desk.upkeep.archive.note

    @router.post(f"{HERE}/change")
    def changed(request: Request, visitor: OwnerVisitor, name: Annotated[str, Form()] = "") -> Response:
        try:
            change = buy.change_plan(till_of(frame), visitor.account, name)
        except CannotBuy as error:
            return plan_page(frame, request, visitor, error)
        note(visitor, "subscription_changed", client_of(request))
        return see_other(f"{HERE}?told={CHANGED[change]}")

    @router.post(f"{HERE}/cancel")
    def cancelled(request: Request, visitor: OwnerVisitor) -> Response:
        try:
            buy.cancel(till_of(frame), visitor.account)
        except CannotBuy as error:
            return plan_page(frame, request, visitor, error)
        note(visitor, "subscription_cancelled", client_of(request))
        return see_other(f"{HERE}?told=cancelled")

    @router.post(f"{HERE}/resume")
    def resumed(request: Request, visitor: OwnerVisitor) -> Response:
        try:
            buy.resume(till_of(frame), visitor.account)
        except CannotBuy as error:
            return plan_page(frame, request, visitor, error)
        note(visitor, "subscription_resumed", client_of(request))
        return see_other(f"{HERE}?told=resumed")


def _sent(frame: Frame, request: Request, visitor: Visit, address: Callable[[Till, AccountRow], str]) -> Response:
    """Lead on to a page at Stripe, or show the plan page with the reason why not."""
    try:
        return elsewhere(address(till_of(frame), visitor.account))
    except CannotBuy as error:
        return plan_page(frame, request, visitor, error)
