"""The stand-in as a part of something else: below a prefix, in several processes, told where to send webhooks."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import stripe
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount
from stripe import StripeClient, Webhook

from farebox.sandbox.stripe import Standin
from tests.contract.stripe.shop import opened
from tests.services.process import free_port, wait_until
from tests.services.stripe import Inbox, StripeStandin


@contextmanager
def served(app: Any, port: int) -> Iterator[None]:
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning"))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), daemon=True)
    thread.start()
    wait_until(lambda: server.started, "the server to listen")
    yield
    server.should_exit = True
    thread.join()


def client_of(base: str) -> StripeClient:
    bases: Any = dict.fromkeys(("api", "meter_events", "files", "connect"), base)
    return StripeClient("sk_test_farebox", base_addresses=bases, http_client=stripe.RequestsClient())


def test_below_a_prefix_its_pages_link_to_themselves(tmp_path: Path) -> None:
    port = free_port()
    base = f"http://127.0.0.1:{port}/dev/stripe"
    standin = Standin(tmp_path / "stripe.db", base)
    standin.start()
    with served(Starlette(routes=[Mount("/dev/stripe", standin)]), port), Inbox() as inbox:
        secret = standin.told_to(inbox.url, ("checkout.session.completed",))
        assert standin.told_to(inbox.url) == secret
        shop = opened(client_of(base))
        session = shop.client.v1.checkout.sessions.create(
            {
                "mode": "subscription",
                "line_items": [{"price": shop.base.id, "quantity": 1}],
                "success_url": f"http://127.0.0.1:{port}/plan/paid?cs={{CHECKOUT_SESSION_ID}}",
            }
        )
        assert str(session.url).startswith(f"{base}/pay/")
        with httpx2.Client(trust_env=False, timeout=60) as browser:
            page = browser.get(str(session.url))
            assert 'href="/dev/stripe/_static/farebox.css"' in page.text
            assert browser.get(f"{base}/_static/farebox.css").status_code == 200
            assert "Stripe's stand-in" in browser.get(f"{base}/").text.replace("&#39;", "'")
            paid = browser.post(str(session.url), data={"card": "visa"})
            assert paid.headers["location"] == f"http://127.0.0.1:{port}/plan/paid?cs={session.id}"
            assert browser.post(f"{base}/_control/advance", data={"by": "hour"}).headers["location"] == "/dev/stripe/"
            browser.post(f"{base}/_control/faults", json={"kind": "die", "path": "/v1/customers"})
        with pytest.raises(stripe.APIConnectionError):
            shop.client.v1.customers.create({"email": "done.all.the.same@example.com"})
        assert len(shop.client.v1.customers.list({"email": "done.all.the.same@example.com"}).data) == 1
        inbox.wait_for(1)
        headers, body = inbox.received[0]
        assert Webhook.construct_event(body, headers["stripe-signature"], secret).data.object["id"] == session.id
    standin.stop()


def test_several_processes_share_one_file(tmp_path: Path) -> None:
    with StripeStandin(tmp_path) as one, StripeStandin(tmp_path) as two:
        shop = opened(one.client())
        ada = one.client().v1.customers.create({"email": "ada@example.com"})
        assert two.client().v1.customers.retrieve(ada.id).email == "ada@example.com"

        def report(place: int) -> None:
            payload = {"stripe_customer_id": ada.id, "value": "1"}
            given: Any = {"event_name": shop.event_name, "payload": payload, "identifier": f"event {place}"}
            client = (one, two)[place % 2].client()
            while True:
                try:
                    client.v1.billing.meter_events.create(given)
                except stripe.RateLimitError:
                    continue
                return

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(report, range(60)))
        with pytest.raises(stripe.InvalidRequestError, match="already exists"):
            two.client().v1.billing.meter_events.create(
                {
                    "event_name": shop.event_name,
                    "payload": {"stripe_customer_id": ada.id, "value": "1"},
                    "identifier": "event 0",
                }
            )
        assert one.usage(ada.id) == two.usage(ada.id) == (60, 60)


def test_a_webhook_is_sent_once_by_several_processes(tmp_path: Path) -> None:
    with StripeStandin(tmp_path) as one, StripeStandin(tmp_path) as two, Inbox() as inbox:
        one.tell(inbox.url, ("customer.created",))
        for place in range(20):
            (one, two)[place % 2].client().v1.customers.create()
        two.settle()
        assert len(inbox.received) == 20
