"""The answer to a page, or a mail's link, that belongs to another account than the one its visitor works in by now."""

from typing import Final

from fastapi import FastAPI, Request, Response

from farebox.domain.errors import RequestRefused
from farebox.web.pages.frame import Frame, takes_html
from farebox.web.pages.visitor import OfAnotherAccount, page_of

STATUS: Final = 409


def add_another_account(app: FastAPI, frame: Frame) -> None:
    """Answer that nothing was done, and offer to switch the account, by a form: no link ever does that."""

    @app.exception_handler(OfAnotherAccount)
    def told(request: Request, error: OfAnotherAccount) -> Response:
        visit, was_sent = error.visit, request.method != "GET"
        other = next((one for one in visit.others if one.id == error.account_id), None)
        named = f"the account {other.email}" if other is not None else "an account that you are not in"
        detail = f"This link belongs to {named}, but you are in {visit.account.email}."
        if was_sent:
            detail = f"This page belongs to {named}, but you are now in {visit.account.email}. Nothing was done."
        if not takes_html(request):
            advice = " Switch the account, or open the page again." if other is not None else " Open the page again."
            return frame.error(request, RequestRefused(detail + advice).of_status(STATUS))
        here = f"/{request.url.path.split('/')[1]}"  # the page that the form was on, or one that leads there
        return frame.page(
            request,
            "another_account.html",
            status=STATUS,
            visitor=visit,
            detail=detail,
            other=other,
            here=here,
            next=here if was_sent else page_of(request),
        )
