"""The files that search engines ask for."""

from collections.abc import Sequence
from typing import Final
from xml.sax.saxutils import escape

from fastapi import APIRouter, Request, Response

from farebox.web.pages.frame import Frame

CLOSED: Final = ("/v1/", "/link/", "/oauth/", "/login", "/logout", "/reset")


def routes(frame: Frame, paths: Sequence[str]) -> APIRouter:
    """`paths` are the pages that a stranger should find."""
    router = APIRouter()

    @router.get("/robots.txt")
    def robots(request: Request) -> Response:
        lines = ["User-agent: *", *(f"Disallow: {path}" for path in CLOSED)]
        lines += ["", f"Sitemap: {frame.address(request)}/sitemap.xml", ""]
        return Response("\n".join(lines), headers={"cache-control": frame.for_strangers}, media_type="text/plain")

    @router.get("/sitemap.xml")
    def sitemap(request: Request) -> Response:
        found = "".join(f"  <url><loc>{escape(frame.address(request) + path)}</loc></url>\n" for path in paths)
        body = (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n{found}</urlset>\n'
        )
        return Response(body, headers={"cache-control": frame.for_strangers}, media_type="application/xml")

    return router
