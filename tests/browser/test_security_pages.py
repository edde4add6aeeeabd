"""How people log in and what they change about it, in a real browser with a virtual authenticator."""

import base64
import re
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, CDPSession, Page, Route, expect

from farebox.domain.second_factor import code_at, step_of
from tests.browser.conftest import SECRET
from tests.browser.inspection import Inspector
from tests.browser.shop_window import write_shop_window
from tests.services.browser import Browser as PlainBrowser
from tests.services.mail import MailServer, text_of
from tests.services.process import wait_until
from tests.services.served import Served

PASSWORD = "three odd words"
STRANGERS = ["/login", "/signup", "/login/link", "/login/link/sent", "/reset", "/login/code"]
SECURITY = "/settings/security"


@dataclass
class Door:
    """A product that people log in to, under a name: passkeys know no bare addresses."""

    served: Served
    mails: MailServer
    provider: Served
    database: Path

    @property
    def url(self) -> str:
        return self.served.url.replace("127.0.0.1", "localhost")

    def join(self, email: str) -> PlainBrowser:
        browser = PlainBrowser(self.url)
        browser.post("/signup", email=email, password=PASSWORD)
        wait_until(lambda: bool(self.mails.to(email)), f"a mail to {email}")
        link = re.search(r"http://[^/]+(/link/\S+)", text_of(self.mails.to(email)[0]))
        assert link is not None
        assert browser.post(link[1]).status == 303
        return browser


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    folder = tmp_path_factory.mktemp("door")
    write_shop_window(folder)
    command = [sys.executable, "-m", "oidc_provider_mock", "--port", "{port}"]
    with MailServer() as mails, Served(command, health_path="/.well-known/openid-configuration") as provider:
        settings = {
            "FAREBOX_SECRET_KEY": SECRET, "SMTP_URL": mails.url, "OIDC_ISSUER": provider.url, "OIDC_CLIENT_ID": "x",
            "OIDC_CLIENT_SECRET": "y", "OIDC_NAME": "Example", "GITHUB_CLIENT_ID": "x", "GITHUB_CLIENT_SECRET": "y",
        }  # fmt: skip
        with Served(env=settings, cwd=folder) as served:
            yield Door(served, mails, provider, folder / "farebox.db")
            assert "Traceback" not in served.output()


def be(page: Page, browser: PlainBrowser) -> None:
    """Have a tab go on where a browser without a window has logged in."""
    cookies: Any = [
        {"name": name, "value": value, "domain": "localhost", "path": "/", "secure": True, "httpOnly": True}
        for name, value in browser.cookies.items()
    ]
    page.context.add_cookies(cookies)


def authenticator(page: Page, *, is_verified: bool = True) -> CDPSession:
    """A fingerprint reader that always agrees; or never."""
    session = page.context.new_cdp_session(page)
    session.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True,
        "isUserVerified": is_verified, "automaticPresenceSimulation": True,
    }  # fmt: skip
    session.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    return session


def code_of(text: str) -> str:
    return code_at(base64.b32decode(text.replace(" ", "")), step_of(time.time_ns() // 1000))


@pytest.fixture(scope="module")
def ada(door: Door) -> PlainBrowser:
    """Somebody who has joined, and has been here with another device."""
    browser = door.join("ada@example.com")
    phone = PlainBrowser(door.url, user_agent="Mozilla/5.0 (iPhone; CPU iPhone OS 18_1) Version/18.1 Safari/604.1")
    phone.post("/login", email="ada@example.com", password=PASSWORD)
    return browser


@pytest.mark.parametrize("path", STRANGERS)
def test_a_page_of_the_log_in_is_as_it_should_be(door: Door, reader: Page, inspector: Inspector, path: str) -> None:
    inspector.assert_page(reader, f"{door.url}{path}")


def test_a_form_that_was_refused_begins_at_what_is_wrong_and_says_so_in_its_title(door: Door, page: Page) -> None:
    page.goto(f"{door.url}/login")
    page.get_by_label("E-mail address").fill("nobody@example.com")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in", exact=True).click()
    expect(page).to_have_title(re.compile("^Error: Log in"))
    expect(page.get_by_role("alert").filter(has_text="is not right")).to_be_focused()


@pytest.mark.parametrize("path", [SECURITY, "/settings/confirm"])
def test_a_page_of_the_settings_is_as_it_should_be(
    door: Door, ada: PlainBrowser, reader: Page, inspector: Inspector, path: str
) -> None:
    be(reader, ada)
    inspector.assert_page(reader, f"{door.url}{path}")


def test_a_passkey_is_added_lets_in_and_shows_who_one_is(door: Door, page: Page, inspector: Inspector) -> None:
    be(page, door.join("pia@example.com"))
    authenticator(page)
    page.goto(f"{door.url}{SECURITY}")
    page.get_by_label("Name of the new passkey").fill("my laptop")
    page.get_by_role("button", name="Add a passkey").click()
    expect(page.get_by_role("status")).to_contain_text("The passkey is added.")
    expect(page.get_by_role("rowheader", name="my laptop")).to_be_visible()
    page.get_by_label("Name of the new passkey").fill("again")
    page.get_by_role("button", name="Add a passkey").click()
    expect(page.get_by_role("alert")).to_have_text("This device already has a passkey here.")
    page.goto(f"{door.url}/settings/confirm?next=/settings/sessions")
    page.get_by_role("button", name="Use a passkey").click()
    page.wait_for_url(f"{door.url}/settings/sessions")
    page.get_by_role("button", name="Log out", exact=True).click()
    page.goto(f"{door.url}/login?next=/settings/sessions")
    page.get_by_role("button", name="Log in with a passkey").click()
    page.wait_for_url(f"{door.url}/settings/sessions")
    expect(page.get_by_text("by a passkey")).to_be_visible()
    # Last but one, as no authenticator is asked any more on a page that was looked at in every size.
    inspector.assert_page(page, f"{door.url}{SECURITY}", name="settings-security-passkey")
    page.set_viewport_size({"width": 1200, "height": 900})
    page.goto(f"{door.url}{SECURITY}")
    page.get_by_role("button", name="Remove my laptop").click()
    expect(page.get_by_role("status")).to_contain_text("The passkey is removed.")
    with closing(sqlite3.connect(door.database)) as database, database:
        database.execute("UPDATE session SET authenticated_us = 0")
    page.get_by_label("Name of the new passkey").fill("too late")
    page.get_by_role("button", name="Add a passkey").click()
    expect(page.get_by_role("heading", name="Confirm that it is you")).to_be_visible()
    expect(page.get_by_role("status")).to_contain_text("Nothing was changed yet")


def test_a_device_that_does_not_know_its_person_lets_nobody_in(door: Door, page: Page) -> None:
    authenticator(page, is_verified=False)
    page.goto(f"{door.url}/login")
    page.get_by_role("button", name="Log in with a passkey").click()
    expect(page.get_by_role("alert")).to_have_text("No passkey was used. Try again.")


def test_without_a_script_there_is_no_button_that_needs_one(door: Door, browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{door.url}/login")
    expect(page.get_by_role("button", name="Log in with a passkey")).to_be_hidden()
    expect(page.get_by_role("link", name="Continue with Example")).to_be_visible()
    context.close()


def test_the_second_factor_is_turned_on_and_asked_for_without_a_script(door: Door, browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    be(page, door.join("tom@example.com"))
    page.goto(f"{door.url}{SECURITY}")
    page.get_by_role("button", name="Turn it on").click()
    secret = page.locator("details code").text_content() or ""
    page.get_by_role("textbox", name="Code").fill("000 000" if code_of(secret) != "000000" else "000001")
    page.get_by_role("button", name="Turn it on").click()
    expect(page.get_by_text("This code does not work.")).to_be_visible()
    assert page.locator("details code").text_content() == secret, "the app has it already"
    page.get_by_role("textbox", name="Code").fill(code_of(secret))
    page.get_by_role("button", name="Turn it on").click()
    codes = (page.locator("pre code").text_content() or "").split()
    assert len(codes) == 10
    page.get_by_role("link", name="I have saved them").click()
    expect(page.get_by_text("10 recovery codes left")).to_be_visible()
    page.get_by_role("button", name="Log out", exact=True).first.click()
    page.goto(f"{door.url}/login?next=/settings/sessions")
    page.get_by_label("E-mail address").fill("tom@example.com")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in", exact=True).click()
    page.get_by_role("textbox", name="Code").fill(codes[0])
    page.get_by_role("button", name="Log in").click()
    expect(page).to_have_url(f"{door.url}/settings/sessions")
    context.close()


def test_the_pages_of_the_second_factor_are_as_they_should_be(door: Door, page: Page, inspector: Inspector) -> None:
    be(page, door.join("una@example.com"))
    page.goto(f"{door.url}{SECURITY}")
    page.get_by_role("button", name="Turn it on").click()
    inspector.assert_page(page, f"{door.url}{SECURITY}/totp")
    page.get_by_text("Or type it in").click()
    page.get_by_role("textbox", name="Code").fill(code_of(page.locator("details code").text_content() or ""))
    page.get_by_role("button", name="Turn it on").click()
    expect(page.get_by_text("once you leave this page")).to_be_visible()
    inspector.assert_here(page, "recovery-codes")
    inspector.assert_page(page, f"{door.url}{SECURITY}", name="settings-security-on")
    inspector.assert_page(page, f"{door.url}/settings/confirm", name="settings-confirm-code")


def test_a_form_is_sent_once_and_its_button_comes_back(door: Door, page: Page) -> None:
    sent: list[str] = []

    def nothing_comes(route: Route) -> None:
        sent.append(route.request.method)
        route.fulfill(status=204)

    page.clock.install()
    page.goto(f"{door.url}/login/link")
    page.route("**/login/link", nothing_comes)
    page.get_by_label("E-mail address").fill("nobody@example.com")
    button = page.get_by_role("button", name="Send me a link")
    for count in (1, 2):
        button.click()
        expect(button).to_have_attribute("aria-disabled", "true")
        button.click(force=True)
        page.get_by_label("E-mail address").press("Enter")
        if count == 1:
            page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
        else:
            page.clock.fast_forward(10_000)
        expect(button).not_to_have_attribute("aria-disabled", "true")
        assert sent == ["POST"] * count
    page.unroute("**/login/link")
    button.click()
    expect(page).to_have_url(f"{door.url}/login/link/sent")


def test_a_link_that_was_used_a_moment_ago_is_a_page_as_well(door: Door, page: Page, inspector: Inspector) -> None:
    door.join("lea@example.com")
    link = re.search(r"http://[^/]+(/link/\S+)", text_of(door.mails.to("lea@example.com")[0]))
    assert link is not None
    inspector.assert_page(page, f"{door.url}{link[1]}", name="link-used", status=410)


def test_somebody_new_logs_in_elsewhere_and_comes_back(door: Door, page: Page) -> None:
    subject = "kim@example.com"
    answer = PlainBrowser(door.provider.url)._send(
        "PUT", f"/users/{subject}", f'{{"email": "{subject}", "email_verified": true}}',
        {"content-type": "application/json"},
    )  # fmt: skip
    assert answer.status == 204
    page.goto(f"{door.url}/login?next=/settings")
    page.get_by_role("link", name="Continue with Example").click()
    expect(page).to_have_url(re.compile(f"^{re.escape(door.provider.url)}/"))
    page.locator("input[name=sub]").fill(subject)
    page.get_by_role("button", name="Authorize").click()
    page.wait_for_url(f"{door.url}/settings")
    expect(page.get_by_text(subject).first).to_be_visible()
    page.goto(f"{door.url}{SECURITY}")
    page.get_by_role("button", name="Disconnect Example").click()
    page.get_by_role("link", name="Connect Example").click()
    page.locator("input[name=sub]").fill(subject)
    page.get_by_role("button", name="Authorize").click()
    expect(page.get_by_role("status")).to_contain_text("It is connected.")
    page.context.clear_cookies()
    page.goto(f"{door.url}/oauth/oidc/callback?state=x&code=y")
    expect(page.get_by_role("alert").first).to_contain_text("started in another browser")
