"""What Stripe tells leads to one end, in whatever order and however often; what is not Stripe's is not taken."""

import json
import random
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from farebox.account import buy
from farebox.account.stripe_events import Clerk
from farebox.adapters import stripe_webhooks
from farebox.adapters.stripe_webhooks import StripeSignatures
from farebox.domain.errors import FounderError
from farebox.domain.webhooks import ID_CHARS_MAX, VERBS, Event
from farebox.store.money.inbox import StoredInbox
from tests.contract.selling.counter import Counter
from tests.services.forged import event_body, forged
from tests.services.forged import signed as header

SECRET = "whsec_of_the_tests"
BODY = event_body("evt_1")
SHUFFLES = 200
SOME_SHUFFLES = 12  # in every run; all of them with `make chaos`
AT_ONCE = 10
KINDS = 12
TIMES = 5


# -- Who is believed


def now_us() -> int:
    return time.time_ns() // 1000


def test_an_event_of_stripes_is_read() -> None:
    found = StripeSignatures(SECRET, now_us).read(BODY.encode(), header(BODY, SECRET))
    assert found == Event("evt_1", "invoice.paid", "in_1", 5_000_000, is_live=False)


def test_a_thin_event_is_read() -> None:
    body = json.dumps(
        {"id": "evt_2", "object": "v2.core.event", "type": "v1.billing.meter.error_report_triggered",
         "created": "2026-11-26T00:00:00Z", "livemode": True, "related_object": {"id": "mtr_1"}}
    )  # fmt: skip
    found = StripeSignatures(SECRET, now_us).read(body.encode(), header(body, SECRET))
    assert found == Event("evt_2", "v1.billing.meter.error_report_triggered", "mtr_1", 0, is_live=True)


@pytest.mark.parametrize(("seconds", "is_taken"), [(-301, False), (-240, True), (240, True), (400, False)])
def test_a_time_long_past_or_to_come_is_not_believed(seconds: int, is_taken: bool) -> None:  # noqa: FBT001
    found = StripeSignatures(SECRET, now_us).read(BODY.encode(), header(BODY, SECRET, at=time.time() + seconds))
    assert (found is not None) is is_taken


@pytest.mark.parametrize("off", [-600, 600])
def test_where_this_machines_clock_is_wrong_that_of_the_database_counts(
    counter: Counter, monkeypatch: pytest.MonkeyPatch, off: int
) -> None:
    now = time.time()
    monkeypatch.setattr(stripe_webhooks, "time", SimpleNamespace(time=lambda: now + off))
    if counter.database.is_sqlite:  # its clock is the machine's own
        monkeypatch.setattr(counter.inbox, "now_us", now_us)
    signatures = StripeSignatures(SECRET, counter.inbox.now_us)
    assert signatures.read(BODY.encode(), header(BODY, SECRET))
    assert signatures.read(BODY.encode(), header(BODY, SECRET, at=now + off)), "by either of them"
    assert signatures.read(BODY.encode(), header(BODY, SECRET, at=now - off)) is None


def test_the_database_is_asked_for_a_right_signature_alone_and_only_if_its_time_seems_wrong() -> None:
    asked: list[int] = []

    def clock() -> int:
        asked.append(now_us())
        return asked[-1]

    signatures = StripeSignatures(SECRET, clock)
    long_past = time.time() - 600
    assert signatures.read(BODY.encode(), header(BODY, SECRET))
    assert signatures.read(BODY.encode(), header(BODY, "whsec_of_somebody_else", at=long_past)) is None
    assert not asked
    assert signatures.read(BODY.encode(), header(BODY, SECRET, at=long_past)) is None
    assert len(asked) == 1


@pytest.mark.parametrize(("chars", "is_taken"), [(ID_CHARS_MAX, True), (ID_CHARS_MAX + 1, False)])
def test_an_event_whose_name_is_longer_than_any_is_not_taken(chars: int, *, is_taken: bool) -> None:
    body = event_body("evt_".ljust(chars, "x"))
    assert (StripeSignatures(SECRET, now_us).read(body.encode(), header(body, SECRET)) is not None) is is_taken


@pytest.mark.parametrize("secret", ["", "  ", "\n", " , "])
def test_without_a_secret_nobody_is_believed(secret: str) -> None:
    with pytest.raises(FounderError, match="STRIPE_WEBHOOK_SECRET"):
        StripeSignatures(secret, now_us)


def test_ten_thousand_that_were_forged_or_altered_are_not_taken(seed: int) -> None:
    signatures, made = StripeSignatures(SECRET, now_us), random.Random(seed)
    for _ in range(10_000):
        body, signature = forged(made, BODY, SECRET)
        assert signatures.read(body, signature) is None, (body, signature)


# -- What comes of what is told


def everything(counter: Counter) -> tuple[str, str]:
    """An account that has bought, changed, failed to pay and paid; its customer."""
    account_id = counter.account()
    counter.buy(account_id, "pro")
    counter.buy_pack(account_id, "big")
    counter.buy_pack(account_id, "small", card="debit")
    customer = counter.row(account_id).customer_id
    client = counter.client
    [subscription] = counter.till.payments.subscriptions_of(customer)
    client.v1.subscriptions.update(subscription.id, {"metadata": {"seen": "yes", "farebox_account": account_id}})
    packs = [
        one
        for one in client.v1.payment_intents.list({"customer": customer}).data
        if one.metadata.to_dict().get("farebox_pack") == "big"
    ]
    client.v1.refunds.create({"payment_intent": packs[0].id, "amount": 500})
    counter.stripe.dispute(payment_intent=packs[0].id)
    counter.pays_with(account_id, "pm_card_chargeCustomerFail")
    counter.stripe.advance(by="month")
    counter.stripe.advance(by="hour")
    client.v1.subscriptions.update(subscription.id, {"cancel_at_period_end": True})
    return account_id, customer


def state(counter: Counter, account_id: str) -> dict[str, Any]:
    row = counter.row(account_id)
    known = counter.till.billing.subscription(account_id)
    assert known is not None
    theirs = counter.till.payments.subscription(known.id)
    invoices = counter.client.v1.invoices.list({"customer": row.customer_id, "limit": 100}).data
    ours = counter.rows("SELECT id, status, total_cents, paid_cents FROM invoice WHERE account_id = :id", id=account_id)
    # The final state is Stripe's object.
    assert (known.status, known.plan, known.period_end_us) == (theirs.status, theirs.plan, theirs.period_end_us)
    assert bool(known.ends_at_period_end) == theirs.ends_at_period_end
    assert (row.plan, row.anchor_us, row.is_subscribed) == (theirs.plan, theirs.anchor_us, 1)
    assert sorted(ours) == sorted((one.id, one.status, one.total, one.amount_paid) for one in invoices)
    grants = counter.rows(
        "SELECT source, amount_nanodollars, taken_back_nanodollars FROM credit_grant WHERE account_id = :id",
        id=account_id,
    )
    assert len({grant[0] for grant in grants}) == len(grants)
    return {"grants": sorted(grant[1:] for grant in grants), "status": known.status}


def forget(counter: Counter, account_id: str) -> None:
    """Have the database be as before anything was told."""
    for table in ("subscription", "invoice", "credit_grant", "meter", "mail"):
        counter.rows(f"DELETE FROM {table} WHERE account_id = :id", id=account_id)
    counter.rows("DELETE FROM webhook_event")
    counter.rows(
        "UPDATE account SET plan = 'free', is_subscribed = 0, has_credit = 0, grace_until_us = NULL WHERE id = :id",
        id=account_id,
    )


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the SDK closes no thread's session
@pytest.mark.parametrize("shuffles", [SOME_SHUFFLES, pytest.param(SHUFFLES, marks=pytest.mark.chaos)])
def test_twelve_kinds_five_times_each_shuffled_and_ten_at_a_time_end_as_stripe_has_it(
    counter: Counter, seed: int, shuffles: int
) -> None:
    account_id, _ = everything(counter)
    events = [event for event in counter.events(account_id) if event.type in VERBS]
    kinds = {event.type: event for event in events}
    assert len(kinds) >= KINDS, sorted(kinds)
    inboxes = [StoredInbox(counter.database) for _ in range(AT_ONCE)]
    clerks = [Clerk(inbox, counter.another_till) for inbox in inboxes]
    made, ends = random.Random(seed), set()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for _ in range(shuffles):
            forget(counter, account_id)
            told = [event for event in kinds.values() for _ in range(TIMES)]
            made.shuffle(told)
            list(pool.map(lambda pair: inboxes[pair[0] % AT_ONCE].add(pair[1]), enumerate(told)))
            list(pool.map(lambda clerk: clerk.work_off_all(), clerks))
            [(waiting,)] = counter.rows("SELECT count(*) FROM webhook_event WHERE applied_us IS NULL")
            assert waiting == 0
            ends.add(json.dumps(state(counter, account_id), sort_keys=True))
    for inbox in inboxes:
        inbox.close()
    # A grant of each pack, whose credit is taken back in its share, and whose dispute takes the rest.
    assert ends == {
        json.dumps({"grants": [(10 * 10**9, 0), (55 * 10**9, 55 * 10**9)], "status": "past_due"}, sort_keys=True)
    }


def test_an_event_is_stored_once(counter: Counter) -> None:
    event = Event("evt_once", "invoice.paid", "in_nothing", 1, is_live=False)
    assert [counter.inbox.add(event) for _ in range(3)] == [True, False, False]
    counter.clerk.work_off_all()
    assert not counter.inbox.add(event)


def test_what_stripe_does_not_know_and_what_we_do_not_are_noted(counter: Counter) -> None:
    counter.inbox.add(Event("evt_a", "invoice.paid", "in_nothing", 1, is_live=False))
    counter.inbox.add(Event("evt_b", "price.created", "price_x", 1, is_live=False))
    assert counter.clerk.work_off_all() == 2
    found = dict(counter.rows("SELECT id, failed FROM webhook_event WHERE applied_us IS NOT NULL"))
    assert "resource_missing" in found["evt_a"]
    assert found["evt_b"] == "nothing is done about this type"


@pytest.mark.parametrize("status", [503, 401, 403])
def test_while_stripe_is_away_or_takes_no_key_of_ours_an_event_waits(counter: Counter, status: int) -> None:
    account_id = counter.account()
    counter.buy(account_id, "pro")
    [event] = [one for one in counter.events(account_id) if one.type == "customer.subscription.created"]
    counter.inbox.add(event)
    counter.stripe.fault("status", status=status, times=None)
    counter.clerk.work_off_all()
    assert counter.row(account_id).plan == "free"
    assert counter.rows("SELECT count(*) FROM webhook_event WHERE applied_us IS NULL AND failed <> ''") == [(1,)]
    counter.stripe.heal()
    counter.rows("UPDATE webhook_event SET next_us = 1 WHERE applied_us IS NULL")
    counter.clerk.work_off_all()
    assert counter.row(account_id).plan == "pro"


def test_an_older_answer_does_not_replace_a_newer_one(counter: Counter) -> None:
    account_id = counter.subscribed("pro")
    known = counter.till.billing.subscription(account_id)
    assert known is not None
    older = counter.till.payments.subscription(known.id)
    fetched_us = counter.till.billing.now_us()
    buy.cancel(counter.till, counter.row(account_id))

    class Slow:
        """Somebody who asked Stripe before, and only comes to the database now."""

        def __getattr__(self, name: str) -> Any:  # noqa: ANN401
            return getattr(counter.till.payments, name)

        def subscription(self, subscription_id: str) -> Any:  # noqa: ANN401
            del subscription_id
            return older

    class Early:
        def __getattr__(self, name: str) -> Any:  # noqa: ANN401
            return getattr(counter.till.billing, name)

        def now_us(self) -> int:
            return fetched_us

    from dataclasses import replace  # noqa: PLC0415

    from farebox.account.sync import sync_subscription  # noqa: PLC0415

    sync_subscription(replace(counter.till, payments=Slow(), billing=Early()), known.id)
    after = counter.till.billing.subscription(account_id)
    assert after is not None
    assert after.ends_at_period_end == 1
