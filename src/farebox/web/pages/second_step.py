"""The second step of a log-in: the code of the second factor."""

from typing import Annotated

from fastapi import APIRouter, Form, Request, Response

from farebox.account.second_factor import log_in_by_code
from farebox.domain.people import LinkGone, PersonError
from farebox.web.pages.forms import FormState
from farebox.web.pages.frame import Frame
from farebox.web.pages.told import form_again
from farebox.web.pages.visitor import CODE, HOME, arrived, client_of, forget_cookie


def routes(frame: Frame) -> APIRouter:
    router = APIRouter()

    @router.get("/login/code")
    def form(request: Request, next: str = HOME) -> Response:  # noqa: A002  # what the address bar shows
        return frame.page(request, "code.html", form=FormState(), next=next)

    @router.post("/login/code")
    def shown(
        request: Request,
        code: Annotated[str, Form()] = "",
        next: Annotated[str, Form()] = HOME,  # noqa: A002
    ) -> Response:
        try:
            came = log_in_by_code(frame.site.desk, client_of(request), token=request.cookies.get(CODE, ""), code=code)
        except LinkGone as error:
            page = form_again(frame, request, "login.html", error, email="", next=next)
            forget_cookie(page, CODE)
            return page
        except PersonError as error:
            return form_again(frame, request, "code.html", error, next=next)
        response = arrived(request, came, next)
        forget_cookie(response, CODE)
        return response

    return router
