"""Pages where nothing is set: no proxy, no public address, no service to log in at."""

import json
from collections.abc import Iterator

import pytest

from tests.api.place import PASSWORD, Place, serve_place
from tests.services.browser import Browser


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("bare")
    settings = {"FAREBOX_TRUSTED_PROXIES": "", "FAREBOX_PUBLIC_URL": ""}
    with serve_place(folder, f"sqlite:///{folder}/farebox.db", **settings) as place:
        yield place


def test_forwarded_headers_are_not_trusted_from_anybody_else(place: Place) -> None:
    made_up = {"x_forwarded_for": "192.0.2.77", "x_forwarded_host": "evil.example", "x_forwarded_proto": "https",
               "forwarded": "for=192.0.2.78;host=evil.example;proto=https"}  # fmt: skip
    browser = Browser(place.served.url, **made_up)
    browser.post("/signup", email="ada@example.com", password=PASSWORD)
    browser.post(place.newest_link("ada@example.com"))
    seen = browser.get("/settings/sessions").text
    assert ">127.0.0.1<" in seen
    assert "192.0.2." not in seen
    assert json.loads(browser.post("/login/passkey/options").text)["rpId"] == "127.0.0.1"


def test_no_button_leads_to_a_service_that_is_not_set(place: Place) -> None:
    for path in ("/login", "/signup"):
        assert "Continue with" not in place.browser().get(path).text
    browser = place.browser()
    browser.post("/signup", email="eve@example.com", password=PASSWORD)
    browser.post(place.newest_link("eve@example.com"))
    assert "Other services" not in browser.get("/settings/security").text
    assert place.browser().get("/oauth/google").status == 410
