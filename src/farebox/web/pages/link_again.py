"""The answer to a link that comes again a moment after it was used."""

from fastapi import Request, Response

from farebox.account.link_again import find_used
from farebox.domain.people import SESSION_MAX_US, LinkGone
from farebox.domain.period import MICROSECONDS
from farebox.web.pages.frame import Frame
from farebox.web.pages.visitor import FIRST, HOME, OPENED, SESSION, see_other, set_cookie, visit_of, welcomed


def used_page(frame: Frame, request: Request, token: str, gone: LinkGone) -> Response:
    """Let the browser in if it has used the link, or is logged in; else say that the link was used just now.

    Raises:
        LinkGone: it was not used just now.
    """
    found = find_used(frame.site.desk, token=token, opened=request.cookies.get(OPENED, ""))
    if found is None:
        raise gone
    if found.here is not None:
        is_new = found.link.purpose == "confirm" and found.here.person.created_us == found.link.used_us
        response = see_other(welcomed(FIRST, found.here.person) if is_new else HOME)
        set_cookie(response, SESSION, found.cookie, SESSION_MAX_US // MICROSECONDS)
        return response
    here = visit_of(request)
    if here is not None and here.email == found.link.email:
        return see_other("/settings?told=address" if found.link.purpose == "change" else HOME)
    return frame.page(request, "link_used.html", status=410, purpose=found.link.purpose)
