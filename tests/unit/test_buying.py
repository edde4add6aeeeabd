"""What is asked of Stripe for somebody who buys, tops up or leaves for good; and when nothing is, any more."""

from typing import Any, cast, get_args
from unittest.mock import Mock

import pytest

from farebox.account.buy import buy_plan, end_for_good
from farebox.account.till import CannotBuy, Till
from farebox.account.top_up import NOT_KNOWN, pay
from farebox.domain.billing import LIVE, Subscription, SubscriptionStatus
from farebox.domain.people import HOUR_US
from farebox.domain.plan import Plan
from farebox.domain.product import Product
from farebox.domain.subscribing import Known
from farebox.ports import AccountRow
from farebox.ports_billing import Attempt
from farebox.ports_money import PaymentsUnavailable

ADA = AccountRow("acct_1", "ada@example.com", "free", "active", 0, 0, customer_id="cus_1")
PRODUCT = Product("Till", plans=(Plan("free", calls=20), Plan("pro", usd=29, calls=1000)))
STATUSES = get_args(SubscriptionStatus)
OVER = {"canceled", "incomplete_expired"}


def till(stripe: Mock, known: Known | None = None, now_us: int = 0) -> Till:
    found = {"subscription.return_value": known, "account.return_value": ADA, "now_us.return_value": now_us}
    billing, more = Mock(**found), cast("Any", Mock())
    return Till(stripe, billing, more, PRODUCT, "https://till.example", (), 0, more, more, more, more)


@pytest.mark.parametrize("status", STATUSES)
def test_a_second_plan_is_not_sold_to_who_has_one(status: SubscriptionStatus) -> None:
    stripe = Mock(checkout_plan=Mock(return_value="https://pay.example"))
    here = till(stripe, Known("acct_1", "sub_1", status, "pro", "", 0, 1, None, 0, 0, 0))
    if status in LIVE:
        with pytest.raises(CannotBuy, match="has a plan already"):
            buy_plan(here, ADA, "pro")
        assert stripe.mock_calls == []
    else:
        assert buy_plan(here, ADA, "pro") == "https://pay.example"


@pytest.mark.parametrize("status", STATUSES)
def test_whatever_may_still_be_charged_is_ended_for_good(status: SubscriptionStatus) -> None:
    theirs = Subscription("sub_1", "cus_1", "acct_1", status, "pro", 0, 0, 1, None, ends_at_period_end=False)
    stripe = Mock(subscriptions_of=Mock(return_value=[theirs]))
    end_for_good(till(stripe), ADA)
    assert [call.args for call in stripe.cancel_now.mock_calls] == ([] if status in OVER else [("sub_1",)])


@pytest.mark.parametrize(("hours", "is_over"), [(22, False), (24, True)])
def test_a_top_up_is_asked_after_for_a_day_and_no_longer(hours: int, *, is_over: bool) -> None:
    """Stripe forgets its key after a day, and would make it once more."""
    stripe, top_ups = Mock(paid_off_session=Mock(side_effect=PaymentsUnavailable("away"))), Mock()
    pay(till(stripe, now_us=hours * HOUR_US), top_ups, Attempt("acct_1", "small", "attempt_1", begun_us=0))
    assert (top_ups.end.call_count, top_ups.put_off.call_count) == ((1, 0) if is_over else (0, 1))
    assert NOT_KNOWN in str(top_ups.end.call_args) or not is_over
