"""The stylesheet of Farebox's own pages, and colours for it."""

from functools import cache
from pathlib import Path
from typing import Final

from starlette.responses import Response

from farebox.domain.brand import Brand, Shade
from farebox.sandbox.stripe.pages.frame import NotHere

SHEET: Final = Path(__file__).parents[3] / "web" / "static" / "farebox.css"


def answer(rest: list[str]) -> Response:
    found = _files().get(rest[0] if rest else "")
    if found is None:
        raise NotHere("There is no such file.")
    return Response(found[0], 200, {"cache-control": "no-cache"}, found[1])


@cache
def _files() -> dict[str, tuple[str, str]]:
    brand = Brand()
    dark = f"@media (prefers-color-scheme: dark) {{ :root {{ {_shade(brand.dark)} }} }}"
    icon = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">'
        f'<rect width="32" height="32" rx="7" fill="{brand.light.fill}"/></svg>'
    )
    return {
        "brand.css": (f":root {{ {_shade(brand.light)} }}\n{dark}\n", "text/css"),
        "farebox.css": (SHEET.read_text(encoding="utf-8"), "text/css"),
        "favicon.svg": (icon, "image/svg+xml"),
    }


def _shade(shade: Shade) -> str:
    return f"--accent: {shade.text}; --fill: {shade.fill}; --on-fill: {shade.on_fill};"
