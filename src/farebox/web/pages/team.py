"""The people of an account: invite, change a role, remove, leave, and work in another account."""

from typing import Annotated, Final

from fastapi import APIRouter, Form, Request, Response

from farebox.account.team import invite, remove, role_of
from farebox.domain.errors import NotFound
from farebox.domain.people import PersonError
from farebox.ports.people import Visit
from farebox.web.pages.frame import Frame
from farebox.web.pages.told import form_of
from farebox.web.pages.visitor import (
    HOME,
    SESSION,
    OwnerVisitor,
    Visitor,
    client_of,
    forget_cookie,
    is_path,
    see_other,
)

HERE: Final = "/team"
TOLD: Final = {
    "invited": "The invitation is on its way. It works for 7 days.",
    "revoked": "The invitation no longer works.",
    "role": "The role is changed. Open invitations by somebody who is no owner any more are revoked.",
    "removed": "They are removed, logged out of this account everywhere, and their open invitations are revoked.",
}
NO_MEMBER: Final = "There is no such person in this account."
NO_INVITATION: Final = "There is no such open invitation in this account."
NO_ACCOUNT: Final = "You are not in that account."


def routes(frame: Frame) -> APIRouter:
    router = APIRouter()
    upkeep = frame.site.desk.upkeep

    @router.get(HERE)
    def team(request: Request, visitor: Visitor) -> Response:
        return _page(frame, request, visitor)

    @router.post(f"{HERE}/invite")
    def invited(
        request: Request,
        visitor: OwnerVisitor,
        email: Annotated[str, Form()] = "",
        role: Annotated[str, Form()] = "member",
    ) -> Response:
        try:
            invite(frame.site.desk, visitor, client_of(request), email=email, role=role)
        except PersonError as error:
            return _page(frame, request, visitor, error, email=email, role=role)
        return see_other(f"{HERE}?told=invited")

    @router.post(f"{HERE}/invitations/{{link_id}}/revoke")
    def revoked(request: Request, visitor: OwnerVisitor, link_id: str) -> Response:
        if not upkeep.team.revoke(visitor, link_id, client_of(request)):
            raise NotFound(NO_INVITATION)
        return see_other(f"{HERE}?told=revoked")

    _add_members(router, frame)
    return router


def _add_members(router: APIRouter, frame: Frame) -> None:
    upkeep = frame.site.desk.upkeep

    @router.post(f"{HERE}/members/{{person_id}}/role")
    def changed(
        request: Request, visitor: OwnerVisitor, person_id: str, role: Annotated[str, Form()] = ""
    ) -> Response:  # fmt: skip
        if not upkeep.team.set_role(visitor, person_id, role_of(role), client_of(request)):
            raise NotFound(NO_MEMBER)
        return see_other(f"{HERE}?told=role")

    @router.post(f"{HERE}/members/{{person_id}}/remove")
    def removed(request: Request, visitor: OwnerVisitor, person_id: str) -> Response:
        if person_id == visitor.person.id:
            return _leave(frame, request, visitor)
        if not remove(frame.site.desk, visitor, client_of(request), person_id):
            raise NotFound(NO_MEMBER)
        return see_other(f"{HERE}?told=removed")

    @router.post(f"{HERE}/leave")
    def left(request: Request, visitor: Visitor) -> Response:
        return _leave(frame, request, visitor)

    @router.post("/switch")
    def switched(
        request: Request,
        visitor: Visitor,
        account: Annotated[str, Form()] = "",
        next: Annotated[str, Form()] = HOME,  # noqa: A002  # the form's own word
    ) -> Response:
        if not upkeep.team.switch(visitor, account, client_of(request)):
            raise NotFound(NO_ACCOUNT)
        return see_other(next if is_path(next) else HOME)


def _leave(frame: Frame, request: Request, visitor: Visit) -> Response:
    remove(frame.site.desk, visitor, client_of(request), visitor.person.id)
    response = see_other("/left")
    forget_cookie(response, SESSION)
    return response


def _page(frame: Frame, request: Request, visitor: Visit, error: PersonError | None = None, **values: str) -> Response:
    team, account_id = frame.site.desk.upkeep.team, visitor.account.id
    page = frame.page(
        request,
        "team.html",
        status=error.status if error is not None else 200,
        visitor=visitor,
        form=form_of(error, **values),
        members=team.members(account_id),
        invitations=team.invitations(account_id) if visitor.role == "owner" else [],
        told=TOLD.get(request.query_params.get("told", "")),
    )
    if error is not None and error.retry_after_seconds is not None:
        page.headers["retry-after"] = str(error.retry_after_seconds)
    return page
