"""Invoices, in a real browser: with calls behind them, where a sum is another one, and with none yet."""

from typing import NamedTuple

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import SECRET, be
from tests.browser.inspection import Inspector
from tests.browser.shop_window import Window
from tests.services.many_calls import Customer, add_calls, new_customer
from tests.services.many_invoices import add_invoices

A4 = 718  # of paper, in px, between the margins that Chromium leaves
GAP = """
() => {
  const side = (part, name) => document.querySelector(`table.calls tbody ${part}`).getBoundingClientRect()[name];
  return side(".state .badge", "left") - side("th a", "right");
}
"""
pytestmark = pytest.mark.xdist_group("window")


class Billed(NamedTuple):
    """A product with somebody who was invoiced, somebody whose invoice is off, and somebody who has just come."""

    window: Window
    full: Customer
    off: Customer
    new: Customer
    ids: dict[str, list[str]]


@pytest.fixture(scope="module")
def billed(window: Window) -> Billed:
    with window.database() as database:
        people = [new_customer(database, SECRET.encode(), "pro", age_days=75) for _ in range(3)]
        ids = {}
        for number, who in enumerate(people[:2]):
            add_calls(database, who, 2_500, days=70)
            with database.write() as connection:
                ids[who.account.id] = add_invoices(connection, who, database.now_us(connection), off_by=number * 5)
        return Billed(window, people[0], people[1], people[2], ids)


def test_the_list_with_the_next_one_is_as_it_should_be(billed: Billed, reader: Page, inspector: Inspector) -> None:
    be(reader, billed.full)
    inspector.assert_page(reader, f"{billed.window.url}/invoices", name="full-invoices")


def test_an_invoice_with_its_calls_is_as_it_should_be(billed: Billed, reader: Page, inspector: Inspector) -> None:
    be(reader, billed.full)
    last = billed.ids[billed.full.account.id][-1]
    inspector.assert_page(reader, f"{billed.window.url}/invoices/{last}", name="full-invoice")
    assert "in all, as on the invoice." in reader.inner_text("main")
    reader.set_viewport_size({"width": 360, "height": 740})
    assert reader.evaluate(GAP) > 0, "the state of a call stands on its time"
    reader.emulate_media(media="print")
    reader.set_viewport_size({"width": A4, "height": 1000})
    head = reader.locator("table.calls thead").bounding_box()
    assert head is not None
    assert 0.9 * A4 < head["width"] <= A4, "on paper it is a table, with all its columns"
    reader.emulate_media(media="screen")
    reader.goto(f"{billed.window.url}/invoices/{last}")
    reader.click("text=Older")
    reader.wait_for_url("**before=*")
    assert reader.locator("table.calls tbody tr").count() > 0
    inspector.assert_page(reader, reader.url.partition("#")[0], name="full-invoice-older")


def test_an_invoice_that_is_not_what_its_calls_come_to_says_so(
    billed: Billed, reader: Page, inspector: Inspector
) -> None:
    be(reader, billed.off)
    last = billed.ids[billed.off.account.id][-1]
    inspector.assert_page(reader, f"{billed.window.url}/invoices/{last}", name="off-invoice")
    assert "That is wrong: please write to" in reader.inner_text("main")


def test_an_invoice_without_usage_is_as_it_should_be(billed: Billed, reader: Page, inspector: Inspector) -> None:
    be(reader, billed.full)
    inspector.assert_page(
        reader, f"{billed.window.url}/invoices/{billed.ids[billed.full.account.id][2]}", name="base-invoice"
    )


def test_no_invoices_yet_leads_to_the_plans(billed: Billed, reader: Page, inspector: Inspector) -> None:
    be(reader, billed.new)
    inspector.assert_page(reader, f"{billed.window.url}/invoices", name="fresh-invoices")
    assert reader.locator("main a[href='/plan']").count() == 1
