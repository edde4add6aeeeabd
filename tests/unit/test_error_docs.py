"""The pages that an error's `type` leads to: each code has one, and it loads nothing but its own sheet."""

import json
import re
from html.parser import HTMLParser
from typing import Final, cast

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from farebox.domain.errors import CallError, NotFound
from farebox.web.endpoint import House
from farebox.web.error_docs import ADVICE, add_error_docs, example
from farebox.web.routes import add_error_pages

PUBLIC_URL: Final = "https://api.example.com"
CODES: Final = [error.code for error in ADVICE]


class FakeHouse:
    public_url = PUBLIC_URL


@pytest.fixture(scope="module")
def client() -> TestClient:
    def house() -> House:
        return cast("House", FakeHouse())

    app = FastAPI(title="Tags & <Lines>", docs_url=None, redoc_url=None)
    add_error_docs(app, house)
    add_error_pages(app, house, lambda _: "req_1")
    return TestClient(app)


class Seen(HTMLParser):
    """What a page loads, where it leads, and what it says."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.add(tag)
        self.attributes |= found.keys()
        if "href" in found:
            (self.links if tag == "a" else self.loaded).append(found["href"] or "")

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("error", ADVICE, ids=lambda error: error.code)
def test_the_address_in_the_type_is_a_page_that_says_what_to_do(client: TestClient, error: type[CallError]) -> None:
    body = json.loads(example(error, PUBLIC_URL))
    assert body["type"] == f"{PUBLIC_URL}/errors/{error.code}"
    reply = client.get(body["type"].removeprefix(PUBLIC_URL))
    assert (reply.status_code, reply.headers["content-type"]) == (200, "text/html; charset=utf-8")
    seen = Seen(reply.text)
    for words in (error.code, str(error.status), error.title, *ADVICE[error]):
        assert words.replace("`", "").lower() in seen.text.lower()
    assert example(error, PUBLIC_URL) in seen.text


@pytest.mark.parametrize("path", ["/errors", *(f"/errors/{code}" for code in CODES)])
def test_a_page_runs_nothing_and_loads_its_own_sheet_only(client: TestClient, path: str) -> None:
    reply = client.get(path)
    seen = Seen(reply.text)
    assert not seen.tags & {"script", "style", "img", "iframe", "form"}
    assert not {name for name in seen.attributes if name.startswith("on") or name in {"style", "src"}}
    up = "" if path == "/errors" else "../"
    assert seen.loaded == [f"{up}errors/style.css", "data:,"]
    policy = reply.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'self'; ")
    assert "unsafe" not in policy
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert "Tags &amp; &lt;Lines&gt;" in reply.text


def test_the_list_leads_to_every_code_and_the_pages_back(client: TestClient) -> None:
    listed = Seen(client.get("/errors").text).links
    assert [link for link in listed if link.startswith("errors/")] == [f"errors/{code}" for code in CODES]
    assert "docs" in listed
    assert {"../errors", "../docs"} <= set(Seen(client.get(f"/errors/{CODES[0]}").text).links)


def test_the_sheet_has_both_schemes_and_no_address(client: TestClient) -> None:
    reply = client.get("/errors/style.css")
    assert (reply.status_code, reply.headers["content-type"]) == (200, "text/css; charset=utf-8")
    assert "prefers-color-scheme: dark" in reply.text
    assert not re.search(r"url\(|@import|https?:", reply.text)


@pytest.mark.parametrize("code", ["nope", "Internal_Error", "style.css.map", "%3Cscript%3E", "a" * 5000])
def test_a_code_that_is_none_is_the_usual_404(client: TestClient, code: str) -> None:
    reply = client.get(f"/errors/{code}")
    assert (reply.status_code, reply.headers["content-type"]) == (404, "application/problem+json")
    assert reply.json()["type"] == f"{PUBLIC_URL}/errors/{NotFound.code}"
    assert code[:20] not in reply.text.replace(NotFound.code, "")


def test_the_pages_are_for_people_and_not_in_the_openapi_page(client: TestClient) -> None:
    assert client.get("/openapi.json").json()["paths"] == {}
    assert client.head("/errors").status_code == 200
    assert client.post("/errors").status_code == 405
