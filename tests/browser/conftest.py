"""One browser, and the products whose pages are looked at in it."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.chromium import chromium
from tests.browser.inspection import Inspector
from tests.browser.markup import Validator
from tests.browser.shop_window import Window, write_crowded, write_shop_window
from tests.services.many_calls import Customer
from tests.services.served import Served

# Nothing here is about time, and the machine may be busy with other tests.
expect.set_options(timeout=30_000)

HERE = Path(__file__).parent
SECRET = "a secret for tests, of more than 16 characters"


class Kept:
    """The browser of this process, which a folder's tests share."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._browser: Browser | None = None
        self._tab: Page | None = None

    def get(self) -> Browser:
        if self._browser is None or not self._browser.is_connected():
            self._browser = self._stack.enter_context(chromium())
        return self._browser

    def tab(self) -> Page:
        """One of its tabs, as new but for what else it has shown. A new one costs Chromium a process."""
        if self._tab is None or self._tab.is_closed():
            self._tab = self.get().new_context(locale="en-GB", timezone_id="Europe/Lisbon").new_page()
        self._tab.set_viewport_size({"width": 1280, "height": 720})
        self._tab.context.set_extra_http_headers({})
        self._tab.context.clear_cookies()
        return self._tab

    def close(self) -> None:
        self._stack.close()
        self._browser = self._tab = None


kept = Kept()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(nextitem: pytest.Item | None) -> Iterator[None]:
    """Close it with the folder: while it runs, this thread has an event loop, and a test of another kind needs none."""
    yield
    if nextitem is None or not nextitem.path.is_relative_to(HERE):
        kept.close()


@pytest.fixture(scope="module")
def browser() -> Browser:
    return kept.get()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A tab of a browser that nobody has used yet."""
    context = browser.new_context(locale="en-GB", timezone_id="Europe/Lisbon")
    yield context.new_page()
    context.close()


@pytest.fixture
def reader(browser: Browser) -> Page:
    """A tab for a test that looks at pages, and sets nothing but who reads them; it is shared with the others."""
    del browser
    return kept.tab()


def be(page: Page, customer: Customer) -> None:
    """Have a customer read."""
    page.context.set_extra_http_headers({"cookie": customer.cookie})


@pytest.fixture(scope="session")
def inspector() -> Iterator[Inspector]:
    with Validator() as validator:
        yield Inspector(validator)


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The demo product: there is no file at all."""
    with Served(env={"FAREBOX_SECRET_KEY": SECRET}, cwd=tmp_path_factory.mktemp("demo")) as served:
        yield served


@pytest.fixture(scope="session")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Window]:
    """A product with everything. Tests that use it are marked as its group, so that it is started once."""
    folder = tmp_path_factory.mktemp("window")
    write_shop_window(folder)
    settings = {
        "FAREBOX_SECRET_KEY": SECRET, "FAREBOX_SWEEP_SECONDS": "3600", "GITHUB_CLIENT_ID": "x",
        "GITHUB_CLIENT_SECRET": "x", "OIDC_ISSUER": "https://login.example.com", "OIDC_CLIENT_ID": "x",
        "OIDC_CLIENT_SECRET": "x", "OIDC_NAME": "Example",
    }  # fmt: skip
    with Served(env=settings, cwd=folder) as served:
        yield Window(served, f"sqlite:///{folder}/farebox.db")
        assert "Traceback" not in served.output(), served.output()[-4000:]


@pytest.fixture(scope="session")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A product with too much of everything."""
    folder = tmp_path_factory.mktemp("crowded")
    write_crowded(folder)
    with Served(env={"FAREBOX_SECRET_KEY": SECRET}, cwd=folder) as served:
        yield served
