"""Log in at another service, and connect one."""

import hmac
from typing import Final
from urllib.parse import quote

from fastapi import APIRouter, HTTPException, Request, Response

from farebox.account.other_services import Answer, come_back, set_off
from farebox.domain.people import CEREMONY_US, PersonError, digest
from farebox.domain.period import MICROSECONDS
from farebox.ports.people import Visit
from farebox.web.pages.frame import Frame
from farebox.web.pages.guard import STRANGE
from farebox.web.pages.told import form_again
from farebox.web.pages.visitor import HOME, arrived, client_of, forget_cookie, fresh, see_other, set_cookie, visit_of
from farebox.web.pages.visitor import visitor as visitor_of
from farebox.web.site import Site

OAUTH: Final = "__Host-oauth"
SECURITY: Final = "/settings/security"


def routes(frame: Frame) -> APIRouter:
    router = APIRouter()

    @router.get("/oauth/{name}")
    def leave(request: Request, name: str, next: str = HOME, connect: str = "") -> Response:  # noqa: A002
        person_id = _who_connects(request, frame.site, connect) if connect else None
        try:
            gone = set_off(frame.site.desk, client_of(request), name, _back(frame, request, name), next, person_id)
        except PersonError as error:
            return _told(frame, request, error, next)
        response = see_other(gone.address)
        set_cookie(response, OAUTH, gone.token, CEREMONY_US // MICROSECONDS)
        return response

    @router.get("/oauth/{name}/callback")
    def back(request: Request, name: str, state: str = "", code: str = "", iss: str = "") -> Response:
        token, here = request.cookies.get(OAUTH, ""), visit_of(request)
        answer = Answer(state, code, iss)
        try:
            came = come_back(
                frame.site.desk, client_of(request), name, _back(frame, request, name), token, answer, here
            )
        except PersonError as error:
            return _told(frame, request, error, HOME)
        if came.logged_in is None:
            response = see_other(f"{SECURITY}?told=connected")
        else:
            response = arrived(request, came.logged_in, came.next_path)
        forget_cookie(response, OAUTH)
        return response

    return router


def mark_of(site: Site, visit: Visit) -> str:
    """The mark in the link that connects a service, so that no other site can have the link followed."""
    return digest(site.desk.secret, "connect", visit.session.id)


def _who_connects(request: Request, site: Site, mark: str) -> str:
    visit = visitor_of(request)
    if not hmac.compare_digest(mark_of(site, visit).encode(), mark.encode()):
        raise HTTPException(403, STRANGE)
    return fresh(request, visit).person.id


def _back(frame: Frame, request: Request, name: str) -> str:
    return f"{frame.address(request)}/oauth/{quote(name, safe='')}/callback"


def _told(frame: Frame, request: Request, error: PersonError, next_path: str) -> Response:
    """Show the error on the log-in page; to a visitor who is logged in, on a page of its own."""
    if visit_of(request) is not None:
        raise error
    return form_again(frame, request, "login.html", error, email="", next=next_path)
