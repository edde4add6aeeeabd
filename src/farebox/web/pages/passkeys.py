"""Log in by a passkey, and the passkeys of a customer. What browsers and authenticators say is JSON, in a form."""

from typing import Annotated, Final
from urllib.parse import urlsplit

from fastapi import APIRouter, Form, Request, Response

from farebox.account.passkeys import (
    Asked,
    add_passkey,
    ask_for_passkey,
    ask_to_make_passkey,
    log_in_by_passkey,
    remove_passkey,
    rename_passkey,
)
from farebox.domain.people import CEREMONY_US, PersonError
from farebox.domain.period import MICROSECONDS
from farebox.ports.proofs import Place
from farebox.web.pages.frame import Frame
from farebox.web.pages.guard import origin_of
from farebox.web.pages.security import security_page
from farebox.web.pages.told import form_again
from farebox.web.pages.visitor import HOME, Fresh, arrived, client_of, forget_cookie, see_other, set_cookie

PASSKEY: Final = "__Host-passkey"
LIST: Final = "/settings/security"


def routes(frame: Frame) -> APIRouter:
    router = APIRouter()
    _add_log_in(router, frame)
    _add_list(router, frame)
    return router


def place_of(frame: Frame, request: Request) -> Place:
    """The site's address from the settings; else from the browser's request, over TLS or not."""
    name = frame.site.product.name
    public = frame.site.public_url
    if public:
        return Place(urlsplit(public).hostname or "", (origin_of(public),), name)
    host = request.headers.get("host", "")
    return Place(request.url.hostname or "", (f"https://{host}", f"http://{host}"), name)


def asked(found: Asked) -> Response:
    """What the browser hands to an authenticator, and the cookie that ties the answer to this browser."""
    response = Response(found.options, media_type="application/json")
    set_cookie(response, PASSKEY, found.token, CEREMONY_US // MICROSECONDS)
    return response


def token_of(request: Request) -> str:
    return request.cookies.get(PASSKEY, "")


def _add_log_in(router: APIRouter, frame: Frame) -> None:
    @router.post("/login/passkey/options")
    def ask(request: Request) -> Response:
        return asked(ask_for_passkey(frame.site.desk, client_of(request), place_of(frame, request)))

    @router.post("/login/passkey")
    def shown(
        request: Request,
        answer: Annotated[str, Form()] = "",
        next: Annotated[str, Form()] = HOME,  # noqa: A002  # what the address bar shows
    ) -> Response:
        place = place_of(frame, request)
        try:
            came = log_in_by_passkey(frame.site.desk, client_of(request), place, token=token_of(request), answer=answer)
        except PersonError as error:
            return form_again(frame, request, "login.html", error, email="", next=next)
        response = arrived(request, came, next)
        forget_cookie(response, PASSKEY)
        return response


def _add_list(router: APIRouter, frame: Frame) -> None:
    @router.post(f"{LIST}/passkeys/options")
    def ask(request: Request, visitor: Fresh) -> Response:
        return asked(ask_to_make_passkey(frame.site.desk, visitor, client_of(request), place_of(frame, request)))

    @router.post(f"{LIST}/passkeys")
    def added(
        request: Request, visitor: Fresh, answer: Annotated[str, Form()] = "", name: Annotated[str, Form()] = ""
    ) -> Response:
        desk, client = frame.site.desk, client_of(request)
        try:
            place = place_of(frame, request)
            add_passkey(desk, visitor, client, place, token=token_of(request), answer=answer, name=name)
        except PersonError as error:
            return security_page(frame, request, visitor, error, name=name)
        response = see_other(f"{LIST}?told=passkey")
        forget_cookie(response, PASSKEY)
        return response

    @router.post(f"{LIST}/passkeys/rename")
    def renamed(
        request: Request, visitor: Fresh, passkey: Annotated[str, Form()] = "", name: Annotated[str, Form()] = ""
    ) -> Response:
        try:
            rename_passkey(frame.site.desk, visitor, passkey, name)
        except PersonError as error:
            return security_page(frame, request, visitor, error)
        return see_other(f"{LIST}?told=renamed")

    @router.post(f"{LIST}/passkeys/remove")
    def removed(request: Request, visitor: Fresh, passkey: Annotated[str, Form()] = "") -> Response:
        remove_passkey(frame.site.desk, visitor, client_of(request), passkey)
        return see_other(f"{LIST}?told=removed")
