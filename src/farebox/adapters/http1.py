"""Whole answers over HTTP/1.1, on connections that are kept: as little as a provider's API needs, on httptools' parser.

It follows no redirects, asks for no compression, and sends nothing twice (docs/decisions/0022).
"""

import asyncio
import re
import zlib
from ssl import PROTOCOL_TLS_CLIENT, SSLContext
from typing import Final, NamedTuple, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

IDLE_SECONDS_MAX: Final = 30.0
"""A connection that was unused for longer may have been dropped by the network without notice."""
NEAR_IDLE_SECONDS_MAX: Final = 4.0
"""The same without TLS: such servers are near, and many (as Node's) close after 5 s, when a request may come."""
KEPT_SECONDS: Final = re.compile(rb"timeout=(\d{1,6})")
HEAD_BYTES_MAX: Final = 65_536
ANSWER_BYTES_MAX: Final = 256 << 20
FRAMED: Final = frozenset({b"content-length", b"transfer-encoding"})
UNPACKED: Final = frozenset({b"", b"identity"})
GZIP_OR_ZLIB: Final = zlib.MAX_WBITS | 32
OK: Final = 200


class Answer(NamedTuple):
    status: int
    headers: dict[bytes, bytes]
    body: bytes


class Connections:
    """The connections to one server. Made, used and closed inside one event loop.

    Args:
        is_secure: whether to use TLS.
        connect_seconds_max: the longest that a connection may take to be made.
    """

    def __init__(self, host: str, port: int, *, is_secure: bool, connect_seconds_max: float) -> None:
        self._host, self._port = host, port
        self._is_secure = is_secure
        self._connect_seconds_max = connect_seconds_max
        self._tls: SSLContext | None = None
        self._loop = asyncio.get_running_loop()
        self._idle: dict[_Connection, float] = {}
        """The connections that wait for a request, and since when; the last one is taken first."""
        self._idle_seconds_max = IDLE_SECONDS_MAX if is_secure else NEAR_IDLE_SECONDS_MAX
        self._is_closed = False

    async def send(self, request: bytes, seconds_max: float) -> Answer:
        """Send a request, head and body, and read its answer. Cancelling it closes the connection.

        Raises:
            TimeoutError: there is no whole answer within `seconds_max`.
            OSError: nobody can be reached, or the connection broke.
        """
        deadline = self._loop.time() + seconds_max
        connection = self._taken() or await self._connect(deadline)
        timer = self._loop.call_at(deadline, connection.fail, TimeoutError("no answer in time"))
        try:
            answer = await connection.ask(request)
        except BaseException:
            connection.abort()  # the rest of its answer must not answer the next request
            raise
        finally:
            timer.cancel()
        told = KEPT_SECONDS.search(answer.headers.get(b"keep-alive", b""))
        if told is not None:  # a second less: a request fails if the server closes while it is on its way
            self._idle_seconds_max = min(self._idle_seconds_max, float(told[1]) - 1)
        if connection.is_reusable() and not self._is_closed:
            self._idle[connection] = self._loop.time()
        else:
            connection.abort()
        packed = answer.headers.get(b"content-encoding", b"").strip().lower() not in UNPACKED
        return _unpacked(answer) if packed else answer

    def close(self) -> None:
        self._is_closed = True
        for connection in self._idle.copy():
            connection.abort()

    def _taken(self) -> "_Connection | None":
        """The connection that was used last; those that were unused for too long are closed first."""
        oldest_allowed = self._loop.time() - self._idle_seconds_max
        while self._idle:
            oldest = next(iter(self._idle))
            if self._idle[oldest] > oldest_allowed:
                break
            self.lost(oldest)
            oldest.abort()
        while self._idle:
            connection, _ = self._idle.popitem()
            if connection.is_reusable():
                return connection
        return None

    async def _connect(self, deadline: float) -> "_Connection":
        connect_deadline = self._loop.time() + self._connect_seconds_max
        if self._is_secure and self._tls is None:
            self._tls = _trusting_the_system()
        try:
            async with asyncio.timeout_at(min(deadline, connect_deadline)):
                _, connection = await self._loop.create_connection(
                    lambda: _Connection(self), self._host, self._port, ssl=self._tls
                )
        except TimeoutError:
            if connect_deadline < deadline:
                raise ConnectionError("no connection in time") from None
            raise
        return connection

    def lost(self, connection: "_Connection") -> None:
        self._idle.pop(connection, None)


def _trusting_the_system() -> SSLContext:
    import truststore  # noqa: PLC0415  # a provider on this machine needs no TLS

    tls = truststore.SSLContext(PROTOCOL_TLS_CLIENT)
    tls.set_alpn_protocols(["http/1.1"])
    return tls


def _unpacked(answer: Answer) -> Answer:
    """The answer of a server that compresses it unasked."""
    unpack = zlib.decompressobj(GZIP_OR_ZLIB)
    try:
        body = unpack.decompress(answer.body, ANSWER_BYTES_MAX)
    except zlib.error as error:
        raise ConnectionError("the answer cannot be unpacked") from error
    if not unpack.eof:
        raise ConnectionError("the answer is packed wrongly, or too large")
    return answer._replace(body=body)


class _Connection(asyncio.Protocol):
    """One connection, and the answer that is being read from it. Its `on_…` are called by the parser."""

    transport: asyncio.Transport

    def __init__(self, home: Connections) -> None:
        self._home = home
        self._parser = HttpResponseParser(self)
        self._asked: asyncio.Future[Answer] | None = None
        self._read_bytes = 0
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        self._has_head = self._can_stay = False

    def ask(self, request: bytes) -> "asyncio.Future[Answer]":
        asked: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._asked = asked
        self._read_bytes = 0
        self.transport.write(request)
        return asked

    def is_reusable(self) -> bool:
        """Whether another request may go out here, now that an answer is whole."""
        return self._can_stay and not self.transport.is_closing()

    def fail(self, error: Exception) -> None:
        self.abort()
        asked, self._asked = self._asked, None
        if asked is not None and not asked.done():
            asked.set_exception(error)

    def abort(self) -> None:
        self.transport.abort()

    # -- What the loop tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but its type

    def data_received(self, data: bytes) -> None:
        if self._asked is None:  # no request waits for an answer
            self.abort()
            return
        self._read_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            self.fail(ConnectionError(f"this is not HTTP: {error!r}"))
        bytes_max = ANSWER_BYTES_MAX if self._has_head else HEAD_BYTES_MAX
        if self._read_bytes > bytes_max and self._asked is not None:
            self.fail(ConnectionError("the answer is too large"))

    def connection_lost(self, error: Exception | None) -> None:
        self._home.lost(self)
        if error is None and self._has_head and FRAMED.isdisjoint(self._headers):
            self._answer()  # one without a length ends with its connection
        self.fail(error if isinstance(error, OSError) else ConnectionError("the connection was closed"))

    # -- What the parser tells

    def on_message_begin(self) -> None:
        if self._asked is None:
            self.abort()  # bytes without a request must not answer the next one

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        self._has_head = self._parser.get_status_code() >= OK  # before it come words like "continue"

    def on_body(self, piece: bytes) -> None:
        self._body.append(piece)

    def on_message_complete(self) -> None:
        if not self._has_head:
            self._headers = {}
            return
        # A server that answers before it has read all of the request is going to close.
        self._can_stay = self._parser.should_keep_alive() and not self.transport.get_write_buffer_size()
        self._answer()

    def _answer(self) -> None:
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        answer = Answer(self._parser.get_status_code(), self._headers, body)
        self._headers, self._body, self._has_head = {}, [], False
        asked, self._asked = self._asked, None
        if asked is not None and not asked.done():
            asked.set_result(answer)
