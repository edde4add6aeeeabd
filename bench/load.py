"""Load for `compare.py`, as a process of its own: so many connections, each sending its next call when answered.

python bench/load.py PORT KEY CONNECTIONS SECONDS [PATH]     prints JSON: calls, seconds, p50_ms, p99_ms, bad
"""

import asyncio
import json
import sys
import time
from typing import cast

PROMPT = "Write a tagline for a dog-walking app"
BODIES = {
    "/v1/generate": {"prompt": PROMPT},
    "/v1/chat/completions": {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": PROMPT}]},
}


class Caller(asyncio.Protocol):
    """One connection. It reads no more of an answer than it must, to leave the processor to the server."""

    def __init__(self, request: bytes, seconds: list[float], until: float) -> None:
        self._request, self._seconds, self._until = request, seconds, until
        self._buffer = b""
        self.bad = 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._send()

    def _send(self) -> None:
        self._sent_at = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, gap, body = self._buffer.partition(b"\r\n\r\n")
        if not gap or len(body) < int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]):
            return
        self._buffer = b""
        self.bad += not head.startswith(b"HTTP/1.1 200")
        now = time.perf_counter()
        self._seconds.append(now - self._sent_at)
        if now < self._until:
            self._send()
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.bad += exc is not None
        if not self.done.done():
            self.done.set_result(None)


async def main(port: int, key: str, connections: int, seconds: float, path: str = "/v1/generate") -> None:
    body = json.dumps(BODIES[path]).encode()
    request = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nX-API-Key: {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body
    took: list[float] = []
    loop, started = asyncio.get_running_loop(), time.perf_counter()
    callers = [
        (await loop.create_connection(lambda: Caller(request, took, started + seconds), "127.0.0.1", port))[1]
        for _ in range(connections)
    ]
    await asyncio.gather(*(caller.done for caller in callers))
    lasted = time.perf_counter() - started
    took.sort()
    at = [1000 * took[int(len(took) * share)] for share in (0.5, 0.99)]
    bad = sum(caller.bad for caller in callers)
    sys.stdout.write(json.dumps({"calls": len(took), "seconds": lasted, "p50_ms": at[0], "p99_ms": at[1], "bad": bad}))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), *sys.argv[5:]))
