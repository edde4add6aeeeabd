"""Webhooks that are late, twice, shuffled or lost; an API that is busy, broken or gone; a process that is killed."""

import json
from typing import Any

import pytest
import stripe
from stripe import StripeClient, Webhook

from tests.contract.stripe.shop import opened
from tests.services.process import wait_until
from tests.services.stripe import Inbox, StripeStandin


@pytest.fixture
def client(own: StripeStandin) -> StripeClient:
    own.heal()
    return own.client()


def kinds(inbox: Inbox) -> list[str]:
    return [json.loads(body)["type"] for _, body in inbox.received]


def emails(inbox: Inbox) -> list[str]:
    return [json.loads(body)["data"]["object"]["email"] for _, body in inbox.received]


def test_a_webhook_is_signed_and_says_what_the_event_says(own: StripeStandin, client: StripeClient) -> None:
    with Inbox() as inbox:
        endpoint = own.tell(inbox.url, ("customer.created",))
        key: Any = {"idempotency_key": "a key"}
        ada = client.v1.customers.create({"email": "ada@example.com"}, key)
        client.v1.customers.update(ada.id, {"name": "Ada"})  # nobody wants to hear of it
        own.settle()
        client.v1.webhook_endpoints.delete(endpoint.id)
    assert kinds(inbox) == ["customer.created"]
    headers, body = inbox.received[0]
    event = Webhook.construct_event(body, headers["stripe-signature"], str(endpoint.secret))
    assert event.data.object["id"] == ada.id
    assert event.request.idempotency_key == "a key"
    assert client.v1.events.retrieve(event.id).to_dict() == event.to_dict()
    with pytest.raises(stripe.SignatureVerificationError):
        Webhook.construct_event(body, headers["stripe-signature"], "whsec_another")


def test_a_webhook_that_nobody_takes_comes_again(own: StripeStandin, client: StripeClient) -> None:
    with Inbox() as inbox:
        inbox.refusals.append(500)
        endpoint = own.tell(inbox.url, ("customer.created",))
        client.v1.customers.create({"email": "ada@example.com"})
        inbox.wait_for(2)
        own.settle()
        client.v1.webhook_endpoints.delete(endpoint.id)
    assert inbox.received[0][1] == inbox.received[1][1]
    assert len(inbox.received) == 2


def test_webhooks_come_twice_shuffled_late_or_not_at_all(own: StripeStandin, client: StripeClient) -> None:
    names = [f"{place}@example.com" for place in range(12)]
    with Inbox() as inbox:
        endpoint = own.tell(inbox.url, ("customer.created",))
        own.webhooks(copies=2, hold=True)
        for name in names:
            client.v1.customers.create({"email": name})
        own.settle()
        assert not inbox.received
        assert own.release() == 24
        own.settle()
        assert sorted(emails(inbox)) == sorted(names * 2)
        assert emails(inbox) != sorted(emails(inbox))
        own.heal()
        own.webhooks(lose=1)
        inbox.received.clear()
        for name in names[:3]:
            client.v1.customers.create({"email": name})
        own.settle()
        assert sorted(emails(inbox)) == names[1:3]
        lost = client.v1.events.list({"type": "customer.created", "limit": 3}).data[-1]
        assert lost.data.object["email"] == names[0]
        inbox.received.clear()
        assert own.send(client.v1.events.list({"limit": 1}).data[0].id, times=5) == 5
        own.settle()
        assert emails(inbox) == [names[2]] * 5
        client.v1.webhook_endpoints.delete(endpoint.id)


def test_the_api_is_busy_or_broken_so_many_times(own: StripeStandin, client: StripeClient) -> None:
    own.fault("status", status=429, path="/v1/customers", times=2)
    for _ in range(2):
        with pytest.raises(stripe.RateLimitError):
            client.v1.customers.list()
    client.v1.customers.list()
    own.fault("status", status=500, method="POST", times=None)
    for _ in range(3):
        with pytest.raises(stripe.APIError):
            client.v1.customers.create()
        client.v1.customers.list()
    own.heal()
    client.v1.customers.create()


def test_the_library_tries_again_with_the_same_key_and_makes_one_thing(
    own: StripeStandin, client: StripeClient
) -> None:
    before = len(client.v1.customers.list({"limit": 100}).data)
    own.fault("status", status=500, method="POST", times=1)
    own.client(retries=2).v1.customers.create()
    assert len(client.v1.customers.list({"limit": 100}).data) == before + 1


def test_it_hangs_up_before_it_does_anything(own: StripeStandin, client: StripeClient) -> None:
    before = len(client.v1.customers.list({"limit": 100}).data)
    own.fault("refuse", method="POST")
    with pytest.raises(stripe.APIConnectionError):
        client.v1.customers.create()
    assert len(client.v1.customers.list({"limit": 100}).data) == before


def test_it_dies_between_doing_and_answering_and_the_same_key_hears_what_was_done(
    own: StripeStandin, client: StripeClient
) -> None:
    shop = opened(client)
    ada = client.v1.customers.create()
    own.settings(aggregation_seconds=0)
    given: Any = {"event_name": shop.event_name, "identifier": "ambiguous",
                  "payload": {"stripe_customer_id": ada.id, "value": "9"}}  # fmt: skip
    key: Any = {"idempotency_key": "ambiguous"}
    own.fault("die", path="/v1/billing/*")
    with pytest.raises(stripe.APIConnectionError):
        client.v1.billing.meter_events.create(given, key)
    assert own.usage(ada.id) == (9, 1)
    assert client.v1.billing.meter_events.create(given, key).identifier == "ambiguous"
    with pytest.raises(stripe.InvalidRequestError, match="already exists"):
        client.v1.billing.meter_events.create(given)
    assert own.usage(ada.id) == (9, 1)


def test_it_is_killed_and_comes_back_with_all_that_it_knew(own: StripeStandin, client: StripeClient) -> None:
    ada = client.v1.customers.create({"email": "ada@example.com"})
    with Inbox() as inbox:
        endpoint = own.tell(inbox.url, ("customer.updated",))
        own.webhooks(hold=True)
        client.v1.customers.update(ada.id, {"name": "Ada"})
        own.stop()
        with pytest.raises(stripe.APIConnectionError):
            client.v1.customers.list()
        own.start()
        client = own.client()
        assert client.v1.customers.retrieve(ada.id).name == "Ada"
        own.heal()
        wait_until(lambda: kinds(inbox) == ["customer.updated"], "the webhook to come after all")
        client.v1.webhook_endpoints.delete(endpoint.id)
