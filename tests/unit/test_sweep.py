"""A sweep that finds more than it can forget at once: it lets calls between, and holds have their turn again."""

import asyncio
import time
from typing import Any

import pytest

from farebox.call.settle import settle
from farebox.store.ledger import sweep


def test_forgetting_rests_between_two_steps_and_ends_though_there_is_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "FORGET_SECONDS_MAX", 0.1)
    busy_seconds = 0.0

    def put(*_: Any) -> "asyncio.Future[Any]":  # noqa: ANN401
        nonlocal busy_seconds
        began = time.monotonic()
        time.sleep(0.01)
        busy_seconds += time.monotonic() - began
        done = asyncio.get_running_loop().create_future()
        done.set_result(True)
        return done

    began = time.monotonic()
    assert asyncio.run(sweep.forget_answers(put)) is True
    assert time.monotonic() - began >= 1.9 * busy_seconds


def test_a_sweep_that_could_not_forget_all_is_followed_by_the_next_at_once() -> None:
    done: list[str] = []

    class Ledger:
        async def expire(self) -> int:
            done.append("expire")
            return 0

        async def forget(self) -> bool:
            done.append("forget")
            return len(done) < 6

    async def call() -> None:
        ledger: Any = Ledger()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(settle(ledger, 3600), 0.05)

    asyncio.run(call())
    assert done == ["expire", "forget"] * 3
