"""From the last free call to an invoice that is paid, and past a card that fails: the money, in a real browser.

The tests are steps of one way, each on what the one before left; so a failure says where the way ends. Stripe is the
stand-in: its pages are paid on as a customer pays, and its clock is moved.
"""

import re
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import httpx2
import pytest
from playwright.sync_api import Browser, expect

from tests.browser.customer import ADA, PASSWORD, SECONDS_MAX, SECRET, URL, Journey
from tests.conftest import KINDS
from tests.services.command import printed
from tests.services.mail import MailServer
from tests.services.process import free_port, wait_until
from tests.services.served import Served
from tests.services.steps import next_step
from tests.services.stripe import StripeStandin
from tests.services.sums import connect
from tests.services.upstream import FakeUpstream

FREE_CALLS: Final = 3
PRO_CALLS: Final = 2
OVERAGE_CALLS: Final = 3
CALL_NANODOLLARS: Final = 10_000_000
GRACE_SECONDS: Final = 600
APP: Final = f"""
from farebox import Farebox, Plan

app = Farebox(
    "Tales",
    plans=[Plan("free", calls={FREE_CALLS}), Plan("pro", usd=29, calls={PRO_CALLS}, overage_usd=0.01)],
)
"""


class Till(Journey):
    """The same way, with Stripe at its side."""

    stripe: StripeStandin
    key: str
    customer: str
    env: dict[str, str]

    def is_told(self, subject: str) -> None:
        wait_until(lambda: subject in [each["subject"] for each in self.server.to(ADA)], f"the mail {subject!r}")

    def let_grace_pass(self) -> None:
        """The time of grace is over in two seconds, instead of ten minutes after it began."""
        with closing(connect(self.database_url)) as connection:
            connection.execute(f"UPDATE account SET grace_until_us = {time.time_ns() // 1000 + 2_000_000}")

    def call(self) -> int:
        return self.answer().status_code

    def answer(self) -> httpx2.Response:
        url, headers = f"{self.served.url}/v1/generate", {"x-api-key": self.key}
        return self.stripe.http.post(url, json={"prompt": "Tell me a tale"}, headers=headers)


@contextmanager
def opened(folder: Path, database_url: str, upstream: FakeUpstream, browser: Browser) -> Iterator[Till]:
    (folder / "app.py").write_text(APP)
    port = free_port()
    with MailServer() as server, StripeStandin(folder) as stripe:
        secret = stripe.webhook_secret(f"http://127.0.0.1:{port}/stripe/webhook")
        env = {
            "FAREBOX_SECRET_KEY": SECRET, "FAREBOX_DATABASE_URL": database_url,
            "FAREBOX_PUBLIC_URL": URL.format(port=port),
            "FAREBOX_GRACE_SECONDS": str(GRACE_SECONDS), "FAREBOX_SWEEP_SECONDS": "0.5",
            "SMTP_URL": server.url, "OPENAI_BASE_URL": upstream.base_url, "OPENAI_API_KEY": "sk-of-the-tests",
            "STRIPE_SECRET_KEY": stripe.key, "STRIPE_API_BASE": stripe.url, "STRIPE_WEBHOOK_SECRET": secret,
        }  # fmt: skip
        if not database_url.startswith("sqlite"):
            printed(folder, "migrate", **env)
        printed(folder, "stripe", "sync", "--yes", **env)
        with Served(env=env, cwd=folder, port=port) as served:
            context = browser.new_context(locale="en-GB", timezone_id="Europe/Lisbon")
            context.set_default_timeout(SECONDS_MAX * 1000)
            till = Till(served, server, browser, context.new_page(), database_url, folder)
            till.stripe = stripe
            till.env = env
            yield till
            context.close()
            assert "Traceback" not in served.output(), served.output()[-4000:]


@pytest.fixture(scope="module", params=KINDS)
def way(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, upstream_process: FakeUpstream
) -> Iterator[Till]:
    folder = tmp_path_factory.mktemp("money")
    browser = request.getfixturevalue("browser")
    upstream_process.reset()
    if request.param == "sqlite":
        with opened(folder, f"sqlite:///{folder}/farebox.db", upstream_process, browser) as till:
            yield till
        return
    with request.getfixturevalue("postgres").database() as url, opened(folder, url, upstream_process, browser) as till:
        yield till


@pytest.fixture
def till(way: Till, request: pytest.FixtureRequest) -> Iterator[Till]:
    yield from next_step(way, request)


def test_the_free_calls_run_out_and_the_refusal_leads_to_the_plans(till: Till) -> None:
    page = till.page
    page.goto(f"{till.url}/signup")
    page.get_by_label("E-mail address").fill(ADA)
    page.get_by_label("Password").fill(PASSWORD)
    till.click("Sign up")
    till.is_at("/signup/sent")
    page.goto(till.mailed(ADA, "Confirm"))
    till.click("Confirm your address")
    till.goes_to("Keys")
    page.get_by_label("Name", exact=True).fill("Website")
    till.click("Create key")
    till.key = page.get_by_label("Your key", exact=True).inner_text()
    assert [till.call() for _ in range(FREE_CALLS)] == [200] * FREE_CALLS
    refused = till.answer()
    assert refused.status_code == 429
    way_out = refused.json()["page"]
    page.goto(way_out)
    expect(page.get_by_role("heading", name="Plan", exact=True)).to_be_visible()


def test_a_plan_is_bought_with_a_card_and_the_next_call_passes(till: Till) -> None:
    page = till.page
    till.click("Buy Pro")
    expect(page.get_by_role("heading", name="$29.00")).to_be_visible()
    began = time.monotonic()
    till.click("Subscribe")
    till.is_at("/plan")
    first = till.call()
    print(f"The first call passed {time.monotonic() - began:.2f} s after the click on Subscribe.")
    assert first == 200, "it passes at once: no webhook is waited for"
    expect(page.get_by_text("Your plan", exact=True)).to_be_visible()
    (till.customer,) = till.row("SELECT customer_id FROM account WHERE is_subscribed = 1")


def test_calls_beyond_the_plan_are_on_the_preview(till: Till) -> None:
    assert [till.call() for _ in range(PRO_CALLS - 1 + OVERAGE_CALLS)] == [200] * (PRO_CALLS - 1 + OVERAGE_CALLS)
    page = till.page
    till.goes_to("Invoices")
    expect(page.get_by_role("main")).to_contain_text("$0.03")
    owed = OVERAGE_CALLS * CALL_NANODOLLARS
    assert till.row("SELECT sum(invoiced_nanodollars) FROM usage_record") == (owed,)
    wait_until(lambda: till.stripe.usage(till.customer)[0] == owed, "Stripe to know what was used")


def test_a_month_later_the_invoice_equals_the_ledger_and_opens_onto_its_calls(till: Till) -> None:
    page = till.page
    till.stripe.advance(by="month")
    till.stripe.advance(by="hour")
    wait_until(
        lambda: till.row("SELECT count(*) FROM invoice WHERE status = 'paid' AND total_cents = 2903") == (1,),
        "the invoice to be paid",
    )
    page.reload()
    page.get_by_role("row", name=re.compile(r"\$29\.03")).get_by_role("link").first.click()
    expect(page.get_by_role("main")).to_contain_text("$29.03")
    behind = page.get_by_role("region", name="The calls behind it")
    expect(behind).to_contain_text("$0.03 in all, as on the invoice")
    expect(behind.locator("tbody tr")).to_have_count(OVERAGE_CALLS)


def test_a_failing_card_leads_to_grace_then_to_the_free_limits(till: Till) -> None:
    page = till.page
    till.goes_to("Plan")
    till.click("Card and invoices")
    page.get_by_label("Works now, and fails at the renewal").check()
    till.click("Use this card from now on")
    till.stripe.advance(by="month")
    till.stripe.advance(by="hour")
    wait_until(
        lambda: till.row("SELECT count(*) FROM account WHERE grace_until_us IS NOT NULL") == (1,), "the grace to begin"
    )
    assert till.call() == 200, "in the time of grace the plan goes on"
    page.goto(f"{till.url}/plan")
    expect(page.get_by_role("main")).to_contain_text("payment failed")
    till.is_told("A payment for Tales failed")
    till.let_grace_pass()
    wait_until(lambda: till.call() == 429, "the free plan's limits")
    page.reload()
    expect(page.get_by_role("main")).to_contain_text("time to fix it is over")
    till.is_told("Your plan at Tales is paused")


def test_what_is_paid_after_all_restores_the_plan_by_itself(till: Till) -> None:
    page = till.page
    till.click("Card and invoices")
    page.get_by_label("Works", exact=False).first.check()
    till.click("Use this card from now on")  # what is open is tried again at once
    wait_until(lambda: till.row("SELECT count(*) FROM account WHERE grace_until_us IS NULL") == (1,), "the payment")
    assert till.call() == 200
    till.is_told("Your plan at Tales is back")
    printed(till.folder, "reconcile", **till.env)
