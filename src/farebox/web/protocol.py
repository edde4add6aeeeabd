"""HTTP/1.1 as uvicorn speaks it, but what is not HTTP is bounded, and answered with the problem body as well.

`farebox serve` and `farebox dev` hand it to uvicorn; under another server its own answers hold.
"""

from asyncio import TimerHandle, Transport
from collections.abc import Coroutine, Sequence
from typing import Any, Final, cast

from fastapi.routing import iter_route_contexts
from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from starlette.routing import BaseRoute, Host, Mount, WebSocketRoute
from starlette.staticfiles import StaticFiles
from uvicorn._types import ASGI3Application, ASGISendEvent, HTTPResponseStartEvent
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from farebox.domain.errors import BadRequest
from farebox.web.open_files import files_max
from farebox.web.problem import problem
from farebox.web.request import BODY_SECONDS_MAX, new_call_id

HEAD_BYTES_MAX: Final = 65_536
# A refused sender may still be sending: closing at once would reset the connection, and the answer would be lost.
LINGER_SECONDS: Final = 2.0
# At the end of the process, what has been sent on a connection is read before it is closed: that would be a reset, too.
LEAVING_SECONDS: Final = 0.2
IDLE_SECONDS_IN_A_CROWD: Final = 5
CONTROLS: Final = bytes([*range(9), *range(10, 32), 127])  # all but the tab, which a value may have


class _Cycle(RequestResponseCycle):
    """One request and its answer, whose head waits for the first part of its body.

    The ASGI specification asks for that. A whole answer then is one packet, and wakes the client once; where its last
    header is its length, as in all answers of a paid call, it is put together here, in a fifth of the time.
    """

    _start: HTTPResponseStartEvent | None = None
    is_last = False
    """Whether the connection is to be closed after the answer: the protocol does so, as it knows what still comes."""

    def send(self, message: ASGISendEvent) -> Coroutine[Any, Any, None]:
        if self.response_started:
            return super().send(message)  # with no layer between, for each piece of a stream
        return self._begin(message)

    async def _begin(self, message: ASGISendEvent) -> None:
        if message["type"] == "http.response.start":
            self._start = message
            return
        if self._start is not None:
            self.disconnected = self.disconnected or self.transport.is_closing()
            if message["type"] == "http.response.body" and not message.get("more_body"):
                start = self._start
                whole = self._whole(start["status"], list(start.get("headers", ())), message.get("body", b""))
                if whole is not None:
                    self._send_whole(whole)
                    return
            await super().send(self._start)
            if not self.keep_alive:
                self.keep_alive, self.is_last = True, True
        await super().send(message)

    def _whole(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> bytes | None:
        """Head and body in one piece; None where more has to be done than to write them."""
        if not headers or headers[-1] != (b"content-length", b"%d" % len(body)):
            return None
        if not self.keep_alive or self.disconnected or self.flow.write_paused or self.scope["method"] == "HEAD":
            return None
        lines = [*map(b": ".join, self.default_headers), *map(b": ".join, headers)]
        head = STATUS_LINE[status] + b"\r\n".join(lines)
        # No control characters but the ends of lines: with any other, a value could begin a line of its own.
        if len(head.translate(None, CONTROLS)) != len(head) - 2 * len(lines):
            return None
        seen = head.lower()
        if b"\r\nconnection:" in seen or b"\r\ntransfer-encoding:" in seen or seen.count(b"\r\ncontent-length:") != 1:
            return None
        return b"%b\r\n\r\n%b" % (head, body)

    def _send_whole(self, whole: bytes) -> None:
        self.response_started = self.response_complete = True
        self.waiting_for_100_continue = False
        self.transport.write(whole)
        self.message_event.set()
        self.on_response()


class Protocol(HttpToolsProtocol):
    """One connection.

    Attributes:
        head_seconds_max: how long a request's head may take to come. Without it, a client that sends nothing, or a byte
            at a time, could take all the connections that a process may have open.
        body_seconds_max: how long its body may take, whatever route it is for, unless it comes steadily.
        body_bytes_a_second: with so many it does, so that a slow line can send what is large.
        crowd: beyond so many connections, a new one is soon closed if nothing comes on it: there have to be files for
            the way to the model, and for other clients.
    """

    head_seconds_max: float = 30
    body_seconds_max: float = BODY_SECONDS_MAX
    body_bytes_a_second: int = 10_000
    crowd: int = files_max() // 2
    _unread_bytes = 0
    _refused = False
    _until_head: TimerHandle | None = None
    _is_in_body = False
    _body_bytes = 0
    """Those of the body under way that have not yet given it more time."""
    _until_body: TimerHandle | None = None
    _answered: _Cycle | None = None
    _is_leaving = False
    """Whether the process ends: a request that still comes is answered, and is the last one of its connection."""
    _is_ended = False
    """Whether the last answer has gone, and its request's body still comes."""
    _head_again = b""
    """The head of a request that has a body and asks for another protocol, rewritten without that wish."""

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.crowd:
            self.timeout_keep_alive = min(self.timeout_keep_alive, IDLE_SECONDS_IN_A_CROWD)
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._have_read()
        self._have_body()
        cycle = self._answered  # uvicorn tells only the newest request, which may wait behind this one
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        self._is_leaving = True
        if self._is_idle():
            self.loop.call_later(LEAVING_SECONDS, self._leave)
        else:
            super().shutdown()

    def _leave(self) -> None:
        if self._is_idle():
            self.transport.close()

    def _is_idle(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is None or cycle.response_complete

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        cycle.__class__ = _Cycle  # uvicorn has no setting for another class
        self._answered = cast("_Cycle", cycle)
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        if self._answered is not None and self._answered.is_last:
            self._close_after_body()
        super().on_response_complete()

    def _close_after_body(self) -> None:
        """Close, once the body that is still sent has come: else it would be a reset, and the answer could be lost."""
        if not self._is_in_body or self.pipeline:
            self.transport.close()
        elif not self.transport.is_closing():
            self._is_ended = True
            self.transport.write_eof()
            seconds = LINGER_SECONDS if self._is_leaving else self.body_seconds_max
            self.loop.call_later(seconds, self.transport.close)  # a body may have no end

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        self._unread_bytes += len(data)
        self._unset_keepalive_if_required()
        was_in_body = self._is_in_body
        self._feed(data)
        if self._unread_bytes > HEAD_BYTES_MAX and not self._refused:
            self.send_400_response(f"The request's head is larger than {HEAD_BYTES_MAX:,} bytes.")
        elif self._unread_bytes and self._until_head is None:
            self._wait_for_head()
        if self._is_in_body and self._until_body is None:  # not for a body that came at once, as nearly all do
            self._wait_for_body(self.body_seconds_max)
        if was_in_body and not self._is_in_body:
            self._wait_for_next()

    def _wait_for_next(self) -> None:
        """Wait no longer than after an answer, where the answer came before the end of its body, which is now here."""
        if self._is_idle() and not self._unread_bytes and self in self.connections:  # and is no WebSocket's by now
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def _feed(self, data: bytes) -> None:
        while data and not self._refused:
            try:
                self.parser.feed_data(data)
            except HttpParserError:
                self.send_400_response("This is not an HTTP/1.1 request.")
                return
            except HttpParserUpgrade as upgrade:
                rest = data[upgrade.args[0] :]
            else:
                return
            head, self._head_again = self._head_again, b""
            if head:
                self.parser = HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
            elif self._should_upgrade():
                self.handle_websocket_upgrade()
                return
            data = head + rest

    def on_headers_complete(self) -> None:
        if self._refused:
            return  # what follows a refused head is no request
        self._have_read()
        hosts = [name for name, _ in self.headers if name == b"host"]
        if len(hosts) > 1 or (not hosts and self.parser.get_http_version() == "1.1"):  # RFC 9112, section 3.2
            self.send_400_response("An HTTP/1.1 request needs one Host header.")
            return
        if self.parser.should_upgrade() and any(_announces_body(*header) for header in self.headers):
            # The parser would take its body for the next request. Java's HttpClient sends such requests.
            if self._should_upgrade() or self.parser.get_method() == b"CONNECT":
                self.send_400_response("A request for another protocol cannot have a body here. Leave one of them out.")
            else:
                self._head_again = self._head_without_upgrade()
            return
        super().on_headers_complete()
        if self._is_leaving and not self._is_idle():
            super().shutdown()
        self._is_in_body, self._body_bytes = True, 0
        # The request keeps the list from before: fields after a chunked body are no headers (RFC 9110, 6.5.1).
        self.headers = self.headers.copy()

    def on_body(self, body: bytes) -> None:
        self._have_read()
        self._body_bytes += len(body)
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._have_read()
        self._have_body()
        if not self._refused and not self._head_again:
            super().on_message_complete()
        if self._is_ended:
            self._refused = True  # what follows the last request is none
            self.transport.close()

    def _head_without_upgrade(self) -> bytes:
        """The head without the wish for another protocol, which a server may ignore (RFC 9110, section 7.8)."""
        first = b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        kept = (b": ".join(header) for header in self.headers if header[0] != b"upgrade")
        return b"\r\n".join([first, *kept, b"", b""])

    def _have_read(self) -> None:
        self._unread_bytes = 0
        if self._until_head is not None:
            self._until_head.cancel()
            self._until_head = None

    def _wait_for_head(self) -> None:
        self._until_head = self.loop.call_later(self.head_seconds_max, self._head_is_late)

    def _head_is_late(self) -> None:
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and not cycle.response_complete:
            self._wait_for_head()  # it is the next request's, and the one before is still being answered
        elif self._unread_bytes and not self._refused:
            self.send_400_response(f"The request's head did not come within {self.head_seconds_max:g} seconds.")
        else:
            self.transport.close()

    def _have_body(self) -> None:
        self._is_in_body = False
        if self._until_body is not None:
            self._until_body.cancel()
            self._until_body = None

    def _wait_for_body(self, seconds: float) -> None:
        self._until_body = self.loop.call_later(seconds, self._body_is_late)

    def _body_is_late(self) -> None:
        # What came in one burst gives it no more than as long again.
        seconds = min(self._body_bytes / self.body_bytes_a_second, self.body_seconds_max)
        self._body_bytes = 0
        cycle: RequestResponseCycle = self.cycle
        if self.flow.read_paused or cycle.waiting_for_100_continue:  # it is the application that does not read on
            seconds = self.body_seconds_max
        if seconds:
            self._wait_for_body(seconds)
        elif cycle.response_complete:
            self.transport.close()  # it was answered without its body, whose end would have to come before the next
        else:
            self.send_400_response(
                f"The body did not arrive within {self.body_seconds_max:g} s, nor went on with "
                f"{self.body_bytes_a_second:,} bytes a second. Send it whole."
            )

    def _should_upgrade_to_ws(self) -> bool:
        # Only where the founder has a WebSocket of their own: else its library would answer in its own words.
        routes = getattr(self.app_state.get("farebox"), "routes", ())
        return super()._should_upgrade_to_ws() and takes_sockets(routes) and not self._refused

    def _unsupported_upgrade_warning(self) -> None:
        """Nothing to warn of: a request that asks for another protocol is answered in this one."""

    def send_400_response(self, msg: str) -> None:
        if self._refused:
            return
        self._refused = True
        if self.pipeline or self._is_ended:  # an earlier request would take this answer for its own, or has had its own
            self.transport.close()
            return
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
        self.transport.write(b"%b%b\r\n\r\n%b" % (STATUS_LINE[status], b"\r\n".join(map(b": ".join, headers)), body))
        self.transport.write_eof()
        self.loop.call_later(LINGER_SECONDS, self.transport.close)


def _announces_body(name: bytes, value: bytes) -> bool:
    # Java's HttpClient sends a length of 0 with an Upgrade where there is no body.
    return name == b"transfer-encoding" or (name == b"content-length" and value != b"0")


def takes_sockets(routes: Sequence[BaseRoute]) -> bool:
    """Whether a WebSocket is among them, in a router or a mounted application too, or may be."""
    for route in (context.route for context in iter_route_contexts(routes)):
        if isinstance(route, WebSocketRoute):
            return True
        # An application without routes keeps to itself what it takes.
        if isinstance(route, Mount | Host) and not isinstance(route.app, StaticFiles):
            inner = route.routes
            if not inner or takes_sockets(inner):
                return True
    return False
