"""A shop that invoices what is beyond its plan, with a stand-in for Stripe, and customers who are subscribed to it."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from farebox.store.database import Database
from tests.api.shop import SECRET, Shop, generate, send
from tests.services.browser import Browser
from tests.services.load import Reply
from tests.services.many_calls import Customer, new_customer
from tests.services.process import wait_until
from tests.services.served import Served
from tests.services.stripe import StripeStandin
from tests.services.upstream import FakeUpstream

APP: Final = """
from farebox import Farebox, Plan

app = Farebox(
    "Till",
    model="openai:gpt-4o-mini",
    prices={"gpt-4o-mini": (0.15, 0.60)},
    plans=[
        Plan("free", calls=5),
        Plan("pro", usd=29, calls=2, overage_usd="0.0123"),
        Plan("yearly", usd=290, every="year", calls=2, overage_usd="0.0123"),
    ],
)
"""
EACH: Final = 12_300_000
"""What a call beyond the plan costs, in nanodollars."""
INCLUDED: Final = 2


class Subscriber(NamedTuple):
    """A customer with a subscription: here, and at Stripe."""

    customer: Customer
    browser: Browser
    key: str
    stripe_id: str
    subscription_id: str


class Billed:
    """The shop, served, and Stripe."""

    def __init__(self, shop: Shop, served: Served, stripe: StripeStandin) -> None:
        self.shop = shop
        self.served = served
        self.stripe = stripe
        self.api = stripe.client().v1

    def subscriber(self, plan: str = "pro", *, trial_days: int = 0) -> Subscriber:
        """Somebody new, who has just subscribed."""
        with closing(Database(self.shop.database_url)) as database:
            made = new_customer(database, SECRET.encode(), "free", age_days=0)
        browser = Browser(self.served.url)
        browser.cookies = dict([made.cookie.split("=")])
        metadata = {"farebox_account": made.account.id}
        at_stripe = self.api.customers.create({"payment_method": "pm_card_visa", "metadata": metadata}).id
        card = self.api.customers.payment_methods.list(at_stripe).data[0].id
        self.api.customers.update(at_stripe, {"invoice_settings": {"default_payment_method": card}})
        self.shop.query("UPDATE account SET customer_id = %s WHERE id = %s", at_stripe, made.account.id)
        terms: Any = {"trial_period_days": trial_days} if trial_days else {}
        found = self.api.subscriptions.create(
            {"customer": at_stripe, "items": [{"price": one} for one in self._prices(plan)], "metadata": metadata}
            | terms
        )
        subscriber = Subscriber(made, browser, made.texts[0], at_stripe, found.id)
        self.wait_until_subscribed(subscriber)
        return subscriber

    def _prices(self, plan: str) -> list[str]:
        interval = "year" if plan == "yearly" else "month"
        keys = [one.lookup_key for one in self.api.prices.list({"limit": 100}).data]
        wanted = [key for key in keys if key and key.startswith((f"farebox_{plan}_", f"farebox_usage_{interval}"))]
        return [one.id for one in self.api.prices.list({"lookup_keys": wanted}).data]

    def wait_until_subscribed(self, subscriber: Subscriber) -> None:
        account_id = subscriber.customer.account.id
        sql = "SELECT is_subscribed FROM account WHERE id = %s"
        wait_until(lambda: self.shop.scalar(sql, account_id) == 1, "the subscription to be known")

    def call(self, subscriber: Subscriber, times: int = 1) -> list[Reply]:
        return [send(generate(self.served.url, subscriber.key, {"prompt": "Say hello"})) for _ in range(times)]

    def invoiced(self, subscriber: Subscriber) -> int:
        """What the ledger has for the account's invoices, ever."""
        sql = "SELECT coalesce(sum(invoiced_nanodollars), 0) FROM usage_record WHERE account_id = %s"
        return int(self.shop.scalar(sql, subscriber.customer.account.id))

    def counted(self, subscriber: Subscriber) -> int:
        """What Stripe has counted, ever."""
        return self.stripe.usage(subscriber.stripe_id)[0]

    def wait_until_reported(self, subscriber: Subscriber) -> None:
        """Until Stripe has been told of all that was used."""
        wait_until(
            lambda: self.counted(subscriber) == self.invoiced(subscriber), "Stripe to have counted what was used"
        )
        sql = "SELECT count(*) FROM usage_event WHERE account_id = %s AND state = 'waiting'"
        account_id = subscriber.customer.account.id
        wait_until(lambda: self.shop.scalar(sql, account_id) == 0, "that to be noted")


@contextmanager
def billed(folder: Path, url: str, upstream: FakeUpstream, **settings: str) -> Iterator[Billed]:
    """The shop on a database, with what is for sale at Stripe, and its webhooks told."""
    with StripeStandin(folder) as stripe:
        stripe.settings(aggregation_seconds=0)
        shop = Shop(folder, url, upstream, APP)
        shop.settings |= {"STRIPE_SECRET_KEY": stripe.key, "STRIPE_API_BASE": stripe.url}
        print(shop.farebox("stripe", "sync", "--yes"))
        served = shop.served(workers=2, **{"FAREBOX_SWEEP_SECONDS": "0.2", **settings})
        endpoint = stripe.tell(f"{served.url}/stripe/webhook")
        served._env = {**served._env, "STRIPE_WEBHOOK_SECRET": str(endpoint.secret)}
        with served:
            yield Billed(shop, served, stripe)
            output = served.output()
        assert "Traceback" not in output, output[-4000:]
        for hidden in (stripe.key, str(endpoint.secret), SECRET):
            assert hidden not in output
