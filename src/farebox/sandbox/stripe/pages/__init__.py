"""Pages for people: the page to pay on, the portal, an invoice, and an overview for the founder."""

from collections.abc import Callable
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from farebox.sandbox.stripe.control import Control
from farebox.sandbox.stripe.errors import StripeError
from farebox.sandbox.stripe.pages import invoice, overview, pay, portal, static
from farebox.sandbox.stripe.pages.frame import Frame, Look, NotHere
from farebox.sandbox.stripe.shelf import Shelf

Page = Callable[[Frame, Look], Response]
PAGES: Final[dict[str, Page]] = {"pay": pay.page, "portal": portal.page, "invoice": invoice.page}


class Pages:
    """Everything here that is not the API."""

    def __init__(self, shelf: Shelf, base_url: str, wake: Callable[[], None]) -> None:
        self._frame = Frame(shelf, base_url)
        self._control = Control(shelf)
        self._wake = wake

    async def answer(self, request: Request, path: str) -> Response:
        _, first, *rest = path.split("/")
        form = {name: str(value) for name, value in (await request.form()).items()} if _is_form(request) else {}
        look = Look(request.method, rest, form, str(request.scope.get("root_path", "")))
        try:
            if first == "_control":
                told: dict[str, Any] = (
                    form if _is_form(request) else await request.json() if request.method == "POST" else {}
                )
                return await run_in_threadpool(self._controlled, rest[0] if rest else "", told, look)
            return await run_in_threadpool(self._page, first, look)
        except NotHere as error:
            return self._frame.nothing(look, str(error))
        finally:
            if request.method != "GET":
                self._wake()

    def _page(self, first: str, look: Look) -> Response:
        if first == "_static":
            return static.answer(look.rest)
        if not first:
            return overview.page(self._frame, look)
        if first not in PAGES or not look.rest:
            raise NotHere("There is no such page.")
        return PAGES[first](self._frame, look)

    def _controlled(self, verb: str, told: dict[str, Any], look: Look) -> Response:
        try:
            answer = self._control.do(verb, told)
        except StripeError as error:
            return JSONResponse({"error": error.body}, error.status)
        return self._frame.to(look, "") if look.form else JSONResponse(answer)


def _is_form(request: Request) -> bool:
    return request.method == "POST" and "form" in request.headers.get("content-type", "")
