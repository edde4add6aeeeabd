"""One account that something is wrong with does not keep the others from being looked after."""

import asyncio
import threading
from typing import Any, Final

import pytest

from farebox.account import stripe_events
from farebox.account.check_usage import UsageCheck
from farebox.account.limit_mails import LimitWatch
from farebox.account.report_usage import UsageReport
from farebox.account.stripe_events import Clerk
from farebox.domain.errors import LedgerUnavailable
from farebox.domain.period import Period
from farebox.ports.money import PaymentsUnavailable

SECONDS_MAX: Final = 10  # no measure: only a test that hangs waits as long
ACCOUNTS = ("acct_1", "acct_2", "acct_3")
WRONG = RuntimeError("nobody thought of this")
AWAY = LedgerUnavailable("The database is away.")
LOCKED: Final = LedgerUnavailable("a row is locked")
LOCKED.is_row_locked = True


class Checks:
    """What was reported of three accounts; looking at the second one fails."""

    def __init__(self, error: Exception) -> None:
        self.errors = [error]
        self.turns = [True]
        self.looked_at: list[str] = []

    def take_turn(self, again_seconds: float) -> bool:
        del again_seconds
        return bool(self.turns) and self.turns.pop()

    def everybody(self) -> list[tuple[str, str]]:
        return [(each, f"cus of {each}") for each in ACCOUNTS]

    def doubtful(self) -> list[tuple[str, str]]:
        return []

    def spans(self, account_id: str) -> list[Period]:
        if account_id == "acct_2" and self.errors:
            raise self.errors.pop()
        self.looked_at.append(account_id)
        return []


def check_of(checks: Any) -> UsageCheck:  # noqa: ANN401  # as far as the check looks
    return UsageCheck(checks, lambda: pytest.fail("Stripe is not asked"))


def test_a_customer_that_cannot_be_compared_does_not_end_the_days_look() -> None:
    checks = Checks(WRONG)
    check_of(checks).look()
    assert checks.looked_at == ["acct_1", "acct_3"]


def test_a_database_that_goes_away_does_not_take_the_days_look_with_it() -> None:
    checks = Checks(AWAY)
    check = check_of(checks)
    with pytest.raises(LedgerUnavailable):
        check.look()
    check.look()
    assert checks.looked_at == list(ACCOUNTS)
    check.look()
    assert checks.looked_at == list(ACCOUNTS)


def test_usage_is_reported_while_the_days_look_lasts() -> None:
    reported, is_enough = threading.Event(), threading.Event()

    class Outbox:
        def claim(self, _: str) -> None:
            if looking.is_set():
                reported.set()

        def collect(self, _: str) -> int:
            return 0

    looking = threading.Event()

    class Check:
        def look(self) -> None:
            looking.set()
            assert is_enough.wait(SECONDS_MAX)

    async def scene() -> None:
        report = UsageReport(Outbox(), Check(), lambda: pytest.fail("nothing is due"))  # type: ignore[arg-type]  # as far as it looks
        running = asyncio.create_task(report.run(0.01))
        try:
            assert await asyncio.to_thread(reported.wait, SECONDS_MAX)
        finally:
            is_enough.set()
            running.cancel()

    asyncio.run(scene())


@pytest.mark.parametrize("error", [WRONG, LOCKED])
def test_the_end_of_one_grace_or_a_wish_does_not_hold_up_that_of_others(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    seen: list[str] = []

    def look_again(till: object, account_id: str) -> None:
        del till
        seen.append(account_id)
        if account_id in {"acct_1", "acct_4"}:
            raise error
        if account_id == "acct_5":
            raise PaymentsUnavailable("Stripe is away, for acct_6 as well")

    class Inbox:
        def claim(self) -> None:
            """Nothing waits."""

        def lapsed(self) -> tuple[str, ...]:
            return ACCOUNTS

        def wishing(self) -> tuple[str, ...]:
            return ("acct_4", "acct_5", "acct_6")

        def forget(self) -> None:
            pytest.fail("it is not time yet")

    inbox: Any = Inbox()
    monkeypatch.setattr(stripe_events, "look_again", look_again)
    Clerk(inbox, lambda: None).look()  # type: ignore[arg-type, return-value]  # as far as it looks
    assert seen == [*ACCOUNTS, "acct_4", "acct_5"]


@pytest.mark.parametrize(("error", "seen"), [(WRONG, list(ACCOUNTS)), (LOCKED, list(ACCOUNTS)), (AWAY, ["acct_1"])])
def test_one_account_whose_limits_cannot_be_told_does_not_keep_others_from_it(
    monkeypatch: pytest.MonkeyPatch, error: Exception, seen: list[str]
) -> None:
    class Use:
        def __init__(self, account_id: str) -> None:
            self.account_id = account_id

    class Marks:
        def use_of_all(self, after: str) -> list[Use]:
            return [] if after else [Use(each) for each in ACCOUNTS]

    marks: Any = Marks()
    watch = LimitWatch(marks, {}, lambda: None)
    told: list[str] = []

    def tell(use: Use) -> int:
        told.append(use.account_id)
        if use.account_id == "acct_1":
            raise error
        return 1

    monkeypatch.setattr(watch, "_tell", tell)
    with pytest.raises(type(error)):
        watch.look_at_all()
    assert told == seen
