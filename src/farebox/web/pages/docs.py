"""The documentation: Swagger, and a page for each error, at the address that its `type` names."""

from typing import Final

from fastapi import APIRouter, Request, Response

from farebox.domain.errors import NotFound
from farebox.web.error_docs import ADVICE, example
from farebox.web.pages.frame import FOR_STRANGERS, Frame
from farebox.web.pages.guard import POLICY
from farebox.web.pages.reference import reference

# Swagger writes styles into its elements, and shows data as pictures; its script is a file like ours.
SWAGGER_POLICY: Final = POLICY.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'")


def routes(frame: Frame) -> APIRouter:
    router = APIRouter()
    by_code = {error.code: error for error in ADVICE}

    @router.get("/docs")
    def docs(request: Request) -> Response:
        url = frame.address(request)
        page = frame.page(request, "docs.html", cache=FOR_STRANGERS, groups=reference(frame.site), address=url)
        return page

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
