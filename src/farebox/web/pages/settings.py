"""A customer's address and password."""

from typing import Annotated, Final

from fastapi import APIRouter, Form, Request, Response

from farebox.account import sessions
from farebox.account.address import ask_for_address
from farebox.domain.people import PersonError, is_fresh
from farebox.ports.people import Visit
from farebox.web.pages.frame import Frame
from farebox.web.pages.told import form_of
from farebox.web.pages.visitor import Fresh, Visitor, client_of, see_other

TOLD: Final = {
    "sent": "If nobody here has the new address yet, a link is on its way to it by e-mail. It works for an hour.",
    "address": "This is your address now. Log in with it from now on.",
    "password": "Your password is changed. You are logged out everywhere else.",
}


def routes(frame: Frame) -> APIRouter:
    router = APIRouter()

    @router.get("/settings")
    def settings(request: Request, visitor: Visitor) -> Response:
        return _page(frame, request, visitor)

    @router.post("/settings/address")
    def asked(request: Request, visitor: Fresh, email: Annotated[str, Form()] = "") -> Response:
        try:
            ask_for_address(frame.site.desk, visitor, client_of(request), email=email)
        except PersonError as error:
            return _page(frame, request, visitor, error, email=email)
        return see_other("/settings?told=sent")

    @router.post("/settings/password")
    def changed(
        request: Request, visitor: Fresh, current: Annotated[str, Form()] = "", password: Annotated[str, Form()] = ""
    ) -> Response:
        try:
            sessions.change_password(frame.site.desk, visitor, client_of(request), current=current, new=password)
        except PersonError as error:
            return _page(frame, request, visitor, error)
        return see_other("/settings?told=password")

    return router


def _page(frame: Frame, request: Request, visitor: Visit, error: PersonError | None = None, **values: str) -> Response:
    return frame.page(
        request,
        "settings.html",
        status=error.status if error is not None else 200,
        visitor=visitor,
        form=form_of(error, **values),
        is_fresh=is_fresh(visitor.session, frame.site.desk.people.now_us()),
        told=TOLD.get(request.query_params.get("told", "")),
    )
