"""The list of a customer's sessions, and how to end them."""

from typing import Annotated, Final

from fastapi import APIRouter, Form, Request, Response

from farebox.domain.devices import device_of
from farebox.web.pages.frame import Frame
from farebox.web.pages.visitor import Visitor, see_other

HERE: Final = "/settings/sessions"
TOLD: Final = {"one": "That session is over.", "others": "You are logged out everywhere else."}
BEGAN: Final = {
    "password": "by password", "mail": "by an e-mail link", "oauth": "at another service", "passkey": "by a passkey",
}  # fmt: skip


def routes(frame: Frame) -> APIRouter:
    router = APIRouter()

    @router.get(HERE)
    def sessions(request: Request, visitor: Visitor) -> Response:
        found = frame.site.desk.people.sessions(visitor.person.id)
        return frame.page(
            request,
            "sessions.html",
            visitor=visitor,
            sessions=[(each, device_of(each.user_agent), BEGAN[each.began]) for each in found],
            told=TOLD.get(request.query_params.get("told", "")),
        )

    @router.post(f"{HERE}/end")
    def ended(visitor: Visitor, session: Annotated[str, Form()] = "") -> Response:
        frame.site.desk.people.end_session(visitor.person.id, session)
        return see_other(f"{HERE}?told=one")

    @router.post(f"{HERE}/end-others")
    def others_ended(visitor: Visitor) -> Response:
        frame.site.desk.people.end_other_sessions(visitor.person.id, visitor.session.id)
        return see_other(f"{HERE}?told=others")

    return router
