"""HTTP as Farebox has uvicorn speak it: an answer's head waits for the first of its body, and goes out with it."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator
from types import SimpleNamespace
from typing import Any, Final

import pytest
import uvicorn
from starlette.routing import WebSocketRoute

from farebox.web import protocol
from farebox.web.protocol import Protocol

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

SECONDS_MAX: Final = 30  # no measure: only a test that hangs waits as long
CLOSE: Final = b"connection: close\r\n"
HEADERS: Final[list[tuple[bytes, bytes]]] = []


class Wire(Protocol):
    """It remembers what it was told to write, and in how many pieces, and is less patient."""

    head_seconds_max = 0.2
    body_seconds_max = 0.2
    written: Final[list[bytes]] = []

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        # As of a product that has a WebSocket of its own.
        self.app_state = {"farebox": SimpleNamespace(routes=[WebSocketRoute("/ws", app)])}
        super().connection_made(_Remembering(transport, self.written))  # type: ignore[arg-type]


class _Remembering:
    def __init__(self, real: asyncio.Transport, written: list[bytes]) -> None:
        self._real = real
        self._written = written

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._real, name)

    def write(self, data: bytes) -> None:
        self._written.append(data)
        self._real.write(data)


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    async def start(status: int, *headers: tuple[bytes, bytes]) -> None:
        await send({"type": "http.response.start", "status": status, "headers": headers})

    match scope["path"]:
        case "/whole":
            read = (await receive())["body"]
            await start(200, *HEADERS, (b"content-length", b"%d" % (5 + len(read))))
            await send({"type": "http.response.body", "body": b"whole" + read})
        case "/named":
            names = b",".join(name for name, _ in scope["headers"])
            while (await receive()).get("more_body"):
                pass
            names += b"; " + b",".join(name for name, _ in scope["headers"])
            await start(200, (b"content-length", b"%d" % len(names)))
            await send({"type": "http.response.body", "body": names})
        case "/nothing":
            await start(204)
            await send({"type": "http.response.body", "body": b""})
        case "/unread":
            await start(200, *HEADERS, (b"content-length", b"2"))
            await send({"type": "http.response.body", "body": b"no"})
            await receive()
        case "/slow":
            await asyncio.sleep(0.05)
            await start(200, (b"content-length", b"4"))
            await send({"type": "http.response.body", "body": b"slow"})
        case "/late":
            await asyncio.sleep(0.5)
            await start(200, (b"content-length", b"4"))
            await send({"type": "http.response.body", "body": b"late"})
        case "/pieces":
            await start(200)
            await send({"type": "http.response.body", "body": b"one", "more_body": True})
            await asyncio.sleep(0)
            await send({"type": "http.response.body", "body": b"two"})
        case _:
            await start(200, (b"content-length", b"5"))


@pytest.fixture(autouse=True)
def no_headers() -> Iterator[None]:
    yield
    HEADERS.clear()


async def talk(request: bytes, *more: bytes) -> tuple[bytes, list[bytes]]:
    """What comes back until the server closes, and the pieces that it was written in; `more` is sent a moment later."""
    Wire.written.clear()
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, http=Wire, lifespan="off", log_level="critical", server_header=False)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve([listener]))
    try:
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        writer.write(request)
        for piece in more:
            await asyncio.sleep(0.05)
            writer.write(piece)
        answer = await asyncio.wait_for(reader.read(), SECONDS_MAX)
        writer.close()
    finally:
        server.should_exit = True
        await serving
    return answer, Wire.written.copy()


def get(path: str, *, method: str = "GET", headers: bytes = CLOSE, body: bytes = b"") -> bytes:
    return b"%b %b HTTP/1.1\r\nhost: here\r\n%b\r\n%b" % (method.encode(), path.encode(), headers, body)


def test_head_and_body_go_out_as_one() -> None:
    answer, written = asyncio.run(talk(get("/whole", headers=b"") + get("/nothing")))
    assert written[0].endswith(b"\r\n\r\nwhole")
    assert written[0].startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer == b"".join(written)


@pytest.mark.parametrize(
    "header",
    [(b"x-name", b"a\r\nset-cookie: b"), (b"x-name\r\nset-cookie", b"b"), (b"x-name", b"a\nset-cookie: b"),
     (b"x-name", b"a\rset-cookie: b"), (b"set-cookie", b"\0"), (b"content-length", b"9")],
)  # fmt: skip
def test_a_header_with_a_line_of_its_own_never_goes_out(header: tuple[bytes, bytes]) -> None:
    HEADERS[:] = [header]
    answer, _ = asyncio.run(talk(get("/whole", headers=b"")))
    assert b"set-cookie" not in answer


def test_what_is_said_of_the_connection_is_kept() -> None:
    HEADERS[:] = [(b"Connection", b"close")]
    answer, _ = asyncio.run(talk(get("/whole", headers=b"")))
    assert answer.endswith(b"\r\n\r\nwhole")  # and the server has closed


@pytest.mark.parametrize(("path", "method"), [("/nothing", "GET"), ("/whole", "HEAD"), ("/nothing", "HEAD")])
def test_an_answer_without_a_body_is_sent_all_the_same(path: str, method: str) -> None:
    answer, _ = asyncio.run(talk(get(path, method=method)))
    assert answer.startswith(b"HTTP/1.1 20")
    assert answer.endswith(b"\r\n\r\n")


def test_the_pieces_of_a_stream_go_out_as_they_come() -> None:
    answer, written = asyncio.run(talk(get("/pieces")))
    assert written[1:3] == [b"3\r\none\r\n", b"3\r\ntwo\r\n0\r\n\r\n"]
    assert b"".join(written) == answer


def test_who_asks_whether_to_go_on_is_told_so_before_the_answer() -> None:
    headers = CLOSE + b"expect: 100-continue\r\ncontent-length: 3\r\n"
    answer, written = asyncio.run(talk(get("/whole", method="POST", headers=headers, body=b" 42")))
    assert written[0] == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert answer.endswith(b"\r\n\r\nwhole 42")


def test_nobody_is_told_to_go_on_after_the_answer() -> None:
    headers = CLOSE + b"expect: 100-continue\r\ncontent-length: 3\r\n"
    answer, _ = asyncio.run(talk(get("/unread", method="POST", headers=headers.removeprefix(CLOSE), body=b"")))
    assert b"100 Continue" not in answer


def test_nonsense_behind_requests_that_wait_is_not_answered_in_their_place() -> None:
    answer, _ = asyncio.run(talk(get("/slow", headers=b"") + get("/whole", headers=b"") + b"\x00nonsense\r\n\r\n"))
    assert b"HTTP/1.1 400" not in answer


def test_requests_sent_in_one_go_are_answered_in_their_order() -> None:
    answer, written = asyncio.run(talk(get("/whole", headers=b"") + get("/pieces", headers=b"") + get("/whole")))
    assert answer.count(b"HTTP/1.1 200 OK") == 3
    assert answer.index(b"whole") < answer.index(b"one") < answer.rindex(b"whole")
    assert answer == b"".join(written)


@pytest.mark.parametrize("said", [b"", b"GET /whole HTTP/1.1\r\nhost:"])
def test_a_head_that_does_not_come_is_waited_for_no_longer(said: bytes) -> None:
    answer, _ = asyncio.run(talk(said))
    assert (b" 400 " in answer and b"did not come within 0.2 seconds" in answer) or (answer, said) == (b"", b"")


def test_the_next_head_is_waited_for_as_long_and_the_answer_before_it_comes() -> None:
    answer, _ = asyncio.run(talk(get("/late", headers=b""), b"GET /whole HT"))
    assert answer.index(b"late") < answer.index(b"HTTP/1.1 400") < answer.index(b"did not come within 0.2 seconds")


@pytest.mark.parametrize("headers", [b"content-length: 3\r\n", b"transfer-encoding: chunked\r\n"])
def test_a_request_that_is_whole_may_be_answered_late(headers: bytes) -> None:
    body = b" 42" if b"length" in headers else b"3\r\n 42\r\n0\r\n\r\n"
    answer, _ = asyncio.run(talk(get("/late", method="POST", headers=CLOSE + headers, body=body)))
    assert answer.endswith(b"\r\n\r\nlate")


@pytest.mark.parametrize(
    "framed", [(b"content-length: 9\r\n", b" 42"), (b"transfer-encoding: chunked\r\n", b"9\r\n 4")]
)
@pytest.mark.parametrize(("path", "status"), [("/named", 400), ("/whole", 200)])
def test_a_body_that_does_not_come_is_waited_for_no_longer_whatever_is_done_with_it(
    path: str,
    status: int,
    framed: tuple[bytes, bytes],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Wire, "body_bytes_a_second", 0.01)  # three would be worth minutes
    headers, body = framed
    answer, _ = asyncio.run(talk(get(path, method="POST", headers=headers, body=body)))
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert (b"The body did not arrive within 0.2 s" in answer) is (status == 400)
    assert answer.count(b"HTTP/1.1") == 1
    assert caplog.records == []


def test_a_body_that_comes_slowly_and_steadily_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Wire, "body_seconds_max", 0.5)
    monkeypatch.setattr(Wire, "body_bytes_a_second", 1)
    begun = get("/named", method="POST", headers=CLOSE + b"content-length: 14\r\n")
    answer, _ = asyncio.run(talk(begun, *[b"x"] * 14))
    assert answer.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("headers", [b"", b"expect: 100-continue\r\n"])
def test_a_body_is_not_late_while_nobody_reads_it(headers: bytes) -> None:
    body = b"" if headers else b"x" * 80_000
    answer, _ = asyncio.run(
        talk(get("/late", method="POST", headers=headers + b"content-length: 90000\r\n", body=body))
    )
    assert answer.endswith(b"\r\n\r\nlate")


def test_what_comes_behind_a_body_is_no_header() -> None:
    headers = CLOSE + b"transfer-encoding: chunked\r\n"
    trailer = b"x-api-key: zz\r\nx-forwarded-for: 198.51.100.7\r\n\r\n"
    chunked = get("/named", method="POST", headers=headers, body=b"3\r\n 42\r\n0\r\n" + trailer)
    head, rest = chunked.split(b" 42")
    for sent in ((chunked,), (head, b" 42" + rest)):
        answer, _ = asyncio.run(talk(*sent))
        assert answer.partition(b"\r\n\r\n")[2].split(b"; ") == [b"host,connection,transfer-encoding"] * 2


@pytest.mark.parametrize("head", [
    b"POST /whole HTTP/1.1\r\nhost: here\r\nconnection: upgrade\r\nupgrade: websocket\r\ncontent-length: 20\r\n\r\n",
    b"CONNECT here:80 HTTP/1.1\r\nhost: here:80\r\ntransfer-encoding: chunked\r\n\r\n",
])  # fmt: skip
def test_who_asks_for_another_connection_with_a_body_is_refused_and_the_body_is_no_request(
    head: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    for packets in ((head + get("/named"),), (head, get("/named"))):
        answer, _ = asyncio.run(talk(*packets))
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b"cannot have a body here" in answer
        assert answer.count(b"HTTP/1.1") == 1
    assert [record for record in caplog.records if record.name == "asyncio"] == []


@pytest.mark.parametrize("hosts", [b"", b"host: here\r\nhost: there\r\n"])
def test_a_request_has_one_host(hosts: bytes, caplog: pytest.LogCaptureFixture) -> None:
    answer, _ = asyncio.run(talk(b"POST /whole HTTP/1.1\r\n%bcontent-length: 3\r\n\r\n 42" % hosts, get("/whole")))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"needs one Host header" in answer
    assert (answer.count(b"HTTP/1.1 400 "), answer.count(b"HTTP/1.1 200 ")) == (1, 0)
    assert caplog.records == []
    answer, _ = asyncio.run(talk(b"GET /whole HTTP/1.0\r\n\r\n"))
    assert answer.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(("crowd", "answers"), [(0, 1), (1, 2)])
def test_in_a_crowd_a_connection_on_which_nothing_comes_is_not_kept_for_long(
    monkeypatch: pytest.MonkeyPatch, crowd: int, answers: int
) -> None:
    monkeypatch.setattr(protocol, "IDLE_SECONDS_IN_A_CROWD", 0.01)
    monkeypatch.setattr(Wire, "crowd", crowd)
    answer, _ = asyncio.run(talk(get("/whole", headers=b""), get("/whole")))
    assert answer.count(b"HTTP/1.1 200 ") == answers


@pytest.mark.parametrize("behind", [b"\0garbage\r\n\r\n", b"GET /whole HTTP/1.1\r\n\r\n", get("/whole")])
def test_nothing_behind_a_refused_head_is_read(behind: bytes, caplog: pytest.LogCaptureFixture) -> None:
    answer, written = asyncio.run(talk(b"GET /whole HTTP/1.1\r\n\r\n" + behind))
    assert (answer.count(b"HTTP/1.1 400 "), answer.count(b"HTTP/1.1 200 "), len(written)) == (1, 0, 1)
    assert caplog.records == []


def test_many_requests_that_ask_for_http_2_at_once_are_all_answered() -> None:
    upgrade = b"connection: upgrade\r\nupgrade: h2c\r\n"
    with_body = get("/whole", method="POST", headers=upgrade + b"content-length: 3\r\n", body=b" 42")
    answer, _ = asyncio.run(talk((with_body + get("/whole", headers=upgrade)) * 1_200 + get("/whole")))
    assert answer.count(b"HTTP/1.1 200 ") == 2_401


@pytest.mark.parametrize("framed", [(b"content-length: 3\r\n", b" 42"),
                                    (b"transfer-encoding: chunked\r\n", b"3\r\n 42\r\n0\r\n\r\n")])  # fmt: skip
def test_a_body_comes_through_though_its_head_asks_for_http_2(framed: tuple[bytes, bytes]) -> None:
    """Java's HttpClient sends it so, and `curl --http2`; what comes behind it is the next request."""
    headers, body = framed
    headers += b"connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAEAAEAA\r\n"
    one, other = get("/whole", method="POST", headers=headers, body=body), get("/named")
    for packets in ((one + one + other,), (one[:60], one[60 : -len(body)], body + one, other)):
        answer, _ = asyncio.run(talk(*packets))
        assert answer.count(b"whole 42") == 2, packets
        assert answer.count(b"HTTP/1.1 200 ") == 3
        assert answer.endswith(b"host,connection; host,connection")
    one = get("/named", method="POST", headers=headers, body=body)
    answer, _ = asyncio.run(talk(one + other))
    assert b"upgrade" not in answer


def test_who_asks_for_another_protocol_with_a_length_of_0_is_answered_in_this_one() -> None:
    upgrade = b"connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAEAAEAA\r\n"
    one = get("/named", headers=b"content-length: 0\r\n" + upgrade)
    answer, _ = asyncio.run(talk(one, get("/whole")))
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"\r\n\r\nwhole")


def test_who_leaves_is_gone_for_the_answer_under_way_though_another_request_waits_behind_it() -> None:
    gone = asyncio.Event()

    async def until_left(scope: Scope, receive: Receive, send: Send) -> None:
        del scope
        telling = asyncio.create_task(tell(send))
        while (await receive())["type"] != "http.disconnect":
            pass
        telling.cancel()
        gone.set()

    async def tell(send: Send) -> None:
        await send({"type": "http.response.start", "status": 200})
        while True:
            await send({"type": "http.response.body", "body": b"piece", "more_body": True})
            await asyncio.sleep(0.01)

    async def leave() -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(until_left, http=Wire, lifespan="off", log_level="critical"))
        serving = asyncio.create_task(server.serve([listener]))
        _, writer = await asyncio.open_connection(*listener.getsockname())
        writer.write(get("/", headers=b"") + get("/whole"))
        await asyncio.sleep(0.1)
        writer.transport.abort()
        await asyncio.wait_for(gone.wait(), SECONDS_MAX)
        server.should_exit = True
        await serving

    asyncio.run(leave())


def test_an_answer_that_never_gets_its_body_is_a_failure() -> None:
    answer, _ = asyncio.run(talk(get("/broken", headers=b"")))
    assert answer.startswith(b"HTTP/1.1 500 ")
