"""Sign up, and use whatever link was mailed. A GET of a link only shows a button: mail scanners follow GETs."""

import json
from typing import Annotated, Final

from fastapi import APIRouter, Form, Request, Response

from farebox.account.address import change_address
from farebox.account.desk import LoggedIn, find_link, new_token
from farebox.account.join import ask_to_join, confirm
from farebox.account.log_in import log_in_by_link, reset_password
from farebox.domain.people import LINK_US, Link, LinkGone, PersonError
from farebox.domain.period import MICROSECONDS
from farebox.web.pages.accept import accepted, invitation_page
from farebox.web.pages.crowd import Crowd
from farebox.web.pages.forms import FormState
from farebox.web.pages.frame import Frame
from farebox.web.pages.link_again import used_page
from farebox.web.pages.sale import place_to_buy
from farebox.web.pages.told import form_again
from farebox.web.pages.visitor import (
    FIRST,
    HOME,
    OPENED,
    SIGN_UP,
    arrived,
    client_of,
    forget_cookie,
    see_other,
    set_cookie,
    visit_of,
    visitor,
    welcomed,
)

OPENED_SECONDS: Final = 3600


def routes(frame: Frame) -> APIRouter:
    router = APIRouter()
    _add_sign_up(router, frame)
    _add_link(router, frame)
    return router


def _add_sign_up(router: APIRouter, frame: Frame) -> None:
    crowd = Crowd()

    def buys(plan: str) -> str:
        return place_to_buy(frame.site, plan)

    @router.get("/signup")
    def sign_up(request: Request, plan: str = "") -> Response:
        if buys(plan) and visit_of(request) is not None:
            return see_other(buys(plan))
        return frame.page(request, "signup.html", form=FormState(), email="", plan=plan, next=buys(plan))

    @router.get("/signup/sent")
    def sent(request: Request) -> Response:
        return frame.page(request, "signup_sent.html")

    @router.post("/signup")
    async def signed_up(
        request: Request,
        email: Annotated[str, Form()] = "",
        password: Annotated[str, Form()] = "",
        plan: Annotated[str, Form()] = "",
    ) -> Response:
        def work() -> Response:
            try:
                browser = ask_to_join(frame.site.desk, client_of(request), email=email, password=password, plan=plan)
            except PersonError as error:
                return form_again(frame, request, "signup.html", error, email=email, plan=plan, next=buys(plan))
            response = see_other("/signup/sent")
            set_cookie(response, SIGN_UP, browser, LINK_US["confirm"] // MICROSECONDS)
            return response

        return await crowd.in_turn(work)


def _add_link(router: APIRouter, frame: Frame) -> None:
    @router.get("/link/{token}")
    def link(request: Request, token: str) -> Response:
        try:
            page = _link_page(frame, request, token)
        except LinkGone as gone:
            return used_page(frame, request, token, gone)
        set_cookie(page, OPENED, request.cookies.get(OPENED) or new_token(), OPENED_SECONDS)
        return page

    @router.post("/link/{token}")
    def used(request: Request, token: str, password: Annotated[str, Form()] = "") -> Response:
        try:
            return _use(frame, request, token, password)
        except LinkGone as gone:
            return used_page(frame, request, token, gone)


def _link_page(frame: Frame, request: Request, token: str) -> Response:
    found = find_link(frame.site.desk, token)
    if found.purpose == "change":
        visitor(request)  # only the person who asked for it can use it: others log in first
    if found.purpose == "invite":
        return invitation_page(frame, request, token)
    return frame.page(request, "link.html", form=FormState(), purpose=found.purpose, email=found.email)


def _use(frame: Frame, request: Request, token: str, password: str) -> Response:
    desk, client, opened = frame.site.desk, client_of(request), request.cookies.get(OPENED, "")
    found = find_link(desk, token)
    if found.purpose == "confirm":
        browser = request.cookies.get(SIGN_UP, "")
        came, wish = confirm(desk, client, token=token, browser=browser, opened=opened)
        response = arrived(request, came, _next(frame, came, wish))
        forget_cookie(response, SIGN_UP)
        return response
    if found.purpose == "magic":
        next_path = str(json.loads(found.data).get("next", HOME))
        return arrived(request, log_in_by_link(desk, client, token=token, opened=opened), next_path)
    if found.purpose == "change":
        change_address(desk, visitor(request), client, token=token)
        return see_other("/settings?told=address")
    if found.purpose == "invite":
        return accepted(frame, request, token, password)
    if found.purpose != "reset":
        raise LinkGone("This link is for something else. Ask for a new one.")
    return _reset(frame, request, found, token, password)


def _reset(frame: Frame, request: Request, found: Link, token: str, password: str) -> Response:
    desk, opened = frame.site.desk, request.cookies.get(OPENED, "")
    try:
        came = reset_password(desk, client_of(request), token=token, password=password, opened=opened)
    except PersonError as error:
        if not error.field:
            raise
        return form_again(frame, request, "link.html", error, purpose=found.purpose, email=found.email)
    return arrived(request, came, HOME)


def _next(frame: Frame, came: LoggedIn, wish: str) -> str:
    """The next page after an address was confirmed. Only a new person can have lost a password on the way."""
    buying = place_to_buy(frame.site, wish)
    if not came.entered.is_new_account:
        return buying or HOME
    first = buying or FIRST
    return welcomed(first, came.entered.person) if came.entered.is_new_person else first
