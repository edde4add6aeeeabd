"""How a connection ends: with the answer, and with no reset, which could take the answer away."""

import asyncio
import socket
from typing import Final

import pytest
import uvicorn

from farebox.web import protocol
from tests.contract.test_protocol import CLOSE, HEADERS, SECONDS_MAX, Wire, app, get, no_headers, talk

__all__ = ["no_headers"]

CHUNKED: Final = b"transfer-encoding: chunked\r\n\r\n2dc6c0\r\n%b\r\n"


@pytest.mark.parametrize("before", [b"", b"GET /nothing HTTP/1.1\r\nhost: here\r\n\r\n"])
def test_a_request_that_comes_as_the_process_ends_is_answered_and_is_the_last_of_its_connection(before: bytes) -> None:
    async def end() -> bytes:
        listener = socket.create_server(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, http=Wire, lifespan="off", log_level="critical"))
        serving = asyncio.create_task(server.serve([listener]))
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        writer.write(before)
        await asyncio.sleep(0.05)
        for connection in server.server_state.connections:
            connection.shutdown()  # as uvicorn does at its end; what is sent now had not been read by then
        writer.write(get("/whole", headers=b"") * 2)
        answer = await asyncio.wait_for(reader.read(), SECONDS_MAX)
        writer.close()
        server.should_exit = True
        await serving
        return answer

    answer = asyncio.run(end())
    assert (answer.count(b"HTTP/1.1 200 "), answer.count(CLOSE)) == (1, 1)
    assert answer.endswith(b"\r\n\r\nwhole")


@pytest.mark.parametrize("asked", [b"", CLOSE])
@pytest.mark.parametrize(
    "framed", [b"content-length: 3000000\r\n\r\n%b", CHUNKED + b"0\r\n\r\n", CHUNKED + b"nonsense\r\n"]
)
def test_the_last_answer_comes_through_though_its_request_was_not_read(asked: bytes, framed: bytes) -> None:
    HEADERS.append((b"connection", b"close"))
    request = b"POST /unread HTTP/1.1\r\nhost: here\r\n" + asked + framed % (b"x" * 3_000_000)
    answer, written = asyncio.run(talk(request + get("/whole")))
    assert answer.endswith(b"\r\n\r\nno")
    assert b"".join(written) == answer  # and nothing was answered behind it


def test_nothing_is_waited_for_without_end_after_a_body_that_came_later_than_its_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(protocol, "IDLE_SECONDS_IN_A_CROWD", 0.2)
    monkeypatch.setattr(Wire, "crowd", 0)
    answer, _ = asyncio.run(talk(get("/unread", method="POST", headers=b"content-length: 3\r\n"), b"ab", b"c"))
    assert answer.endswith(b"\r\n\r\nno")


def test_a_body_without_an_end_keeps_no_connection_that_had_its_last_answer() -> None:
    async def send_on() -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, http=Wire, lifespan="off", log_level="critical"))
        serving = asyncio.create_task(server.serve([listener]))
        _, writer = await asyncio.open_connection(*listener.getsockname())
        writer.write(b"POST /unread HTTP/1.1\r\nhost: here\r\n" + CLOSE + b"transfer-encoding: chunked\r\n\r\n")

        async def send() -> None:
            while True:
                writer.write(b"2710\r\n" + b"x" * 10_000 + b"\r\n")
                await writer.drain()
                await asyncio.sleep(0.01)

        with pytest.raises(ConnectionError):
            await asyncio.wait_for(send(), SECONDS_MAX)
        server.should_exit = True
        await serving

    asyncio.run(send_on())
