"""The documentation in a real browser: light at first view, however much there is, and with Swagger to try a call."""

from collections.abc import Iterator
from typing import Final

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.api.shop import Shop
from tests.browser.inspection import BYTES_MAX, Watched
from tests.services.served import Served

ENDPOINTS: Final = 12
FIELDS: Final = 2
MANY_FIELDS: Final = 15
HEAD: Final = """
from typing import Literal

from pydantic import BaseModel, Field

from farebox import Call, Farebox, Plan

app = Farebox("Catalogue", plans=[Plan("open")])
"""
ENDPOINT: Final = '''

class Part{n}(BaseModel):
    kind: Literal["one", "two", "three"] = Field("one", description="Which of them part {n} of the document is.")
    weight: float = Field(1.0, ge=0, le=100, description="How much it counts beside the other parts.")
    inner: "Part{n} | None" = None


class Document{n}(BaseModel):
    """A document of the kind {n}."""

{fields}


@app.paid
async def endpoint_{n}(call: Call, document: Document{n}, language: str = "en", count: int = 3) -> list[Document{n}]:
    """Work on documents of the kind {n}.

    Each is **read** as a whole, and comes back with what was found in it:

    - its parts,
    - and what they weigh.
    """
    return [document]
'''
FIELD: Final = """
    field_{n}_{m}: list[Part{n}] | None = Field(None, max_length={m}, description="What the author says of {n}.{m}.")
    text_{n}_{m}: str = Field("text {m}", min_length=1, max_length={n}000, description="The text of {n}.{m}, in full.")
"""


def catalogue(fields: int) -> str:
    """A founder's file with many endpoints. With many fields each takes and gives a lot, which Swagger is slow with."""
    return HEAD + "".join(
        ENDPOINT.format(n=n, fields="".join(FIELD.format(n=n, m=m) for m in range(1, fields + 1)))
        for n in range(1, ENDPOINTS + 1)
    )


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("large")
    with Shop(folder, f"sqlite:///{folder}/farebox.db", None, catalogue(MANY_FIELDS)).served(workers=1) as served:
        yield served


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    folder = tmp_path_factory.mktemp("catalogue")
    return Shop(folder, f"sqlite:///{folder}/farebox.db", None, catalogue(FIELDS))


@pytest.fixture(scope="module")
def key(shop: Shop) -> str:
    return shop.new_key("open")


@pytest.fixture(scope="module")
def served(shop: Shop) -> Iterator[Served]:
    with shop.served(workers=1) as served:
        yield served


def test_with_many_large_endpoints_it_is_still_light(large: Served, page: Page) -> None:
    watched = Watched(page, large.url.removeprefix("http://"))
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{large.url}/docs", wait_until="networkidle")
    assert watched.bytes_loaded < BYTES_MAX
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.locator(".of-fields tbody tr").count() > ENDPOINTS * 4 * MANY_FIELDS
    assert page.locator("article.operation").count() == ENDPOINTS + 9  # no embeddings without a model for them


def test_authorize_opens_swaggers_dialog_which_takes_the_key(served: Served, page: Page, key: str) -> None:
    watched = Watched(page, served.url.removeprefix("http://"))
    page.goto(f"{served.url}/docs", wait_until="networkidle")
    assert page.evaluate("typeof SwaggerUIBundle") == "undefined"
    page.get_by_role("button", name="Authorize").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#api_key_value")).to_be_focused()
    page.keyboard.insert_text(key)
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Close").first.click()
    usage = page.locator("#operations-Calls-usage_v1_usage_get")
    usage.locator(".opblock-summary-control").click()
    expect(answer_of(usage)).to_contain_text('"calls_used": 0')
    assert watched.problems == []


def test_try_it_opens_that_endpoint_and_the_way_back_leads_to_it(served: Served, page: Page, key: str) -> None:
    page.goto(f"{served.url}/docs")
    button = page.get_by_role("button", name="Try it: Work on documents of the kind 7")
    button.click()
    operation = page.locator("#operations-Calls-endpoint_7")
    expect(operation.locator(".opblock-summary-control")).to_be_focused()
    expect(operation).to_be_in_viewport()
    expect(page.locator(".opblock.is-open")).to_have_count(1)
    expect(answer_of(operation)).to_contain_text("invalid_api_key")
    page.get_by_role("button", name="Back to the documentation").click()
    expect(button).to_be_focused()
    expect(button).to_be_in_viewport()
    page.get_by_role("button", name="Authorize").first.click()
    page.locator("#api_key_value").fill(key)
    page.locator("#api_key_value").press("Enter")
    page.get_by_role("button", name="Close").first.click()
    expect(answer_of(operation)).to_contain_text('"result": [')


def answer_of(operation: Locator) -> Locator:
    """Where Swagger will show the call's answer. Until it comes the last one stands there."""
    operation.get_by_role("button", name="Execute").click()
    return operation.locator(".live-responses-table .response .response-col_description").first


def test_it_says_so_when_swagger_does_not_come_and_tries_again(served: Served, page: Page) -> None:
    page.route("**/swagger-ui-bundle.js", lambda route: route.abort())
    page.goto(f"{served.url}/docs")
    page.get_by_role("button", name="Authorize").click()
    expect(page.get_by_role("alert")).to_contain_text("could not be loaded")
    expect(page.get_by_role("heading", name="Documentation")).to_be_visible()
    page.unroute("**/swagger-ui-bundle.js")
    page.get_by_role("button", name="Authorize").click()
    expect(page.locator("#api_key_value")).to_be_focused()


def test_all_of_it_is_there_without_a_script(served: Served, browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False, viewport={"width": 390, "height": 844})
    page = context.new_page()
    page.goto(f"{served.url}/docs")
    expect(page.get_by_role("button")).to_have_count(0)
    page.get_by_text("All endpoints").click()
    page.get_by_role("link", name="Work on documents of the kind 12").first.click()
    operation = page.locator("#post-v1-endpoint_12")
    expect(operation).to_be_in_viewport()
    expect(operation.get_by_role("group", name="curl")).to_contain_text("X-API-Key: YOUR_API_KEY")
    operation.get_by_text("Errors: 400").click()
    operation.get_by_role("link", name="insufficient_quota").click()
    expect(page.get_by_role("heading", name="Monthly limit reached")).to_be_visible()
    context.close()
