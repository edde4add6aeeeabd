"""HTTP/1.1 as uvicorn speaks it, but for what is no HTTP: that too is answered with the problem body, and bounded.

`farebox serve` and `farebox dev` hand it to uvicorn; under another server its own answers hold.
"""

import asyncio
from typing import Final, cast

from starlette.routing import WebSocketRoute
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from farebox.domain.errors import BadRequest
from farebox.web.problem import problem
from farebox.web.request import new_call_id

HEAD_BYTES_MAX: Final = 65_536
# A refused sender may still be sending: to close at once would reset the connection and lose it the answer.
LINGER_SECONDS: Final = 2.0
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class _OneWrite:
    """A connection for one answer, whose head goes out with the first of its body: one packet, one waking client.

    The ASGI specification has servers keep a head until there is some body; uvicorn sends it at once.
    """

    __slots__ = ("_head", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head: bytes | None = None

    def write(self, data: bytes) -> None:
        if self._head:
            data = self._head + data
            self._head = b""
        elif self._head is None and data != CONTINUE:
            self._head = data
            return
        self._transport.write(data)

    def close(self) -> None:
        if self._head:
            self._transport.write(self._head)
        self._transport.close()

    def is_closing(self) -> bool:
        return self._transport.is_closing()


class Protocol(HttpToolsProtocol):
    """One connection."""

    _unread_bytes = 0
    _refused = False

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        if cycle.scope["method"] != "HEAD":  # whose answer has no body
            cycle.transport = cast("asyncio.Transport", _OneWrite(cycle.transport))
        super()._start_asgi_task(cycle, app)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        self._unread_bytes += len(data)
        super().data_received(data)
        if self._unread_bytes > HEAD_BYTES_MAX and not self._refused:
            self.send_400_response(f"The request's head is larger than {HEAD_BYTES_MAX:,} bytes.")

    def on_headers_complete(self) -> None:
        self._unread_bytes = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._unread_bytes = 0
        super().on_body(body)

    def _should_upgrade_to_ws(self) -> bool:
        # Only where the founder has a WebSocket of their own: else its library would answer in its own words.
        routes = getattr(self.app_state.get("farebox"), "routes", ())
        return super()._should_upgrade_to_ws() and any(isinstance(route, WebSocketRoute) for route in routes)

    def _unsupported_upgrade_warning(self) -> None:
        """Nothing to warn of: a request that asks for another protocol is answered in this one."""

    def send_400_response(self, msg: str) -> None:
        self._refused = True
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and not cycle.response_complete:
            # The request that was under way gets this answer, or, where its own has begun, no further one.
            cycle.disconnected = True
            cycle.message_event.set()
            if cycle.response_started:
                self.transport.close()
                return
        status, headers, body = problem(BadRequest(msg), new_call_id(), self.app_state.get("public_url", ""))
        headers += self.server_state.default_headers
        headers += [(b"content-length", b"%d" % len(body)), (b"connection", b"close")]
        lines = [b"%b: %b\r\n" % header for header in headers]
        self.transport.write(b"".join([STATUS_LINE[status], *lines, b"\r\n", body]))
        self.transport.write_eof()
        self.loop.call_later(LINGER_SECONDS, self.transport.close)
