"""Many streams, large streams and slow readers: the process stays quick and small."""

import asyncio
import subprocess
import sys

import psutil
import pytest

from tests.api.listening import Listening
from tests.api.shop import Shop
from tests.api.test_streams import asks
from tests.services.load import Request
from tests.services.process import allow_open_files, wait_until
from tests.services.upstream import Behaviour, FakeUpstream

MIB = 1 << 20
HEALTH_SECONDS_MAX = 0.1


# In a process of its own: the one that reads 30 streams would measure itself.
WATCH = """
import http.client, sys, time
seconds = []
end = time.monotonic() + float(sys.argv[2])
while time.monotonic() < end:
    start = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=30)
    connection.request("GET", "/health")
    assert connection.getresponse().read()
    seconds.append(time.perf_counter() - start)
    time.sleep(0.005)
print(*seconds)
"""


@pytest.mark.alone
def test_health_answers_while_30_streams_are_cut_after_5_mib(shop: Shop, upstream: FakeUpstream) -> None:
    # So much longer than where they are cut that no buffer on the way has room for the rest.
    upstream.program(Behaviour(stream_text_bytes=32 * MIB, chunk_bytes=16_384))
    keys = shop.new_keys("open", 30)

    async def cut(request: Request) -> int:
        listening = await Listening(request).open()
        await listening.read_head()
        while len(listening.body) < 5 * MIB and not listening.is_over:
            await listening.read_some()
        listening.leave()
        await listening.close()
        return len(listening.body)

    with shop.served_in_earnest(workers=1) as served:
        command = [sys.executable, "-c", WATCH, str(served.port), "4"]
        watch = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

        async def scene() -> list[int]:
            await asyncio.sleep(0.3)
            return await asyncio.gather(*(cut(asks(served, "/v1/chat/completions", key)) for key in keys))

        sizes = asyncio.run(scene())
        wait_until(lambda: shop.held() == 0, "all calls to be recorded")
        seconds = sorted(map(float, watch.communicate(timeout=60)[0].split()))
    assert min(sizes) >= 5 * MIB
    late = seconds[int(len(seconds) * 0.99)]
    print(f"/health: {len(seconds)} times, p99 {late * 1000:.0f} ms, longest {seconds[-1] * 1000:.0f} ms")
    assert len(seconds) > 20
    assert late < HEALTH_SECONDS_MAX
    # The provider was asked for 400 tokens and sent more: no row is above its hold.
    assert shop.records("state, marks, output_tokens", *keys) == [("posted", "cut estimated", 400)] * 30


def test_1000_open_streams_are_under_400_mb(shop: Shop, upstream: FakeUpstream) -> None:
    allow_open_files()
    upstream.program(Behaviour(tokens=2_000, chunk_seconds=1))
    keys = shop.new_keys("open", 1000)
    with shop.served_in_earnest(workers=1) as served:

        async def scene() -> float:
            gate = asyncio.Semaphore(100)

            async def opened(key: str) -> Listening:
                async with gate:
                    listening = await Listening(asks(served, "/v1/chat/completions", key)).open()
                    await listening.read_head()
                    await listening.read_events(1)
                    return listening

            streams = await asyncio.gather(*(opened(key) for key in keys))
            mb = psutil.Process(served.pid).memory_info().rss / 1e6
            for stream in streams:
                stream.leave()
                await stream.close()
            return mb

        mb = asyncio.run(scene())
        wait_until(lambda: shop.held() == 0, "all calls to be recorded", timeout_seconds=60)
        print(f"resident with 1,000 open streams: {mb:.0f} MB")
    assert mb < 400
    assert shop.records("state, calls", *keys) == [("posted", 1)] * 1000


@pytest.mark.parametrize("path", ["/v1/generate", "/v1/chat/completions"])
def test_a_reader_that_does_not_read_holds_the_provider_back(shop: Shop, upstream: FakeUpstream, path: str) -> None:
    upstream.program(Behaviour(stream_text_bytes=100 * MIB, chunk_bytes=16_384))
    key = shop.new_key("open")
    with shop.served_in_earnest(workers=1) as served:

        async def scene() -> tuple[float, int]:
            listening = await Listening(asks(served, path, key)).open(receive_bytes=65_536)
            await listening.read_head()
            before = psutil.Process(served.pid).memory_info().rss
            await asyncio.sleep(1.5)
            grown = psutil.Process(served.pid).memory_info().rss - before
            [call] = upstream.calls()
            listening.leave()
            await listening.close()
            return grown / MIB, call.bytes_sent

        grown_mib, sent_bytes = asyncio.run(scene())
        wait_until(lambda: shop.held() == 0, "the call to be recorded")
    assert sent_bytes < 30 * MIB
    assert grown_mib < 20
