"""The documentation: every endpoint, and a page for each error, at the address that its `type` names."""

import functools

from fastapi import APIRouter, Request, Response

from farebox.domain.errors import NotFound
from farebox.web.error_docs import ADVICE, example
from farebox.web.pages.frame import FOR_STRANGERS, Frame
from farebox.web.pages.reference import Operation, all_headers, reference


def routes(frame: Frame) -> APIRouter:
    router = APIRouter()
    by_code = {error.code: error for error in ADVICE}

    @functools.cache  # as the OpenAPI page is
    def groups() -> dict[str, list[Operation]]:
        return reference(frame.site)

    @router.get("/docs")
    def docs(request: Request) -> Response:
        found, address = groups(), frame.address(request)
        headers = all_headers(found)
        return frame.page(
            request, "docs.html", cache=FOR_STRANGERS, groups=found, headers=headers, address=address
        )  # fmt: skip

    @router.get("/errors")
    def errors(request: Request) -> Response:
        return frame.page(request, "errors.html", cache=FOR_STRANGERS, errors=list(ADVICE))

    @router.get("/errors/{code}")
    def explanation(request: Request, code: str) -> Response:
        error = by_code.get(code)
        if error is None:
            raise NotFound("There is no such error code. They are listed at /errors.")
        body = example(error, frame.site.public_url)
        return frame.page(request, "error_doc.html", cache=FOR_STRANGERS, error=error, advice=ADVICE[error], body=body)

    return router
