"""The place with services to log in at, and somebody in it who guards their account."""

import base64
import re
import time
from typing import Final

from farebox.domain.second_factor import code_at, step_of
from tests.api.place import PASSWORD, Place, is_in, numbers
from tests.services.authenticator import Authenticator
from tests.services.browser import Browser, Page
from tests.services.issuer import FakeGitHub, FakeIssuer, Issuer

ORIGIN: Final = "https://till.example"
SECURITY: Final = "/settings/security"


class Fort(Place):
    """The place, and an issuer and a GitHub."""

    def __init__(self, place: Place, issuer: FakeIssuer, github: FakeGitHub) -> None:
        super().__init__(place.shop, place.served, place.server)
        self.issuer, self.github = issuer, github

    def new_email(self) -> str:
        return f"ada{next(numbers)}@example.com"

    def make_stale(self, email: str) -> None:
        """Have somebody shown who they are long ago."""
        self.shop.query(
            "UPDATE session SET authenticated_us = 0 WHERE person_id = (SELECT id FROM person WHERE email = %s)", email
        )

    def agree(self, browser: Browser, leave: str = "/oauth/oidc?next=/settings", **more: str) -> Page:
        """A browser goes to log in elsewhere, and comes back."""
        page = browser.get(leave)
        assert page.status == 303, page.text
        at: Issuer = self.github if "github" in leave else self.issuer
        return browser.get(at.agree(page.header("location"), **more))

    def add_passkey(self, browser: Browser, name: str = "phone") -> Authenticator:
        device = Authenticator()
        asked = browser.post(f"{SECURITY}/passkeys/options")
        page = browser.post(f"{SECURITY}/passkeys", name=name, answer=device.make(asked.text, ORIGIN))
        assert page.header("location") == f"{SECURITY}?told=passkey", page.text
        return device

    def show_passkey(self, browser: Browser, device: Authenticator, at: str = ORIGIN, **fields: str) -> Page:
        asked = browser.post("/login/passkey/options")
        return browser.post("/login/passkey", answer=device.show(asked.text, at), **fields)


class Guarded:
    """Somebody whose second factor is on, and their app."""

    def __init__(self, fort: Fort) -> None:
        self.fort = fort
        self.email = fort.new_email()
        self.browser = fort.joined(self.email)
        assert self.browser.post(f"{SECURITY}/totp").header("location") == f"{SECURITY}/totp"
        page = self.browser.get(f"{SECURITY}/totp")
        found = re.search(r"<code>([A-Z2-7 ]{39})</code>", page.text)
        assert found is not None
        assert "<svg" in page.text
        self.secret = base64.b32decode(found[1].replace(" ", ""))
        page = self._turned_on()
        self.codes = re.findall(r"[2-9a-z]{4}(?:-[2-9a-z]{4}){3}", page.text)
        assert (page.status, len(self.codes)) == (200, 10)
        fort.shop.query("DELETE FROM guess")  # what was typed so far is not what is tested

    def _turned_on(self) -> Page:
        """By the code of the half minute before: those after it are the tests' to use."""
        page = self.browser.post(f"{SECURITY}/totp/on", code=self.code(-1))
        if page.status == 422:  # that half minute ended on the way
            page = self.browser.post(f"{SECURITY}/totp/on", code=self.code(-1))
        return page

    def code(self, off: int = 0) -> str:
        return code_at(self.secret, step_of(time.time_ns() // 1000) + off)

    def wrong(self) -> str:
        return f"{(int(self.code()) + 7_777) % 10**6:06}"

    def first(self, password: str = PASSWORD) -> Browser:
        """A browser that has shown the password."""
        browser, page = self.fort.log_in(self.email, password)
        assert page.header("location") == "/login/code?next=/overview"
        assert not is_in(browser)
        return browser
