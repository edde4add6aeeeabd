"""A shop that sells by a stand-in for Stripe, over real sockets: its customers, and what Stripe told it."""

import itertools
import json
import re
import secrets
from typing import Any, Final

from sqlalchemy import text

from farebox.account import buy
from farebox.account.stripe_catalogue import compare, make_so
from farebox.account.stripe_events import Clerk
from farebox.account.till import Till
from farebox.adapters.stripe_catalogue import StripeCatalogue
from farebox.adapters.stripe_client import open_client
from farebox.adapters.stripe_payments import StripePayments
from farebox.domain.events import Event as Told
from farebox.domain.pack import Pack
from farebox.domain.places import Places
from farebox.domain.plan import Plan
from farebox.domain.product import Product
from farebox.domain.subscribing import Known
from farebox.domain.webhooks import Event, object_of
from farebox.ports.calls import AccountRow
from farebox.store.accounts import StoredAccounts
from farebox.store.database import Database
from farebox.store.money.billing import StoredBilling
from farebox.store.money.inbox import StoredInbox
from farebox.store.money.top_ups import StoredTopUps
from farebox.store.money.wallet import StoredCredit
from tests.services.stripe import StripeStandin

PRODUCT: Final = Product(
    "Till",
    plans=(
        Plan("free", calls=20),
        Plan("basic", usd=9, calls=100),
        Plan("lite", usd=11, calls=10, overage_usd="0.02"),
        Plan("pro", usd=29, calls=1000, overage_usd="0.01"),
        Plan("team", usd=99, calls=5000, overage_usd="0.008"),
        Plan("flat", usd=79, calls=9000),
        Plan("yearly", usd=290, every="year", calls=1000, overage_usd="0.01"),
        Plan("tried", usd=19, trial_days=14, calls=500),
    ),
    packs=(Pack("small", usd=10), Pack("big", usd=50, credit_usd=55, days=30)),
)
URL: Final = "https://till.example"
SESSION: Final = re.compile(r"cs=(cs_\w+)")
numbers = itertools.count(1)


class Counter:
    """The shop, with its own clerk."""

    def __init__(self, database: Database, stripe: StripeStandin, product: Product, *, is_taxed: bool = False) -> None:
        self.is_taxed = is_taxed
        self.database = database
        self.stripe = stripe
        self.product = product
        self.client = open_client(stripe.key, stripe.url)  # one for all, so that all is closed
        self.mails = 0
        self.told: list[Told] = []
        self.changed: list[str] = []
        self.invoices_open: list[str] = []
        self.inbox = StoredInbox(database)
        self.top_ups = StoredTopUps(database)
        self.till = self.another_till()
        self.clerk = Clerk(self.inbox, lambda: self.till)
        newest = self.client.v1.events.list({"limit": 1}).data
        self._since = newest[0].created if newest else 0
        self._customers: list[str] = []

    def another_till(self) -> Till:
        """That of another process."""
        return Till(
            payments=StripePayments(self.client, is_taxed=self.is_taxed),
            billing=StoredBilling(self.database),
            credit=StoredCredit(self.database),
            product=self.product,
            url=URL,
            pay_origins=(self.stripe.url,),
            grace_seconds=7 * 86_400,
            mail_written=self._mail,
            tell=self.told.append,
            account_changed=self.changed.append,
            invoice_open=self.invoices_open.append,
            places=Places(),
        )

    def _mail(self) -> None:
        self.mails += 1

    def sync(self) -> int:
        """Have everything for sale."""
        catalogue = self.catalogue
        return make_so(catalogue, self.product, *compare(catalogue, self.product)).changes

    @property
    def catalogue(self) -> StripeCatalogue:
        return StripeCatalogue(self.client)

    # -- Customers

    def account(self, plan: str = "free") -> str:
        """A new account with an owner; its id."""
        accounts = StoredAccounts(self.database)
        account_id, person_id, number = f"acct_{secrets.token_hex(8)}", secrets.token_hex(16), next(numbers)
        email = f"owner{number}-{secrets.token_hex(4)}@example.com"
        now_us = accounts.now_us()
        # An anchor of its own: periods have begun before.
        accounts.add_account(AccountRow(account_id, email, plan, "active", now_us - 10 * 86_400 * 10**6, now_us))
        self.rows(
            "INSERT INTO person VALUES (:id, :email, NULL, :now, NULL, NULL, :now)",
            id=person_id,
            email=email,
            now=now_us,
        )
        self.rows(
            "INSERT INTO member VALUES (:account, :person, 'owner', :now, 1)",
            account=account_id, person=person_id, now=now_us,
        )  # fmt: skip
        return account_id

    def row(self, account_id: str) -> AccountRow:
        found = self.till.billing.account(account_id)
        assert found is not None
        return found

    def buy(self, account_id: str, plan: str, card: str = "visa") -> str:
        """Pay on Stripe's page, and do not come back; the checkout session's id."""
        url = buy.buy_plan(self.till, self.row(account_id), plan)
        self._customers.append(self.row(account_id).customer_id)
        return self._pay(url, card)

    def buy_pack(self, account_id: str, pack: str, card: str = "visa") -> str:
        return self._pay(buy.buy_pack(self.till, self.row(account_id), pack), card)

    def _pay(self, url: str, card: str) -> str:
        found = SESSION.search(self.stripe.pay(url, card))
        assert found is not None
        return found[1]

    def paid(self, account_id: str, session: str) -> str:
        """Come back from paying."""
        return buy.paid(self.till, self.row(account_id), session)

    def subscribed(self, plan: str, card: str = "visa") -> str:
        """An account that has bought a plan, and come back."""
        account_id = self.account()
        self.paid(account_id, self.buy(account_id, plan, card))
        return account_id

    def subscription(self, account_id: str) -> Any:  # noqa: ANN401  # the SDK's own
        """As Stripe has it."""
        known = self.till.billing.subscription(account_id)
        assert known is not None
        return self.till.payments.subscription(known.id)

    def pays_with(self, account_id: str, card: str) -> str:
        """Have another card charged from now on; its id."""
        customer = self.row(account_id).customer_id
        method = self.client.v1.payment_methods.attach(card, {"customer": customer}).id
        self.client.v1.customers.update(customer, {"invoice_settings": {"default_payment_method": method}})
        for one in self.till.payments.subscriptions_of(customer):
            if one.status != "canceled":
                self.client.v1.subscriptions.update(one.id, {"default_payment_method": method})
        return method

    # -- What Stripe tells

    def events(self, account_id: str) -> list[Event]:
        """All events about an account's customer, the oldest first."""
        customer = self.row(account_id).customer_id
        payments = self.client.v1.payment_intents.list({"customer": customer, "limit": 100}).data
        names = (customer, *(payment.id for payment in payments))
        found = [
            event.to_dict()
            for event in self.client.v1.events.list({"limit": 100, "created": {"gte": self._since}}).auto_paging_iter()
        ]
        mine = [one for one in found if any(name in json.dumps(one, default=str) for name in names)]
        return [
            Event(one["id"], one["type"], object_of(one["type"], one), one["created"] * 10**6, is_live=False)
            for one in reversed(mine)
        ]

    def hear(self, account_id: str) -> int:
        """Work off all that Stripe tells about an account."""
        for event in self.events(account_id):
            self.inbox.add(event)
        return self.clerk.work_off_all()

    def known(self, account_id: str) -> Known:
        """The account's subscription as the database has it."""
        known = self.till.billing.subscription(account_id)
        assert known is not None
        return known

    def mails_of(self, account_id: str) -> list[str]:
        found = self.rows("SELECT template FROM mail WHERE account_id = :id ORDER BY created_us", id=account_id)
        return [row[0] for row in found]

    def rows(self, sql: str, **values: Any) -> list[Any]:  # noqa: ANN401  # any parameter
        with self.database.write() as connection:
            done = connection.execute(text(sql), values)
            return [tuple(row) for row in done] if done.returns_rows else []

    def close(self) -> None:
        """Nobody pays on: what time brings is the next test's own."""
        self.stripe.heal()
        for customer in self._customers:
            for one in self.till.payments.subscriptions_of(customer):
                if one.status not in {"canceled", "incomplete_expired"}:
                    self.till.payments.cancel_now(one.id)
        self.inbox.close()
        self.top_ups.close()
        session = self.client._requestor._get_http_client()._thread_local.session  # the SDK closes none
        if session is not None:
            session.close()
