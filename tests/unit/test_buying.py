"""What is asked of Stripe for somebody who buys, tops up or leaves for good; and when nothing is, any more."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, cast, get_args
from unittest.mock import Mock, call

import pytest

from farebox.account.buy import buy_plan, cancel, change_of, change_plan, end_for_good, portal, wish_top_up
from farebox.account.buy import paid as paid_for
from farebox.account.till import CannotBuy, Till
from farebox.account.top_up import NEEDS_YOU, NOT_KNOWN, TopUpWatch, pay
from farebox.domain.billing import LIVE, Payment, PaymentStatus, Subscription, SubscriptionStatus
from farebox.domain.events import PaymentFailed
from farebox.domain.ledger import Outcome, State
from farebox.domain.pack import Pack
from farebox.domain.people import HOUR_US
from farebox.domain.period import MICROSECONDS
from farebox.domain.places import AT_ONCE_MAX, OF_ONE_MAX, Places
from farebox.domain.plan import Plan
from farebox.domain.product import Product
from farebox.domain.subscribing import NOT_BEGUN, Known
from farebox.ports.billing import TopUpAttempt
from farebox.ports.calls import AccountRow
from farebox.ports.money import PaymentsUnavailable
from tests.services.process import wait_until

ADA = AccountRow("acct_1", "ada@example.com", "free", "active", 0, 0, customer_id="cus_1")
PRODUCT = Product(
    "Till",
    plans=(
        Plan("free", calls=20),
        Plan("pro", usd=29, calls=1000, overage_usd="0.01", trial_days=14),
        Plan("max", usd=99),
    ),
    packs=(Pack("small", usd=10),),
)
PRO = Known("acct_1", "sub_1", "active", "pro", "", 0, 1, None, 0, 0, 0)
STATUSES = get_args(SubscriptionStatus)
OVER = {"canceled", "incomplete_expired"}
ATTEMPT = TopUpAttempt("acct_1", "small", "attempt_1", begun_us=0)


def till(stripe: Mock, known: Known | None = None, now_us: int = 0) -> Till:
    found = {"subscription.return_value": known, "account.return_value": ADA, "now_us.return_value": now_us}
    billing, more = Mock(**found), cast("Any", Mock())
    return Till(stripe, billing, more, PRODUCT, "https://till.example", (), 0, more, more, more, more, Places())


def test_who_pays_no_longer_is_on_the_first_plan_which_may_have_a_price() -> None:
    dear = Product("Till", plans=(Plan("starter", usd=5), Plan("pro", usd=29)))
    found = [replace(till(Mock()), product=product, grace_seconds=60).rules for product in (PRODUCT, dear)]
    assert found == [("free", True, 60 * MICROSECONDS), ("starter", False, 60 * MICROSECONDS)]


@pytest.mark.parametrize("status", STATUSES)
def test_a_second_plan_is_not_sold_to_who_has_one(status: SubscriptionStatus) -> None:
    stripe = Mock(checkout_plan=Mock(return_value="https://pay.example"))
    here = till(stripe, PRO._replace(status=status))
    if status in LIVE:
        with pytest.raises(CannotBuy, match="already has a plan"):
            buy_plan(here, ADA, "pro")
        assert stripe.mock_calls == []
    else:
        assert buy_plan(here, ADA, "pro") == "https://pay.example"
        trial_days = 14 if status in NOT_BEGUN else 0  # it is had once
        assert stripe.checkout_plan.call_args.args[3] == trial_days


def test_what_is_not_for_sale_or_was_never_bought_is_not_asked_of_stripe() -> None:
    stripe, new = Mock(), ADA._replace(customer_id="")
    here, over = till(stripe), till(stripe, PRO._replace(status="canceled"))
    refused: dict[str, Callable[[], object]] = {
        "plan is not for sale": lambda: buy_plan(here, ADA, "free"),
        "Nothing was bought": lambda: portal(here, new),
        "no subscription to change": lambda: cancel(over, ADA),
    }
    for sentence, act in refused.items():
        with pytest.raises(CannotBuy, match=sentence):
            act()
    assert stripe.mock_calls == []


def test_who_comes_back_from_paying_while_stripe_is_away_is_told_to_wait() -> None:
    assert paid_for(till(Mock(checkout=Mock(side_effect=PaymentsUnavailable("away")))), ADA, "cs_1") == "waiting"


def test_who_never_set_out_to_pay_has_stripe_asked_for_no_payment() -> None:
    stripe = Mock()
    with pytest.raises(CannotBuy, match="does not know this payment"):
        paid_for(till(stripe), ADA._replace(customer_id=""), "cs_1")
    assert stripe.mock_calls == []


def test_where_as_many_wait_for_stripe_as_may_the_next_is_told_to_try_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("farebox.domain.places.QUEUE_SECONDS", 0)
    stripe = Mock(is_deleted=Mock(return_value=False))
    here = till(stripe, PRO)
    with ExitStack() as waiting:
        for _ in range(AT_ONCE_MAX):
            waiting.enter_context(here.places.take())
        assert paid_for(here, ADA, "cs_1") == "waiting"
        for act in (portal, cancel, end_for_good):
            with pytest.raises(CannotBuy, match="Try again in a few seconds"):
                act(here, ADA)
    assert stripe.mock_calls == []
    portal(here, ADA)
    stripe.portal.assert_called_once()


def test_while_stripe_hangs_one_account_has_few_threads_wait_for_it() -> None:
    goes_on = threading.Event()
    stripe = Mock(checkout=Mock(side_effect=lambda _: goes_on.wait() and Mock(account_id=ADA.id)))
    here = till(stripe)
    with ThreadPoolExecutor(12) as threads:
        came = [threads.submit(paid_for, here, ADA, f"cs_{number}") for number in range(12)]
        wait_until(lambda: sum(one.done() for one in came) == 12 - OF_ONE_MAX, "all others to be told")
        goes_on.set()
    assert stripe.checkout.call_count == OF_ONE_MAX


def test_the_free_plan_is_had_by_ending_the_other_one_and_one_of_the_same_price_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    synced = Mock()
    monkeypatch.setattr("farebox.account.buy.sync_subscription", synced)
    here = till(stripe := Mock(), PRO)
    assert change_plan(here, ADA, "free") == "later"
    stripe.end_at_period_end.assert_called_once_with("sub_1", ends=True)
    synced.assert_called_once_with(here, "sub_1")
    assert change_of(PRODUCT.by_name["pro"], PRO, Plan("another", usd=29)) == "later"


def test_no_dearer_plan_is_had_while_stripe_is_not_back_on_what_is_paid(monkeypatch: pytest.MonkeyPatch) -> None:
    """The difference would be counted from the cheaper plan, which was only wished for."""
    monkeypatch.setattr("farebox.account.buy.sync_subscription", Mock())
    stripe = Mock()
    with pytest.raises(CannotBuy, match="cannot be reached"):
        change_plan(till(stripe, PRO._replace(next_plan="basic")), ADA, "max")
    assert stripe.change_plan.mock_calls == []


def test_a_wish_to_top_up_is_looked_at_at_once() -> None:
    wish_top_up(here := till(Mock()), ADA, "small", "5")
    cast("Mock", here.account_changed).assert_called_once_with("acct_1")


@pytest.mark.parametrize("status", STATUSES)
def test_whatever_may_still_be_charged_is_ended_for_good(status: SubscriptionStatus) -> None:
    theirs = Subscription("sub_1", "cus_1", "acct_1", status, "pro", 0, 0, 1, None, ends_at_period_end=False)
    stripe = Mock(subscriptions_of=Mock(return_value=[theirs, theirs._replace(id="sub_2")]))
    end_for_good(till(stripe), ADA)
    ended = [] if status in OVER else [("sub_1",), ("sub_2",)]
    assert [call.args for call in stripe.cancel_now.mock_calls] == ended


@pytest.mark.parametrize(("hours", "is_over"), [(22, False), (24, True)])
def test_a_top_up_is_asked_after_for_a_day_and_no_longer(hours: int, *, is_over: bool) -> None:
    """Stripe forgets its key after a day, and would make it once more."""
    stripe, top_ups = Mock(paid_off_session=Mock(side_effect=PaymentsUnavailable("away"))), Mock()
    pay(till(stripe, now_us=hours * HOUR_US), top_ups, ATTEMPT)
    assert (top_ups.end.call_count, top_ups.put_off.call_count) == ((1, 0) if is_over else (0, 1))
    assert NOT_KNOWN in str(top_ups.end.call_args) or not is_over


def paid(status: PaymentStatus) -> Payment:
    return Payment("pi_1", "cus_1", "acct_1", "small", status, 1000, 0, "", 10**10, 30)


@pytest.mark.parametrize("status", get_args(PaymentStatus))
def test_a_top_up_is_over_when_it_is_paid_or_needs_its_owner_and_not_before(status: PaymentStatus) -> None:
    here, seen = till(Mock(paid_off_session=Mock(return_value=paid(status)))), Mock()
    credit = cast("Mock", here.credit)
    credit.grant.return_value = True
    seen.attach_mock(credit.grant, "grant")
    pay(here, seen.top_ups, ATTEMPT)
    names = [name for name, _, _ in seen.mock_calls]
    if status == "processing":
        assert names == ["top_ups.put_off"]
    elif status == "succeeded":
        assert names == ["grant", "top_ups.end"], "the next one begins when its credit counts"
        assert seen.top_ups.end.call_args.args == ("acct_1", "attempt_1", "", "")
    else:
        assert names == ["top_ups.end"]
        assert seen.top_ups.end.call_args.args[2] == NEEDS_YOU


@pytest.mark.parametrize("owners", [0, 2])
def test_a_top_up_that_failed_is_told_and_its_mails_go_out_now(owners: int) -> None:
    here, top_ups = (
        till(Mock(paid_off_session=Mock(return_value=paid("canceled")))),
        Mock(end=Mock(return_value=owners)),
    )
    mail_written, tell = Mock(), Mock()
    pay(replace(here, mail_written=mail_written, tell=tell), top_ups, ATTEMPT)
    assert (mail_written.call_count, tell.mock_calls) == (min(owners, 1), [call(PaymentFailed("acct_1", "free"))])


def test_nothing_is_topped_up_for_an_account_that_was_deleted() -> None:
    stripe, top_ups = Mock(), Mock()
    here = till(stripe)
    cast("Mock", here.billing).account.return_value = ADA._replace(closed_us=1)
    pay(here, top_ups, ATTEMPT)
    assert (stripe.mock_calls, top_ups.end.call_count) == ([], 1)


def test_a_call_that_took_of_credit_has_it_looked_at_and_no_other_does() -> None:
    watch, outcome = TopUpWatch(Mock(), Mock()), Outcome(State.POSTED, 1, 0, 0, 0, 0, 7, 0, "", "[]", "", 0)
    for one in (outcome, outcome._replace(invoiced_nanodollars=7)):
        watch.recorded(Mock(account_id="acct_1"), one, None)
    assert watch._rounds._marked == set()
    watch.recorded(Mock(account_id="acct_1"), outcome._replace(prepaid_nanodollars=7), None)
    assert watch._rounds._marked == {"acct_1"}


def test_all_accounts_whose_credit_is_low_are_looked_at_page_by_page() -> None:
    pages = {"": ["acct_1", "acct_2"], "acct_2": ["acct_3"], "acct_3": []}
    top_ups = Mock(claim_due=Mock(return_value=None), low_among=Mock(return_value=[]), low=Mock(side_effect=pages.get))
    top_ups.claim.return_value = None
    TopUpWatch(top_ups, Mock()).look(set())
    assert [one.args for one in top_ups.claim.mock_calls] == [("acct_1",), ("acct_2",), ("acct_3",)]
