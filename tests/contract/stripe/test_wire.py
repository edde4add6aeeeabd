"""How the API is spoken to: keys, idempotency, lists, what is expanded, what is refused."""

import secrets
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import stripe
from stripe import StripeClient

from tests.contract.stripe.shop import opened
from tests.contract.stripe.test_parameters import ask
from tests.services.stripe import StripeStandin


def body_of(error: stripe.StripeError) -> Any:
    body: Any = error.json_body
    return body["error"]


def test_only_the_one_key_is_let_in(standin: StripeStandin) -> None:
    bases: Any = dict.fromkeys(("api", "meter_events", "files", "connect"), standin.url)
    with pytest.raises(stripe.AuthenticationError, match="Invalid API Key"):
        StripeClient("sk_test_another", base_addresses=bases).v1.customers.list()
    answer = ask(standin, "GET", "/v1/customers", authorization="")
    assert answer.status_code == 401
    assert "did not provide an API key" in answer.json()["error"]["message"]
    assert "sk_test_another" not in answer.text
    basic = ask(standin, "GET", "/v1/customers", authorization="Basic c2tfdGVzdF9mYXJlYm94Og==")
    assert basic.status_code == 200


def test_an_answer_names_its_request(client: StripeClient) -> None:
    customer = client.v1.customers.create()
    assert customer.last_response is not None
    assert str(customer.last_response.request_id).startswith("req_")
    assert client.v1.events.list({"limit": 1}).data[0].request is not None


def test_nothing_is_found_where_nothing_is(client: StripeClient) -> None:
    with pytest.raises(stripe.InvalidRequestError) as raised:
        client.v1.customers.retrieve("cus_none")
    assert (raised.value.http_status, raised.value.code) == (404, "resource_missing")
    price = client.v1.products.create({"name": "x"})
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.customers.retrieve(price.id)
    with pytest.raises(stripe.InvalidRequestError, match="Unrecognized"):
        client.raw_request("get", "/v1/nonsense")


def test_one_key_makes_one_thing(client: StripeClient) -> None:
    key: Any = {"idempotency_key": secrets.token_hex(8)}
    first = client.v1.customers.create({"email": "ada@example.com"}, key)
    again = client.v1.customers.create({"email": "ada@example.com"}, key)
    assert again.id == first.id
    assert again.last_response is not None
    assert again.last_response.headers["idempotent-replayed"] == "true"
    with pytest.raises(stripe.IdempotencyError) as raised:
        client.v1.customers.create({"email": "ben@example.com"}, key)
    assert raised.value.http_status == 400


def test_a_key_of_a_request_that_was_refused_may_be_used_again(client: StripeClient) -> None:
    key: Any = {"idempotency_key": secrets.token_hex(8)}
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.payment_intents.create({"amount": 1, "currency": "usd"}, key)
    assert client.v1.payment_intents.create({"amount": 100, "currency": "usd"}, key).amount == 100


def test_a_declined_payment_is_answered_the_same_again_and_tried_once(client: StripeClient) -> None:
    key: Any = {"idempotency_key": secrets.token_hex(8)}
    ada = client.v1.customers.create({"email": "ada@example.com"})
    given: Any = {"amount": 1000, "currency": "usd", "customer": ada.id, "payment_method": "pm_card_chargeCustomerFail",
                  "confirm": True}  # fmt: skip
    errors = []
    for _ in range(2):
        with pytest.raises(stripe.CardError) as raised:
            client.v1.payment_intents.create(given, key)
        errors.append(raised.value)
    assert {(error.http_status, error.code, body_of(error)["decline_code"]) for error in errors} == {
        (402, "card_declined", "generic_decline")
    }
    assert body_of(errors[0])["payment_intent"]["status"] == "requires_payment_method"
    assert len(client.v1.charges.list({"customer": ada.id}).data) == 1


def test_two_at_once_with_one_key_are_one_and_a_conflict(own: StripeStandin) -> None:
    own.fault("slow", path="/v1/customers", seconds=2, times=1)
    barrier = threading.Barrier(2)

    def create(_: int) -> str:
        barrier.wait()
        try:
            return str(own.client().v1.customers.create({}, {"idempotency_key": "at once"}).id)
        except stripe.StripeError as error:
            return str(error.http_status)

    with ThreadPoolExecutor(2) as pool:
        found = sorted(pool.map(create, range(2)))
    assert found[0] == "409"
    assert found[1].startswith("cus_")
    assert len(own.client().v1.customers.list().data) == 1


def test_lists_are_read_page_by_page(client: StripeClient) -> None:
    email = f"{secrets.token_hex(4)}@example.com"
    made = [client.v1.customers.create({"email": email}).id for _ in range(5)]
    first = client.v1.customers.list({"email": email, "limit": 2})
    assert ([one.id for one in first.data], first.has_more) == (made[:-3:-1], True)
    assert [one.id for one in first.auto_paging_iter()] == made[::-1]
    before = client.v1.customers.list({"email": email, "limit": 2, "ending_before": made[0]})
    assert ([one.id for one in before.data], before.has_more) == ([made[2], made[1]], True)
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.customers.list({"starting_after": "cus_none"})


def test_what_is_asked_for_is_expanded(client: StripeClient) -> None:
    shop = opened(client)
    ada = client.v1.customers.create(
        {"payment_method": "pm_card_visa", "invoice_settings": {"default_payment_method": "pm_card_visa"}}
    )
    subscription = shop.subscribe(ada, expand=["latest_invoice.payments", "customer", "items.data.price.product"])
    assert subscription.latest_invoice.payments.data[0].status == "paid"  # type: ignore[union-attr]
    assert subscription.customer.id == ada.id  # type: ignore[union-attr]
    assert subscription["items"].data[0].price.product.name == "Tagliner Pro"
    with pytest.raises(stripe.InvalidRequestError, match="cannot be expanded"):
        client.v1.customers.retrieve(ada.id, {"expand": ["nonsense"]})


def test_metadata_is_merged_and_taken_away_by_what_is_empty(client: StripeClient) -> None:
    ada = client.v1.customers.create({"metadata": {"a": "1", "_b": "2"}})
    changed = client.v1.customers.update(ada.id, {"metadata": {"a": "", "c": "3"}})
    assert changed.metadata is not None
    assert changed.metadata.to_dict() == {"_b": "2", "c": "3"}
    assert client.v1.customers.update(ada.id, {"metadata": ""}).metadata.to_dict() == {}  # type: ignore[union-attr]


def test_a_lookup_key_belongs_to_one_price_and_is_handed_over(client: StripeClient) -> None:
    key = f"pro_{secrets.token_hex(4)}"
    product = client.v1.products.create({"name": "Pro"})
    given: Any = {"product": product.id, "currency": "usd", "unit_amount": 100, "lookup_key": key}
    old = client.v1.prices.create(given)
    with pytest.raises(stripe.InvalidRequestError, match="already uses that lookup key"):
        client.v1.prices.create(given)
    new = client.v1.prices.create(given | {"unit_amount": 200, "transfer_lookup_key": True})
    assert [price.id for price in client.v1.prices.list({"lookup_keys": [key]}).data] == [new.id]
    client.v1.prices.update(old.id, {"active": False})
    assert [price.id for price in client.v1.prices.list({"product": product.id, "active": True}).data] == [new.id]
    shop: Any = {
        "mode": "payment",
        "line_items": [{"price": old.id, "quantity": 1}],
        "success_url": "https://x.example",
    }
    with pytest.raises(stripe.InvalidRequestError, match="inactive"):
        client.v1.checkout.sessions.create(shop)
