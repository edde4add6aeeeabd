"""Log in by password, ask for a link by mail, log out."""

from typing import Annotated, Final, Literal

from fastapi import APIRouter, Form, Request, Response

from farebox.account import sessions
from farebox.account.log_in import ask_for_link, log_in
from farebox.domain.people import PersonError
from farebox.web.pages.crowd import Crowd
from farebox.web.pages.forms import FormState
from farebox.web.pages.frame import Frame
from farebox.web.pages.told import form_again
from farebox.web.pages.visitor import (
    HOME,
    SESSION,
    arrived,
    client_of,
    forget_cookie,
    is_path,
    see_other,
    visit_of,
)

ASKED: Final[dict[str, Literal["magic", "reset"]]] = {"/login/link": "magic", "/reset": "reset"}


def routes(frame: Frame) -> APIRouter:
    router = APIRouter()
    _add_log_in(router, frame)
    for path, purpose in ASKED.items():
        _add_asked(router, frame, path, purpose)
    return router


def _add_log_in(router: APIRouter, frame: Frame) -> None:
    crowd = Crowd()

    @router.get("/login")
    def form(request: Request, next: str = HOME) -> Response:  # noqa: A002  # what the address bar shows
        if visit_of(request) is not None:
            return see_other(next if is_path(next) else HOME)
        return frame.page(request, "login.html", form=FormState(), email="", next=next)

    @router.post("/login")
    async def logged_in(
        request: Request,
        email: Annotated[str, Form()] = "",
        password: Annotated[str, Form()] = "",
        next: Annotated[str, Form()] = HOME,  # noqa: A002
    ) -> Response:
        def work() -> Response:
            try:
                came = log_in(frame.site.desk, client_of(request), email=email, password=password)
            except PersonError as error:
                return form_again(frame, request, "login.html", error, email=email, next=next)
            return arrived(request, came, next)

        return await crowd.in_turn(work)

    @router.post("/logout")
    def logged_out(request: Request) -> Response:
        sessions.log_out(frame.site.desk, request.cookies.get(SESSION, ""))
        response = see_other("/")
        forget_cookie(response, SESSION)
        return response


def _add_asked(router: APIRouter, frame: Frame, path: str, purpose: Literal["magic", "reset"]) -> None:
    @router.get(path)
    def form(request: Request) -> Response:
        return frame.page(request, "ask_link.html", form=FormState(), email="", purpose=purpose)

    @router.get(f"{path}/sent")
    def sent(request: Request) -> Response:
        return frame.page(request, "ask_link_sent.html", purpose=purpose)

    @router.post(path)
    def asked(request: Request, email: Annotated[str, Form()] = "") -> Response:
        try:
            ask_for_link(frame.site.desk, client_of(request), email=email, purpose=purpose)
        except PersonError as error:
            return form_again(frame, request, "ask_link.html", error, email=email, purpose=purpose)
        return see_other(f"{path}/sent")
