"""The Keys page in a real browser: what it looks like, and a key's life without a script."""

import re
from typing import Final

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from farebox.account.keys import KeyTerms, new_key, with_terms
from farebox.domain import apikey
from farebox.domain.period import DAY_US
from farebox.store.accounts import StoredAccounts
from farebox.store.database import Database
from tests.browser.conftest import be
from tests.browser.inspection import Inspector
from tests.browser.shop_window import Window
from tests.services.many_calls import Customer, add_calls, new_customer
from tests.services.process import wait_until

pytestmark = pytest.mark.xdist_group("window")
SECRET: Final = "a secret for tests, of more than 16 characters"
KEY: Final = re.compile(r"tagslines_live_[0-9A-Za-z]{38}")


class Shop:
    """A product with everything, and two customers: one with many keys and one with none."""

    def __init__(self, window: Window, database: Database) -> None:
        self.url = window.url
        self.rich = new_customer(database, SECRET.encode(), "pro")
        add_calls(database, self.rich, 400)
        accounts = StoredAccounts(database)
        for number, terms in enumerate(TERMS):
            key = apikey.derive("tagslines", terms.mode, SECRET.encode(), f"{number}")
            now_us = accounts.now_us() - number * DAY_US
            new = with_terms(new_key(SECRET.encode(), self.rich.account.id, key, terms.name, now_us), terms)
            accounts.add_key(new.row)
        accounts.revoke_key(self.rich.account.id, self.rich.keys[1].id)
        self.fresh = new_customer(database, SECRET.encode(), "free")
        for theirs in self.fresh.keys:
            accounts.revoke_key(self.fresh.account.id, theirs.id)


TERMS: Final = (
    KeyTerms(
        "A name as long as one can be, to see how it is broken where there is little room, and it goes on", "test"
    ),
    KeyTerms("Partner", "live", ("/v1/tagline", "/v1/chat/completions"), 1_000_000, 30),
    KeyTerms("Over", "live", (), 5, 1),
)


@pytest.fixture(scope="module")
def shop(window: Window) -> Shop:
    with window.database() as database:
        return Shop(window, database)


def logged_in(context: BrowserContext, shop: Shop, customer: Customer) -> Page:
    name, _, value = customer.cookie.partition("=")
    context.add_cookies([{"name": name, "value": value, "url": shop.url.replace("http:", "https:"), "secure": True}])
    return context.new_page()


def shown_key(page: Page) -> Locator:
    return page.locator(".code").filter(has_text="Your key").locator("code").first


def test_keys_of_all_kinds_are_as_a_page_should_be(shop: Shop, reader: Page, inspector: Inspector) -> None:
    be(reader, shop.rich)
    inspector.assert_page(reader, f"{shop.url}/keys", name="keys-rich")


@pytest.mark.parametrize("verb", ["rotate", "revoke"])
def test_the_question_before_a_change_is_as_a_page_should_be(
    shop: Shop, reader: Page, inspector: Inspector, verb: str
) -> None:
    be(reader, shop.rich)
    inspector.assert_page(reader, f"{shop.url}/keys/{shop.rich.keys[0].id}/{verb}", name=f"keys-{verb}")


def test_a_new_key_is_shown_on_a_page_as_it_should_be_and_copied_by_a_button(
    shop: Shop, browser: Browser, inspector: Inspector
) -> None:
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    page = logged_in(context, shop, shop.rich)
    page.goto(f"{shop.url}/keys")
    page.get_by_label("Name").fill("Ada's laptop")
    page.get_by_label("/v1/tagline").check()
    page.get_by_label("Calls a month, at most").fill("1,000")
    page.get_by_role("button", name="Create key").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Your new key")
    key = shown_key(page)
    expect(key).to_have_text(KEY)
    page.get_by_role("button", name="Copy").first.click()
    text = key.inner_text()
    wait_until(lambda: page.evaluate("navigator.clipboard.readText()") == text, "the key to be copied")
    inspector.assert_here(page, "keys-made")
    context.close()


def test_a_keys_life_needs_no_script(shop: Shop, browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = logged_in(context, shop, shop.fresh)
    page.goto(f"{shop.url}/keys")
    expect(page.get_by_text("No key that works")).to_be_visible()
    page.get_by_role("button", name="Create key").click()  # the browser itself asks for a name
    expect(page.get_by_role("heading", level=1)).to_have_text("Keys")
    page.get_by_label("Name").fill("Website")
    page.get_by_label("Calls a month, at most").fill("many")
    page.get_by_role("button", name="Create key").click()
    expect(page.get_by_text("Enter a whole number, or leave it empty.")).to_be_visible()
    expect(page.get_by_label("Name")).to_have_value("Website")
    page.get_by_label("Calls a month, at most").fill("")
    page.get_by_role("button", name="Create key").click()
    first = shown_key(page).inner_text()
    page.get_by_role("link", name="I have copied it").click()
    page.get_by_role("link", name="Rotate Website").click()
    page.get_by_label("The old key ends").select_option("after 1 hour")
    page.get_by_role("button", name="Create the new key").click()
    second = shown_key(page).inner_text()
    assert first != second
    page.go_back()
    page.goto(f"{shop.url}/keys")
    expect(page.get_by_text(first)).to_have_count(0)
    page.get_by_role("link", name="Revoke Website").first.click()
    page.get_by_role("button", name="Revoke the key").click()
    expect(page.get_by_role("status")).to_contain_text("The key is revoked")
    context.close()
