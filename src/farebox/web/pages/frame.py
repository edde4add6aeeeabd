"""The parts that all pages share: the templates, how a page is answered, and how an error is shown."""

import gzip
import logging
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Final

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from jinja2 import ChoiceLoader, Environment, FileSystemLoader, PrefixLoader, StrictUndefined
from starlette.exceptions import HTTPException
from starlette.middleware import body_limit
from starlette.responses import HTMLResponse

from farebox.domain.errors import CallError, InternalError, LedgerUnavailable, RequestRefused
from farebox.domain.pages import of_account
from farebox.ports.people import Visit
from farebox.web.founder_pages import HOME
from farebox.web.pages import sums, words
from farebox.web.pages.assets import Assets
from farebox.web.pages.charts import bars, top_of
from farebox.web.pages.fields import fields
from farebox.web.pages.markdown import html_of, line_of, read_text
from farebox.web.pages.visitor import who_is_told
from farebox.web.problem import problem
from farebox.web.routes import of_status, of_validation, route_of
from farebox.web.site import Site

log = logging.getLogger("farebox.web")

OURS: Final = Path(__file__).parents[1] / "templates"
OWN_PLACES: Final = ("pricing", "terms", "privacy")
"""Pages that the footer leads to in any case."""
FOR_STRANGERS: Final = "public, max-age=300"
"""How long a page that is the same for everybody may be kept."""
TOO_LARGE: Final = getattr(body_limit, "_RequestBodyLimitResponseSent", ())
"""Raised, once that is answered, at a body that no page has read. Starlette has no public name for it."""
AWAY: Final = "This page cannot be shown right now. Try again shortly."
AWAY_FORM: Final = "This cannot be done right now. Try again shortly."
PACKING: Final = 6  # of 1 to 9: beyond it, time grows and the page hardly shrinks


def environment(folder: Path | None) -> Environment:
    """The templates: the founder's own from `templates/` in the folder, else ours of the same name.

    A template of the founder's may begin with {% extends "farebox/base.html" %}: that is ours.
    """
    ours = FileSystemLoader(OURS)
    theirs = [FileSystemLoader(folder / "templates")] if folder is not None else []
    found = Environment(
        loader=ChoiceLoader([*theirs, ours, PrefixLoader({"farebox": ours})]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    found.filters.update(words.FILTERS, of_account=of_account, used_sum=sums.used_sum, left_sum=sums.left_sum)
    found.filters.update(chart_bars=bars, chart_top=top_of, fields=fields, markdown=html_of, markdown_line=line_of)
    return found


class Frame:
    """The frame around every page of one site.

    Args:
        files: the founder's own pages, which the footer leads to.
    """

    def __init__(self, site: Site, files: Mapping[str, Path]) -> None:
        self.site = site
        self.assets = Assets(site)
        self.templates = environment(site.folder)
        named = {name: read_text(file).title for name, file in files.items() if name not in {HOME, *OWN_PLACES}}
        has_length = all(handler.terms.max_output_tokens is None for handler in site.handlers.values())
        self.plans = words.all_terms(site.product.plans, has_length=has_length)
        in_words = {terms.id: terms for terms in self.plans}
        self.templates.filters["terms"] = lambda plan: in_words[plan.name]
        self.templates.globals.update(
            plans=self.plans,
            packs=words.all_packs(site.product.packs),
            site=site,
            product=site.product,
            asset=self.assets.url,
            initial=self.assets.initial,
            more_pages=named,
        )

    def address(self, request: Request) -> str:
        """The address of the service, as its customers write it, without a slash at the end."""
        return self.site.public_url or str(request.base_url).rstrip("/")

    @property
    def for_strangers(self) -> str:
        """How a page for everybody may be kept: by no cache in between where its address is what the request said."""
        return FOR_STRANGERS if self.site.public_url else FOR_STRANGERS.replace("public", "private")

    def page(
        self, request: Request, template: str, /, *, status: int = 200, cache: str = "no-store", **values: object
    ) -> HTMLResponse:
        """A page made of a template; what the template needs comes as `values`."""
        path = request.url.path
        usual = {
            "path": path,
            "url": f"{self.site.public_url}{path}" if self.site.public_url else "",
            "is_not_done": request.query_params.get("told") == "not-done",  # see `fresh` in visitor.py
        }
        html = self.templates.get_template(template).render(usual | values)
        response = HTMLResponse(
            html, status, {"cache-control": self.for_strangers if cache == FOR_STRANGERS else cache}
        )
        # Only what holds no secret: compressed beside what a stranger sent, its length would tell the secret (BREACH).
        if cache == FOR_STRANGERS:
            self._pack(request, response)
        return response

    def _pack(self, request: Request, response: HTMLResponse) -> None:
        response.headers["vary"] = "accept-encoding"
        if "gzip" in request.headers.get("accept-encoding", ""):
            response.body = gzip.compress(bytes(response.body), PACKING, mtime=0)
            response.headers["content-encoding"] = "gzip"
            response.headers["content-length"] = str(len(response.body))

    def error(
        self, request: Request, error: CallError, title: str | None = None, *, visitor: Visit | None = None
    ) -> Response:
        """An error, as a page for a browser, else as the problem body."""
        call_id = str(request.scope["farebox.call_id"])
        status, headers, body = problem(error, call_id, self.site.public_url)
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR and not isinstance(error, InternalError):  # that one is logged
            log.error("%s %s, %s: %s%s", request.method, route_of(request), call_id, error.code, _cause(error))
        if not takes_html(request):
            response = Response(body, status)
            response.raw_headers = [*response.raw_headers, *headers]
            return response
        page = self.page(
            request, "error.html", status=status, title=title or error.title, error=error, call_id=call_id,
            detail=_detail(request, error), visitor=visitor,
        )  # fmt: skip
        page.raw_headers += [(name, value) for name, value in headers if name == b"retry-after"]
        return page


def _cause(error: CallError) -> str:
    """What an outside thing said, in a line. More lines of a driver's would have what it was given."""
    cause = getattr(error.__cause__, "orig", None) or error.__cause__  # SQLAlchemy's own words add the statement
    return "" if cause is None else f": {type(cause).__name__}: {str(cause).partition(chr(10))[0]}"


def _detail(request: Request, error: CallError) -> str:
    """The sentence for a reader of pages, where a caller's would not do."""
    if isinstance(error, LedgerUnavailable):
        return AWAY if request.method == "GET" else AWAY_FORM
    return error.detail


def takes_html(request: Request) -> bool:
    """Whether the client is a browser that will show the answer."""
    return "text/html" in request.headers.get("accept", "")


def add_errors(app: FastAPI, frame: Frame) -> None:
    """Answer the errors of pages with a page. If an HTTPException has a sentence of its own, that is shown as it is."""

    @app.exception_handler(CallError)
    def refused(request: Request, error: CallError) -> Response:
        return frame.error(request, error, visitor=who_is_told(request, error.status))

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> Response:
        found = of_validation(error)
        return frame.error(request, found, visitor=who_is_told(request, found.status))

    @app.exception_handler(HTTPException)
    def raised(request: Request, error: HTTPException) -> Response:
        if error.status_code < HTTPStatus.BAD_REQUEST:
            return Response(None, error.status_code, error.headers)
        found, title = of_status(request, error), None
        if found is None:
            found = RequestRefused(str(error.detail)).of_status(error.status_code)
            title = HTTPStatus(error.status_code).phrase
        response = frame.error(request, found, title, visitor=who_is_told(request, error.status_code))
        response.headers.update(error.headers or {})
        return response

    @app.exception_handler(Exception)
    def broken(request: Request, error: Exception) -> Response:
        if isinstance(error, TOO_LARGE):
            return Response(status_code=HTTPStatus.REQUEST_ENTITY_TOO_LARGE)  # which nobody gets
        call_id = request.scope["farebox.call_id"]
        log.error("%s %s, %s failed", request.method, route_of(request), call_id, exc_info=error)
        return frame.error(request, InternalError("Something went wrong on our side. Try again."))
