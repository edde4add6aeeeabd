"""The address in an error's `type` is a page of the service that sent it."""

import shutil
import subprocess
from pathlib import Path
from urllib.parse import urljoin

import pytest

from tests.api.shop import get
from tests.services.served import Served

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def test_the_type_of_a_refusal_leads_to_its_page_and_that_to_all_others(served: Served) -> None:
    refused = get(f"{served.url}/v1/usage")
    page = get(urljoin(served.url, refused.json()["type"]))
    assert (refused.status, page.status) == (401, 200)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert b"invalid_api_key" in page.body
    assert get(f"{served.url}/errors").body.count(b'<a href="/errors/') > 20
    assert "/errors" not in get(f"{served.url}/openapi.json").json()["paths"]


@pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium, and there is none here")
@pytest.mark.parametrize("path", ["/errors", "/errors/insufficient_quota"])
def test_a_browser_finds_nothing_against_the_policy(served: Served, tmp_path: Path, path: str) -> None:
    assert CHROMIUM is not None
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}", "--enable-logging=stderr"]
    done = subprocess.run(
        [CHROMIUM, *options, "--dump-dom", f"{served.url}{path}"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "<h1>" in done.stdout, done.stderr[-2000:]
    assert "CONSOLE" not in done.stderr
    assert "Content Security Policy" not in done.stderr
