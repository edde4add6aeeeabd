"""The pages that a stranger sees first: what it does, and what it costs."""

from fastapi import APIRouter, Request, Response

from farebox.web.pages.frame import FOR_STRANGERS, Frame
from farebox.web.pages.offers import Offer, offers
from farebox.web.pages.snippets import snippets


def routes(frame: Frame) -> APIRouter:
    router = APIRouter()
    offered = offers(frame.site)

    @router.get("/")
    def landing(request: Request) -> Response:
        url = frame.address(request)

        def code(offer: Offer) -> list[tuple[str, str]]:
            return snippets(offer, url)

        return frame.page(request, "landing.html", cache=FOR_STRANGERS, offers=offered, snippets=code)

    @router.get("/pricing")
    def pricing(request: Request) -> Response:
        return frame.page(request, "pricing.html", cache=FOR_STRANGERS, offers=offered)

    return router
