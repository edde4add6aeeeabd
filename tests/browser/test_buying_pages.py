"""The pages of buying in a real browser: in each state that a plan can be in, and paid for by clicking."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.api.test_buying import APP, Buyer, Market
from tests.browser.inspection import Inspector
from tests.browser.test_security_pages import be
from tests.services.mail import MailServer
from tests.services.process import wait_until
from tests.services.stripe import StripeStandin

from tests.api.place import Place  # isort: skip
from tests.api.shop import Shop  # isort: skip

SECRET = "whsec_of_the_shop"


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    folder = tmp_path_factory.mktemp("buying")
    with StripeStandin(folder) as stripe, MailServer() as server:
        shop = Shop(folder, f"sqlite:///{folder}/farebox.db", None, APP)
        shop.settings |= {"STRIPE_SECRET_KEY": stripe.key, "STRIPE_API_BASE": stripe.url}
        shop.farebox("stripe", "sync", "--yes")
        settings = {"SMTP_URL": server.url, "FAREBOX_TRUSTED_PROXIES": "127.0.0.1", "STRIPE_WEBHOOK_SECRET": SECRET,
                    "FAREBOX_PUBLIC_URL": "http://localhost:{port}", "FAREBOX_SWEEP_SECONDS": "0.5"}  # fmt: skip
        with shop.served(workers=1, **settings) as served:
            yield Market(LocalPlace(shop, served, server), stripe)
            assert "Traceback" not in served.output()


class LocalPlace(Place):
    """A place whose mails lead to this machine."""

    def link_to(self, email: str, count: int = 1) -> str:
        del count
        return self.newest_link(email)


def look(inspector: Inspector, page: Page, market: Market, path: str, name: str) -> None:
    inspector.assert_page(page, f"{market.place.served.url.replace('127.0.0.1', 'localhost')}{path}", name=name)


def test_the_pages_of_somebody_who_has_bought_nothing(reader: Page, market: Market, inspector: Inspector) -> None:
    be(reader, Buyer(market).browser)
    look(inspector, reader, market, "/plan", "plan-to-buy")
    look(inspector, reader, market, "/credit", "credit-none")
    look(inspector, reader, market, "/pricing", "pricing-with-packs")


def test_the_pages_of_somebody_who_has_bought_all(reader: Page, market: Market, inspector: Inspector) -> None:
    buyer = Buyer(market)
    for path, name in (("/plan/buy", "team"), ("/credit/buy", "small"), ("/credit/buy", "big")):
        buyer.browser.get(_path(buyer, buyer.checkout(path, name)))
    buyer.browser.post("/plan/change", name="pro")
    buyer.browser.post("/credit/top-up", pack="small", below="5")
    be(reader, buyer.browser)
    look(inspector, reader, market, "/plan", "plan-moving-down")
    look(inspector, reader, market, "/credit", "credit-with-grants")
    buyer.browser.post("/plan/cancel")
    look(inspector, reader, market, "/plan", "plan-cancelled")
    market.shop.query("UPDATE account SET grace_until_us = 1 WHERE id = %s", buyer.account)
    market.shop.query("UPDATE top_up SET failed = 'Your card was declined.' WHERE account_id = %s", buyer.account)
    look(inspector, reader, market, "/plan", "plan-lapsed")
    look(inspector, reader, market, "/credit", "credit-stopped")


def test_a_plan_is_bought_by_clicking(reader: Page, market: Market) -> None:
    buyer = Buyer(market)
    be(reader, buyer.browser)
    reader.goto(f"{market.place.served.url.replace('127.0.0.1', 'localhost')}/plan")
    reader.get_by_role("button", name="Buy Pro").click()
    reader.wait_for_url(f"{market.stripe.url}/**")
    reader.get_by_role("button", name="Subscribe").click()
    reader.wait_for_url("**/plan?told=paid")
    expect(reader.get_by_text("Thank you. Your plan applies from your next call.")).to_be_visible()
    wait_until(lambda: buyer.row("plan") == ("pro",), "the plan")


def _path(buyer: Buyer, url: str) -> str:
    """Where the browser comes back to, after paying."""
    back = buyer.market.stripe.pay(url)
    return "/" + back.split("/", 3)[3]
