"""Pages for those who have left an account, or deleted it, or joined one without being logged in."""

from typing import Final

from fastapi import APIRouter, Request, Response

from farebox.web.pages.frame import Frame

PLACES: Final = {"/left": "left", "/deleted": "deleted", "/joined": "joined"}


def routes(frame: Frame) -> APIRouter:
    router = APIRouter()
    for path in PLACES:
        _add(router, frame, path)
    return router


def _add(router: APIRouter, frame: Frame, path: str) -> None:
    @router.get(path)
    def said(request: Request) -> Response:
        return frame.page(request, "goodbye.html", what=PLACES[path])
