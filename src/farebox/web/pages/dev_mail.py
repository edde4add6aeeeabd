"""The mails that nobody gets, in `farebox dev`."""

from fastapi import APIRouter, Request, Response

from farebox.web.pages.frame import Frame
from farebox.web.site import KeptMail


def routes(frame: Frame, mailbox: KeptMail) -> APIRouter:
    router = APIRouter()

    @router.get("/dev/mail")
    def mails(request: Request) -> Response:
        return frame.page(request, "dev_mail.html", letters=mailbox.letters)

    return router
