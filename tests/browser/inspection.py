"""What every page is held to: for readers of all kinds, on a phone and on a desk, by day and by night."""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit
from weakref import WeakSet

from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import CDPSession, ConsoleMessage, Error, Page, Request

from tests.browser.markup import Validator

SCREENSHOTS: Final = Path(folder) if (folder := os.environ.get("SCREENSHOTS")) else None
SIZES: Final = ((390, 844), (1440, 900))
SCHEMES: Final[tuple[Literal["light", "dark"], ...]] = ("light", "dark")
NARROWEST: Final = 320
BETWEEN: Final = (1024, 768)
"""Widths at which only what does not fit is looked for: a tablet's, where what a phone and a desk have may be cut."""
BYTES_MAX: Final = 60_000
GRAVE: Final = {"serious", "critical"}
OUR_OWN: Final = ("data:", "blob:", "about:")
COLOURS: Final = ("color-contrast", "link-in-text-block")
"""The rules of axe that a colour can break. All of its rules about colours are tagged cat.color."""
PREPARE_AXE: Final = """
(grave) => {
  for (const rule of axe._audit.rules) rule.enabled &&= grave.includes(rule.impact);
  const { Color } = axe.commons.color;
  const parse = Color.prototype.parseString;
  const known = new Map();
  Color.prototype.parseString = function (text) {
    if (!known.has(text)) known.set(text, parse.call(new Color(0, 0, 0), text));
    const { r, g, b, alpha } = known.get(text);
    return Object.assign(this, { r, g, b, alpha });
  };
}
"""
"""Not to look for what would not be told, as a rule has one impact, whatever it finds; nor read a colour twice."""
RUN_AXE: Final = """
async ([rules, isAll]) => {
  const theirs = ["id", "href", "for", "datetime", "value", "aria-label", "aria-labelledby", "title"];
  const drawn = [
    "color", "backgroundColor", "backgroundImage", "fontSize", "fontWeight", "opacity", "textShadow", "position",
    "textDecorationLine", "display", "visibility", "overflow",
  ];
  const numbers = new Map();
  const numbered = (look) => numbers.get(look) ?? numbers.set(look, numbers.size).get(look);
  const outsides = new Map();
  const looks = new Map();
  const learn = (node, outside) => {
    const style = getComputedStyle(node);
    const own = [
      node.tagName, node.textContent.trim() === "", node.matches(":first-child"), node.matches(":last-child"),
      ...Array.from(node.attributes, (one) => theirs.includes(one.name) ? one.name : one.name + one.value),
      ...drawn.map((name) => style[name]),
    ].join(" ");
    outsides.set(node, numbered(`in ${outside}: ${own}`));
    const inside = Array.from(node.children, (child) => learn(child, outsides.get(node)));
    looks.set(node, numbered(`${outsides.get(node)} with ${inside}`));
    return looks.get(node);
  };
  const seen = new Set();
  const exclude = [];
  const leaveOut = (node) => {
    if (seen.has(looks.get(node))) return exclude.push(node);
    seen.add(looks.get(node));
    for (const child of node.children) leaveOut(child);
  };
  if (!isAll) {
    learn(document.body, "");
    leaveOut(document.body);
  }
  const options = { ...(rules && { runOnly: rules }), resultTypes: ["violations"] };
  const found = await axe.run({ include: [document], exclude }, options);
  return found.violations;
}
"""
"""All of a page, or of what looks alike, and is in the like, only the first: that which differs in its words alone."""
SHAPE: Final = """
() => {
  for (const one of document.getAnimations()) if (one instanceof CSSTransition) one.finish();
  const shown = { opacityProperty: true, visibilityProperty: true };
  const all = Array.from(document.querySelectorAll("*"), (node) => {
    const { x, y, width, height } = node.getBoundingClientRect();
    return [x, y, width, height, node.checkVisibility(shown)];
  });
  const shape = document.documentElement.outerHTML.replace(/ class="[^"]*"/g, "") + all;
  const is_same = shape === window.shape;
  window.shape = shape;
  return is_same;
}
"""
"""Whether the page is as it was when this was last asked, but for colours. A class may change: what it does is seen."""
WIDTHS: Final = """
() => {
  const boxes = Array.from(document.querySelectorAll(".scroll")).filter((box) => box.checkVisibility());
  const hidden = boxes.filter((box) => box.scrollWidth > box.clientWidth + 1);
  const told = hidden.map((box) => [box.scrollWidth - box.clientWidth, box.innerText.trim().slice(0, 60)]);
  return [document.documentElement.scrollWidth, told];
}
"""
"""How wide the page is, and by how much each table is wider than its box."""
SHIFTS: Final = """
() => {
  const observer = new PerformanceObserver(() => {});
  observer.observe({ type: "layout-shift", buffered: true });
  return observer.takeRecords().filter((entry) => !entry.hadRecentInput).map((entry) => {
    const moved = entry.sources.map((one) => `${one.node?.nodeName}.${one.node?.className}`);
    return `${entry.value.toFixed(4)} by ${moved}`;
  });
}
"""


@dataclass
class Watched:
    """What a page did while it was loaded."""

    page: Page
    host: str
    problems: list[str] = field(default_factory=list)
    bytes_loaded: int = 0

    def __post_init__(self) -> None:
        self.page.on("console", self.said)
        self.page.on("pageerror", self.failed)
        self.page.on("request", self.asked)
        self.network: CDPSession = self.page.context.new_cdp_session(self.page)
        self.network.send("Network.enable")
        self.network.send("Network.setCacheDisabled", {"cacheDisabled": True})
        self.network.on("Network.loadingFinished", self.came)

    def close(self) -> None:
        """The page may go on to another test."""
        self.network.detach()
        self.page.remove_listener("console", self.said)
        self.page.remove_listener("pageerror", self.failed)
        self.page.remove_listener("request", self.asked)

    def said(self, message: ConsoleMessage) -> None:
        self.problems.append(f"console {message.type}: {message.text}")

    def failed(self, error: Error) -> None:
        self.problems.append(f"script: {error}")

    def asked(self, request: Request) -> None:
        if urlsplit(request.url).netloc != self.host and not request.url.startswith(OUR_OWN):
            self.problems.append(f"it asks another host: {request.url}")

    def came(self, event: dict[str, Any]) -> None:
        self.bytes_loaded += int(event["encodedDataLength"])


@dataclass
class Inspector:
    """Looks at pages. `problems` of a page are sentences; a page that has none is as it should be."""

    validator: Validator
    axe: Axe = field(default_factory=Axe)
    has_axe: WeakSet[Page] = field(default_factory=WeakSet)

    def assert_page(self, page: Page, url: str, *, name: str = "", status: int = 200) -> None:
        """Hold a page to everything: the whole list of what is wrong with it is in the failure.

        Args:
            page: a tab, with whatever log-in its context has; the page is loaded in it once for each size, the phone's
                last. In that it is looked at in all sizes, as a reader makes a window wider.
            url: the page's address.
            name: of its screenshots; by default its path.
            status: what it is answered with.
        """
        problems: list[str] = []
        name = name or re.sub(r"\W+", "-", urlsplit(url).path).strip("-") or "index"
        page.emulate_media(reduced_motion="reduce", color_scheme="light")
        if page not in self.has_axe:  # to send half a megabyte for each look costs more than to keep it
            page.add_init_script(f"window.loadAxe = () => {{{self.axe.axe_script}}};")
            self.has_axe.add(page)
        watched = Watched(page, urlsplit(url).netloc)
        for width, height in reversed(SIZES):
            watched.bytes_loaded = 0
            page.set_viewport_size({"width": width, "height": height})
            response = page.goto(url, wait_until="networkidle")
            assert response is not None
            if response.status != status:
                problems.append(f"it is answered with {response.status}, not {status}")
            if watched.bytes_loaded > BYTES_MAX:
                problems.append(f"{watched.bytes_loaded:,} bytes are transferred at first view")
            problems += [f"at {width} px it shifts: {shift}" for shift in page.evaluate(SHIFTS)]
            problems += _scrolls(page, width)
            if width == SIZES[0][0]:
                problems += self.validator.faults(response.text())
        problems += self._looks(page, name)
        for width in (*BETWEEN, NARROWEST):
            page.set_viewport_size({"width": width, "height": SIZES[0][1]})
            problems += _scrolls(page, width)
        watched.close()
        problems += [one for one in watched.problems if status < 400 or f"a status of {status}" not in one]
        assert not problems, "\n".join([f"{url} has {len(problems)} problems:", *dict.fromkeys(problems)])

    def assert_here(self, page: Page, name: str) -> None:
        """Hold a page to what can be seen without loading it again: one that is shown once."""
        page.wait_for_load_state()
        problems = self._looks(page, name)
        assert not problems, "\n".join([f"{name} has {len(problems)} problems:", *problems])

    def _looks(self, page: Page, name: str) -> list[str]:
        """What is wrong with a page as it stands, in each size, by day and by night."""
        problems: list[str] = []
        for width, height in SIZES:
            page.set_viewport_size({"width": width, "height": height})
            problems += _scrolls(page, width)
            for scheme in SCHEMES:
                page.emulate_media(color_scheme=scheme)
                problems += [f"{name}-{width}-{scheme}: {one}" for one in self._axe(page, width, scheme)]
                if SCREENSHOTS:
                    page.screenshot(path=SCREENSHOTS / f"{name}-{width}-{scheme}.png", full_page=True)
        page.emulate_media(color_scheme="light")
        return problems

    def _axe(self, page: Page, width: int, scheme: str) -> list[str]:
        """What axe finds: in the first view all, in the others what may be another there.

        That is, of what looks alike the first, and by night what a colour can break, where nothing else changed.
        """
        if page.evaluate("typeof axe") == "undefined":  # it stays until the page is loaded anew
            page.evaluate("loadAxe()" if page in self.has_axe else self.axe.axe_script)
            page.evaluate(PREPARE_AXE, list(GRAVE))
        only_colours = page.evaluate(SHAPE) and scheme != SCHEMES[0]
        is_first = (width, scheme) == (SIZES[0][0], SCHEMES[0])
        found: list[dict[str, Any]] = page.evaluate(RUN_AXE, [COLOURS if only_colours else None, is_first])
        return [
            f"{one['id']} ({one['impact']}): {one['help']}: {node['html'][:200]} {node.get('failureSummary', '')[:300]}"
            for one in found
            if one["impact"] in GRAVE
            for node in one["nodes"]
        ]


def _scrolls(page: Page, width: int) -> list[str]:
    """What does not fit: the page, or, but for the narrowest, a table in its box, which hides a column then."""
    found, hidden = page.evaluate(WIDTHS)
    problems = [f"at {width} px it scrolls sideways, to {found} px"] if found > width else []
    if width > NARROWEST:
        problems += [f"at {width} px a table hides {over} px: {words}" for over, words in hidden]
    return problems
