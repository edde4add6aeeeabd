"""Two thousand malformed requests: a documented status and the problem body for each, and the server as it was."""

import asyncio
import json
import random
import re
from collections import Counter
from typing import Final

import psutil

from tests.api.malformed import Malformed, malformed
from tests.api.shop import Shop, ask, send
from tests.services.served import Served
from tests.services.upstream import FakeUpstream

REQUESTS: Final = 2_000
AT_ONCE: Final = 16
ANSWER_SECONDS_MAX: Final = 30
GROWTH_BYTES_MAX: Final = 50 * 2**20
WARM_UP: Final = 200


async def exchange(port: int, wrong: Malformed) -> bytes:
    """The bytes that come back; empty where the connection is closed without an answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            writer.write(wrong.data)
            if wrong.ends_early:
                writer.write_eof()
                return await reader.read()
            return await read_answer(reader, is_head=wrong.is_head)
    finally:
        writer.transport.abort()


async def read_answer(reader: asyncio.StreamReader, *, is_head: bool) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    found = re.search(rb"content-length: (\d+)", head.lower())
    length = int(found[1]) if found and not is_head else 0
    return head + await reader.readexactly(length)


def fault_of(wrong: Malformed, answer: bytes) -> str | None:
    """Why this answer is not one of the contract, or None."""
    if not answer and wrong.ends_early:
        return None
    head, _, body = answer.partition(b"\r\n\r\n")
    status = int(head.split(b" ")[1])
    if status not in wrong.statuses:
        return f"{status}, not {sorted(wrong.statuses)}"
    names = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    if names.get(b"content-type") != b"application/problem+json" or not names.get(b"x-request-id"):
        return f"no problem: {names}"
    if wrong.is_head:
        return None
    problem = json.loads(body)
    if problem["status"] != status or problem["instance"] != names[b"x-request-id"].decode():
        return f"another problem: {body!r}"
    sound = problem["error"]["message"] == problem["detail"] and "Traceback" not in problem["detail"]
    return None if sound else f"an unsound problem: {body!r}"


async def send_all(port: int, requests: list[Malformed]) -> list[str]:
    """The faults found, each with the request that found it."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(wrong: Malformed) -> str | None:
        async with slots:
            try:
                fault = fault_of(wrong, await exchange(port, wrong))
            except (OSError, EOFError, ValueError, KeyError, TimeoutError) as error:
                fault = f"no whole answer: {error!r}"
        return fault and f"{wrong.kind}: {fault}\n    {wrong.data[:300]!r}"

    found = await asyncio.gather(*map(one, requests))
    return [fault for fault in found if fault]


def resident_bytes(served: Served) -> list[int]:
    return [psutil.Process(pid).memory_info().rss for pid in served.worker_pids()]


def test_two_thousand_malformed_requests_get_a_problem_each_and_leave_the_server_as_it_was(
    shop: Shop, served: Served, upstream: FakeUpstream, seed: int
) -> None:
    dice = random.Random(seed)
    key = shop.new_key("open")
    requests = [malformed(dice, key) for _ in range(REQUESTS)]
    print(dict(Counter(wrong.kind for wrong in requests)))
    faults = asyncio.run(send_all(served.port, requests[:WARM_UP]))
    before = resident_bytes(served)
    faults += asyncio.run(send_all(served.port, requests[WARM_UP:]))
    growth = [after - then for then, after in zip(before, resident_bytes(served), strict=True)]
    print(f"grown by {[round(grown / 2**20, 1) for grown in growth]} MiB")
    assert faults == [], f"{len(faults)} faults:\n" + "\n".join(faults[:20])
    assert upstream.count() == 0
    assert shop.records("call_id", key) == []
    assert max(growth) < GROWTH_BYTES_MAX
    assert send(ask(served, key)).status == 200
    assert "Traceback" not in served.output()
