"""Credit is granted once it is paid, once for each payment, and taken back when the money is."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from unittest.mock import Mock

import pytest

from farebox.account import buy
from farebox.account.sync import TAKEN_BACK, sync_payment
from farebox.account.till import CannotBuy
from farebox.account.top_up import TopUpWatch
from farebox.domain.events import PaymentFailed
from farebox.store.money.top_ups import StoredTopUps
from tests.contract.selling.counter import Counter

USD = 10**9


def left(counter: Counter, account_id: str) -> int:
    return counter.till.credit.balance(account_id)


def payments(counter: Counter, account_id: str) -> list[str]:
    customer = counter.row(account_id).customer_id
    return [one.id for one in counter.client.v1.payment_intents.list({"customer": customer}).data]


def test_a_pack_is_there_when_its_buyer_comes_back_and_once_however_often_it_is_told(counter: Counter) -> None:
    account_id = counter.account()
    session = counter.buy_pack(account_id, "big")
    assert left(counter, account_id) == 0
    assert buy.paid(counter.till, counter.row(account_id), session) == "credit"
    assert left(counter, account_id) == 55 * USD
    counter.hear(account_id)
    buy.paid(counter.till, counter.row(account_id), session)
    assert left(counter, account_id) == 55 * USD
    [(expires_us, created_us)] = counter.rows("SELECT expires_us, created_us FROM credit_grant WHERE account_id = :id",
                                              id=account_id)  # fmt: skip
    assert 0 <= 30 * 86_400 * 10**6 - (expires_us - created_us) < 60 * 10**6


def test_money_that_comes_later_is_credit_only_then(counter: Counter) -> None:
    account_id = counter.account()
    session = counter.buy_pack(account_id, "small", card="debit")
    assert buy.paid(counter.till, counter.row(account_id), session) == "waiting"
    counter.hear(account_id)
    assert left(counter, account_id) == 0
    counter.stripe.advance(by="day")
    counter.stripe.advance(by="month")
    counter.hear(account_id)
    assert left(counter, account_id) == 10 * USD
    failing = counter.account()
    counter.buy_pack(failing, "small", card="debitFails")
    counter.stripe.advance(by="month")
    counter.hear(failing)
    assert left(counter, failing) == 0


def test_what_is_refunded_is_taken_back_in_its_share(counter: Counter) -> None:
    account_id = counter.account()
    counter.paid(account_id, counter.buy_pack(account_id, "big"))
    [payment] = payments(counter, account_id)
    counter.client.v1.refunds.create({"payment_intent": payment, "amount": 1000})
    counter.hear(account_id)
    assert left(counter, account_id) == 44 * USD
    counter.client.v1.refunds.create({"payment_intent": payment})
    counter.hear(account_id)
    assert left(counter, account_id) == 0


def test_a_payment_that_was_fetched_before_its_refund_does_not_bring_the_credit_back(counter: Counter) -> None:
    account_id = counter.account()
    counter.paid(account_id, counter.buy_pack(account_id, "small"))
    [payment] = payments(counter, account_id)
    older = counter.till.payments.payment(payment)
    counter.client.v1.refunds.create({"payment_intent": payment})
    sync_payment(counter.till, payment)
    slow = Mock(payment=Mock(side_effect=[older, *[counter.till.payments.payment(payment)] * 2]))
    sync_payment(replace(counter.till, payments=slow), payment)
    assert left(counter, account_id) == 0


def test_what_is_disputed_is_taken_back_and_given_again_when_the_dispute_is_won(counter: Counter) -> None:
    account_id = counter.account()
    counter.paid(account_id, counter.buy_pack(account_id, "small"))
    [payment] = payments(counter, account_id)
    dispute = counter.stripe.dispute(payment_intent=payment)
    counter.hear(account_id)
    assert left(counter, account_id) == 0
    counter.stripe.dispute(dispute=dispute["id"], verdict="won")
    counter.hear(account_id)
    assert left(counter, account_id) == 10 * USD


def test_an_inquiry_takes_no_credit_back_until_it_is_a_dispute(counter: Counter) -> None:
    account_id = counter.account()
    counter.paid(account_id, counter.buy_pack(account_id, "small", card="createDisputeInquiry"))
    counter.hear(account_id)
    assert left(counter, account_id) == 10 * USD
    [payment] = payments(counter, account_id)
    [inquiry] = counter.client.v1.disputes.list({"payment_intent": payment}).data
    assert inquiry.status == "warning_needs_response"
    counter.stripe.dispute(dispute=inquiry.id, verdict="lost")
    counter.hear(account_id)
    assert left(counter, account_id) == 0


@pytest.fixture
def topped_up(counter: Counter) -> str:
    """An account with a card, and 10 dollars, that buys for itself below 5."""
    account_id = counter.account()
    counter.paid(account_id, counter.buy_pack(account_id, "small"))
    buy.wish_top_up(counter.till, counter.row(account_id), "small", "$5")
    return account_id


def spend(counter: Counter, account_id: str, nanodollars: int) -> None:
    counter.rows("UPDATE credit_grant SET spent_nanodollars = spent_nanodollars + :it WHERE account_id = :id",
                 it=nanodollars, id=account_id)  # fmt: skip


def test_credit_is_bought_by_itself_when_it_falls_below_what_was_set(counter: Counter, topped_up: str) -> None:
    watch = TopUpWatch(counter.top_ups, lambda: counter.till)
    watch.look({topped_up})
    assert left(counter, topped_up) == 10 * USD
    spend(counter, topped_up, 6 * USD)
    watch.look({topped_up})
    watch.look({topped_up})
    assert left(counter, topped_up) == 14 * USD
    assert len(payments(counter, topped_up)) == 2


def test_credit_that_a_process_met_before_it_died_is_bought_by_another(counter: Counter, topped_up: str) -> None:
    spend(counter, topped_up, 6 * USD)
    TopUpWatch(counter.top_ups, lambda: counter.till).look(set())
    assert left(counter, topped_up) == 14 * USD


def test_nothing_is_bought_for_an_account_that_is_suspended(counter: Counter, topped_up: str) -> None:
    spend(counter, topped_up, 6 * USD)
    counter.rows("UPDATE account SET state = 'suspended' WHERE id = :id", id=topped_up)
    TopUpWatch(counter.top_ups, lambda: counter.till).look({topped_up})
    assert len(payments(counter, topped_up)) == 1
    counter.rows("UPDATE account SET state = 'active' WHERE id = :id", id=topped_up)
    TopUpWatch(counter.top_ups, lambda: counter.till).look({topped_up})
    assert left(counter, topped_up) == 14 * USD


@pytest.mark.parametrize(("begun", "expected"), [("refuse", (4 * USD, 1)), ("die", (14 * USD, 2))])
def test_nothing_is_paid_for_an_account_that_is_suspended_while_its_payment_waits(
    counter: Counter, topped_up: str, begun: str, expected: tuple[int, int]
) -> None:
    """What was paid by then is granted."""
    spend(counter, topped_up, 6 * USD)
    watch = TopUpWatch(counter.top_ups, lambda: counter.till)
    counter.stripe.fault(begun, path="/v1/payment_intents", method="POST", times=3)
    watch.look({topped_up})
    counter.stripe.heal()
    counter.rows("UPDATE account SET state = 'suspended' WHERE id = :id", id=topped_up)
    _ask_again(counter, topped_up, watch)
    assert (left(counter, topped_up), len(payments(counter, topped_up))) == expected
    assert counter.mails_of(topped_up) == []


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the SDK closes no thread's session
def test_fifty_that_find_it_low_at_once_make_one_payment(counter: Counter, topped_up: str) -> None:
    spend(counter, topped_up, 6 * USD)
    stores = [StoredTopUps(counter.database) for _ in range(50)]
    tills = [counter.another_till() for _ in range(50)]
    watches = [TopUpWatch(store, lambda till=till: till) for store, till in zip(stores, tills, strict=True)]  # type: ignore[misc]
    with ThreadPoolExecutor(50) as pool:
        list(pool.map(lambda watch: watch.look({topped_up}), watches))
    for store in stores:
        store.close()
    assert left(counter, topped_up) == 14 * USD
    assert len(payments(counter, topped_up)) == 2


def test_a_payment_that_fails_is_told_once_and_none_is_made_until_the_wish_is_changed(
    counter: Counter, topped_up: str
) -> None:
    counter.pays_with(topped_up, "pm_card_chargeCustomerFail")
    spend(counter, topped_up, 6 * USD)
    watch = TopUpWatch(counter.top_ups, lambda: counter.till)
    for _ in range(3):
        watch.look({topped_up})
    assert counter.mails_of(topped_up) == ["top_up_failed"]
    assert counter.told == [PaymentFailed(topped_up, "free")]
    wish = counter.till.billing.top_up(topped_up)
    assert wish is not None
    assert "declined" in wish.failed
    counter.pays_with(topped_up, "pm_card_visa")
    watch.look({topped_up})
    assert left(counter, topped_up) == 4 * USD
    buy.wish_top_up(counter.till, counter.row(topped_up), "small", "5")
    watch.look({topped_up})
    assert left(counter, topped_up) == 14 * USD


def test_a_key_that_is_refused_for_a_while_is_no_payment_that_failed(counter: Counter, topped_up: str) -> None:
    spend(counter, topped_up, 6 * USD)
    watch = TopUpWatch(counter.top_ups, lambda: counter.till)
    counter.stripe.fault("status", status=401, times=None)
    watch.look({topped_up})
    assert counter.mails_of(topped_up) == []
    counter.stripe.heal()
    _ask_again(counter, topped_up, watch)
    assert left(counter, topped_up) == 14 * USD


def test_a_payment_whose_answer_was_lost_is_made_once(counter: Counter, topped_up: str) -> None:
    spend(counter, topped_up, 6 * USD)
    watch = TopUpWatch(counter.top_ups, lambda: counter.till)
    counter.stripe.fault("die", path="/v1/payment_intents", method="POST", times=3)
    watch.look({topped_up})
    assert left(counter, topped_up) == 4 * USD
    counter.stripe.heal()
    _ask_again(counter, topped_up, watch)
    assert left(counter, topped_up) == 14 * USD
    assert len(payments(counter, topped_up)) == 2


@pytest.mark.parametrize("how", ["refund", "dispute"])
def test_credit_that_was_taken_back_is_not_bought_again_until_the_wish_is_changed(
    counter: Counter, topped_up: str, how: str
) -> None:
    spend(counter, topped_up, 6 * USD)
    watch = TopUpWatch(counter.top_ups, lambda: counter.till)
    watch.look({topped_up})
    assert left(counter, topped_up) == 14 * USD
    give_back(counter, payments(counter, topped_up)[0], how)
    for _ in range(2):
        counter.hear(topped_up)
        watch.look({topped_up})
    assert (left(counter, topped_up), len(payments(counter, topped_up))) == (4 * USD, 2)
    wish = counter.till.billing.top_up(topped_up)
    assert wish is not None
    assert (wish.failed, counter.mails_of(topped_up)) == (TAKEN_BACK, ["top_up_ended"])
    buy.wish_top_up(counter.till, counter.row(topped_up), "small", "5")
    sync_payment(counter.till, payments(counter, topped_up)[0])  # told once more
    watch.look({topped_up})
    assert (left(counter, topped_up), len(payments(counter, topped_up))) == (14 * USD, 3)


@pytest.mark.parametrize("meanwhile", ["refused", "paid"])
def test_credit_that_is_taken_back_while_some_is_bought_ends_the_wish(
    counter: Counter, topped_up: str, meanwhile: str
) -> None:
    """What was paid by then is granted, and what was not is not paid any more."""
    spend(counter, topped_up, 6 * USD)
    watch = TopUpWatch(counter.top_ups, lambda: counter.till)
    begun = {"refused": "refuse", "paid": "die"}[meanwhile]
    counter.stripe.fault(begun, path="/v1/payment_intents", method="POST", times=3)
    watch.look({topped_up})
    counter.stripe.heal()
    give_back(counter, payments(counter, topped_up)[-1], "refund")
    counter.hear(topped_up)
    _ask_again(counter, topped_up, watch)
    watch.look({topped_up})
    wish = counter.till.billing.top_up(topped_up)
    assert wish is not None
    assert (wish.attempt, wish.failed) == ("", TAKEN_BACK)
    expected = (10 * USD, 2) if meanwhile == "paid" else (0, 1)
    assert (left(counter, topped_up), len(payments(counter, topped_up))) == expected
    assert counter.mails_of(topped_up) == ["top_up_ended"]


def give_back(counter: Counter, payment: str, how: str) -> None:
    if how == "refund":
        counter.client.v1.refunds.create({"payment_intent": payment})
    else:
        counter.stripe.dispute(payment_intent=payment)


@pytest.mark.parametrize("meanwhile", ["another pack", "no pack", "another card", "no card"])
def test_a_payment_whose_answer_was_lost_counts_whatever_was_changed_meanwhile(
    counter: Counter, topped_up: str, meanwhile: str
) -> None:
    """Stripe takes a key for the same request only, so what was made under it is looked for."""
    spend(counter, topped_up, 6 * USD)
    watch = TopUpWatch(counter.top_ups, lambda: counter.till)
    counter.stripe.fault("die", path="/v1/payment_intents", method="POST", times=3)
    watch.look({topped_up})
    counter.stripe.heal()
    if meanwhile.endswith("pack"):
        pack = "big" if meanwhile == "another pack" else ""
        buy.wish_top_up(counter.till, counter.row(topped_up), pack, "5")
    elif meanwhile == "another card":
        counter.pays_with(topped_up, "pm_card_mastercard")
    else:
        customer = counter.row(topped_up).customer_id
        for method in counter.client.v1.payment_methods.list({"customer": customer}).data:
            counter.client.v1.payment_methods.detach(method.id)
    _ask_again(counter, topped_up, watch)
    assert (left(counter, topped_up), len(payments(counter, topped_up))) == (14 * USD, 2)
    assert counter.mails_of(topped_up) == []


def test_what_was_never_paid_is_not_bought_when_nobody_wishes_it_any_more(counter: Counter, topped_up: str) -> None:
    spend(counter, topped_up, 6 * USD)
    watch = TopUpWatch(counter.top_ups, lambda: counter.till)
    counter.stripe.fault("refuse", times=None)
    watch.look({topped_up})
    counter.stripe.heal()
    buy.wish_top_up(counter.till, counter.row(topped_up), "", "")
    _ask_again(counter, topped_up, watch)
    wish = counter.till.billing.top_up(topped_up)
    assert wish is not None
    assert (wish.attempt, wish.failed, len(payments(counter, topped_up))) == ("", "", 1)
    assert counter.mails_of(topped_up) == []


def test_a_debit_that_takes_longer_than_stripe_knows_a_key_is_one_payment(counter: Counter, topped_up: str) -> None:
    counter.stripe.settings(settle_seconds=3 * 86_400)
    try:
        iban = {"type": "sepa_debit", "sepa_debit": {"iban": "AT611904300234573201"}}
        counter.pays_with(topped_up, counter.client.v1.payment_methods.create(iban).id)  # type: ignore[arg-type]
        spend(counter, topped_up, 6 * USD)
        watch = TopUpWatch(counter.top_ups, lambda: counter.till)
        watch.look({topped_up})
        for _ in range(4):
            counter.stripe.advance(by="day")
            counter.stripe.advance(by="hour")
            _ask_again(counter, topped_up, watch)
        assert (left(counter, topped_up), len(payments(counter, topped_up))) == (14 * USD, 2)
    finally:
        counter.stripe.settings(settle_seconds=3_600)


def test_who_never_bought_anything_is_told_that_there_is_no_card_and_keeps_nobody_waiting(
    counter: Counter, topped_up: str
) -> None:
    nobody = counter.account()
    buy.wish_top_up(counter.till, counter.row(nobody), "small", "5")
    spend(counter, topped_up, 6 * USD)
    TopUpWatch(counter.top_ups, lambda: counter.till).look({nobody, topped_up})
    assert (counter.mails_of(nobody), left(counter, topped_up)) == (["top_up_failed"], 14 * USD)


def _ask_again(counter: Counter, account_id: str, watch: TopUpWatch) -> None:
    counter.rows("UPDATE top_up SET next_us = 1 WHERE account_id = :id AND attempt <> ''", id=account_id)
    watch.look(set())


def test_a_wish_has_to_be_one_that_a_pack_can_fill(counter: Counter) -> None:
    row = counter.row(counter.account())
    for below in ("0", "11", "x", ""):
        with pytest.raises(CannotBuy) as refused:
            buy.wish_top_up(counter.till, row, "small", below)
        assert refused.value.field == "below"
    buy.wish_top_up(counter.till, row, "", "")
