"""The documentation page stands on this host alone, and its Authorize button takes the key."""

import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import pytest

from tests.api.shop import get
from tests.services.served import Served

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
RENDER_MILLISECONDS = 20_000  # of the page's own clock, which runs ahead when there is nothing to wait for


class Links(HTMLParser):
    """Everything that a page loads."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.scripts: list[str] = []
        self.sheets: list[str] = []
        self.others: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        address = found.get("src") or found.get("href")
        if address is None or tag == "a":
            return
        if tag == "script":
            self.scripts.append(address)
        elif found.get("rel") == "stylesheet":
            self.sheets.append(address)
        else:
            self.others.append(address)


def test_the_page_loads_its_script_and_sheet_from_this_host_only(served: Served) -> None:
    url = f"{served.url}/docs"
    page = get(url)
    assert page.status == 200
    assert page.headers["content-type"].startswith("text/html")
    links = Links(page.body.decode())
    assert links.scripts
    assert links.sheets
    for address in links.scripts + links.sheets + links.others:
        target = urljoin(url, address)
        assert urlsplit(target).netloc == urlsplit(url).netloc, address
        asset = get(target)
        assert asset.status == 200, address
        assert len(asset.body) > 100
    assert "javascript" in get(urljoin(url, links.scripts[0])).headers["content-type"]
    assert all("text/css" in get(urljoin(url, sheet)).headers["content-type"] for sheet in links.sheets)
    assert "https://" not in page.body.decode()
    assert "/openapi.json" in page.body.decode()


def test_the_openapi_page_tells_both_ways_to_send_a_key(served: Served) -> None:
    page = get(f"{served.url}/openapi.json").json()
    schemes = page["components"]["securitySchemes"]
    assert {(s["type"], s.get("in"), s.get("name"), s.get("scheme")) for s in schemes.values()} == {
        ("apiKey", "header", "X-API-Key", None),
        ("http", None, None, "bearer"),
    }
    # Swagger sends the key with a call only where the call names its scheme.
    either: list[dict[str, list[str]]] = [{name: []} for name in schemes]
    for path, method in (("/v1/generate", "post"), ("/v1/usage", "get")):
        assert page["paths"][path][method]["security"] == either
    for path in ("/health", "/ready"):
        assert "security" not in page["paths"][path]["get"]


def test_every_documented_refusal_has_the_problem_body(served: Served) -> None:
    page = get(f"{served.url}/openapi.json").json()
    responses = page["paths"]["/v1/generate"]["post"]["responses"]
    assert responses.keys() == {"200", "400", "401", "402", "403", "409", "413", "422", "429", "502", "503"}
    for path, methods in page["paths"].items():
        for operation in methods.values():
            for status, response in operation["responses"].items():
                if status >= "400":
                    assert list(response["content"]) == ["application/problem+json"], (path, status)


@pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium, and there is none here")
def test_a_browser_renders_the_authorize_button(served: Served, tmp_path: Path) -> None:
    assert CHROMIUM is not None
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}", "--dump-dom"]
    done = subprocess.run(
        [CHROMIUM, *options, f"--virtual-time-budget={RENDER_MILLISECONDS}", f"{served.url}/docs"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert 'class="btn authorize' in done.stdout, done.stderr[-2000:]
    assert "/v1/generate" in done.stdout
