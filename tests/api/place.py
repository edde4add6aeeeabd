"""A shop with pages and mail, for tests of people."""

import itertools
import re
from typing import Final

from tests.api.shop import Shop
from tests.services.browser import Browser, Page
from tests.services.mail import MailServer, text_of
from tests.services.process import wait_until
from tests.services.served import Served

PASSWORD: Final = "three odd words"
LINK: Final = re.compile(r"https://till\.example(/link/\S+)")
numbers = itertools.count(1)


class Place:
    """A shop with pages, served, and its mail."""

    def __init__(self, shop: Shop, served: Served, server: MailServer) -> None:
        self.shop = shop
        self.served = served
        self.server = server

    def browser(self) -> Browser:
        """One on a network of its own."""
        number = next(numbers)
        return Browser(self.served.url, x_forwarded_for=f"198.51.{number // 250}.{number % 250}")

    def link_to(self, email: str, count: int = 1) -> str:
        """The path of the link in the last of so many mails to an address."""
        wait_until(lambda: len(self.server.to(email)) >= count, f"{count} mails to {email}")
        found = LINK.search(text_of(self.server.to(email)[count - 1]))
        assert found is not None
        return found[1]

    def joined(self, email: str) -> Browser:
        browser = self.browser()
        browser.post("/signup", email=email, password=PASSWORD)
        assert browser.post(self.link_to(email)).header("location") == "/playground"
        return browser

    def log_in(self, email: str, password: str = PASSWORD, **more: str) -> tuple[Browser, Page]:
        browser = self.browser()
        return browser, browser.post("/login", email=email, password=password, **more)
