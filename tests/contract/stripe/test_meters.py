"""Usage: what is taken, what counts, when, and what is billed of it."""

import secrets
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import stripe
from stripe import Customer, StripeClient

from tests.contract.stripe.shop import DAY, Shop, opened
from tests.services.process import wait_until
from tests.services.stripe import Inbox, StripeStandin


@pytest.fixture(scope="module")
def shop(client: StripeClient) -> Shop:
    return opened(client)


@pytest.fixture
def ada(client: StripeClient) -> Customer:
    return client.v1.customers.create({"email": "ada@example.com"})


def report(shop: Shop, ada: Customer, value: str = "1", **more: Any) -> stripe.billing.MeterEvent:
    payload = {"stripe_customer_id": ada.id, "value": value}
    given: Any = {"event_name": shop.event_name, "payload": payload, **more}
    return shop.client.v1.billing.meter_events.create(given)


def an_hour_ago() -> str:
    return (datetime.now(UTC) - timedelta(hours=1)).isoformat().replace("+00:00", "Z")


def summed(shop: Shop, ada: Customer, days: int = 1) -> float:
    minute = int(time.time()) // 60 * 60
    given: Any = {"customer": ada.id, "start_time": minute - days * DAY, "end_time": minute + 10 * DAY}
    return shop.client.v1.billing.meters.event_summaries.list(shop.meter, given).data[0].aggregated_value


def test_an_identifier_counts_once_and_is_free_again_after_24_hours(own: StripeStandin) -> None:
    shop = opened(own.client())
    ada = shop.client.v1.customers.create()
    report(shop, ada, "5", identifier="one")
    with pytest.raises(stripe.InvalidRequestError, match="already exists with identifier one") as raised:
        report(shop, ada, "5", identifier="one")
    assert raised.value.http_status == 400
    own.advance(seconds=DAY - 60)
    with pytest.raises(stripe.InvalidRequestError):
        report(shop, ada, "5", identifier="one")
    own.advance(seconds=61)
    report(shop, ada, "5", identifier="one")  # so late a repetition bills twice: Stripe has forgotten
    own.settings(aggregation_seconds=0)
    assert own.usage(ada.id) == (10, 2)


def test_an_identifier_is_made_up_where_none_is_sent(shop: Shop, ada: Customer) -> None:
    assert report(shop, ada).identifier != report(shop, ada).identifier


@pytest.mark.parametrize(
    ("offset", "code"),
    [(-35 * DAY - 5, "timestamp_too_far_in_past"), (400, "timestamp_in_future"), (-35 * DAY + 60, None), (290, None)],
)
def test_an_event_is_at_most_35_days_old_and_5_minutes_ahead(
    shop: Shop, ada: Customer, offset: int, code: str | None
) -> None:
    when = int(time.time()) + offset
    if code is None:
        assert report(shop, ada, timestamp=when).timestamp == when
        return
    with pytest.raises(stripe.InvalidRequestError) as raised:
        report(shop, ada, timestamp=when)
    assert raised.value.code == code


def test_what_was_taken_counts_only_some_time_later(own: StripeStandin) -> None:
    shop = opened(own.client())
    ada = shop.client.v1.customers.create()
    own.settings(aggregation_seconds=60)
    report(shop, ada, "7")
    assert summed(shop, ada) == 0
    own.settings(aggregation_seconds=0)
    report(shop, ada, "4")
    assert summed(shop, ada) == 4
    own.advance(seconds=60)
    assert summed(shop, ada) == 11


def test_an_event_is_taken_back_within_24_hours(own: StripeStandin) -> None:
    shop = opened(own.client())
    ada = shop.client.v1.customers.create()
    own.settings(aggregation_seconds=0)
    names = [secrets.token_hex(4) for _ in range(2)]
    for name in names:
        report(shop, ada, "3", identifier=name)
    v1 = shop.client.v1
    for_one: Any = {"event_name": shop.event_name, "type": "cancel", "cancel": {"identifier": names[0]}}
    assert v1.billing.meter_event_adjustments.create(for_one).status == "pending"
    assert summed(shop, ada) == 3
    with pytest.raises(stripe.InvalidRequestError):
        v1.billing.meter_event_adjustments.create(for_one)
    own.advance(by="day")
    with pytest.raises(stripe.InvalidRequestError, match="24 hours"):
        v1.billing.meter_event_adjustments.create(for_one | {"cancel": {"identifier": names[1]}})


def test_two_at_once_for_one_customer_and_meter_are_one_too_many(own: StripeStandin) -> None:
    shop = opened(own.client())
    ada, ben = shop.client.v1.customers.create(), shop.client.v1.customers.create()
    own.fault("slow", path="/v1/billing/meter_events", seconds=5, times=3)
    barrier = threading.Barrier(3)

    def send(customer: Customer) -> int:
        barrier.wait()
        try:
            report(shop._replace(client=own.client()), customer)
        except stripe.RateLimitError as error:
            return int(error.http_status or 0)
        return 200

    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(send, [ada, ada, ben]))
    assert sorted(found[:2]) == [200, 429]
    assert found[2] == 200
    own.heal()


@pytest.mark.parametrize(
    ("payload", "name", "code"),
    [
        ({"stripe_customer_id": "cus_none", "value": "1"}, None, "meter_event_customer_not_found"),
        ({"value": "1"}, None, "meter_event_no_customer_defined"),
        ({"stripe_customer_id": None, "value": "1.5"}, None, "meter_event_invalid_value"),
        ({"stripe_customer_id": None, "value": "1"}, "nobody_counts_this", "no_meter"),
    ],
)
def test_what_cannot_count_is_taken_and_told_of_later(
    standin: StripeStandin, shop: Shop, ada: Customer, payload: dict[str, str | None], name: str | None, code: str
) -> None:
    kind = f"v1.billing.meter.{'no_meter_found' if name else 'error_report_triggered'}"
    with Inbox() as inbox:
        destination, secret = standin.tell_thin(inbox.url, (kind,))
        said = {key: ada.id if value is None else value for key, value in payload.items()}
        given: Any = {"event_name": name or shop.event_name, "payload": said}
        shop.client.v1.billing.meter_events.create(given)
        inbox.wait_for(1)
        shop.client.v2.core.event_destinations.delete(destination)
    headers, body = inbox.received[0]
    told: Any = shop.client.parse_event_notification(body, headers["stripe-signature"], secret)
    assert told.type == kind
    event: Any = told.fetch_event()
    assert event.data.reason.error_types[0].code == code
    if name is None:
        assert told.related_object.id == shop.meter
    assert summed(shop, ada) == 0


@pytest.mark.parametrize(("formula", "total"), [("sum", 9), ("count", 3), ("last", 2)])
def test_a_meter_counts_as_it_was_made(standin: StripeStandin, client: StripeClient, formula: str, total: int) -> None:
    name = secrets.token_hex(4)
    aggregation: Any = {"formula": formula}
    meter = client.v1.billing.meters.create(
        {"display_name": "x", "event_name": name, "default_aggregation": aggregation}
    )
    ada = client.v1.customers.create()
    shop = Shop(client, None, None, meter.id, name)  # type: ignore[arg-type]
    for value in ("3", "4", "2"):
        report(shop, ada, value)
    wait_until(lambda: summed(shop, ada) == total, "the events to count")
    with pytest.raises(stripe.InvalidRequestError, match="already exists"):
        client.v1.billing.meters.create({"display_name": "y", "event_name": name, "default_aggregation": aggregation})
    assert standin.url


def test_in_an_hour_of_a_meter_with_windows_the_last_value_counts(standin: StripeStandin, client: StripeClient) -> None:
    given: Any = {"display_name": "x", "event_name": secrets.token_hex(4), "event_time_window": "hour",
                  "default_aggregation": {"formula": "sum"}}  # fmt: skip
    meter = client.v1.billing.meters.create(given)
    ada = client.v1.customers.create()
    shop = Shop(client, None, None, meter.id, meter.event_name)  # type: ignore[arg-type]
    hour = int(time.time()) // 3600 * 3600 - 7200
    for offset, value in ((10, "5"), (20, "8"), (3700, "2")):
        report(shop, ada, value, timestamp=hour + offset)
    wait_until(lambda: summed(shop, ada) == 10, "the events to count")
    assert standin.url


def test_usage_is_summed_hour_by_hour_or_day_by_day(shop: Shop, ada: Customer) -> None:
    hour = int(time.time()) // 3600 * 3600 - 3 * 3600
    for offset, value in ((5, "1"), (10, "2"), (3605, "4")):
        report(shop, ada, value, timestamp=hour + offset)
    given: Any = {"customer": ada.id, "start_time": hour, "end_time": hour + 7200, "value_grouping_window": "hour"}
    read = shop.client.v1.billing.meters.event_summaries.list
    wait_until(lambda: len(read(shop.meter, given).data) == 2, "the events to count")
    assert {(one.start_time - hour, one.aggregated_value) for one in read(shop.meter, given).data} == {
        (0, 3),
        (3600, 4),
    }
    with pytest.raises(stripe.InvalidRequestError, match="aligned"):
        read(shop.meter, given | {"start_time": hour + 1})


def test_usage_comes_in_bulk_with_a_session(standin: StripeStandin, shop: Shop, ada: Customer) -> None:
    v2 = shop.client.v2
    session = v2.billing.meter_event_session.create()
    bases: Any = dict.fromkeys(("api", "meter_events", "files", "connect"), standin.url)
    bulk = StripeClient(session.authentication_token, base_addresses=bases, http_client=stripe.RequestsClient())
    event: Any = {"event_name": shop.event_name, "payload": {"stripe_customer_id": ada.id, "value": "21"}}
    bulk.v2.billing.meter_event_stream.create({"events": [event, event | {"timestamp": an_hour_ago()}]})
    v2.billing.meter_events.create(event)
    wait_until(lambda: standin.usage(ada.id) == (63, 3), "three events")
    with pytest.raises(stripe.InvalidRequestError):
        bulk.v2.billing.meter_event_stream.create({"events": [event] * 101})
