"""What customers' pages are built of."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import SECRET
from tests.browser.inspection import Inspector
from tests.browser.kitchen import write_kitchen
from tests.services.served import Served


@pytest.fixture(scope="module")
def kitchen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("kitchen")
    write_kitchen(folder)
    with Served(env={"FAREBOX_SECRET_KEY": SECRET}, cwd=folder) as served:
        yield served


def test_the_customers_frame_and_all_blocks_are_as_they_should_be(
    kitchen: Served, page: Page, inspector: Inspector
) -> None:
    inspector.assert_page(page, f"{kitchen.url}/kitchen", name="blocks")


def test_a_form_alone_on_a_page_is_as_it_should_be(kitchen: Served, page: Page, inspector: Inspector) -> None:
    inspector.assert_page(page, f"{kitchen.url}/kitchen?template=narrow.html", name="blocks-form")


def test_times_are_the_readers_and_a_form_begins_where_it_is_wrong(kitchen: Served, page: Page) -> None:
    page.goto(f"{kitchen.url}/kitchen")
    expect(page.locator("tbody time").first).to_have_text("24 Nov 2026, 10:20")
    expect(page.get_by_label("E-mail")).to_be_focused()
    expect(page.get_by_label("E-mail")).to_have_accessible_description(
        "Where we write to. This is no address. Write it as name@example.com."
    )


def test_a_chart_has_its_figures_in_a_table(kitchen: Served, browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{kitchen.url}/kitchen")
    expect(page.get_by_role("img", name="Calls a day")).to_be_visible()
    figures = page.get_by_role("row", name="2026-11-05 185")
    expect(figures).to_be_hidden()
    page.get_by_text("Show as a table").first.click()
    expect(figures).to_be_visible()
    expect(page.locator("tbody time").first).to_have_text("2026-11-24 10:20 UTC")
    context.close()
