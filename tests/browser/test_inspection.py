"""The inspection sees what is wrong: each fault that pages are held to is on one bad page."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import SECRET
from tests.browser.inspection import Inspector
from tests.services.served import Served

APP = '''
import asyncio

from fastapi import Response
from starlette.responses import HTMLResponse

from farebox import Farebox

app = Farebox()
BAD = """<!DOCTYPE html>
<html lang="en"><head><title>Bad</title><script src="/bad.js" defer></script></head>
<body>
<p style="color: #aaa; width: 900px">Hard to read, and wide</p>
<img src="http://nowhere.invalid/x.png">
<div id="late"></div>
<p>Moved</p>
</body></html>"""
SCRIPT = """
console.error("something is wrong");
requestAnimationFrame(() => setTimeout(() => { document.getElementById("late").style.height = "300px"; }, 100));
//""" + "x" * 60_000


@app.get("/bad")
async def bad() -> Response:
    return HTMLResponse(BAD)


@app.get("/bad.js")
async def script() -> Response:
    return Response(SCRIPT, media_type="text/javascript")
'''
FAULTS = (
    "it is answered with 200, not 404",
    "Inline style is not allowed",
    "color-contrast (serious)",
    "image-alt (critical)",
    "at 390 px it scrolls sideways",
    "it asks another host: http://nowhere.invalid/x.png",
    "console error: something is wrong",
    "bytes are transferred at first view",
    "it shifts: ",
)


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder: Path = tmp_path_factory.mktemp("bad")
    (folder / "app.py").write_text(APP)
    with Served(env={"FAREBOX_SECRET_KEY": SECRET}, cwd=folder) as served:
        yield served


def test_each_fault_of_a_bad_page_is_told(bad: Served, page: Page, inspector: Inspector) -> None:
    with pytest.raises(AssertionError) as told:
        inspector.assert_page(page, f"{bad.url}/bad", name="bad", status=404)
    for fault in FAULTS:
        assert fault in str(told.value), fault
