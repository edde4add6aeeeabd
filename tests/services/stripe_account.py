"""An account at Stripe to try things in: one in Stripe's own test mode, or whoever answers at STRIPE_API_BASE.

The key is STRIPE_SECRET_KEY of the environment. What is made there has `farebox-journey` in its name, and is taken away
again by `clean`, which also takes away what a run that was killed has left. What stays are the meter and the price of
usage, which every Farebox of an account shares, and what is archived: Stripe deletes no price.
"""

import json
import os
import re
import time
from itertools import islice
from typing import Final

import pytest
import stripe

from farebox.adapters.stripe_client import open_client
from farebox.domain.catalogue import USAGE
from farebox.domain.webhooks import TYPES
from farebox.wiring.money import STRIPES_PAGES

NAME: Final = "farebox-journey"
SKIPPED: Final = (
    "Skipped: STRIPE_SECRET_KEY is not set, so nothing was asked of Stripe. With a key of its test mode, sk_test_…, "
    "the journey runs there: https://dashboard.stripe.com/test/apikeys"
)
REFUSED: Final = (
    "Refused: STRIPE_SECRET_KEY is no key of Stripe's test mode, so nothing was asked of Stripe. The journey buys and "
    "pays; give it a key that begins with sk_test_ or rk_test_."
)
OCCUPIED: Final = (
    "Refused: this account sells {}, which the journey would archive. Make a sandbox at Stripe, and take its key."
)
OURS: Final = re.compile(rf"farebox_({NAME}-\w+_month_\d+|{USAGE}_\w+)")
SECONDS_MAX: Final = 300  # no measure: only what hangs waits as long
HEARD: Final = [kind for kind in TYPES if kind.startswith(("customer.subscription.", "invoice."))]  # 20 at most
EVENTS_MAX: Final = 1_000


def account_of_environment() -> "StripeAccount":
    """The account of whoever runs the tests. Without a key, and with one for real money, all ends with a sentence."""
    key = os.environ.get("STRIPE_SECRET_KEY", "").strip()
    if not key:
        pytest.exit(SKIPPED, returncode=0)
    if not key.startswith(("sk_test_", "rk_test_")):
        pytest.exit(REFUSED, returncode=1)
    return StripeAccount(key, os.environ.get("STRIPE_API_BASE", "").strip())


class StripeAccount:
    """The account, and the time of one customer in it."""

    def __init__(self, key: str, api_base: str) -> None:
        self.key, self.api_base = key, api_base
        self.pay_origin = api_base or STRIPES_PAGES[0]
        self._client = open_client(key, api_base)
        self.api = self._client.v1
        self._clock = ""
        self._seen: set[str] = set()

    # -- What is there

    def check_free(self) -> None:
        """End all with a sentence where `farebox stripe sync` would archive what somebody sells."""
        active = self.api.prices.list({"active": True, "limit": 100}).auto_paging_iter()
        sold = [one.lookup_key or one.id for one in active if "farebox" in one.metadata.to_dict()]
        others = [key for key in sold if not OURS.fullmatch(key)]
        if others:
            pytest.exit(OCCUPIED.format(", ".join(others)), returncode=1)

    def clean(self) -> None:
        """Take away what this run has made, or one before it; with a clock go its customers, and what they have."""
        for clock in self.api.test_helpers.test_clocks.list({"limit": 100}).auto_paging_iter():
            if (clock.name or "").startswith(NAME):
                self.api.test_helpers.test_clocks.delete(clock.id)
        for price in self.api.prices.list({"active": True, "limit": 100}).auto_paging_iter():
            if f"_{NAME}-" in (price.lookup_key or ""):
                self.api.prices.update(price.id, {"active": False})
        for product in self.api.products.list({"active": True, "limit": 100}).auto_paging_iter():
            if product.metadata.to_dict().get("farebox", "").startswith(f"plan:{NAME}-"):
                self.api.products.update(product.id, {"active": False})

    def close(self) -> None:
        session = self._client._requestor._get_http_client()._thread_local.session  # the SDK closes none
        if session is not None:
            session.close()

    # -- A customer with a time of their own

    def new_customer(self, account_id: str, email: str, run: str) -> str:
        """Somebody whose clock stands still until it is moved; their id."""
        clock = self.api.test_helpers.test_clocks.create({"frozen_time": int(time.time()), "name": f"{NAME} {run}"})
        self._clock = clock.id
        made = self.api.customers.create(
            {"email": email, "test_clock": clock.id, "metadata": {"farebox_account": account_id}, "name": NAME}
        )
        return made.id

    def begin_advance(self, to_seconds: int) -> None:
        self.api.test_helpers.test_clocks.advance(self._clock, {"frozen_time": to_seconds})

    def is_there(self) -> bool:
        """Whether the clock has come to where it was moved."""
        return self.api.test_helpers.test_clocks.retrieve(self._clock).status == "ready"

    def put_card(self, customer: str, subscription: str, card: str) -> str:
        """Have another card charged from now on; its id."""
        method = self.api.payment_methods.attach(card, {"customer": customer}).id
        self.api.customers.update(customer, {"invoice_settings": {"default_payment_method": method}})
        if subscription:
            self.api.subscriptions.update(subscription, {"default_payment_method": method})
        return method

    # -- What Stripe tells

    def news(self, customer: str) -> list[str]:
        """The bodies of the events about a customer that were not told of yet, the oldest first.

        Those that a run before this one has left, with its clock moved, may be dated later: so not the newest are asked
        for, but all.
        """
        found = []
        events = self.api.events.list({"limit": 100, "types": HEARD}).auto_paging_iter()
        for event in islice(events, EVENTS_MAX):
            if event.id not in self._seen:
                self._seen.add(event.id)
                body = json.dumps(event.to_dict(), default=str)
                found += [body] if customer in body else []
        return found[::-1]


def signed(body: str, secret: str) -> str:
    """The header that goes with a body."""
    made: str = stripe.WebhookSignature.generate_signature_header(body, secret)
    return made
