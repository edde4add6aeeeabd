"""Export all that is kept: of the account, for its owners, and of oneself."""

from collections.abc import Iterator
from typing import Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from farebox.account.export import export_account, export_person
from farebox.web.pages.frame import Frame
from farebox.web.pages.visitor import OwnerVisitor, Visitor, client_of

HERE: Final = "/settings/export"


def routes(frame: Frame) -> APIRouter:
    router = APIRouter()
    desk = frame.site.desk

    @router.get(HERE)
    def export(request: Request, visitor: Visitor) -> Response:
        return frame.page(request, "export.html", visitor=visitor, told="")

    @router.post(f"{HERE}/account")
    def of_account(request: Request, visitor: OwnerVisitor) -> Response:
        return _file(f"{visitor.account.id}.zip", export_account(desk, visitor, client_of(request)))

    @router.post(f"{HERE}/person")
    def of_person(request: Request, visitor: Visitor) -> Response:
        return _file(f"{visitor.person.id}.zip", export_person(desk, visitor, client_of(request)))

    return router


def _file(name: str, pieces: Iterator[bytes]) -> Response:
    """A file that is sent as it is made, so that it begins at once however long it gets."""
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(pieces, headers=headers, media_type="application/zip")
