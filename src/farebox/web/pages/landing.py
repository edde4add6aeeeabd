"""The pages that a stranger sees first: what the product does, and what it costs."""

from fastapi import APIRouter, Request, Response

from farebox.domain.endpoints import CHAT
from farebox.web.pages.frame import FOR_STRANGERS, Frame
from farebox.web.pages.offers import Offer, offers
from farebox.web.pages.snippets import openai_snippets, snippets


def routes(frame: Frame) -> APIRouter:
    router = APIRouter()
    offered, product = offers(frame.site), frame.site.product

    @router.get("/")
    def landing(request: Request) -> Response:
        url = frame.address(request)

        def code(offer: Offer) -> list[tuple[str, str]]:
            return snippets(offer, url)

        # With functions of their own to sell, the founder does not advertise the bare model.
        bare = CHAT in product.listed_endpoints and not frame.site.handlers
        openai = openai_snippets(url, product.model_name) if bare else []
        return frame.page(request, "landing.html", cache=FOR_STRANGERS, offers=offered, snippets=code, openai=openai)

    @router.get("/pricing")
    def pricing(request: Request) -> Response:
        return frame.page(request, "pricing.html", cache=FOR_STRANGERS, offers=offered)

    return router
