"""A shop with pages, served, and its mail: for tests of what people do there."""

import itertools
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.api.shop import Shop
from tests.services.browser import Browser, Page
from tests.services.mail import MailServer, text_of
from tests.services.process import wait_until
from tests.services.served import Served

PASSWORD: Final = "three odd words"
OTHER: Final = "four other odd words"
LINK: Final = re.compile(r"https://till\.example(/link/\S+)")
ANY_LINK: Final = re.compile(r"https?://[^/\s]+(/link/\S+)")
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

    def newest_link(self, email: str, known: Sequence[str] = ()) -> str:
        """The path of the last link that was mailed to an address, once that is none of those known."""
        found: list[str] = []

        def has_come() -> bool:
            texts = [text_of(letter) for letter in self.server.to(email)]
            found[:] = [path for text in texts for path in ANY_LINK.findall(text) if path not in known]
            return bool(found)

        wait_until(has_come, f"a link to {email}")
        return found[-1]

    def joined(self, email: str) -> Browser:
        browser = self.browser()
        browser.post("/signup", email=email, password=PASSWORD)
        assert browser.post(self.link_to(email)).header("location") == "/playground"
        return browser

    def log_in(self, email: str, password: str = PASSWORD, **more: str) -> tuple[Browser, Page]:
        browser = self.browser()
        return browser, browser.post("/login", email=email, password=password, **more)


@contextmanager
def serve_place(folder: Path, database_url: str, **settings: str) -> Iterator[Place]:
    """The place, on two processes behind a proxy on this machine; nothing may have gone wrong in them."""
    with MailServer() as server:
        shop = Shop(folder, database_url, None)
        usual = {
            "SMTP_URL": server.url,
            "FAREBOX_PUBLIC_URL": "https://till.example",
            "FAREBOX_TRUSTED_PROXIES": "127.0.0.1",
        }
        with shop.served(workers=2, **(usual | settings)) as served:
            yield Place(shop, served, server)
            assert "Traceback" not in served.output()


def is_in(browser: Browser) -> bool:
    page = browser.get("/overview")
    assert page.status in {200, 303}
    return page.status == 200
