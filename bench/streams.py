"""What a stream costs beside a bare byte relay of the same client and server, in turns A B C A B C, in one run.

    python bench/streams.py [--chunks 500] [--connections 48] [--seconds 5] [--rounds 3]

Both servers run on processor 0; the provider, which sends a chunk each 8 ms, and the load run on processor 1. Prints
the processor time of a stream. Farebox does all it always does: hold, record, daily sums, a look at each event. Its
/v1/chat/completions passes the events on as they come; its /v1/generate writes them anew.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import psutil

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from compare import cpu_seconds, family, make_key, start  # noqa: E402  # after the path is set

from tests.services.process import free_port  # noqa: E402
from tests.services.upstream import Behaviour, FakeUpstream  # noqa: E402

CHAT, GENERATE = "/v1/chat/completions", "/v1/generate"
BODIES = {
    CHAT: {"model": "gpt-4o-mini", "stream": True, "messages": [{"role": "user", "content": "Tell me a story"}]},
    GENERATE: {"prompt": "Tell me a story", "stream": True},
}
ENDS = {CHAT: b"data: [DONE]", GENERATE: b"event: done"}


class Served(NamedTuple):
    """What is measured."""

    process: psutil.Process
    port: int
    path: str = CHAT


async def listen(served: Served, key: str, until: float) -> int:
    """How many whole streams one connection reads until then."""
    path, body = served.path, json.dumps(BODIES[served.path]).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nX-API-Key: {key}\r\nContent-Length: {len(body)}\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    streams = 0
    while time.perf_counter() < until:
        writer.write(head.encode() + b"Content-Type: application/json\r\n\r\n" + body)
        seen = b""
        while not seen.endswith(b"0\r\n\r\n"):
            piece = await reader.read(65_536)
            assert piece, "the stream broke off"
            seen = (seen + piece)[-400:]
        assert ENDS[path] in seen, seen
        streams += 1
    writer.close()
    return streams


async def load(served: Served, key: str, connections: int, seconds: float) -> int:
    until = time.perf_counter() + seconds
    return sum(await asyncio.gather(*(listen(served, key, until) for _ in range(connections))))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--chunks", type=int, default=500)
    options.add_argument("--connections", type=int, default=48)
    options.add_argument("--pause", type=float, default=0.008, help="seconds between two chunks of a stream")
    options.add_argument("--seconds", type=float, default=5)
    options.add_argument("--rounds", type=int, default=3)
    chosen = options.parse_args()
    product, bare = free_port(), free_port()
    started: list[psutil.Process] = []
    if hasattr(psutil.Process, "cpu_affinity"):  # the load and, as its child, the provider
        psutil.Process().cpu_affinity([1 % (psutil.cpu_count() or 1)])
    with FakeUpstream() as provider, tempfile.TemporaryDirectory(prefix="farebox-bench-", dir=Path.cwd()) as name:
        provider.program(Behaviour(tokens=chosen.chunks, chunk_seconds=chosen.pause))
        env = {name: value for name, value in os.environ.items() if not name.startswith("FAREBOX_")}
        env |= {"OPENAI_API_KEY": "sk-bench", "OPENAI_BASE_URL": provider.base_url}
        folder = Path(name)
        key = make_key(folder, env)
        try:
            uvicorn = ["-m", "uvicorn", "--app-dir", str(HERE), "bare_relay:app", "--log-level", "warning"]
            as_farebox = ["--no-access-log", "--no-server-header", "--no-proxy-headers"]
            started.append(start([*uvicorn, *as_farebox, "--port", str(bare)], bare, 0, env, folder))
            serve = ["-m", "farebox", "serve", "--port", str(product)]
            started.append(start(serve, product, 0, env, folder))
            time.sleep(2)
            relay, farebox = Served(started[0], bare), Served(started[1], product)
            measure(chosen, {"bare": relay, "farebox": farebox, "generate": farebox._replace(path=GENERATE)}, key)
        finally:
            for process in reversed(started):
                for member in family(process):
                    member.kill()


def measure(chosen: argparse.Namespace, servers: dict[str, Served], key: str) -> None:
    cpu_ms: dict[str, list[float]] = {name: [] for name in servers}
    for served in servers.values():  # what a first stream loads is not its own
        asyncio.run(load(served, key, 1, 0.1))
        cpu_seconds(served.process)
    for _ in range(chosen.rounds):
        for name, served in servers.items():
            before = cpu_seconds(served.process)
            streams = asyncio.run(load(served, key, chosen.connections, chosen.seconds))
            cpu_ms[name].append(1000 * (cpu_seconds(served.process) - before) / streams)
    for name, seen in cpu_ms.items():
        per_stream = statistics.median(seen)
        print(f"{name:8} {per_stream:7.2f} ms a stream of {chosen.chunks} chunks, "
              f"{1000 * per_stream / chosen.chunks:5.1f} us a chunk")  # fmt: skip
    for name in ("farebox", "generate"):
        ratio = statistics.median(a / b for a, b in zip(cpu_ms[name], cpu_ms["bare"], strict=True))
        print(f"{name}/bare {ratio:.3f}")


if __name__ == "__main__":
    main()
