"""Every page that a stranger can see, in a real browser."""

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.inspection import Inspector
from tests.browser.shop_window import Window
from tests.services.served import Served

pytestmark = pytest.mark.xdist_group("window")
PAGES = ["/", "/pricing", "/docs", "/terms", "/privacy", "/errors", "/errors/insufficient_quota"]


@pytest.mark.parametrize("path", [*PAGES, "/guide"])
def test_a_strangers_page_is_as_it_should_be(window: Window, reader: Page, inspector: Inspector, path: str) -> None:
    inspector.assert_page(reader, f"{window.url}{path}")


def test_a_product_without_a_file_looks_as_good(demo: Served, reader: Page, inspector: Inspector) -> None:
    inspector.assert_page(reader, f"{demo.url}/", name="demo")


@pytest.mark.parametrize("path", ["/", "/pricing", "/docs"])
def test_a_product_with_too_much_of_everything_fits(
    crowded: Served, reader: Page, inspector: Inspector, path: str
) -> None:
    inspector.assert_page(reader, f"{crowded.url}{path}", name=f"crowded{path.replace('/', '-')}".rstrip("-"))


def test_what_is_not_there_is_a_page_as_well(window: Window, reader: Page, inspector: Inspector) -> None:
    inspector.assert_page(reader, f"{window.url}/nothing/here", name="error-404", status=404)


def test_the_call_is_shown_in_each_language_without_a_script(window: Window, browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(window.url)
    shown = page.locator(".hero .tabs pre:visible")
    expect(shown).to_have_count(1)
    expect(shown).to_contain_text("curl http")
    page.get_by_text("Python", exact=True).first.click()
    expect(shown).to_contain_text("import requests")
    page.keyboard.press("ArrowRight")
    expect(shown).to_contain_text("await fetch(")
    expect(page.get_by_role("button", name="Copy")).to_have_count(0)
    context.close()


def test_a_phone_has_a_menu_without_a_script(window: Window, browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False, viewport={"width": 390, "height": 844})
    page = context.new_page()
    page.goto(window.url)
    sign_up = page.get_by_role("navigation", name="Menu").get_by_role("link", name="Sign up")
    expect(sign_up).to_be_hidden()
    page.get_by_text("Menu").click()
    expect(sign_up).to_be_visible()
    context.close()


def test_the_keyboard_comes_to_the_content_first(window: Window, page: Page) -> None:
    page.goto(window.url)
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the content")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Get an API key")).to_be_focused()


def test_code_is_copied_by_a_button(window: Window, browser: Browser) -> None:
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.clock.install(time=0)
    page.goto(window.url)
    page.clock.pause_at(3_600)  # the word stands there for two seconds
    page.get_by_role("button", name="Copy").first.click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == page.locator(".hero .tabs code").first.text_content()
    page.clock.run_for(2_000)
    expect(page.get_by_role("button", name="Copied")).to_have_count(0)
    context.close()


def test_the_logo_and_the_colour_are_the_founders(window: Window, page: Page) -> None:
    page.goto(window.url)
    logo = page.get_by_role("img", name="Tags & <Lines>")
    assert logo.evaluate("logo => [logo.naturalWidth > 0, logo.height, logo.width]") == [True, 32, 120]
    button = page.get_by_role("link", name="Get an API key")
    assert button.evaluate("node => getComputedStyle(node).backgroundColor") == "rgb(124, 58, 237)"
