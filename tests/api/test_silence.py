"""No body of a webhook, no card and no secret is logged, however talkative a founder makes it."""

import json
import random
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.api.place import Place
from tests.api.shop import PROVIDER_KEY, Shop
from tests.api.shop import SECRET as SHOP_SECRET
from tests.api.test_buying import Buyer, Market
from tests.services.forged import event_body, forged, post_all, signed
from tests.services.mail import MailServer
from tests.services.process import wait_until
from tests.services.stripe import StripeStandin, make_known
from tests.services.upstream import FakeUpstream

APP: Final = """
import logging

from farebox import Farebox, Pack, Plan

logging.getLogger().setLevel(logging.DEBUG)  # as talkative as a founder can make it
app = Farebox(
    "Till",
    model="openai:gpt-4o-mini",
    prices={"gpt-4o-mini": (0.15, 0.60)},
    plans=[Plan("free"), Plan("pro", usd=29, calls=1, overage_usd="0.01")],
    packs=[Pack("small", usd=10)],
)
"""
SECRET: Final = "whsec_of_nobody_but_stripe"
MARK: Final = "a-word-of-the-body"
CARD: Final = "4000056655665556"
NOTED: Final = {"note": MARK, "number": CARD}


@pytest.fixture
def market(fresh_database_url: str, tmp_path: Path, upstream: FakeUpstream) -> Iterator[Market]:
    """A shop that says all it can say, with pages, mails, and webhooks that Stripe sends."""
    with StripeStandin(tmp_path) as stripe, MailServer() as server:
        shop = Shop(tmp_path, fresh_database_url, upstream, APP)
        shop.settings |= {
            "STRIPE_SECRET_KEY": stripe.key, "STRIPE_API_BASE": stripe.url, "STRIPE_WEBHOOK_SECRET": SECRET,
            "STRIPE_LOG": "debug", "PYTHONASYNCIODEBUG": "1", "FAREBOX_SWEEP_SECONDS": "0.3", "SMTP_URL": server.url,
            "FAREBOX_PUBLIC_URL": "https://till.example", "FAREBOX_TRUSTED_PROXIES": "127.0.0.1",
        }  # fmt: skip
        shop.farebox("stripe", "sync", "--yes")
        with shop.served(workers=2) as served:
            make_known(stripe.path, f"{served.url}/stripe/webhook", SECRET)
            yield Market(Place(shop, served, server), stripe)


def body_of(kind: str = "invoice.paid", object_id: str = "in_unknown") -> str:
    told = json.loads(event_body(f"evt_{secrets.token_hex(8)}", **NOTED, secret=SECRET, email=f"{MARK}@example.com"))
    told["type"], told["data"]["object"]["id"] = kind, object_id
    return json.dumps(told)


def malformed() -> Iterator[str]:
    """What is no event, whoever has signed it."""
    whole = body_of()
    yield from (whole[:-9], f"[{whole}]", json.dumps(MARK), whole.replace('"event"', '"card"'), CARD, "")
    yield whole.replace('"type": "invoice.paid"', '"type": ["invoice.paid"]')
    yield body_of(MARK * 50)


def send(market: Market, *bodies: str) -> dict[int | None, int]:
    """As Stripe signs them."""
    return post_all(market.place.served.url, [(body.encode(), signed(body, SECRET)) for body in bodies])


def is_said(market: Market, words: str) -> None:
    wait_until(lambda: words in market.place.served.output(), f"the log to say {words!r}")


def has_bought_and_been_declined(market: Market) -> Buyer:
    """Somebody of whom Stripe knows the words as well, so that they are in all that it answers and tells."""
    buyer, api = Buyer(market), market.stripe.client().v1
    buyer.browser.get(buyer.pay(buyer.checkout("/plan/buy", "pro")))
    customer = str(buyer.row("customer_id")[0])
    api.customers.update(customer, {"name": MARK, "description": CARD, "metadata": NOTED})
    for one in api.subscriptions.list({"customer": customer}).data:
        api.subscriptions.update(one.id, {"metadata": NOTED, "description": MARK})
    declined = market.stripe.submit(
        buyer.checkout("/credit/buy", "small"), card="chargeDeclined", email="a@example.com"
    )
    assert declined.status_code == 402
    market.stripe.settle()
    return buyer


def test_no_body_no_card_and_no_secret_is_logged(market: Market, seed: int) -> None:
    served, stripe = market.place.served, market.stripe
    buyer = has_bought_and_been_declined(market)
    made = random.Random(seed)
    assert post_all(served.url, [forged(made, body_of(), SECRET) for _ in range(200)]) == {400: 200}
    wrong = list(malformed())
    assert send(market, *wrong) == {400: len(wrong)}
    assert send(market, body_of().replace("false", "true"), body_of() + " " * (1 << 19)) == {200: 1, 413: 1}
    is_said(market, "was ignored: its mode")
    assert send(market, body_of()) == {200: 1}
    is_said(market, "): Stripe refused this (resource_missing")
    for status, words in ((500, "has to wait 2 s"), (401, "s: Stripe does not know this key")):
        stripe.fault("status", status=status, times=None)
        assert send(market, body_of("customer.subscription.updated", "sub_1")) == {200: 1}
        is_said(market, words)
        stripe.heal()
    stripe.fault("status", status=400, times=None, path="/v1/billing/meter_events")
    assert [buyer.call()[0] for _ in range(3)] == [200] * 3
    is_said(market, "farebox.usage")
    assert " DEBUG " in served.output(), "it is talkative"
    assert "Traceback" not in served.output()
    stripe.heal()
    fail_while_an_invoice_is_kept(market)
    said = served.output()
    assert "Traceback" in said, "what went wrong is told"
    addresses = [url for (url,) in market.shop.query("SELECT url FROM invoice WHERE url <> ''")]
    assert addresses
    for hidden in (MARK, CARD, SECRET, stripe.key, buyer.key, PROVIDER_KEY, SHOP_SECRET, *addresses):
        assert hidden not in said, said[max(said.find(hidden) - 1500, 0) :][:3000]
    assert not re.search(r"last4\W{1,8}\d|Failing row contains", said)


def fail_while_an_invoice_is_kept(market: Market) -> None:
    """The database refuses what an event leads to, once, as by a fault of ours: its error has the row, or all of it."""
    shop = market.shop
    if shop.is_sqlite:
        breaking = [f"CREATE TRIGGER no_{verb} BEFORE {verb} ON invoice BEGIN SELECT RAISE(ABORT, 'no row'); END"
                    for verb in ("INSERT", "UPDATE")]  # fmt: skip
        mending = ["DROP TRIGGER no_INSERT", "DROP TRIGGER no_UPDATE"]
    else:
        breaking = ["ALTER TABLE invoice ADD CONSTRAINT no_row CHECK (id = '') NOT VALID"]
        mending = ["ALTER TABLE invoice DROP CONSTRAINT no_row"]
    for statement in breaking:
        shop.query(statement)
    invoice_id = shop.scalar("SELECT id FROM invoice LIMIT 1")
    assert send(market, body_of("invoice.updated", invoice_id)) == {200: 1}
    is_said(market, "could not be handled")
    for statement in mending:
        shop.query(statement)
    done = "SELECT count(*) FROM webhook_event WHERE object_id = %s AND type = 'invoice.updated' AND failed <> ''"
    wait_until(lambda: shop.scalar(f"{done} AND applied_us IS NULL", invoice_id) == 0, "another try to succeed")
