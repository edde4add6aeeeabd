"""A move to a cheaper plan, once it is noted: whatever comes between, Stripe is told of it in the end."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from farebox.account import buy
from farebox.account.stripe_events import Clerk
from farebox.account.till import CannotBuy
from farebox.ports.money import PaymentsUnavailable
from tests.contract.selling.counter import Counter

Change = Callable[..., None]


def away(change: Change, *, is_done: bool = False, but: str = "") -> Change:
    """No answer, though it may be done all the same; but for moves to one plan."""

    def asked(sub_id: str, keys: list[str], **how: Any) -> None:  # noqa: ANN401  # as the port has it
        is_spared = bool(but) and but in keys[0]
        if is_done or is_spared:
            change(sub_id, keys, **how)
        if not is_spared:
            raise PaymentsUnavailable("no answer")

    return asked


def wish(counter: Counter, account_id: str, plan: str) -> str:
    return buy.change_plan(counter.till, counter.row(account_id), plan)


def stand(counter: Counter, account_id: str) -> tuple[str, str, str]:
    """What is in force, what is wanted, and what Stripe charges, once a round has looked; nothing is heard."""
    Clerk(counter.inbox, lambda: counter.till).look()
    known = counter.known(account_id)
    return counter.row(account_id).plan, known.next_plan, counter.subscription(account_id).plan


@pytest.mark.parametrize("is_done", [False, True])
def test_a_move_down_without_an_answer_is_noted_and_charged_from_the_next_period_on(
    counter: Counter, monkeypatch: pytest.MonkeyPatch, *, is_done: bool
) -> None:
    account_id = counter.subscribed("pro")
    counter.hear(account_id)
    with monkeypatch.context() as patched:
        payments = counter.till.payments
        patched.setattr(payments, "change_plan", away(payments.change_plan, is_done=is_done))
        assert wish(counter, account_id, "basic") == "later"
    known = counter.known(account_id)
    assert (known.plan, known.next_plan, known.next_price_nanodollars) == ("pro", "basic", None)
    assert stand(counter, account_id) == ("pro", "basic", "basic")
    assert counter.known(account_id).next_price_nanodollars == 9 * 10**9
    assert counter.inbox.wishing() == []
    counter.stripe.advance(by="month")
    counter.stripe.advance(by="hour")
    counter.hear(account_id)
    invoices = counter.client.v1.invoices.list({"customer": counter.row(account_id).customer_id}).data
    assert (counter.row(account_id).plan, invoices[0].total) == ("basic", 900)


def test_a_move_down_that_is_taken_back_without_an_answer_is_taken_back(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    account_id = counter.subscribed("pro")
    wish(counter, account_id, "basic")
    with monkeypatch.context() as patched:
        patched.setattr(counter.till.payments, "change_plan", away(counter.till.payments.change_plan))
        assert wish(counter, account_id, "pro") == "same"
    assert stand(counter, account_id) == ("pro", "", "pro")


@pytest.mark.parametrize(("is_done", "after"), [(False, ("pro", "basic", "basic")), (True, ("team", "", "team"))])
def test_a_move_up_without_an_answer_is_had_or_leaves_the_move_down_that_was_wished(
    counter: Counter, monkeypatch: pytest.MonkeyPatch, *, is_done: bool, after: tuple[str, str, str]
) -> None:
    account_id = counter.subscribed("pro")
    wish(counter, account_id, "basic")
    with monkeypatch.context() as patched:
        payments = counter.till.payments
        patched.setattr(payments, "change_plan", away(payments.change_plan, is_done=is_done, but="_pro_"))
        with pytest.raises(CannotBuy, match="cannot be reached"):
            wish(counter, account_id, "team")
    assert stand(counter, account_id) == after
    paid = counter.client.v1.invoices.list({"customer": counter.row(account_id).customer_id}).data
    assert sum(one.amount_paid for one in paid) == (9900 if is_done else 2900), "counted from what was paid"


@pytest.mark.parametrize("is_done", [False, True])
def test_a_cancelled_plan_is_not_promised_to_go_on_without_an_answer(
    counter: Counter, monkeypatch: pytest.MonkeyPatch, *, is_done: bool
) -> None:
    account_id = counter.subscribed("pro")
    buy.cancel(counter.till, counter.row(account_id))
    with monkeypatch.context() as patched:
        payments = counter.till.payments
        patched.setattr(payments, "change_plan", away(payments.change_plan, is_done=is_done))
        with pytest.raises(CannotBuy, match="cannot be reached"):
            wish(counter, account_id, "basic")
    assert stand(counter, account_id) == ("pro", "", "pro")
    assert counter.subscription(account_id).ends_at_period_end


def test_a_move_down_that_is_taken_back_while_stripe_is_slow_stays_taken_back(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    account_id = counter.subscribed("pro")
    change = counter.till.payments.change_plan

    def slow(sub_id: str, keys: list[str], **how: Any) -> None:  # noqa: ANN401  # as the port has it
        patched.undo()
        assert wish(counter, account_id, "pro") == "same"
        change(sub_id, keys, **how)

    with monkeypatch.context() as patched:
        patched.setattr(counter.till.payments, "change_plan", slow)
        wish(counter, account_id, "basic")
    assert stand(counter, account_id) == ("pro", "", "pro")


def meanwhile(counter: Counter, patched: pytest.MonkeyPatch, plan: str, moves: Callable[[], object]) -> None:
    """Have something else come between our look and Stripe's change to a plan."""
    payments, change = counter.till.payments, counter.till.payments.change_plan

    def slow(sub_id: str, keys: list[str], **how: Any) -> None:  # noqa: ANN401  # as the port has it
        if f"_{plan}_" in keys[0]:
            patched.setattr(payments, "change_plan", change)
            moves()
        change(sub_id, keys, **how)

    patched.setattr(payments, "change_plan", slow)


def test_who_moves_up_while_stripe_is_told_of_the_move_down_stays_up(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    account_id = counter.subscribed("pro")
    counter.hear(account_id)
    with monkeypatch.context() as patched:
        patched.setattr(counter.till.payments, "change_plan", away(counter.till.payments.change_plan))
        wish(counter, account_id, "basic")
    with monkeypatch.context() as patched:
        meanwhile(counter, patched, "basic", lambda: wish(counter, account_id, "team"))
        stand(counter, account_id)
    assert stand(counter, account_id) == ("team", "", "team")


def test_two_moves_up_at_once_are_one(counter: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    account_id = counter.subscribed("pro")
    counter.hear(account_id)
    wish(counter, account_id, "basic")
    with monkeypatch.context() as patched:
        meanwhile(counter, patched, "pro", lambda: wish(counter, account_id, "team"))
        with suppress(CannotBuy):
            wish(counter, account_id, "team")
    assert stand(counter, account_id) == ("team", "", "team")
