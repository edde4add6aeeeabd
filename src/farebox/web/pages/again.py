"""Have a visitor prove again who they are, before something that a stolen session must not be able to do."""

from typing import Annotated, Final

from fastapi import APIRouter, Form, Request, Response

from farebox.account.again import show_code_again, show_passkey_again, show_password_again, ways_of
from farebox.account.log_in import ask_for_link
from farebox.account.passkeys import ask_for_passkey
from farebox.domain.people import PersonError
from farebox.ports.people import Visit
from farebox.web.pages.frame import Frame
from farebox.web.pages.passkeys import PASSKEY, asked, place_of, token_of
from farebox.web.pages.told import form_of
from farebox.web.pages.visitor import NOT_DONE, Visitor, client_of, forget_cookie, is_path, see_other

HERE: Final = "/settings/confirm"
SETTINGS: Final = "/settings"


def routes(frame: Frame) -> APIRouter:
    router = APIRouter()

    @router.get(HERE)
    def form(request: Request, visitor: Visitor, next: str = SETTINGS) -> Response:  # noqa: A002  # the form's own word
        return _page(frame, request, visitor, next)

    @router.post(HERE)
    def shown(
        request: Request,
        visitor: Visitor,
        password: Annotated[str, Form()] = "",
        code: Annotated[str, Form()] = "",
        next: Annotated[str, Form()] = SETTINGS,  # noqa: A002
    ) -> Response:
        desk, client = frame.site.desk, client_of(request)
        try:
            if code:
                show_code_again(desk, visitor, client, code)
            else:
                show_password_again(desk, visitor, client, password)
        except PersonError as error:
            return _page(frame, request, visitor, next, error)
        return _go_on(next)

    @router.post(f"{HERE}/passkey/options")
    def ask(request: Request, visitor: Visitor) -> Response:
        place = place_of(frame, request)
        return asked(ask_for_passkey(frame.site.desk, client_of(request), place, visitor.person))

    @router.post(f"{HERE}/passkey")
    def passkey_shown(
        request: Request,
        visitor: Visitor,
        answer: Annotated[str, Form()] = "",
        next: Annotated[str, Form()] = SETTINGS,  # noqa: A002
    ) -> Response:
        desk, client, place = frame.site.desk, client_of(request), place_of(frame, request)
        try:
            show_passkey_again(desk, visitor, client, place, token=token_of(request), answer=answer)
        except PersonError as error:
            return _page(frame, request, visitor, next, error)
        response = _go_on(next)
        forget_cookie(response, PASSKEY)
        return response

    @router.post(f"{HERE}/mail")
    def mailed(
        request: Request, visitor: Visitor, next: Annotated[str, Form()] = SETTINGS  # noqa: A002
    ) -> Response:  # fmt: skip
        path = next if is_path(next) else SETTINGS
        ask_for_link(frame.site.desk, client_of(request), email=visitor.email, purpose="magic", next_path=path)
        return see_other("/login/link/sent")

    return router


def _page(frame: Frame, request: Request, visitor: Visit, next_path: str, error: PersonError | None = None) -> Response:
    return frame.page(
        request,
        "again.html",
        status=error.status if error is not None else 200,
        visitor=visitor,
        form=form_of(error),
        ways=ways_of(frame.site.desk, visitor),
        next=next_path,
        is_not_done=next_path.endswith(f"?{NOT_DONE}"),
    )


def _go_on(next_path: str) -> Response:
    return see_other(next_path if is_path(next_path) else SETTINGS)
