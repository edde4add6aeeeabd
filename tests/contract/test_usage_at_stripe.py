"""What was used reaches a Stripe on real sockets exactly once, whenever the sender, or Stripe, dies."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Final

import pytest

from farebox.adapters.stripe_client import open_client
from farebox.adapters.stripe_invoices import invoice_of
from farebox.adapters.stripe_usage import StripeUsage
from farebox.domain.billing import Invoice, InvoiceLine
from farebox.domain.catalogue import METER
from farebox.domain.period import DAY_US, MICROSECONDS
from farebox.domain.report import HOUR_US
from farebox.ports.money import KeyRefused, PaymentRefused, PaymentsUnavailable, UsageEvent
from farebox.store.database import Database
from tests.contract.usage_world import UsageWorld
from tests.services.stripe import StripeStandin
from tests.services.usage_senders import Senders

KILLS: Final = 50
EVENTS_PATH: Final = "/v1/billing/meter_events"
NAMES: Final = ("ada", "bob")


@pytest.fixture(scope="module")
def stripe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StripeStandin]:
    with StripeStandin(tmp_path_factory.mktemp("stripe")) as found:
        found.settings(aggregation_seconds=0)
        found.client().v1.billing.meters.create(
            {
                "display_name": "Usage",
                "event_name": METER,
                "default_aggregation": {"formula": "sum"},
                "customer_mapping": {"type": "by_id", "event_payload_key": "stripe_customer_id"},
                "value_settings": {"event_payload_key": "value"},
            }
        )
        yield found


@pytest.fixture
def healthy(stripe: StripeStandin) -> Iterator[StripeStandin]:
    yield stripe
    stripe.heal()


@pytest.fixture
def usage(healthy: StripeStandin) -> StripeUsage:
    return StripeUsage(open_client(healthy.key, healthy.url))


@pytest.fixture
def world(database: Database, healthy: StripeStandin) -> Iterator[UsageWorld]:
    found = UsageWorld(database, {name: healthy.client().v1.customers.create({}).id for name in NAMES})
    yield found
    found.close()


def event_of(customer: str, world_now_us: int, nanodollars: int = 5, name: str = "usage_1") -> UsageEvent:
    return UsageEvent(f"{name}_{customer}", "acct", customer, 0, nanodollars, 1, world_now_us, None, 1)


def total(stripe: StripeStandin, world: UsageWorld) -> dict[str, int]:
    return {name: stripe.usage(world.customers[name])[0] for name in NAMES}


def ledger(world: UsageWorld) -> dict[str, int]:
    return {name: world.ledger(name) for name in NAMES}


def test_fifty_senders_killed_between_sending_and_noting_report_nothing_twice_and_lose_nothing(
    world: UsageWorld, healthy: StripeStandin, migrated_url: str
) -> None:
    at_us = world.now_us - 3 * HOUR_US
    with Senders(migrated_url, healthy) as senders:
        for number in range(KILLS):
            world.call("ada", number + 1, number + 2, at_us=at_us)
            world.call("bob", 7, at_us=at_us)
            if number % 2:
                assert not senders.run("answered")
            else:  # Stripe dies between counting and answering, and the sender after it
                healthy.fault("die", path=EVENTS_PATH)
                assert not senders.run("unanswered")
            world.due_again()
            if number % 5 == 4:
                assert senders.run("whole")
        world.due_again()
        assert senders.run("whole")
        assert total(healthy, world) == ledger(world)
        assert world.states().keys() == {"sent"}
        # A day later, again: what is in doubt by then is not sent again, but looked for in Stripe's sums.
        world.call("ada", 1_000, at_us=at_us)
        assert not senders.run("answered")
        world.call("bob", 2_000, at_us=at_us)
        healthy.fault("refuse", path=EVENTS_PATH)
        assert not senders.run("unanswered")
        sent = total(healthy, world)
        healthy.advance(settles=False, by="day")
        world.grow_old(DAY_US)
        assert senders.run("whole")
        assert (world.states()["held"], total(healthy, world)) == (2, sent)
        world.grow_old(2 * HOUR_US)
        assert senders.run("whole"), "the look at Stripe's sums"
        assert senders.run("whole"), "what was not counted is reported anew"
        assert total(healthy, world) == ledger(world)
        assert world.states()["dropped"] == 1
        assert "held" not in world.states()
        healthy.advance(settles=False, by="day")
        world.grow_old(DAY_US)
        world.rows("UPDATE note SET value = '0' WHERE name = 'usage_check_next_us'")
        assert senders.run("whole")
        assert total(healthy, world) == ledger(world)
        looked = world.rows("SELECT counted_nanodollars, reported_nanodollars FROM usage_check")
        assert looked
        assert all(counted == reported for counted, reported in looked)
        logged = senders.end()
    assert healthy.key not in logged
    assert "Traceback" not in logged


def test_an_event_counts_once_however_often_it_is_sent(usage: StripeUsage, healthy: StripeStandin) -> None:
    customer = healthy.client().v1.customers.create({}).id
    now_us = int(healthy.control("state")["now"]) * MICROSECONDS
    event = event_of(customer, now_us)
    for tries in (1, 2, 3):
        usage.send_usage(event._replace(tries=tries))
    usage.send_usage(event)
    assert healthy.usage(customer) == (5, 1)
    minute_us = 60 * MICROSECONDS
    start_us = now_us // minute_us * minute_us
    assert usage.usage_sum(customer, start_us, start_us + minute_us) == 5
    assert usage.usage_sum(customer, start_us - minute_us, start_us) == 0


@pytest.mark.parametrize(
    "fault", [{"kind": "status", "status": 429}, {"kind": "status", "status": 500}, {"kind": "refuse"}]
)
def test_a_stripe_that_is_busy_failing_or_gone_is_tried_again_later(
    usage: StripeUsage, healthy: StripeStandin, world: UsageWorld, fault: dict[str, object]
) -> None:
    healthy.fault(str(fault["kind"]), path=EVENTS_PATH, times=None, status=fault.get("status", 500))
    event = event_of(world.customers["ada"], int(healthy.control("state")["now"]) * MICROSECONDS, name=str(fault))
    with pytest.raises(PaymentsUnavailable):
        usage.send_usage(event)
    healthy.heal()
    usage.send_usage(event._replace(tries=2))
    assert healthy.usage(event.customer) == (5, 1)


def test_what_stripe_refuses_for_good_is_told_apart_from_a_bad_key(healthy: StripeStandin, usage: StripeUsage) -> None:
    customer = healthy.client().v1.customers.create({}).id
    now_us = int(healthy.control("state")["now"]) * MICROSECONDS
    with pytest.raises(PaymentRefused):
        usage.send_usage(event_of(customer, now_us - 36 * DAY_US))
    client = open_client("sk_test_another", healthy.url)
    with pytest.raises(KeyRefused, match="STRIPE_SECRET_KEY") as raised:
        StripeUsage(client).send_usage(event_of(customer, now_us))
    assert "another" not in str(raised.value)


def test_an_event_from_the_future_is_sent_again_and_counts_once_when_stripes_clock_has_come_as_far(
    healthy: StripeStandin, usage: StripeUsage
) -> None:
    customer = healthy.client().v1.customers.create({}).id
    event = event_of(customer, (int(healthy.control("state")["now"]) + 400) * MICROSECONDS)
    with pytest.raises(PaymentsUnavailable, match="the database's clock is more than 5 minutes ahead of Stripe's"):
        usage.send_usage(event)
    healthy.advance(seconds=200)
    for _ in range(2):
        usage.send_usage(event._replace(tries=event.tries + 1))
    assert healthy.usage(customer)[0] == 5


def test_an_invoice_is_read_with_its_lines(healthy: StripeStandin, usage: StripeUsage) -> None:
    api = healthy.client().v1
    product = api.products.create({"name": "Pro"}).id
    [meter] = [one for one in api.billing.meters.list().data if one.event_name == METER]
    base = api.prices.create(
        {"product": product, "currency": "usd", "unit_amount": 2900, "recurring": {"interval": "month"}}
    )
    used = api.prices.create(
        {
            "product": product, "currency": "usd", "unit_amount_decimal": Decimal("0.0000001"),
            "recurring": {"interval": "month", "usage_type": "metered", "meter": meter.id},
        }
    )  # fmt: skip
    customer = api.customers.create({"payment_method": "pm_card_visa"})
    api.customers.update(
        customer.id,
        {"invoice_settings": {"default_payment_method": api.customers.payment_methods.list(customer.id).data[0].id}},
    )
    made = api.subscriptions.create({"customer": customer.id, "items": [{"price": base.id}, {"price": used.id}]})
    now_us = int(healthy.control("state")["now"]) * MICROSECONDS
    usage.send_usage(event_of(customer.id, now_us, 1_234_567_890))
    first = invoice_of(api.invoices.retrieve(str(made.latest_invoice)))
    assert (first.status, first.total_cents, first.paid_cents, first.subscription_id) == ("paid", 2900, 2900, made.id)
    assert [(line.quantity, line.amount_cents, line.is_usage) for line in first.lines] == [(1, 2900, False)]
    coming = invoice_of(api.invoices.create_preview({"subscription": made.id}))
    assert coming.status == "draft"
    assert coming.total_cents == 2900 + 123
    assert _line(coming) == (1_234_567_890, 123)
    healthy.advance(by="month")
    drafts = api.invoices.list({"customer": customer.id, "status": "draft"}).data
    draft = invoice_of(drafts[0])
    assert (draft.status, draft.total_cents, _line(draft)) == ("draft", 2900 + 123, (1_234_567_890, 123))


def _line(invoice: Invoice) -> tuple[int, int]:
    [found] = [line for line in invoice.lines if line.is_usage]
    assert isinstance(found, InvoiceLine)
    return found.quantity, found.amount_cents
