"""The inspection sees what is wrong: each fault that pages are held to is on one bad page."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import Browser

from tests.browser.inspection import Inspector

BAD = """<!DOCTYPE html>
<html lang="en"><head><title>Bad</title><script src="/bad.js" defer></script>
<style>
  i { color: #000; background: #fff }
  .night { display: none }
  @media (prefers-color-scheme: dark) {
    i, b:nth-child(3), .box b { color: #333; background: #000 }
    .night { display: block }
  }
  .scroll { overflow: auto }
  @media (width: 1024px) { td { min-width: 1200px } }
  @media (width > 1000px) { u { color: #bbb } s { display: block; width: 2000px } }
</style></head>
<body>
<p style="color: #aaa; width: 900px">Hard to read, and wide</p>
<p><i>Hard to read by night</i> <u>Hard to read on a desk</u> <s>Wide on a desk</s></p>
<img src="http://nowhere.invalid/x.png"><img class="night" src="data:,">
<p><b>Like the next</b> <b>Like the one before</b> <b>Another by night</b> <b>Like the second</b></p>
<p class="box"><b>Another by where it is</b> <b>The last</b></p>
<div class="scroll"><table><tr><td>Cut on a tablet</td></tr></table></div>
<div id="late"></div>
<p>Moved</p>
</body></html>"""
SCRIPT = (
    """
console.error("something is wrong");
fetch("/moved?is_asked");  // until it has moved, the network is at work
requestAnimationFrame(() => setTimeout(() => { document.getElementById("late").style.height = "300px"; }, 100));
new PerformanceObserver(() => fetch("/moved")).observe({ type: "layout-shift", buffered: true });
//"""
    + "x" * 60_000
)
FAULTS = (
    "it is answered with 200, not 404",
    "Inline style is not allowed",
    "at 390 px it scrolls sideways",
    "at 1440 px it scrolls sideways",
    "at 1024 px a table hides",
    "it asks another host: http://nowhere.invalid/x.png",
    "console error: something is wrong",
    "bytes are transferred at first view",
    "at 390 px it shifts: ",
    "at 1440 px it shifts: ",
)
VIEWS = ("390-light", "390-dark", "1440-light", "1440-dark")
NIGHT = ("390-dark", "1440-dark")
DESK = ("1440-light", "1440-dark")
SEEN = (
    ("color-contrast (serious)", "<p style=", VIEWS),
    ("color-contrast (serious)", "<i>", NIGHT),
    ("color-contrast (serious)", "<u>", DESK),
    ("color-contrast (serious)", "<b>Another by night", NIGHT),
    ("color-contrast (serious)", "<b>Another by where it is", NIGHT),
    ("image-alt (critical)", "<img src=", VIEWS),
    ("image-alt (critical)", '<img class="night"', NIGHT),
)
"""What axe finds: the rule, the element, and where."""


class Bad(BaseHTTPRequestHandler):
    moved = threading.Semaphore(0)

    def do_GET(self) -> None:
        if self.path == "/moved":
            self.moved.release()
        elif self.path == "/moved?is_asked":
            self.moved.acquire(timeout=30)
        kind, body = ("text/javascript", SCRIPT) if self.path == "/bad.js" else ("text/html", BAD)
        self.send_response(200)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def bad() -> Iterator[str]:
    """Where the page is."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Bad) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}/bad"
        server.shutdown()


@pytest.fixture(scope="module", params=["a new tab", "a tab that has shown others"])
def told(request: pytest.FixtureRequest, bad: str, browser: Browser, inspector: Inspector) -> str:
    """What the inspection says of it."""
    page = browser.new_context().new_page()
    if request.param != "a new tab":
        with pytest.raises(AssertionError):
            inspector.assert_page(page, bad, name="before")
    with pytest.raises(AssertionError) as told:
        inspector.assert_page(page, bad, name="bad", status=404)
    page.context.close()
    return str(told.value)


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_of_a_bad_page_is_told(told: str, fault: str) -> None:
    assert fault in told


@pytest.mark.parametrize(("rule", "element", "views"), SEEN)
def test_what_axe_finds_is_told_for_each_size_by_day_and_by_night(
    told: str, rule: str, element: str, views: tuple[str, ...]
) -> None:
    lines = [line for line in told.splitlines() if rule in line and f": {element}" in line]
    assert tuple(view for view in VIEWS if any(line.startswith(f"bad-{view}: ") for line in lines)) == views
