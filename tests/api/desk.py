"""A shop whose customers look at their pages, and what they read there."""

import csv
import io
import re
from contextlib import closing
from html import unescape
from typing import Any, NamedTuple

from farebox.store.database import Database
from tests.api.shop import SECRET, Shop, generate, send
from tests.services.browser import Browser, Page
from tests.services.load import Reply, Request
from tests.services.many_calls import Customer, add_calls, new_customer
from tests.services.served import Served
from tests.services.upstream import FakeUpstream


class Desk(NamedTuple):
    """A shop, served, whose customers look at their pages."""

    shop: Shop
    served: Served
    upstream: FakeUpstream

    def customer(self, plan: str = "open", **more: Any) -> tuple[Customer, Browser]:  # noqa: ANN401  # as new_customer
        with closing(Database(self.shop.database_url)) as database:
            found = new_customer(database, SECRET.encode(), plan, **more)
        browser = Browser(self.served.url)
        browser.cookies = dict([found.cookie.split("=")])
        return found, browser

    def add_calls(self, customer: Customer, calls: int, **more: Any) -> None:  # noqa: ANN401  # as there
        with closing(Database(self.shop.database_url)) as database:
            add_calls(database, customer, calls, **more)

    def call(self, key: str, prompt: str = "Say hello", **more: object) -> Reply:
        return send(generate(self.served.url, key, {"prompt": prompt, **more}))

    def tagline(self, key: str, product: str = "tea") -> Reply:
        return send(Request(f"{self.served.url}/v1/tagline", {"product": product}, {"x-api-key": key}))


def words(page: Page) -> str:
    """What a reader sees of a page, without its markup."""
    assert page.status == 200, page.text
    body = re.sub(r"<(script|style)\b.*?</\1>", "", page.text, flags=re.DOTALL)
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", body)))


def table(page: Page) -> list[dict[str, str]]:
    assert page.status == 200, page.text
    assert page.header("content-type") == "text/csv; charset=utf-8"
    assert page.header("content-disposition").startswith("attachment;")
    return list(csv.DictReader(io.StringIO(page.text, newline="")))


def without_ids(page: Page) -> str:
    return re.sub(r"req_[0-9a-f]{32}", "req_…", page.text)
