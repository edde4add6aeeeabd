"""A log-in at an OpenID Connect provider that somebody else wrote, as a server of its own."""

import sys
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

import httpx2
import pytest

from tests.api.place import Place, is_in, serve_place
from tests.services.browser import Browser
from tests.services.served import Served

ADA: Final = "ada@example.com"


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    command = [sys.executable, "-m", "oidc_provider_mock", "--port", "{port}", "--require-nonce", "true"]
    with Served(command, health_path="/.well-known/openid-configuration") as served:
        yield served.url


@pytest.fixture(scope="module")
def place(provider: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("oidc")
    settings = {"OIDC_ISSUER": provider, "OIDC_CLIENT_ID": "farebox", "OIDC_CLIENT_SECRET": "any", "OIDC_NAME": "Mock"}
    with serve_place(folder, f"sqlite:///{folder}/farebox.db", **settings) as place:
        yield place


def agree(browser: Browser, subject: str) -> str:
    """What the person does at the provider; the path that the browser comes back to."""
    away = browser.get("/oauth/oidc?next=/settings").header("location")
    answer = httpx2.post(away, data={"sub": subject}, timeout=60)
    assert answer.status_code == 302, answer.text
    back = urlsplit(answer.headers["location"])
    assert back.netloc == "till.example"
    return f"{back.path}?{back.query}"


def test_somebody_new_logs_in_and_again(place: Place, provider: str) -> None:
    httpx2.put(f"{provider}/users/ada", json={"email": ADA, "email_verified": True}, timeout=60)
    for _ in range(2):
        browser = place.browser()
        assert browser.get(agree(browser, "ada")).header("location") == "/settings"
        assert is_in(browser)
        assert ADA in browser.get("/settings").text
    assert place.shop.query("SELECT issuer, subject FROM identity") == [(provider, "ada")]
    assert place.shop.scalar("SELECT count(*) FROM person") == 1


def test_an_address_that_it_does_not_call_verified_opens_nothing(place: Place, provider: str) -> None:
    httpx2.put(f"{provider}/users/eve", json={"email": ADA}, timeout=60)
    browser = place.browser()
    page = browser.get(agree(browser, "eve"))
    assert (page.status, "Mock has not confirmed your address" in page.text) == (422, True)
    assert not is_in(browser)


def test_who_says_no_there_is_told_here(place: Place) -> None:
    browser = place.browser()
    away = browser.get("/oauth/oidc").header("location")
    back = urlsplit(httpx2.post(away, data={"action": "deny"}, timeout=60).headers["location"])
    page = browser.get(f"{back.path}?{back.query}")
    assert page.status in {410, 422}
    assert not is_in(browser)
