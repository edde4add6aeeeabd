"""Who may send a form, and what every answer of a page carries."""

from typing import Any

import pytest
from fastapi import FastAPI, HTTPException, Request, Response
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient

from farebox.domain.errors import CallError
from farebox.web.pages.guard import FORM_BYTES_MAX, HEADERS, Guard

OWN = "https://shop.example"
UNSAFE = ("POST", "PUT", "PATCH", "DELETE")
STRIPPED = (b"\xa0", b"\x85", b"\xa0 \x85", b"\x1c", b"\x0b")  # what str.strip() takes off, and no browser does


@pytest.fixture(scope="module")
def done() -> list[str]:
    return []


@pytest.fixture(scope="module")
def client(done: list[str]) -> TestClient:
    app = FastAPI(openapi_url=None)

    @app.api_route("/form", methods=["GET", *UNSAFE])
    async def form(request: Request) -> Response:
        done.append(request.method)
        return PlainTextResponse(str(len(await request.body())))

    @app.get("/cookies")
    def cookies(request: Request) -> dict[str, str]:
        return request.cookies

    @app.get("/own-headers")
    def own() -> Response:
        return PlainTextResponse("x", headers={"cache-control": "public", "content-security-policy": "sandbox"})

    @app.get("/broken")
    def broken() -> Response:
        raise KeyError("a secret")

    @app.get("/told")
    def told() -> Response:
        raise HTTPException(418)

    def error_page(_: Request, error: CallError) -> Response:
        return PlainTextResponse(error.detail, error.status)

    return TestClient(Guard(app, error_page, f"{OWN}/under/a/path"), base_url="http://127.0.0.1:8000")


@pytest.mark.parametrize("method", UNSAFE)
@pytest.mark.parametrize(
    ("headers", "is_let_in"),
    [
        ({"sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "same-origin", "origin": "https://evil.example"}, True),  # the browser's own word counts
        ({"sec-fetch-site": "same-site"}, False),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": "none"}, False),
        ({"sec-fetch-site": ""}, False),
        ({"sec-fetch-site": "cross-site", "origin": "http://127.0.0.1:8000"}, False),
        ({"origin": "http://127.0.0.1:8000"}, True),
        ({"origin": "https://127.0.0.1:8000"}, True),  # a proxy may speak TLS for us
        ({"origin": OWN}, True),
        ({"origin": f"{OWN}.evil.example"}, False),
        ({"origin": "https://shop.example:444"}, False),
        ({"origin": "http://127.0.0.1"}, False),
        ({"origin": "http://127.0.0.1:8001"}, False),
        ({"origin": "ftp://127.0.0.1:8000"}, False),
        ({"origin": "null"}, False),
        ({"origin": ""}, False),
        ({"referer": "http://127.0.0.1:8000/form"}, False),
        ({}, False),
    ],
    ids=str,
)
def test_a_form_comes_from_our_own_page_or_nothing_is_done(
    client: TestClient, done: list[str], method: str, headers: dict[str, str], *, is_let_in: bool
) -> None:
    done.clear()
    reply = client.request(method, "/form", headers=headers)
    assert (reply.status_code, done) == ((200, [method]) if is_let_in else (403, []))
    assert reply.headers["content-security-policy"] == HEADERS["content-security-policy"]


def test_no_host_is_not_our_own(client: TestClient) -> None:
    assert client.post("/form", headers={"host": "", "origin": "http://"}).status_code == 403


def test_reading_needs_no_page_of_ours(client: TestClient) -> None:
    assert client.get("/form", headers={"sec-fetch-site": "cross-site"}).status_code == 200


def test_where_no_page_is_that_is_what_is_told(client: TestClient) -> None:
    assert client.post("/nothing").status_code == 404
    assert client.post("/told").status_code == 405


@pytest.mark.parametrize("path", ["/form", "/nothing", "/told", "/broken"])
def test_every_answer_has_the_headers(client: TestClient, path: str) -> None:
    reply = client.get(path)
    assert {name: reply.headers[name] for name in HEADERS} == HEADERS


def test_the_policy_lets_nothing_inline_and_nothing_foreign_in() -> None:
    policy = dict(part.split(" ", 1) for part in HEADERS["content-security-policy"].split("; "))
    assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["form-action"] == policy["connect-src"] == "'self'"
    assert "unsafe" not in HEADERS["content-security-policy"]


def test_no_page_is_kept_by_the_way_nor_reached_into_by_other_sites() -> None:
    assert HEADERS["cache-control"] == "no-store"
    assert HEADERS["cross-origin-opener-policy"] == HEADERS["referrer-policy"] == "same-origin"
    assert HEADERS["x-content-type-options"] == "nosniff"
    assert {"camera=()", "microphone=()", "payment=()"} <= set(HEADERS["permissions-policy"].split(", "))


def test_a_page_may_say_otherwise(client: TestClient) -> None:
    reply = client.get("/own-headers")
    assert (reply.headers["cache-control"], reply.headers["content-security-policy"]) == ("public", "sandbox")
    assert reply.headers["x-content-type-options"] == "nosniff"


def test_what_has_been_answered_is_not_raised_any_further(client: TestClient) -> None:
    assert client.get("/broken").status_code == 500


@pytest.mark.parametrize(
    ("sent", "counted"),
    [
        ([b"__Host-session=a"], {"__Host-session": "a"}),
        ([b'x=1; \t__Host-session\t =\ta=b ;__Host-link=""; y; =z;;'], {"__Host-session": "a=b", "__Host-link": ""}),
        ([b"__Host-session=a", b"__Host-link=b"], {"__Host-session": "a", "__Host-link": "b"}),
        *(([b"__Host-session=a; " + byte + b"__Host-session=b"], {"__Host-session": "a"}) for byte in STRIPPED),
        *(([b"__Host-session=a; __Host-session" + byte + b"=b"], {"__Host-session": "a"}) for byte in STRIPPED),
        *(([byte + b"__Host-session=b"], {}) for byte in STRIPPED),
        ([b"__host-session=a; session=b; __Host-=c; __Host-session"], {}),
        ([b"__Host-session=a; __Host-link=b; __Host-session=c"], {"__Host-link": "b"}),
        ([b"__Host-session=a; __Host-session=a"], {}),
        ([b"__Host-session=a; __Host-session"], {"__Host-session": "a"}),
        ([b"__Host-session=a", b"__Host-session=b"], {}),
        ([b""], {}),
    ],
    ids=str,
)
def test_a_cookie_counts_by_exactly_our_name_and_if_it_comes_once(
    client: TestClient, sent: list[bytes], counted: dict[str, str]
) -> None:
    reply = client.get("/cookies", headers=[(b"cookie", each) for each in sent])
    assert reply.json() == counted


def test_head_is_answered_where_get_is(client: TestClient) -> None:
    reply = client.head("/form")
    assert (reply.status_code, reply.headers["content-length"]) == (200, "1")


def test_a_form_has_a_largest_size(client: TestClient) -> None:
    headers: dict[str, Any] = {"sec-fetch-site": "same-origin"}
    assert client.post("/form", content=b"x" * FORM_BYTES_MAX, headers=headers).status_code == 200
    assert client.post("/form", content=b"x" * (FORM_BYTES_MAX + 1), headers=headers).status_code == 413
