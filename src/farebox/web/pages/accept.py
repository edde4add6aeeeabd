"""The page of an invitation's link. Like every link's, its GET only shows a button."""

from fastapi import Request, Response

from farebox.account.team import accept, look_at_invitation
from farebox.domain.people import PersonError
from farebox.web.pages.frame import Frame
from farebox.web.pages.told import form_of
from farebox.web.pages.visitor import HOME, OPENED, arrived, client_of, see_other, visit_of


def invitation_page(frame: Frame, request: Request, token: str, error: PersonError | None = None) -> Response:
    """Show the account, the role and the address that the invitation is for; a new person chooses a password."""
    return frame.page(
        request,
        "invitation.html",
        status=error.status if error is not None else 200,
        invited=look_at_invitation(frame.site.desk, token),
        form=form_of(error),
    )


def accepted(frame: Frame, request: Request, token: str, password: str) -> Response:
    """Join. If the invited person is logged in here, they go on in the new account."""
    desk, client, opened = frame.site.desk, client_of(request), request.cookies.get(OPENED, "")
    try:
        joined, came = accept(desk, client, token=token, password=password, opened=opened)
    except PersonError as error:
        if not error.field:
            raise
        return invitation_page(frame, request, token, error)
    if came is not None:
        return arrived(request, came, HOME)
    here = visit_of(request)
    if here is not None and here.person.id == joined.person_id:
        desk.upkeep.team.switch(here, joined.account.id, client)
        return see_other(HOME)
    return see_other("/joined")
