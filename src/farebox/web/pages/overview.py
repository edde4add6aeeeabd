"""Where a customer arrives."""

from fastapi import APIRouter, Request, Response

from farebox.web.pages.frame import Frame
from farebox.web.pages.visitor import Visitor


def routes(frame: Frame) -> APIRouter:
    router = APIRouter()

    @router.get("/overview")
    def overview(request: Request, visitor: Visitor) -> Response:
        return frame.page(request, "overview.html", visitor=visitor)

    return router
