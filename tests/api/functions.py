"""A product whose functions do all that a founder's may do, and what the tests of it share."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tests.api.shop import Shop, send
from tests.services.load import Reply, Request
from tests.services.served import Served
from tests.services.upstream import FakeUpstream

APP: Final = '''
import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Literal

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel

from farebox import Call, Farebox, File, Plan

app = Farebox(
    "Till",
    model="openai:gpt-4o-mini",
    prices={"gpt-4o-mini": (0.15, 0.60), "gpt-4o": (2.5, 10)},
    plans=[
        Plan("open"),
        Plan("one", calls=1),
        Plan("ten", calls=10),
        Plan("over", calls=5, overage_usd=0.01),
        Plan("credit", credit_usd=1, markup=0.2),
    ],
)
router = APIRouter()


class Pair(BaseModel):
    first: str
    second: str


@router.get("/hello")
async def hello() -> dict[str, str]:
    return {"hello": "you"}


app.include_router(router)


@app.paid
async def tagline(call: Call, product: str, tone: Literal["warm", "bold"] = "warm") -> str:
    """Write a tagline."""
    return await call.ask(f"Write a {tone} tagline for {product}.")


@app.paid(max_output_tokens=800)
async def pair(call: Call, topic: str) -> Pair:
    """Write two."""
    first, second = await asyncio.gather(call.ask(f"First {topic}"), call.ask(f"Second {topic}"))
    return Pair(first=first, second=second)


@app.paid(units=lambda request: len(request.words))
async def counted(call: Call, words: list[str]) -> int:
    """Count words, without a model."""
    return len(words)


@app.paid(units=lambda request: "many")
async def miscounted(call: Call) -> int:
    """Count wrongly."""
    return 0


@app.paid
async def refusing(call: Call, status: int) -> str:
    """Refuse."""
    await call.ask("x")
    raise HTTPException(status, "No such order.")


@app.paid
async def broken(call: Call) -> str:
    """Break."""
    await call.ask("x")
    raise KeyError("a secret")


@app.paid
async def exiting(call: Call) -> str:
    """Leave the program, as argparse does."""
    await call.ask("x")
    raise SystemExit(3)


@app.paid
async def threaded(call: Call) -> str:
    """Ask from a thread, in an event loop of its own."""
    await call.ask("x")
    return await asyncio.to_thread(lambda: asyncio.run(call.ask("y")))


@app.paid
async def exiting_midway(call: Call) -> AsyncIterator[str]:
    """The same, in a stream."""
    yield "once"
    sys.exit(3)


@app.paid
async def wrong(call: Call) -> Pair:
    """Answer with what was not promised."""
    return {"first": await call.ask("x")}


@app.paid(max_input_tokens=500)
async def greedy(call: Call, size: int) -> str:
    """Ask too much."""
    return await call.ask("x" * size)


@app.paid
async def slow(call: Call) -> str:
    """Take too long."""
    await asyncio.sleep(60)
    return ""


@app.paid
async def sized(call: Call, document: File, title: str = "") -> dict[str, str | int]:
    """Measure a document."""
    return {"bytes": len(document.content), "name": document.filename, "title": title, "said": await call.ask("x")}


@app.paid
async def client(call: Call) -> str:
    """Use the client."""
    messages = [{"role": "user", "content": "hi"}]
    answer = await call.openai.chat.completions.create(model="gpt-4o-mini", messages=messages)
    return answer.choices[0].message.content


@app.paid(model="openai:gpt-4o")
async def dear(call: Call) -> str:
    """Ask a dearer model."""
    return await call.ask("x")


@app.paid
async def story(call: Call, about: str, fails_after: int = -1) -> AsyncIterator[str]:
    """Write a story."""
    place = 0
    async for piece in call.stream(f"A story about {about}"):
        for start in range(0, len(piece), 4):  # a busy machine reads several at once
            if place == fails_after:
                raise HTTPException(409, "Enough.")
            place += 1
            yield piece[start : start + 4]


@app.paid
async def twice(call: Call) -> AsyncIterator[str]:
    """Write two stories."""
    for about in ("dogs", "cats"):
        async for piece in call.stream(about):
            yield piece


@app.paid
async def numbers(call: Call, count: int) -> AsyncIterator[Pair]:
    """Count."""
    for number in range(count):
        yield Pair(first=str(number), second="x")


@app.paid
async def countdown(call: Call, count: int, pause: float = 0) -> AsyncIterator[int]:
    """Count down."""
    for number in range(count, 0, -1):
        yield number
        await asyncio.sleep(pause)


@app.paid(max_input_tokens=340)
async def hasty(call: Call, times: int) -> str:
    """Ask, and not wait for the answer."""
    for _ in range(times):
        with suppress(TimeoutError):
            return await asyncio.wait_for(call.ask("x" * 200), 0.1)
    return "no answer"


@app.prompt
async def haiku(topic: str) -> str:
    """Write a haiku.

    Write a {{good}} haiku about {topic}.
    """


def note(line: str) -> None:
    with Path("events.txt").open("a") as file:
        file.write(f"{line}\\n")


@app.on("limit_near")
async def near(event) -> None:
    note(f"near {event.account} {event.limit} {event.used}/{event.most}")
    raise ValueError("a listener that fails")


@app.on("limit_reached")
def reached(event) -> None:
    note(f"reached {event.account} {event.limit} {event.used}/{event.most}")


@app.on("signed_up")
def welcome(event) -> None:
    note(f"welcome {event.email} {event.plan}")
'''


@contextmanager
def serving(folder: Path, upstream: FakeUpstream) -> Iterator[tuple[Shop, Served]]:
    """The product, served by one process."""
    shop = Shop(folder, f"sqlite:///{folder}/farebox.db", upstream, APP)
    with shop.served(workers=1, FAREBOX_UPLOAD_BYTES_MAX="2000000") as served:
        yield shop, served


def call(served: Served, key: str, name: str, body: object = b"", **headers: str) -> Reply:
    return send(Request(f"{served.url}/v1/{name}", body, {"x-api-key": key, **headers}))


def form(boundary: str, *parts: tuple[str, str, bytes]) -> dict[str, Any]:
    body = b""
    for name, filename, content in parts:
        told = f'name="{name}"' + (f'; filename="{filename}"' if filename else "")
        body += f"--{boundary}\r\nContent-Disposition: form-data; {told}\r\n\r\n".encode() + content + b"\r\n"
    return {"body": body + f"--{boundary}--\r\n".encode(), "content-type": f"multipart/form-data; boundary={boundary}"}
