"""The stand-in for Stripe, as an ASGI application."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from farebox.sandbox.stripe.answers import Answer, Answers, Asked
from farebox.sandbox.stripe.backstage import Backstage
from farebox.sandbox.stripe.desk import Desk
from farebox.sandbox.stripe.faults import Faults, hang_up
from farebox.sandbox.stripe.rooms.events import create_endpoint
from farebox.sandbox.stripe.shapes import API_VERSION
from farebox.sandbox.stripe.shelf import Shelf

DEFAULT_KEY: Final = "sk_test_farebox"
THREADS: Final = 64
T = TypeVar("T")


class Standin:
    """Stripe's API of one version, its pages to pay on, and the verbs to break it.

    It keeps everything in a SQLite file, which several processes may share. `start` begins the work that no request
    asks for: renewals, retries, webhooks.

    Args:
        path: the file; it is made if it is not there.
        base_url: its address from outside, without a slash at the end. Links to its pages begin with it.
        key: the secret key that is let in.
    """

    def __init__(self, path: Path, base_url: str, key: str = DEFAULT_KEY) -> None:
        from farebox.sandbox.stripe.pages import Pages  # noqa: PLC0415  (templates, for whoever looks at pages)

        self.base_url, self.key = base_url.rstrip("/"), key
        self._shelf = Shelf(path)
        self._answers = Answers(self._shelf, self.base_url, key)
        self._backstage = Backstage(self._shelf, self.base_url)
        self._faults = Faults(self._shelf)
        self._pages = Pages(self._shelf, self.base_url, self._backstage.wake)
        self._pool = ThreadPoolExecutor(THREADS, "stripe")

    def start(self) -> None:
        """Begin to work off what is due, in a thread."""
        self._backstage.start()

    def stop(self) -> None:
        self._backstage.stop()
        self._pool.shutdown()
        self._shelf.close()

    def told_to(self, url: str, events: Sequence[str] = ("*",)) -> str:
        """Send webhooks to an address from now on; return the secret that signs them, the same each time."""
        with self._shelf.transaction() as db:
            desk = Desk(db, self.base_url)
            known = next((one for one in desk.all("webhook_endpoint") if one["url"] == url), None)
            if known is None:
                known = create_endpoint(desk, {"url": url, "enabled_events": list(events)})
            return str(known["_secret"])

    async def _in_thread(self, work: Callable[..., T], *given: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work, *given)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(self, receive, send)
            return
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        path = scope["path"].removeprefix(scope.get("root_path", "")) or "/"
        if not path.startswith(("/v1/", "/v2/")):
            await (await self._pages.answer(request, path))(scope, receive, send)
            return
        asked = Asked(request.method, path, request.url.query, request.headers, await request.body())
        await self._answer(asked, scope, receive, send)

    async def _answer(self, asked: Asked, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request to the API, or let it meet the fault that a test asked for."""
        fault = await self._in_thread(self._faults.next_for, asked.method, asked.path)
        if fault is not None and fault["kind"] == "refuse":
            await hang_up(receive, send)
            return
        if fault is not None and fault["kind"] == "status":
            await _response(self._faults.answer(fault))(scope, receive, send)
            return
        seconds = fault["seconds"] if fault is not None else 0
        answer = await self._in_thread(self._answers.to, asked, seconds)
        if asked.method != "GET":
            self._backstage.wake()
        if fault is not None and fault["kind"] == "die":
            await hang_up(receive, send)
            return
        await _response(answer)(scope, receive, send)


def _response(answer: Answer) -> Response:
    headers = {"request-id": answer.request_id, "stripe-version": API_VERSION}
    if answer.is_replayed:
        headers["idempotent-replayed"] = "true"
    return Response(answer.body, answer.status, headers, "application/json")


async def _lifespan(standin: Standin, receive: Receive, send: Send) -> None:
    """Start and stop the stand-in with a server that runs nothing else."""
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            standin.start()
            await send({"type": "lifespan.startup.complete"})
        else:
            standin.stop()
            await send({"type": "lifespan.shutdown.complete"})
            return
