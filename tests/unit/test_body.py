"""A body is read whole, in time, or not at all."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from farebox.domain.errors import BadRequest, BodyTooLarge, InvalidApiKey
from farebox.web import request
from farebox.web.request import ClientGone, drop_body, read_body

Message = dict[str, Any]
Step = Message | float  # what comes, or the seconds until something does


def of(*steps: Step) -> Callable[[], Coroutine[Any, Any, Message]]:
    left = iter(steps)

    async def receive() -> Message:
        for step in left:
            if not isinstance(step, float):
                return step
            await asyncio.sleep(step)
        raise AssertionError("nothing else comes")

    return receive


def part(body: bytes, *, is_last: bool = False) -> Message:
    return {"type": "http.request", "body": body, "more_body": not is_last}


@pytest.mark.parametrize(
    "steps",
    [
        (part(b"abcd", is_last=True),),
        (0.0, part(b"abcd", is_last=True)),
        (0.0, 0.001, part(b"ab"), part(b"cd", is_last=True)),
        (part(b"ab"), 0.0, part(b"cd"), part(b"", is_last=True)),
    ],
)
def test_a_body_is_whole_however_it_comes(steps: tuple[Step, ...]) -> None:
    assert asyncio.run(read_body(of(*steps), 4)) == b"abcd"
    with pytest.raises(BodyTooLarge):
        asyncio.run(read_body(of(*steps), 3))


def test_a_body_without_end_is_read_to_a_bound_and_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request, "DRAIN_BYTES_MAX", 6)
    with pytest.raises(BodyTooLarge):
        asyncio.run(read_body(of(*[part(b"abcd")] * 2), 3))


def test_a_large_body_is_read_on_only_of_a_sender_who_is_not_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request, "UNCHECKED_BYTES_MAX", 3)
    asked = []

    async def check() -> None:
        asked.append(1)
        if len(asked) > 1:
            raise InvalidApiKey("made up")

    small, large = of(part(b"abc", is_last=True)), of(*[part(b"abcd")] * 2, part(b"e", is_last=True))
    assert (asyncio.run(read_body(small, 9, check)), asked) == (b"abc", [])
    assert (asyncio.run(read_body(large, 9, check)), asked) == (b"abcdabcde", [1])
    for refused in of(part(b"abcd"), part(b"", is_last=True)), of(part(b"abcd", is_last=True)):
        with pytest.raises(InvalidApiKey):
            asyncio.run(read_body(refused, 9, check))


@pytest.mark.parametrize(
    "more",
    [
        (part(b"ab"), 0.0, part(b"c", is_last=True)),
        (part(b"abcdef"),),  # all that is read of a body without end
        (part(b"ab"), 60.0),
    ],
)
def test_what_a_refused_sender_still_sends_is_read_to_a_bound_before_the_answer(
    more: tuple[Step, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def check() -> None:
        raise InvalidApiKey("made up")

    monkeypatch.setattr(request, "UNCHECKED_BYTES_MAX", 3)
    monkeypatch.setattr(request, "DRAIN_BYTES_MAX", 9)
    monkeypatch.setattr(request, "BODY_SECONDS_MAX", 0.01)
    receive = of(part(b"abcd"), *more)
    with pytest.raises(InvalidApiKey):
        asyncio.run(read_body(receive, 1_000, check))
    with pytest.raises(AssertionError, match="nothing else comes"):
        asyncio.run(receive())


def test_who_is_refused_by_the_head_is_read_from_but_not_told_to_go_on() -> None:
    whole, asks = of(part(b"ab"), part(b"", is_last=True)), of(60.0)
    asyncio.run(drop_body({"headers": []}, whole))
    with pytest.raises(AssertionError, match="nothing else comes"):
        asyncio.run(whole())
    asyncio.run(drop_body({"headers": [(b"expect", b"100-continue")]}, asks))


@pytest.mark.parametrize("steps", [(60.0,), (part(b"ab"), 60.0)])
def test_a_body_that_does_not_come_is_not_waited_for_even_where_nothing_of_it_came(
    steps: tuple[Step, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request, "BODY_SECONDS_MAX", 0.01)
    with pytest.raises(BadRequest, match=r"did not arrive within 0\.01 s"):
        asyncio.run(read_body(of(*steps), 4))


@pytest.mark.parametrize("steps", [(), (0.0,), (0.0, part(b"ab"), 0.0)])
def test_who_leaves_before_the_end_is_gone(steps: tuple[Step, ...]) -> None:
    with pytest.raises(ClientGone):
        asyncio.run(read_body(of(*steps, {"type": "http.disconnect"}), 4))


def test_who_is_cancelled_while_it_waits_is_cancelled() -> None:
    async def scene() -> None:
        task = asyncio.create_task(read_body(of(60.0), 4))
        await asyncio.sleep(0)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(scene())
