"""What a founder can listen to: exactly the call that crosses a mark tells of it, and no listener can harm a call."""

import asyncio
import logging

import pytest

from farebox.call.events import Events
from farebox.domain.admission import Standing
from farebox.domain.events import Event, LimitNear, LimitReached, PaymentFailed, SignedUp, crossed
from farebox.domain.ledger import Hold, Meter, Outcome, State
from farebox.domain.plan import Plan
from farebox.testing import call

HOLD = call()._wire.admitted.hold._replace(account_id="acct_1", mode="live", plan="pro")


def outcome(calls: int = 1, tokens: int = 0, charge: int = 0) -> Outcome:
    return Outcome(State.POSTED, calls, tokens, 0, 0, 0, charge, 0, "", "[]", "", 0)


def after(plan: Plan, calls: int = 0, tokens: int = 0, nanodollars: int = 0) -> Standing:
    return Standing(plan, Meter("acct_1", "live", 0, 1, calls, 0, tokens, 0, nanodollars), 0)


def told(hold: Hold, what: Outcome, standing: Standing) -> list[tuple[str, str, int, int]]:
    found = crossed(hold, what, standing)
    return [(type(e).__name__, e.limit, e.used, e.most) for e in found if isinstance(e, LimitNear | LimitReached)]


@pytest.mark.parametrize(
    ("used", "by_this", "names"),
    [
        (7, 1, []), (8, 1, ["LimitNear"]), (9, 1, []), (10, 1, ["LimitReached"]), (11, 1, []), (9, 9, ["LimitNear"]),
        (10, 10, ["LimitReached"]), (12, 5, ["LimitReached"]), (12, 2, []), (10, 0, []), (8, 0, []),
    ],
)  # fmt: skip
def test_the_call_that_crosses_a_mark_tells_of_it(used: int, by_this: int, names: list[str]) -> None:
    found = told(HOLD, outcome(by_this), after(Plan("pro", calls=10), used))
    assert found == [(name, "calls", used, 10) for name in names]


def test_each_limit_is_told_of() -> None:
    plan = Plan("pro", calls=10, tokens=100, credit_usd="0.000001")
    found = told(HOLD, outcome(1, 30, 900), after(plan, 10, 90, 900))
    assert found == [
        ("LimitReached", "calls", 10, 10), ("LimitNear", "tokens", 90, 100), ("LimitNear", "credit", 900, 1000)
    ]  # fmt: skip


def test_what_has_no_limit_or_no_bill_tells_of_nothing() -> None:
    full = after(Plan("pro", calls=10), 10)
    assert crossed(HOLD._replace(mode="test"), outcome(), full) == []
    assert crossed(HOLD._replace(period_start_us=7), outcome(), full) == []  # a call of the period before
    assert crossed(HOLD, outcome(), after(Plan("pro"), 10)) == []
    assert crossed(HOLD, outcome(), after(Plan("pro", calls=0, overage_usd=1), 10)) == []


def test_every_listener_is_told_beside_the_call_and_may_fail(caplog: pytest.LogCaptureFixture) -> None:
    heard: list[Event] = []

    async def later(event: Event) -> None:
        await asyncio.sleep(0)
        heard.append(event)

    def failing(event: Event) -> None:
        raise LookupError(event)

    async def scene() -> None:
        events = Events({"signed_up": [later, failing, heard.append], "limit_reached": [later]})
        events.emit(SignedUp("acct_1", "pro", "ada@example.com"))
        events.emit(PaymentFailed("acct_1", "pro"))
        events.recorded(HOLD, outcome(), after(Plan("pro", calls=10), 10))
        assert heard == []
        await events.drain(30)

    asyncio.run(scene())
    assert sorted(type(event).__name__ for event in heard) == ["LimitReached", "SignedUp", "SignedUp"]
    assert "failing failed" in caplog.text


@pytest.mark.parametrize(
    "leaving", [SystemExit("no CRM"), KeyboardInterrupt(), asyncio.CancelledError(), GeneratorExit(), StopIteration()]
)
@pytest.mark.parametrize("way", ["async", "sync"])
def test_a_listener_that_leaves_the_program_is_only_logged(
    leaving: BaseException, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    def at_once(_: Event) -> None:
        raise leaving

    async def later(event: Event) -> None:
        at_once(event)

    async def scene() -> int:
        Events({"signed_up": [later if way == "async" else at_once]}).emit(SignedUp("acct_1", "pro", "ada@example.com"))
        others = asyncio.all_tasks() - {asyncio.current_task()}
        _, late = await asyncio.wait(others, timeout=10)
        return len(late)

    assert asyncio.run(scene()) == 0  # and the loop goes on
    assert "failed" in caplog.text


def test_who_takes_too_long_is_not_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    async def slow(_: Event) -> None:
        await asyncio.sleep(60)

    async def scene() -> None:
        events = Events({"payment_failed": [slow]})
        events.emit(PaymentFailed("acct_1", "pro"))
        await events.drain(0.05)
        await events.drain(0.05)

    with caplog.at_level(logging.WARNING):
        asyncio.run(asyncio.wait_for(scene(), 30))
    assert "1 listeners did not end within 0.05 s" in caplog.text
