"""The way of the money in Stripe's own test mode: `make stripe`, for whoever has an account there.

The tests are steps of one way, as in `tests/browser/test_money_journey.py`. Nothing here knows which Stripe it talks
to: `tests/api/test_make_stripe.py` runs all of it against the stand-in. Two things are done by Stripe's API instead of
by a browser. Its page to pay on takes no robots, so a session of it is made and looked at, and what it would subscribe
to is subscribed to. Its webhooks do not reach a machine at home, so its events are fetched, signed and posted to us.
"""

import csv
import io
import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from farebox.domain.billing import lines_from_json
from tests.api.place import Place
from tests.api.playground import told
from tests.api.shop import Shop, ask, send
from tests.services.browser import Browser
from tests.services.command import farebox
from tests.services.mail import MailServer
from tests.services.process import wait_until
from tests.services.steps import next_step
from tests.services.stripe_account import NAME, SECONDS_MAX, StripeAccount, account_of_environment, signed
from tests.services.upstream import FakeUpstream

pytestmark = [
    pytest.mark.stripe,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # the SDK closes nothing
]
FREE_CALLS: Final = 2
PRO_CALLS: Final = 2
OVERAGE_CALLS: Final = 3
CALL_NANODOLLARS: Final = 12_300_000
GRACE_SECONDS: Final = 5
APP: Final = """
from farebox import Farebox, Plan

app = Farebox(
    "Till",
    model="openai:gpt-4o-mini",
    prices={{"gpt-4o-mini": (0.15, 0.60)}},
    plans=[Plan("free", calls={free}), Plan("{paid}", usd=29, calls={calls}, overage_usd="0.0123")],
)
"""
BASE_CENTS: Final = 2900
USAGE_CENTS: Final = 4  # 3 * 1.23 cents, as Stripe rounds it


class Way:
    """The shop, its customer, and Stripe. What a later step needs of an earlier one is kept here."""

    has_ended = False
    browser: Browser
    email: str
    key: str
    account_id: str
    customer: str
    prices: list[str]
    subscription: str
    period_end: int

    def __init__(self, place: Place, account: StripeAccount, run: str, secret: str) -> None:
        self.place, self.account, self.run, self.secret = place, account, run, secret
        self.plan = f"{NAME}-{run}"

    @property
    def shop(self) -> Shop:
        return self.place.shop

    def call(self) -> int | None:
        return send(ask(self.place.served, self.key)).status

    def row(self, columns: str) -> tuple[Any, ...]:
        return self.shop.query(f"SELECT {columns} FROM account WHERE id = %s", self.account_id)[0]

    def invoiced(self) -> int:
        """What the ledger has for invoices."""
        return int(self.shop.scalar("SELECT coalesce(sum(invoiced_nanodollars), 0) FROM usage_record"))

    def hear(self) -> None:
        """Have Farebox told what Stripe has to tell."""
        for body in self.account.news(self.customer):
            headers = {"stripe-signature": signed(body, self.secret)}
            answer = Browser(self.place.served.url)._send("POST", "/stripe/webhook", body.encode(), headers)
            assert answer.status == 200, answer.text

    def hears_until(self, condition: Callable[[], bool], what: str) -> None:
        def has_come() -> bool:
            self.hear()
            return condition()

        wait_until(has_come, what, timeout_seconds=SECONDS_MAX)

    def goes_on_to(self, seconds: int) -> None:
        """Have the customer's time come to a moment."""
        self.account.begin_advance(seconds)
        self.hears_until(self.account.is_there, "Stripe's clock to be there")

    def has_mail(self, subject: str) -> None:
        server = self.place.server
        wait_until(lambda: subject in [each["subject"] for each in server.to(self.email)], f"the mail {subject!r}")

    def usage_lines(self, found: Any) -> list[int]:  # noqa: ANN401  # an invoice or a preview of the SDK's
        return [line.quantity for line in found.lines.data if line.quantity > 1]


@contextmanager
def opened(folder: Path, account: StripeAccount, upstream: FakeUpstream) -> Iterator[Way]:
    run, secret = secrets.token_hex(4), f"whsec_{secrets.token_hex(16)}"
    app = APP.format(free=FREE_CALLS, paid=f"{NAME}-{run}", calls=PRO_CALLS)
    shop = Shop(folder, f"sqlite:///{folder}/farebox.db", upstream, app)
    shop.settings |= {
        "STRIPE_SECRET_KEY": account.key, "STRIPE_API_BASE": account.api_base, "STRIPE_WEBHOOK_SECRET": secret,
        "FAREBOX_PUBLIC_URL": "https://till.example", "FAREBOX_TRUSTED_PROXIES": "127.0.0.1",
        "FAREBOX_GRACE_SECONDS": str(GRACE_SECONDS), "FAREBOX_SWEEP_SECONDS": "0.5",
    }  # fmt: skip
    with MailServer() as server:
        shop.settings["SMTP_URL"] = server.url
        shop.farebox("stripe", "sync", "--yes")
        with shop.served(workers=1) as served:
            yield Way(Place(shop, served, server), account, run, secret)
            output = served.output()
    assert "Traceback" not in output, output[-4000:]
    for hidden in (account.key, secret):
        assert hidden not in output


@pytest.fixture(scope="session")  # so that nothing is started before it is known whether there is one to use
def account() -> Iterator[StripeAccount]:
    """The account, which sells nothing; and nothing of ours is left in it."""
    account = account_of_environment()
    account.check_free()
    yield account
    account.clean()
    account.close()


@pytest.fixture(scope="module")
def gone(
    account: StripeAccount, upstream_process: FakeUpstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Way]:
    """The way so far."""
    upstream_process.reset()
    with opened(tmp_path_factory.mktemp("stripe"), account, upstream_process) as way:
        yield way


@pytest.fixture
def way(gone: Way, request: pytest.FixtureRequest) -> Iterator[Way]:
    yield from next_step(gone, request)


def test_what_the_file_sells_is_for_sale_and_the_doctor_says_so(way: Way) -> None:
    assert "Nothing to do" in way.shop.farebox("stripe", "sync")
    found = farebox(way.shop.folder, "doctor", **way.shop.settings).stdout
    assert re.search(r"ok +stripe: the key is of .+, in test mode", found), found
    assert "FIX stripe" not in found


def test_the_free_calls_run_out_and_the_page_leads_to_stripes(way: Way) -> None:
    way.email = f"{NAME}-{way.run}@example.com"
    way.browser = way.place.joined(way.email)
    way.account_id = str(way.shop.scalar("SELECT id FROM account WHERE email = %s", way.email))
    way.key = way.shop.farebox("keys", "create", way.email).splitlines()[-1]
    assert [way.call() for _ in range(FREE_CALLS + 1)] == [200] * FREE_CALLS + [429]
    # Farebox's own customers have no test clock, without which a month lasts one.
    way.customer = way.account.new_customer(way.account_id, way.email, way.run)
    way.shop.query("UPDATE account SET customer_id = %s WHERE id = %s", way.customer, way.account_id)
    page = way.browser.post("/plan/buy", name=way.plan)
    assert page.status == 303, told(page)
    assert page.header("location").startswith(f"{way.account.pay_origin}/")
    assert way.account.pay_origin in way.browser.get("/plan").header("content-security-policy")
    [session] = way.account.api.checkout.sessions.list({"customer": way.customer}).data
    assert (session.mode, session.client_reference_id) == ("subscription", way.account_id)
    lines = way.account.api.checkout.sessions.line_items.list(session.id).data
    way.prices = [line.price.id for line in lines if line.price is not None]
    keys = [line.price.lookup_key for line in lines if line.price is not None]
    assert keys == [f"farebox_{way.plan}_month_{BASE_CENTS}", "farebox_usage_month"]
    way.account.api.checkout.sessions.expire(session.id)


def test_a_subscription_that_is_paid_lets_the_next_call_pass(way: Way) -> None:
    card = way.account.put_card(way.customer, "", "pm_card_visa")
    made = way.account.api.subscriptions.create(
        {
            "customer": way.customer, "items": [{"price": price} for price in way.prices],
            "default_payment_method": card, "metadata": {"farebox_account": way.account_id},
        }
    )  # fmt: skip
    assert made.status == "active"
    way.subscription, way.period_end = made.id, made["items"].data[0].current_period_end
    way.hears_until(lambda: way.row("plan, is_subscribed") == (way.plan, 1), "the plan")
    assert way.call() == 200
    assert "Your plan" in told(way.browser.get("/plan"))


def test_what_is_beyond_the_plan_is_on_both_previews(way: Way) -> None:
    count = PRO_CALLS - 1 + OVERAGE_CALLS
    assert [way.call() for _ in range(count)] == [200] * count
    owed = OVERAGE_CALLS * CALL_NANODOLLARS
    assert way.invoiced() == owed

    def preview() -> Any:  # noqa: ANN401  # the SDK's own
        return way.account.api.invoices.create_preview({"subscription": way.subscription})

    # The customer's time stands still since before the calls, and a preview may have no more than was until then.
    way.goes_on_to(int(time.time()) + 60)
    way.hears_until(lambda: way.usage_lines(preview()) == [owed], "Stripe to have counted what was used")
    assert preview().total == BASE_CENTS + USAGE_CENTS
    assert "So far it comes to $29.04 with 3 calls" in told(way.browser.get("/invoices"))


def test_a_month_later_the_invoice_is_what_the_ledger_says(way: Way) -> None:
    way.goes_on_to(way.period_end + 60)
    way.goes_on_to(way.period_end + 2 * 3600)
    sql = "SELECT id, lines FROM invoice WHERE status = 'paid' AND total_cents = %s"
    total = BASE_CENTS + USAGE_CENTS
    way.hears_until(lambda: len(way.shop.query(sql, total)) == 1, "the invoice to be paid")
    [(invoice_id, text)] = way.shop.query(sql, total)
    found = way.account.api.invoices.retrieve(invoice_id)
    assert (found.status, found.total, way.usage_lines(found)) == ("paid", total, [way.invoiced()])
    assert [line.quantity for line in lines_from_json(text) if line.is_usage] == [way.invoiced()]
    page = told(way.browser.get(f"/invoices/{invoice_id}"))
    assert "in all, as on the invoice" in page
    rows = list(csv.DictReader(io.StringIO(way.browser.get(f"/invoices/{invoice_id}.csv").text)))
    assert [int(row["invoiced_nanodollars"]) for row in rows] == [CALL_NANODOLLARS] * OVERAGE_CALLS


def test_a_card_that_fails_leads_to_grace_and_then_to_the_free_limits(way: Way) -> None:
    way.account.put_card(way.customer, way.subscription, "pm_card_chargeCustomerFail")
    now = way.account.api.subscriptions.retrieve(way.subscription)["items"].data[0].current_period_end
    way.goes_on_to(now + 60)
    way.goes_on_to(now + 2 * 3600)
    way.hears_until(lambda: way.row("grace_until_us") != (None,), "the grace to begin")
    way.has_mail("A payment for Till failed")
    wait_until(lambda: way.call() == 429, "the free plan's limits")
    assert "time to fix it is over" in told(way.browser.get("/plan"))
    way.has_mail("Your plan at Till is paused")


def test_what_is_paid_after_all_brings_the_plan_back_and_every_sum_holds(way: Way) -> None:
    card = way.account.put_card(way.customer, way.subscription, "pm_card_visa")
    [unpaid] = way.account.api.invoices.list({"subscription": way.subscription, "status": "open"}).data
    assert unpaid.id is not None
    way.account.api.invoices.pay(unpaid.id, {"payment_method": card})
    way.hears_until(lambda: way.row("plan, grace_until_us") == (way.plan, None), "the plan to be back")
    assert way.call() == 200
    way.has_mail("Your plan at Till is back")
    way.shop.farebox("reconcile")
    way.shop.assert_sums()
