"""Stripe's webhooks: verified, stored once, answered; worked off afterwards."""

import logging
from collections.abc import Callable
from typing import Final

from fastapi import Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.routing import Route

from farebox.domain.errors import CallError
from farebox.domain.webhooks import PATH
from farebox.ports.billing import Inbox, Signatures

log = logging.getLogger("farebox.money")

BODY_BYTES_MAX: Final = 1 << 19
NOT_SIGNED: Final = (
    b"The signature is not right: check STRIPE_WEBHOOK_SECRET, and the clocks of this machine and its database."
)
OTHER_MODE: Final = b"Stored nothing: the event is of the other mode, live or test, than the key."


class Webhooks:
    """The endpoint. All that is kept of a body is which event it is, and which object it is about."""

    def __init__(
        self, inbox: Inbox, signatures: Callable[[], Signatures], wake: Callable[[], None], *, is_live: bool
    ) -> None:
        self._inbox = inbox
        self._signatures = signatures
        self._wake = wake
        self._is_live = is_live

    @property
    def route(self) -> Route:
        return Route(PATH, self.receive, methods=["POST"], include_in_schema=False)

    async def receive(self, request: Request) -> Response:
        """Take one event: 200 once it is stored, now or before; 400 where it is not Stripe's."""
        body = await _read(request)
        if body is None:
            return Response(b"This is larger than any event.", 413)
        return await run_in_threadpool(self._take, body, request.headers.get("stripe-signature", ""))

    def _take(self, body: bytes, signature: str) -> Response:
        try:
            event = self._signatures().read(body, signature)
            if event is None:
                return Response(NOT_SIGNED, 400)
            if event.is_live != self._is_live:
                log.warning("%s was ignored: its mode, live or test, is not that of STRIPE_SECRET_KEY", event.id)
                return Response(OTHER_MODE, 200)
            is_new = self._inbox.add(event)
        except CallError:
            return Response(b"It cannot be stored right now.", 503)  # Stripe sends it again
        if is_new:
            self._wake()
        return Response(b"", 200)


async def _read(request: Request) -> bytes | None:
    """The body as it came; None where it is too large."""
    pieces, size = [], 0
    async for piece in request.stream():
        size += len(piece)
        if size > BODY_BYTES_MAX:
            return None
        pieces.append(piece)
    return b"".join(pieces)
