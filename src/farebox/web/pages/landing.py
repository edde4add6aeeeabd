"""The page that a stranger sees first."""

from fastapi import APIRouter, Request, Response

from farebox.web.pages.frame import FOR_STRANGERS, Frame


def routes(frame: Frame) -> APIRouter:
    router = APIRouter()

    @router.get("/")
    def landing(request: Request) -> Response:
        return frame.page(request, "landing.html", cache=FOR_STRANGERS)

    return router
