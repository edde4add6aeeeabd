"""Debian's Chromium, driven by Playwright, whose own download is not used."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, sync_playwright

OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser")
MISSING = "These tests need Chromium, and there is none here. Install it: apt-get install -y chromium-headless-shell"


def find_chromium() -> str | None:
    """The one without a window of its own where there is one: a page costs it a third of the processor time."""
    return next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser.

    While it runs, this thread has an event loop.
    """
    path = find_chromium()
    if path is None:
        if shutil.which("apt-get") is None:
            pytest.skip(f"{MISSING}, or as your system has it.")
        pytest.fail(MISSING)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(OPTIONS))
        yield browser
        browser.close()
