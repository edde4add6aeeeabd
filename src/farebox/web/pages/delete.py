"""Delete the account."""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Form, Request, Response

from farebox.account.close import close_account
from farebox.domain.people import PersonError, is_fresh
from farebox.ports.people import Visit
from farebox.web.pages.frame import Frame
from farebox.web.pages.told import form_of
from farebox.web.pages.visitor import SESSION, OwnerVisitor, client_of, forget_cookie, fresh, see_other

HERE: Final = "/settings/delete"


def routes(frame: Frame) -> APIRouter:
    router = APIRouter()
    desk = frame.site.desk

    @router.get(HERE)
    def form(request: Request, visitor: OwnerVisitor) -> Response:
        return _page(frame, request, visitor)

    @router.post(HERE, dependencies=[Depends(fresh)])
    def deleted(request: Request, visitor: OwnerVisitor, address: Annotated[str, Form()] = "") -> Response:
        try:
            till = frame.site.till() if frame.site.till is not None else None
            close_account(desk, visitor, client_of(request), typed=address, till=till)
        except PersonError as error:
            if not error.field:
                raise
            return _page(frame, request, visitor, error)
        response = see_other("/deleted")
        forget_cookie(response, SESSION)
        return response

    return router


def _page(frame: Frame, request: Request, visitor: Visit, error: PersonError | None = None) -> Response:
    desk = frame.site.desk
    return frame.page(
        request,
        "delete.html",
        status=error.status if error is not None else 200,
        visitor=visitor,
        form=form_of(error),
        is_fresh=is_fresh(visitor.session, desk.people.now_us()),
        others=len(desk.upkeep.team.members(visitor.account.id)) - 1,
        told="",
    )
