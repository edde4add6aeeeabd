"""The pages over HTTP: whose come first, what each carries, and what they say when something is wrong."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import pytest
from fastapi import FastAPI, Form, HTTPException
from pydantic import Field
from starlette.background import BackgroundTask
from starlette.responses import Response, StreamingResponse
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from farebox import Brand, Call, Farebox, FounderError, Pack, Plan
from farebox.domain.errors import AccountSuspended, LedgerUnavailable
from farebox.web.pages.guard import FORM_BYTES_MAX, HEADERS, Guard
from farebox.web.site import Pages
from tests.browser.shop_window import LOGO

PAGES = ("/", "/pricing", "/terms", "/privacy", "/errors", "/errors/insufficient_quota", "/docs")
HTML = {"accept": "text/html,application/xhtml+xml"}
Serve = Callable[..., TestClient]


def pages_of(app: Farebox) -> FastAPI:
    """The pages of a product, inside of their guard."""
    pages = app.router.default
    assert isinstance(pages, Pages)
    assert isinstance(pages._app, Guard)
    found = pages._app._app.app
    assert isinstance(found, FastAPI)
    return found


# -- What is for sale


@pytest.mark.parametrize("contact", ["", "help@till.example"])
@pytest.mark.parametrize("sells", [False, True])
def test_strangers_are_offered_to_buy_only_where_that_can_be_done(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, contact: str, *, sells: bool
) -> None:
    if sells:
        monkeypatch.setenv("STRIPE_SECRET_KEY", "sk_test_" + "1" * 24)
    plans = [Plan("free", calls=20), Plan("studio", usd=49, calls=9, overage_usd="0.01")]
    client = serve(Farebox("Till", contact=contact, plans=plans, packs=[Pack("small", usd=10)]))
    for path, cannot_be in (("/", 1), ("/pricing", 2)):
        page = client.get(path).text
        assert ("$49" in page, "Start free" in page, "Choose Studio" in page) == (True, True, sells)
        assert page.count("It cannot be bought online yet.") == (0 if sells else cannot_be)
        assert page.count("To ask for it, write to") == (cannot_be if contact and not sells else 0)
    assert ("Buy it when you are logged in." in client.get("/pricing").text) == sells
    page = client.get("/signup?plan=studio").text
    assert ("You chose Studio: $49 a month" in page, "/login?next=/plan" in page) == (sells, sells)
    said = "You chose Studio, which cannot be bought online yet: your account starts on Free."
    assert (said in page, "To ask for Studio, write to" in page) == (not sells, bool(contact) and not sells)
    sent = client.post("/signup", data={"plan": "studio"}, headers=HTML | {"sec-fetch-site": "same-origin"})
    assert (sent.status_code, said in sent.text) == (422, not sells), "beside what was filled in wrong, too"
    assert "cannot be bought" not in client.get("/signup?plan=free").text


# -- What each page carries


@pytest.mark.parametrize(
    "path", [*PAGES, "/robots.txt", "/sitemap.xml", "/favicon.svg", "/nothing", "/static/farebox.css"]
)
def test_every_page_has_the_headers(serve: Serve, path: str) -> None:
    reply = serve(Farebox()).get(path, headers=HTML)
    for name, value in HEADERS.items():
        if name == "cache-control" or (name == "content-security-policy" and path == "/favicon.svg"):
            continue
        assert reply.headers[name] == value
    assert reply.headers["x-request-id"].startswith("req_")


@pytest.mark.parametrize("path", PAGES)
def test_no_page_has_script_or_style_in_it(serve: Serve, path: str) -> None:
    html = serve(Farebox(tagline="Words")).get(path).text
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", html)
    assert all("src=" in tag for tag in re.findall(r"<script[^>]*>", html))
    assert not re.search(r"""(?:src|href)="(?:https?:)?//""", html)


@pytest.mark.parametrize("path", PAGES)
def test_a_page_says_what_it_is_to_search_engines_and_networks(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setenv("FAREBOX_PUBLIC_URL", "https://api.example.com/")
    html = serve(Farebox("A & B", tagline='Say "less"')).get(path).text
    assert f'<link rel="canonical" href="https://api.example.com{path}">' in html
    assert f'<meta property="og:url" content="https://api.example.com{path}">' in html
    for name in ('name="description"', 'property="og:title"', 'property="og:description"', 'name="twitter:card"'):
        assert re.search(f'<meta {name} content="[^"]+">', html)
    assert "A &amp; B" in re.findall("<title>(.*)</title>", html)[0]


def test_the_sitemap_has_every_page_and_the_robots_know_it(
    serve: Serve, bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAREBOX_PUBLIC_URL", "https://api.example.com")
    (bare / "pages").mkdir()
    (bare / "pages" / "guide.md").write_text("# Guide")
    (bare / "pages" / "terms.md").write_text("# Terms")
    client = serve(Farebox())
    paths = re.findall("<loc>https://api.example.com(.*)</loc>", client.get("/sitemap.xml").text)
    assert paths == ["/", "/pricing", "/docs", "/terms", "/privacy", "/guide"]
    assert all(client.get(path).status_code == 200 for path in paths)
    assert "Sitemap: https://api.example.com/sitemap.xml" in client.get("/robots.txt").text


# -- What the founder's file says


def test_the_landing_page_is_made_of_the_file(serve: Serve) -> None:
    app = Farebox("Tags <&>", tagline="Words that sell", plans=[Plan("free", calls=20), Plan("pro", usd=29)])

    @app.paid(units=2)
    async def tagline(call: Call, product: str, tone: str = "warm") -> str:
        """Write a tagline.

        It is *short*. <img src=x onerror=alert(1)>
        """
        return await call.ask(f"{tone} {product}")

    @app.paid
    async def slogan(call: Call, product: str) -> Annotated[str, Field(examples=["Leaves that love you back"])]:
        """Write a slogan."""
        return await call.ask(product)

    html = serve(app).get("/").text
    for words in (
        "<h1>Words that sell</h1>", "Tags &lt;&amp;&gt;", "Write a tagline", "<em>short</em>", "/v1/tagline", "$29",
        "20 calls a month", "Counts for 2 calls", 'href="/signup?plan=free"', "curl http://testserver/v1/tagline",
        "import requests", "await fetch(", "The answer to your request stands here.", "Leaves that love you back",
    ):  # fmt: skip
        assert words in html
    assert "<img" not in html
    assert "openai" not in html


def test_without_functions_the_model_is_what_is_sold(serve: Serve) -> None:
    html = serve(Farebox("Plain")).get("/").text
    assert "<h1>Plain</h1>" in html
    assert "/v1/generate" in html
    assert "from openai import OpenAI" in html


def test_the_colours_and_the_logo_come_from_the_brand(serve: Serve, bare: Path) -> None:
    (bare / "mark.svg").write_text(LOGO)
    client = serve(Farebox("Tags", brand=Brand(colour="#facc15", logo="mark.svg")))
    sheet = client.get("/static/brand.css")
    assert (sheet.status_code, sheet.headers["content-type"]) == (200, "text/css; charset=utf-8")
    assert "--fill: #facc15; --on-fill: #000000;" in sheet.text
    assert "prefers-color-scheme: dark" in sheet.text
    [source] = re.findall(r'<img src="([^"]+)" width="120" height="32" alt="Tags">', client.get("/").text)
    logo = client.get(source)
    assert (logo.text, logo.headers["content-type"]) == (LOGO, "image/svg+xml")
    assert "sandbox" in logo.headers["content-security-policy"]
    icon = client.get("/favicon.svg")
    assert icon.headers["content-type"] == "image/svg+xml"
    assert ">T</text>" in icon.text
    assert "#facc15" in icon.text


def test_a_logo_that_is_missing_is_told_at_start_up_with_the_files_line(serve: Serve) -> None:
    with pytest.raises(FounderError, match=r"test_pages\.py, line \d+: Brand\(logo='no\.svg'\): .*check the path"):
        serve(Farebox(brand=Brand(logo="no.svg")))


# -- Whose page comes first


def test_the_founders_routes_come_before_ours_however_late_they_are_added(serve: Serve) -> None:
    app = Farebox()

    @app.get("/pricing")
    def pricing() -> str:
        return "mine"

    client = serve(app)
    assert client.get("/").status_code == 200

    @app.get("/")
    def home() -> str:
        return "mine as well"

    assert client.get("/pricing").json() == "mine"
    assert client.get("/").json() == "mine as well"
    assert "Terms of use" in client.get("/terms").text


def test_a_template_of_the_founders_replaces_ours_and_may_build_on_it(serve: Serve, bare: Path) -> None:
    (bare / "templates").mkdir()
    (bare / "templates" / "pricing.html").write_text(
        '{% extends "farebox/pricing.html" %}{% block title %}What it costs{% endblock %}'
    )
    (bare / "templates" / "docs.html").write_text(
        '{% extends "farebox/docs.html" %}{% block main %}<p>Read this first.</p>{{ super() }}{% endblock %}'
    )
    (bare / "templates" / "brand.html").write_text('<b class="mine">{{ product.name }}</b>\n')
    client = serve(Farebox("Tags & Co"))
    html = client.get("/pricing").text
    assert "<title>What it costs</title>" in html
    assert '<b class="mine">Tags &amp; Co</b>' in html
    assert "How it is counted" in html
    assert re.search("Read this first.*/v1/generate", client.get("/docs").text, re.DOTALL)
    assert '<b class="mine">' in client.get("/").text


def test_markdown_beside_the_file_is_a_page_and_replaces_ours(serve: Serve, bare: Path) -> None:
    (bare / "pages").mkdir()
    (bare / "pages" / "about-us.md").write_text("# About *us*\n\nWe are <b>two</b>. {{ product.name }}")
    (bare / "pages" / "privacy.md").write_text("# What we keep\n\nNothing.")
    (bare / "pages" / "index.md").write_text("# Home\n\nOurs.")
    client = serve(Farebox())
    about = client.get("/about-us")
    assert (about.status_code, about.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "<title>About us · " in about.text
    assert "We are &lt;b&gt;two&lt;/b&gt;. {{ product.name }}" in about.text
    assert '<a href="/about-us">About us</a>' in client.get("/pricing").text
    assert "Nothing." in client.get("/privacy").text
    assert "general text" not in client.get("/privacy").text
    assert "general text" in client.get("/terms").text
    assert "Ours." in client.get("/").text
    (bare / "pages" / "about-us.md").write_text("# Changed")
    assert "Changed" in client.get("/about-us").text


@pytest.mark.parametrize("name", ["About Us.md", "_draft.md", "über.md"])
def test_a_page_with_a_name_that_is_no_address_is_told_at_start_up(serve: Serve, bare: Path, name: str) -> None:
    (bare / "pages").mkdir()
    (bare / "pages" / name).write_text("# X")
    with pytest.raises(FounderError, match="its name becomes its address"):
        serve(Farebox())


def test_a_page_that_is_no_text_is_told_at_start_up(serve: Serve, bare: Path) -> None:
    (bare / "pages").mkdir()
    (bare / "pages" / "about.md").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FounderError, match="is not UTF-8 text"):
        serve(Farebox())


# -- What is wrong


def test_a_browser_is_told_in_a_page_and_a_program_in_the_problem_body(serve: Serve) -> None:
    client = serve(Farebox("Tags"))
    page = client.get("/no/<such>", headers=HTML)
    assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "There is nothing at /no/&lt;such&gt;." in page.text
    assert page.headers["x-request-id"] in page.text
    for path, headers in (("/no", {}), ("/v1/no", HTML), ("/v1", HTML), ("/pricing/", {"accept": "*/*"})):
        reply = client.get(path, headers=headers)
        assert (reply.status_code, reply.headers["content-type"]) == (404, "application/problem+json")
        assert reply.json()["error"]["code"] == "not_found"
    assert client.post("/pricing", headers=HTML).status_code == 405
    assert client.post("/pricing", headers=HTML).headers["allow"] == "GET"


def test_whatever_a_page_raises_is_a_page_and_what_is_not_the_readers_fault_is_a_line_of_the_log(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    app = Farebox("Tags", contact="help@tags.example")
    client = serve(app)
    assert client.get("/").status_code == 200
    faults: dict[str, Exception] = {
        "404": HTTPException(404, "There is no such call in your account."),
        "403": AccountSuspended("The account is suspended."),
        "422": HTTPException(422),
        "500": KeyError("a secret"),
        "503": LedgerUnavailable("The database cannot be reached.", retry_after_seconds=7),
    }
    faults["503"].__cause__ = OSError("no table\nDETAIL: ada@example.com")
    pages = pages_of(app)

    @pages.get("/fault/{name}")
    def fault(name: str) -> None:
        raise faults[name]

    @pages.get("/moved")
    def moved() -> None:
        raise HTTPException(303, headers={"location": "/login"})

    @pages.get("/number/{number}")
    def number(number: int) -> int:
        return number

    found = {name: client.get(f"/fault/{name}", headers=HTML) for name in faults}
    for name, reply in found.items():
        assert (str(reply.status_code), reply.headers["content-type"]) == (name, "text/html; charset=utf-8")
        assert f"Error {name}" in reply.text
        assert "secret" not in reply.text
        assert "no-store" in reply.headers["cache-control"]
        contact = '<a href="mailto:help@tags.example">'
        assert f"write to {contact}help@tags.example</a> about this" in reply.text
        assert f"{contact}Contact</a>" in reply.text
        lines = [one.getMessage() for one in caplog.records if reply.headers["x-request-id"] in one.getMessage()]
        assert len(lines) == (name in {"500", "503"}), lines
    assert "There is no such call in your account." in found["404"].text
    assert found["503"].headers["retry-after"] == "7"
    assert "This page cannot be shown right now." in found["503"].text
    [line] = [one.getMessage() for one in caplog.records if "ledger_unavailable" in one.getMessage()]
    assert line.startswith("GET /fault/{name}, req_")
    assert line.endswith(": ledger_unavailable: OSError: no table")
    told = client.get("/fault/404").json()
    assert (told["status"], told["detail"]) == (404, "There is no such call in your account.")
    wrong = client.get("/number/x", headers=HTML)
    assert (wrong.status_code, "Error 422" in wrong.text) == (422, True)
    redirect = client.get("/moved", follow_redirects=False)
    assert (redirect.status_code, redirect.headers["location"]) == (303, "/login")


def test_pages_are_not_in_the_openapi_page(serve: Serve) -> None:
    client = serve(Farebox())
    client.get("/")
    assert not {"/", *PAGES} & client.get("/openapi.json").json()["paths"].keys()


def test_a_template_that_is_broken_is_told_without_one(
    serve: Serve, bare: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (bare / "templates").mkdir()
    (bare / "templates" / "base.html").write_text("{% block %}")
    reply = serve(Farebox()).get("/", headers=HTML)
    assert (reply.status_code, reply.headers["content-type"]) == (500, "application/problem+json")
    assert "TemplateSyntaxError" in caplog.text


def test_a_large_body_that_no_page_reads_is_refused_and_is_no_failure(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    client, large = serve(Farebox()), b"x" * (FORM_BYTES_MAX + 1)
    assert client.post("/nothing", content=large).status_code == 413
    assert client.request("GET", "/", content=large).status_code == 413
    assert [record.getMessage() for record in caplog.records if record.name == "farebox.web"] == []


def test_a_websocket_to_nowhere_is_closed(serve: Serve) -> None:
    client = serve(Farebox())
    with pytest.raises(WebSocketDisconnect), client.websocket_connect("/nothing"):
        pass


def test_a_route_of_the_founders_own_that_fails_is_answered_and_logged_once(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    app = Farebox()
    app.get("/boom")(boom)
    app.get("/half")(lambda: StreamingResponse(map(boom, "x")))
    serve(app)
    raising = TestClient(app)  # as a server takes what is raised: it closes the connection, and logs it
    assert raising.get("/boom").json()["error"]["code"] == "internal_error"
    assert [record.getMessage() for record in caplog.records] == ["GET /boom failed"]
    with pytest.raises(LookupError):
        raising.get("/half")


def test_what_a_handler_of_the_founders_own_answers_is_logged_once(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    app = Farebox()
    app.get("/boom")(boom)
    app.get("/after")(lambda: Response("done", background=BackgroundTask(boom)))
    app.exception_handler(Exception)(lambda *_: Response("oops", 500))
    serve(app)
    raising = TestClient(app)
    assert (raising.get("/boom").text, raising.get("/after").text) == ("oops", "done")
    assert [record.getMessage() for record in caplog.records] == ["GET /boom failed", "GET /after failed"]
    assert all(record.exc_info for record in caplog.records)


def test_a_form_of_the_founders_own_is_utf_8_whatever_its_sender_calls_it(serve: Serve) -> None:
    app = Farebox()
    app.post("/mine")(lambda name=Form(): name)  # noqa: B008  # as founders write it
    form = '--x\r\ncontent-disposition: form-data; name="name"\r\n\r\nü\r\n--x--\r\n'.encode()
    for charset in ("punycode", "undefined"):
        headers = {"content-type": f"multipart/form-data; charset={charset}; boundary=x"}
        assert serve(app).post("/mine", content=form, headers=headers).json() == "ü"


def boom(found: str = "") -> str:
    raise LookupError(found)
