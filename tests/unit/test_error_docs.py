"""The pages that an error's `type` leads to: each code has one, and it loads nothing but what is ours."""

import json
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Final

import pytest
from starlette.testclient import TestClient

from farebox import Farebox
from farebox.domain.errors import CallError, NotFound
from farebox.web.error_docs import ADVICE, example

PUBLIC_URL: Final = "https://api.example.com"
CODES: Final = [error.code for error in ADVICE]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("errors"))
        patch.setenv("FAREBOX_PUBLIC_URL", PUBLIC_URL)
        with TestClient(Farebox("Tags & <Lines>")) as client:
            yield client


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
        address = found.get("src") or found.get("href") or ""
        if address and found.get("rel") != "canonical":
            (self.links if tag == "a" else self.loaded).append(address)

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
def test_a_page_runs_and_loads_only_what_is_ours(client: TestClient, path: str) -> None:
    reply = client.get(path)
    seen = Seen(reply.text)
    assert not seen.tags & {"style", "img", "iframe", "form"}
    assert not {name for name in seen.attributes if name.startswith("on") or name == "style"}
    assert all(address.startswith("/static/") for address in seen.loaded)
    assert "unsafe" not in reply.headers["content-security-policy"]
    assert "Tags &amp; &lt;Lines&gt;" in reply.text


def test_the_list_leads_to_every_code_and_the_pages_back(client: TestClient) -> None:
    listed = Seen(client.get("/errors").text).links
    assert [link for link in listed if link.startswith("/errors/")] == [f"/errors/{code}" for code in CODES]
    assert "/docs" in listed
    assert {"/errors", "/docs"} <= set(Seen(client.get(f"/errors/{CODES[0]}").text).links)


@pytest.mark.parametrize("code", ["nope", "Internal_Error", "style.css.map", "%3Cscript%3E", "a" * 5000])
def test_a_code_that_is_none_is_the_usual_404(client: TestClient, code: str) -> None:
    reply = client.get(f"/errors/{code}")
    assert (reply.status_code, reply.headers["content-type"]) == (404, "application/problem+json")
    assert reply.json()["type"] == f"{PUBLIC_URL}/errors/{NotFound.code}"
    assert code[:20] not in reply.text.replace(NotFound.code, "")


def test_the_pages_are_for_people_and_not_in_the_openapi_page(client: TestClient) -> None:
    assert not any(path.startswith("/errors") for path in client.get("/openapi.json").json()["paths"])
    assert client.head("/errors").status_code == 200
    assert client.post("/errors").status_code == 405
