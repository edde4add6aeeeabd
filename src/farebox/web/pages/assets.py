"""The files that pages load: our stylesheet and scripts, the founder's colours and logo. Read once, kept in memory."""

import gzip
import hashlib
from html import escape
from pathlib import Path
from typing import Final, NamedTuple

from fastapi import APIRouter, Request, Response

from farebox.domain.brand import Brand, Shade
from farebox.domain.errors import NotFound
from farebox.web.site import Site

FOLDER: Final = Path(__file__).parents[1] / "static"
TYPES: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
BRAND_SHEET: Final = "brand.css"
FAVICON: Final = "favicon.svg"
FOREVER: Final = "public, max-age=31536000, immutable"
ASK_AGAIN: Final = "no-cache"
FOR_A_DAY: Final = "public, max-age=86400"
PICTURE_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; sandbox"


class Asset(NamedTuple):
    content: bytes
    content_type: str
    zipped: bytes | None
    """The same with gzip; None where that is no smaller."""


class Assets:
    """All these files, under an address with the digest of them all: no page gets a file of another release."""

    def __init__(self, site: Site) -> None:
        self.initial = next((letter for letter in site.product.name if letter.isalnum()), "F").upper()
        found = {path.name: _of_file(path) for path in sorted(FOLDER.iterdir()) if path.suffix in TYPES}
        found[BRAND_SHEET] = _asset(brand_sheet(site.product.brand).encode(), TYPES[".css"])
        found[FAVICON] = _asset(favicon(site.product.brand, self.initial).encode(), TYPES[".svg"])
        if site.logo is not None:
            found[site.logo.asset] = _asset(site.logo.content, site.logo.content_type)
        self._found = found
        whole = hashlib.sha256(b"".join(name.encode() + asset.content for name, asset in found.items()))
        self._digest = whole.hexdigest()[:12]

    def url(self, name: str) -> str:
        """The address of a file, for pages."""
        assert name in self._found, f"there is no {name}"
        return f"/static/{self._digest}/{name}"

    def answer(self, request: Request, name: str, cache: str) -> Response:
        """Answer with a file.

        Raises:
            NotFound: there is none of this name.
        """
        asset = self._found.get(name)
        if asset is None:
            raise NotFound(f"There is no file {name[:100]!r} here.")
        headers = {"cache-control": cache, "etag": f'W/"{self._digest}"', "vary": "accept-encoding"}
        if asset.content_type.startswith("image/"):
            headers["content-security-policy"] = PICTURE_POLICY
        if request.headers.get("if-none-match") == headers["etag"]:
            return Response(None, 304, headers)
        content = asset.content
        if asset.zipped is not None and "gzip" in request.headers.get("accept-encoding", ""):
            content, headers["content-encoding"] = asset.zipped, "gzip"
        return Response(content, 200, headers, asset.content_type)

    def routes(self) -> APIRouter:
        router = APIRouter()

        @router.get("/static/{digest}/{name}")
        def of_release(request: Request, digest: str, name: str) -> Response:
            return self.answer(request, name, FOREVER if digest == self._digest else ASK_AGAIN)

        @router.get("/static/{name}")
        def by_name(request: Request, name: str) -> Response:
            return self.answer(request, name, ASK_AGAIN)

        @router.get(f"/{FAVICON}")
        def icon(request: Request) -> Response:
            return self.answer(request, FAVICON, FOR_A_DAY)

        return router


def brand_sheet(brand: Brand) -> str:
    """The brand's colours as custom properties, for light pages and for dark ones."""
    dark = f"@media (prefers-color-scheme: dark) {{ :root {{ {_shade(brand.dark)} }} }}"
    return f":root {{ {_shade(brand.light)} }}\n{dark}\n"


def favicon(brand: Brand, initial: str) -> str:
    """The product's initial on its colour."""
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">'
        f'<rect width="32" height="32" rx="7" fill="{brand.light.fill}"/>'
        f'<text x="16" y="22.5" text-anchor="middle" font-family="system-ui, sans-serif" font-size="19" '
        f'font-weight="700" fill="{brand.light.on_fill}">{escape(initial)}</text></svg>\n'
    )


def _shade(shade: Shade) -> str:
    return f"--accent: {shade.text}; --fill: {shade.fill}; --on-fill: {shade.on_fill};"


def _of_file(path: Path) -> Asset:
    return _asset(path.read_bytes(), TYPES[path.suffix])


def _asset(content: bytes, content_type: str) -> Asset:
    zipped = gzip.compress(content, 9, mtime=0)
    return Asset(content, content_type, zipped if len(zipped) < len(content) else None)
