"""A founder's WebSocket is found wherever they have put it; without one, nobody's wish for one is granted."""

import pytest
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.routing import BaseRoute, Host, Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from farebox import Farebox, Plan
from farebox.web.protocol import takes_sockets


async def anything(scope: Scope, receive: Receive, send: Send) -> None:
    """An application that does not say what it takes."""


SOCKET = WebSocketRoute("/ws", anything)
PAGE = Route("/page", anything)


def included(route: BaseRoute) -> list[BaseRoute]:
    app, outer, inner = FastAPI(), APIRouter(), APIRouter()
    inner.routes.append(route)
    outer.include_router(inner)
    app.include_router(outer)
    return app.routes


@pytest.mark.parametrize(
    ("routes", "found"),
    [
        ([PAGE, SOCKET], True),
        (included(SOCKET), True),
        (included(PAGE), False),
        ([Mount("/under", Starlette(routes=[SOCKET]))], True),
        ([Mount("/under", Starlette(routes=[PAGE]))], False),
        ([Host("live.example", Starlette(routes=[SOCKET]))], True),
        ([Mount("/under", anything)], True),
        ([Mount("/files", StaticFiles(directory="."))], False),
        (Farebox("Till", plans=[Plan("open")]).routes, False),
    ],
)
def test_a_websocket_is_found_in_routers_and_mounted_applications(routes: list[BaseRoute], *, found: bool) -> None:
    assert takes_sockets(routes) is found
