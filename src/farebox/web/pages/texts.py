"""Pages that are text: terms and privacy, and whatever the founder has in `pages/`."""

from collections.abc import Callable, Mapping
from pathlib import Path

from fastapi import APIRouter, Request, Response

from farebox.web.founder_pages import HOME
from farebox.web.pages.frame import FOR_STRANGERS, Frame
from farebox.web.pages.markdown import read_text, text_of


def founders(frame: Frame, files: Mapping[str, Path]) -> APIRouter:
    """The founder's own pages. They come before ours, so that each replaces the one of its name."""
    router = APIRouter()
    for name, file in files.items():
        router.get(f"/{'' if name == HOME else name}")(_page_of(frame, file))
    return router


def _page_of(frame: Frame, file: Path) -> Callable[[Request], Response]:
    def founders_page(request: Request) -> Response:
        return frame.page(request, "text.html", cache=FOR_STRANGERS, text=read_text(file), is_general=False)

    return founders_page


def legal(frame: Frame) -> APIRouter:
    """Terms and privacy until the founder writes their own: general, and true of every service that Farebox runs."""
    router = APIRouter()

    @router.get("/terms")
    def terms(request: Request) -> Response:
        return general(request, "terms")

    @router.get("/privacy")
    def privacy(request: Request) -> Response:
        return general(request, "privacy")

    def general(request: Request, name: str) -> Response:
        markdown = frame.templates.get_template(f"{name}.md").render()
        return frame.page(request, "text.html", cache=FOR_STRANGERS, text=text_of(markdown, name), is_general=True)

    return router
