"""The guard before every page: it checks who may send a form and which cookies count, and sets the answer's headers."""

from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from fastapi import FastAPI, Request, Response
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.routing import Match
from starlette.types import Message, Receive, Scope, Send

from farebox.domain.errors import CallError, RequestRefused
from farebox.web.pages.cookies import with_own_cookies

SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
FORM_BYTES_MAX: Final = 1 << 20
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS: Final = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    # Not `no-referrer`: with that, a browser would send our own forms with `Origin: null`.
    "referrer-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}
"""The headers of a page that does not set others."""
STRANGE: Final = (
    "This form was not sent from a page of this site, so nothing was done. Open the page here and send it again."
)

ErrorPage = Callable[[Request, CallError], Response]


class Guard:
    """The pages, guarded."""

    def __init__(self, app: FastAPI, error_page: ErrorPage, public_url: str) -> None:
        self.routes = app.routes
        self._app = RequestBodyLimitMiddleware(app, FORM_BYTES_MAX)
        self._error_page = error_page
        self._origin = origin_of(public_url)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_begun = False

        async def sending(message: Message) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                has_begun = True
                headers = MutableHeaders(raw=message.setdefault("headers", []))
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        scope["headers"] = with_own_cookies(scope["headers"])
        if scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}  # the server leaves the body out
        request = Request(scope)
        if self._does_something(scope) and not is_own(request.headers, self._origin):
            refused = RequestRefused(STRANGE).of_status(403)
            await self._error_page(request, refused)(scope, receive, sending)
            return
        try:
            await self._app(scope, receive, sending)
        except Exception:
            if not has_begun:
                raise  # the error's page failed as well, so the answer is made without one
            # Else it was logged and answered; Starlette raises it again for servers that do not log.

    def _does_something(self, scope: Scope) -> bool:
        """Whether a page would act on this request. If there is no such page, the answer is that, and nothing else."""
        return scope["method"] not in SAFE and any(route.matches(scope)[0] is Match.FULL for route in self.routes)


def is_own(headers: Headers, own_origin: str) -> bool:
    """Whether a request comes from a page of this very site, by what the browser says of it.

    A browser names the site only to https and to this machine. To other addresses, it still sends the page's origin
    with a form.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin, host = headers.get("origin"), headers.get("host")
    if not origin or not host:
        return False
    return origin in {own_origin, f"http://{host}", f"https://{host}"}


def origin_of(url: str) -> str:
    """Scheme and host of an address; empty where there is none."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else ""
