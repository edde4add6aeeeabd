"""One account's life with a plan: the real store, the real use cases of buying and reporting, and a Stripe inside.

What the account is on, it takes from the product; what its calls come to, from `months_model`. `months_checks` holds
both against Stripe at the end.
"""

import random
import secrets
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import stripe

from farebox.account import buy
from farebox.account.check_usage import UsageCheck
from farebox.account.keys import PLAIN, create_key
from farebox.account.report_usage import UsageReport
from farebox.account.stripe_catalogue import compare, make_so
from farebox.account.stripe_events import Clerk
from farebox.account.till import CannotBuy, Till
from farebox.adapters.stripe_catalogue import StripeCatalogue
from farebox.adapters.stripe_invoices import invoice_of
from farebox.adapters.stripe_payments import StripePayments
from farebox.adapters.stripe_usage import StripeUsage
from farebox.domain.admission import Admitted, Ask, Refused
from farebox.domain.billing import LIVE, Subscription
from farebox.domain.ledger import Hold, Spent
from farebox.domain.period import MICROSECONDS
from farebox.domain.places import Places
from farebox.domain.plan import Plan
from farebox.domain.prices import Price
from farebox.domain.product import Product
from farebox.domain.subscribing import Followed
from farebox.domain.upcoming import next_invoice
from farebox.domain.webhooks import Event, verb_of
from farebox.ports.billing import Decide
from farebox.ports.calls import AccountRow, Recorded
from farebox.store.accounts import StoredAccounts
from farebox.store.database import Database
from farebox.store.ledger.batch import Finish, Item, Result, run
from farebox.store.ledger.statements import PostgresStatements, SqliteStatements
from farebox.store.money.billing import StoredBilling
from farebox.store.money.inbox import StoredInbox
from farebox.store.money.invoices import StoredInvoices
from farebox.store.money.usage_checks import StoredUsageChecks
from farebox.store.money.usage_outbox import StoredUsageOutbox
from farebox.store.money.wallet import StoredCredit
from tests.property.months_model import INPUT_MAX, OUTPUT_MAX, Account, Call, Replaced
from tests.services.stripe_inside import Clock, InsideStripe

SECRET: Final = b"a secret of the tests, long enough"
PRICE: Final = Price(150_000_000, 75_000_000, 600_000_000)
SECOND_US: Final = MICROSECONDS
HOUR_US: Final = 3_600 * SECOND_US
DAY_US: Final = 24 * HOUR_US
TTL_US: Final = 3 * HOUR_US
PRODUCT: Final = Product(
    "Months",
    plans=(
        Plan("free", calls=2),
        Plan("basic", usd=9, calls=2),
        Plan("lite", usd=11, calls=1, overage_usd="0.0123"),
        Plan("pro", usd=29, calls=1, overage_usd="0.007"),
        Plan("flat", usd=79, calls=4),
        Plan("words", usd=39, tokens=150, overage_usd_per_1k_tokens="0.0013"),
        Plan("costs", usd=49, credit_usd="0.00006", credit_overage=True, markup=0.2),
        Plan("tried", usd=19, trial_days=14, calls=1, overage_usd="0.02"),
        Plan("long", usd=59, trial_days=45, tokens=120, overage_usd_per_1k_tokens="0.002"),
        Plan("yearly", usd=290, every="year", calls=1, overage_usd="0.005"),
        Plan("decade", usd=900, every="year", trial_days=20, calls=1, overage_usd="0.004"),
    ),
)
PAID: Final = [plan.name for plan in PRODUCT.plans[1:]]
SPENTS: Final = [(12, 7), (40, 60), (1, 1), (33, 20)]
NANODOLLAR: Final = "0.0000001"


def for_sale() -> InsideStripe:
    """A Stripe that has everything for sale; others begin as its copies."""
    found = InsideStripe()
    catalogue = StripeCatalogue(found.client())
    make_so(catalogue, PRODUCT, *compare(catalogue, PRODUCT))
    return found


class Watched(StoredBilling):
    """The real one, which tells the model of what was followed."""

    def __init__(self, database: Database, shop: "Shop") -> None:
        super().__init__(database)
        self._shop = shop

    def follow(self, account_id: str, decide: Decide, words: Callable[[Followed], str]) -> Followed | None:
        before, known = self._shop.row, self.subscription(account_id)
        found = super().follow(account_id, decide, words)
        self._shop.followed(before, "" if known is None else known.id)
        return found


class Shop:
    """One account, and all that happens to it. Each step's name is a method; what cannot be done is not done."""

    def __init__(self, database: Database, shelves: InsideStripe, clock: Clock, chance: random.Random) -> None:
        self.database, self.clock, self.chance = database, clock, chance
        self.stripe = InsideStripe(shelves)
        self.client = self.stripe.client()
        self.pending: list[Event] = []
        self.open: list[tuple[Hold, Call]] = []
        self.replaced: list[Replaced] = []
        self.is_in_doubt = False
        self.outbox, self.checks = StoredUsageOutbox(database), StoredUsageChecks(database)
        meter = StripeUsage(self.client)
        self.report = UsageReport(self.outbox, UsageCheck(self.checks, lambda: meter), lambda: meter)
        self.payments = StripePayments(self.client)
        self.billing, self.inbox = Watched(database, self), StoredInbox(database)
        self.till = Till(
            payments=self.payments, billing=self.billing, credit=StoredCredit(database), product=PRODUCT,
            url="https://months.example", pay_origins=(), grace_seconds=7 * 86_400, mail_written=lambda: None,
            tell=lambda _: None, account_changed=lambda _: None, invoice_open=self._flush,
            places=Places(),
        )  # fmt: skip
        self.clerk = Clerk(self.inbox, lambda: self.till)
        self.statements = SqliteStatements() if database.is_sqlite else PostgresStatements()
        self.connection = database.connect()
        accounts = StoredAccounts(database)
        self.account_id, email = f"acct_{secrets.token_hex(8)}", f"{secrets.token_hex(8)}@example.com"
        accounts.add_account(AccountRow(self.account_id, email, "free", "active", clock.now_us, clock.now_us))
        self.key = create_key(accounts, SECRET, "months", email, PLAIN)
        self.model = Account(clock.now_us)

    def close(self) -> None:
        self.connection.close()
        for one in (self.outbox, self.checks, self.inbox, self.stripe):
            one.close()

    # -- what there is

    @property
    def row(self) -> AccountRow:
        cursor = self.connection.cursor()
        columns = ", ".join(AccountRow._fields)
        cursor.execute(f"SELECT {columns} FROM account WHERE id = '{self.account_id}'")
        found = AccountRow(*cursor.fetchone())
        self.connection.commit()
        return found

    @property
    def theirs(self) -> Subscription | None:
        """The subscription as Stripe has it, the newest where there are several."""
        customer = self.row.customer_id
        found = self.payments.subscriptions_of(customer) if customer else []
        return next((one for one in found if one.status in LIVE), found[0] if found else None)

    def boundaries(self) -> list[int]:
        """The moments about which something happens."""
        row, theirs = self.row, self.theirs
        found = [row.grace_until_us or 0]
        if theirs is not None:
            found += [theirs.period_end_us, theirs.trial_end_us or 0, theirs.period_start_us + HOUR_US]
        return [moment for moment in found if moment] or [self.clock.now_us + DAY_US]

    # -- time

    def go(self, place: int, offset_us: int) -> None:
        """To a moment about the end of something, if that is ahead."""
        moments = [moment + offset_us for moment in self.boundaries() if moment + offset_us > self.clock.now_us]
        if moments:
            self._to(sorted(moments)[place % len(moments)])

    def wait(self, us: int) -> None:
        self._to(self.clock.now_us + us)

    def _to(self, moment_us: int) -> None:
        """The holds that would not live so long end before; what is in doubt is not left alone for weeks."""
        if self.is_in_doubt and moment_us > self.clock.now_us + 5 * DAY_US:
            self.is_in_doubt = False
            for hours in (1, 24, 2, 2):
                self.wait(hours * HOUR_US)
                self.send()
        due = min((hold.expires_us for hold, _ in self.open), default=moment_us)
        while due < moment_us:
            self._set(due)
            self.finish(0, 0, is_answered=False)
            due = min((hold.expires_us for hold, _ in self.open), default=moment_us)
        self._set(moment_us)

    def _set(self, moment_us: int) -> None:
        self.clock.now_us = max(moment_us, self.clock.now_us)
        self.stripe.work()
        self._listen()

    def _listen(self) -> None:
        """What Stripe tells, without what says nothing new: each object is fetched anew, whatever is told of it."""
        told = [event for event in self.stripe.events() if verb_of(event.type, event.object_id) is not None]
        self.pending += {event.object_id: event for event in told}.values()

    # -- calls

    def call(self, count: int, spent: int, *, stays: bool) -> None:
        for _ in range(count):
            found = self._admit()
            if found is not None:
                self.open.append(found)
                if not stays:
                    self._end(found, *SPENTS[spent % len(SPENTS)], answered=True)

    def finish(self, place: int, spent: int, *, is_answered: bool) -> None:
        if self.open:
            self._end(self.open[place % len(self.open)], *SPENTS[spent % len(SPENTS)], answered=is_answered)

    def _admit(self) -> tuple[Hold, Call] | None:
        row, now_us = self.row, self.clock.now_us  # the ledger reads the clock once for a batch
        is_lapsed = row.grace_until_us is not None and now_us >= row.grace_until_us
        plan: Plan = PRODUCT.plans[0] if is_lapsed else PRODUCT.by_name[row.plan]
        call_id = f"req_{now_us:016x}{secrets.token_hex(8)}"
        is_trial = row.trial_end_us is not None and now_us < row.trial_end_us
        call = self.model.admit(call_id, plan, now_us, is_trial=is_trial)
        [got] = self._run(Ask(call_id, self.key.row.digest, "/v1/generate", "m", PRICE, INPUT_MAX, OUTPUT_MAX, TTL_US))
        assert isinstance(got, Admitted if call is not None else Refused), (got, call)
        if isinstance(got, Admitted) and call is not None:
            assert got.hold.admitted_us == now_us
            return got.hold, call
        return None

    def _end(self, found: tuple[Hold, Call], input_tokens: int, output_tokens: int, *, answered: bool) -> None:
        self.open.remove(found)
        hold, call = found
        [got] = self._run(Finish(hold, "post" if answered else "void", Spent(input_tokens, 0, output_tokens)))
        assert isinstance(got, Recorded), got
        assert got.outcome.invoiced_nanodollars == self.model.end(call, input_tokens, output_tokens, answered=answered)

    def _run(self, item: Item) -> list[Result]:
        cursor = self.connection.cursor()
        self.statements.begin(cursor)
        results = run([item], cursor, self.statements, PRODUCT.by_name)
        self.connection.commit()
        return results

    # -- Stripe and Farebox hear of each other

    def send(self, *, loses: bool = False) -> None:
        self.stripe.lost, self.is_in_doubt = int(loses), loses or self.is_in_doubt
        self.report.look()
        self.stripe.lost = 0

    def hear(self, how: int) -> None:
        """Of all that Stripe tells, or of some of it, twice, in another order."""
        self._listen()
        heard = [event for event in self.pending if how % 3 == 0 or self.chance.random() < 0.5]
        self.pending = [event for event in self.pending if event not in heard]
        if how % 2:
            self.chance.shuffle(heard)
            heard += heard[: len(heard) // 2]
        for event in heard:
            self.inbox.add(event)
        self.clerk.look()

    def _flush(self, customer: str) -> None:
        self.report.flush(customer)

    # -- what its owner does

    def buy(self, name: str, *, comes_back: bool) -> None:
        """Of two plans at once, as in two tabs, one is ended; what is used until then, Stripe bills on both."""
        theirs = self.theirs
        if theirs is not None and theirs.status in LIVE:
            return
        with suppress(CannotBuy):
            url = buy.buy_plan(self.till, self.row, name)
            session = self.stripe.all("checkout.session")[-1]["id"]
            assert session in url
            self.wait(SECOND_US)  # Stripe's seconds are whole: nobody pays in the very one of a call or a report
            self.stripe.pay(session)
            if comes_back:
                assert buy.paid(self.till, self.row, session) == "plan"

    def change(self, name: str) -> None:
        self._do(lambda: buy.change_plan(self.till, self.row, name))

    def cancel(self) -> None:
        self._do(lambda: buy.cancel(self.till, self.row))

    def resume(self) -> None:
        self._do(lambda: buy.resume(self.till, self.row))

    def _do(self, what: Callable[[], object]) -> None:
        with suppress(CannotBuy):
            what()

    def end_at_once(self) -> None:
        """The founder ends it in Stripe's dashboard, and invoices nothing."""
        theirs = self.theirs
        if theirs is not None and theirs.status in LIVE:
            self.client.v1.subscriptions.cancel(theirs.id)

    def card(self, name: str) -> None:
        """Another card; what is due is paid with it."""
        theirs = self.theirs
        if theirs is None or theirs.status not in LIVE:
            return
        method = self.client.v1.payment_methods.attach(f"pm_card_{name}", {"customer": theirs.customer}).id
        self.client.v1.subscriptions.update(theirs.id, {"default_payment_method": method})
        if name == "visa":
            for invoice in self.client.v1.invoices.list({"customer": theirs.customer, "status": "open"}).data:
                self.client.v1.invoices.pay(str(invoice.id), {"payment_method": method})

    def followed(self, before: AccountRow, was: str) -> None:
        """The account has followed a subscription: what that does to its months, noted for the model."""
        row, known = self.row, self.billing.subscription(self.account_id)
        is_new = known is not None and known.is_live and known.id != was
        if is_new or row.anchor_us != before.anchor_us:
            assert known is not None
            # Where it is heard of late, some of its periods are over already.
            self.replaced.append(Replaced(min(row.anchor_us, known.period_start_us), self.clock.now_us))
            self.model.began_us, self.model.anchor_us = self.clock.now_us, row.anchor_us

    # -- what has to be

    def check_preview(self) -> None:
        """Once both know everything, Farebox and Stripe tell the same of the next invoice; not while a period ends.

        Nor while something is in doubt: the preview says how much, and only Stripe's sums tell, an hour later.
        """
        self.wait(SECOND_US)
        self.hear(0)
        self.send()
        ahead = StoredInvoices(self.database).ahead(self.account_id)
        if ahead is None or ahead.held_nanodollars or self.outbox.waiting(self.row.customer_id):
            return
        plan, after = PRODUCT.by_name[ahead.plan], PRODUCT.by_name[ahead.next_plan]
        ours = next_invoice(ahead.subscribed, plan, after, ahead.used_nanodollars, ahead.now_us)
        theirs = None
        with suppress(stripe.InvalidRequestError):  # there is going to be none
            theirs = invoice_of(self.client.v1.invoices.create_preview({"subscription": ahead.subscribed.id}))
        assert _figures(ours) == _figures(theirs), (_figures(ours), _figures(theirs))

    def settle(self) -> None:
        """Everything ends, is told and heard of, until each invoice is final."""
        while self.open:
            self.finish(0, 1, is_answered=True)
        for _ in range(2):
            self.card("visa")
            self._talk()
            theirs = self.theirs
            if theirs is None or theirs.status not in LIVE:
                self._pass(2 * DAY_US)
                continue
            self._pass(max(theirs.period_end_us - self.clock.now_us, 0))
            for _ in range(3):
                self._pass(40 * 60 * SECOND_US)

    def _pass(self, us: int) -> None:
        self.wait(us)
        self._talk()

    def _talk(self) -> None:
        for _ in range(2):
            self.hear(0)
            self.send()


def _figures(invoice: Any) -> list[tuple[int, ...]]:  # noqa: ANN401  # an invoice, or None
    lines = () if invoice is None else invoice.lines
    # A line about no usage says nothing: Stripe goes on with one for whoever has moved to a plan without it.
    told = (line for line in lines if line.quantity)
    return sorted((line.is_usage, line.quantity, line.amount_cents, *line[3:5]) for line in told)
