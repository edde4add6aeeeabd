"""What customers read of their calls, in a real browser: full, empty, crowded."""

from typing import NamedTuple

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import text

from tests.browser.conftest import SECRET, be
from tests.browser.inspection import Inspector
from tests.browser.shop_window import Window
from tests.services.many_calls import Customer, add_calls, new_customer

pytestmark = pytest.mark.xdist_group("window")
LONG = "a_function_with_a_very_long_name_that_says_what_it_does_in_full_and_then_goes_on"


class Readers(NamedTuple):
    """A product with customers of all kinds."""

    window: Window
    busy: Customer
    new: Customer
    crowded: Customer


@pytest.fixture(scope="module")
def readers(window: Window) -> Readers:
    with window.database() as database:
        busy, new, crowded = (
            new_customer(database, SECRET.encode(), plan, age_days=age)
            for plan, age in (("pro", 400), ("free", 0), ("big_team", 75))
        )
        add_calls(database, busy, 12_000, days=380, held=2)
        add_calls(database, crowded, 30, days=70, held=2, names=([f"/v1/{LONG}", "/v1/x"], [LONG, "m"]))
        with database.write() as connection:
            of_account = {"account": crowded.account.id, "name": f"<b>{LONG}</b> {LONG}"}
            connection.execute(text("UPDATE api_key SET name = :name WHERE account_id = :account"), of_account)
            capped = "UPDATE account SET spend_cap_nanodollars = 50000000000 WHERE id = :account"
            connection.execute(text(capped), of_account)
        return Readers(window, busy, new, crowded)


@pytest.mark.parametrize("path", ["/overview", "/usage", "/calls"])
def test_a_busy_customers_page_is_as_it_should_be(
    readers: Readers, reader: Page, inspector: Inspector, path: str
) -> None:
    be(reader, readers.busy)
    inspector.assert_page(reader, f"{readers.window.url}{path}")


@pytest.mark.parametrize("path", ["/overview", "/usage", "/calls"])
def test_a_figure_stands_under_its_head(readers: Readers, reader: Page, path: str) -> None:
    be(reader, readers.busy)
    reader.set_viewport_size({"width": 1440, "height": 900})
    reader.goto(f"{readers.window.url}{path}")
    edges = "all => all.map(table => ['thead', 'tbody'].map(part => { const last = table.querySelector("
    edges += "`${part} tr > :last-child`).getBoundingClientRect(); return Math.round(last.right); }))"
    found = reader.eval_on_selector_all(".scroll > table:has(tbody tr)", edges)
    assert found
    assert [head for head, _ in found] == [body for _, body in found]


@pytest.mark.parametrize("path", ["/overview", "/usage", "/calls"])
def test_a_new_customers_page_says_what_to_do_next(
    readers: Readers, reader: Page, inspector: Inspector, path: str
) -> None:
    be(reader, readers.new)
    inspector.assert_page(reader, f"{readers.window.url}{path}", name=f"new{path.replace('/', '-')}")


@pytest.mark.parametrize("path", ["/overview", "/usage", "/calls"])
def test_a_crowded_page_fits(readers: Readers, reader: Page, inspector: Inspector, path: str) -> None:
    be(reader, readers.crowded)
    inspector.assert_page(reader, f"{readers.window.url}{path}", name=f"crowded{path.replace('/', '-')}")


@pytest.mark.parametrize(("search", "name"), [("state=expired", "some"), ("endpoint=/v1/none", "none")])
def test_a_search_is_as_it_should_be(
    readers: Readers, reader: Page, inspector: Inspector, search: str, name: str
) -> None:
    be(reader, readers.busy)
    inspector.assert_page(reader, f"{readers.window.url}/calls?{search}", name=f"calls-{name}")


@pytest.mark.parametrize("kind", ["busy", "held"])
def test_a_receipt_is_as_it_should_be(readers: Readers, reader: Page, inspector: Inspector, kind: str) -> None:
    customer, state = (readers.busy, "posted") if kind == "busy" else (readers.crowded, "held")
    be(reader, customer)
    reader.goto(f"{readers.window.url}/calls?state={state}&key=live")
    costly = reader.get_by_role("row").filter(has_text="$" if kind == "busy" else "open").first
    costly.get_by_role("link").click()
    expect(reader.get_by_role("heading", name="Receipt")).to_be_visible()
    inspector.assert_page(reader, reader.url, name=f"receipt-{kind}")


def test_a_customer_comes_from_a_figure_to_its_calls_without_a_script(readers: Readers, browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False, locale="en-GB")
    page = context.new_page()
    be(page, readers.busy)
    page.goto(f"{readers.window.url}/usage")
    expect(page.get_by_role("navigation", name="Month from").get_by_text("Month from")).to_be_visible()
    page.get_by_role("link", name="/v1/summary").click()
    expect(page.get_by_label("Endpoint")).to_have_value("/v1/summary")
    expect(page.locator("tbody tr")).to_have_count(50)
    page.get_by_label("State").select_option(label="Failed")
    page.get_by_role("button", name="Search").click()
    expect(page.locator("tbody .badge.warn").first).to_have_text("Failed")
    page.locator("tbody a").first.click()
    expect(page.get_by_role("heading", name="Receipt")).to_be_visible()
    expect(page.get_by_text("It ended without an answer, and nothing was charged.")).to_be_visible()
    context.close()


def test_times_of_calls_are_the_readers_to_the_second(readers: Readers, reader: Page) -> None:
    be(reader, readers.busy)
    reader.goto(f"{readers.window.url}/calls")
    time = reader.locator("tbody time").first
    at = reader.evaluate(
        "iso => new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'medium' }).format(new Date(iso))",
        time.get_attribute("datetime"),
    )
    expect(time).to_have_text(at)
