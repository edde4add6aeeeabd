"""Every route of the product, walked by those whom it does not serve: nothing is theirs to see, and nothing changes.

A route that the table below does not have fails the first test: say who may use it, and it is walked from then on.
"""

import json
import re
import secrets
from collections.abc import Iterator
from typing import Final, Literal

import pytest

from farebox.account.desk import new_token
from farebox.domain.pages import of_account
from tests.api.neighbours import Neighbours, Route, files_in, routes_of
from tests.api.place import PASSWORD, Place, numbers
from tests.services.browser import Browser, Page

Access = Literal["everybody", "customer", "owner", "key"]
# Who may use a route; the methods are as they are.
WALK: Final[dict[Access, str]] = {
    "everybody": """
        /openapi.json /health /ready /docs/static /static/{digest}/{name} /static/{name} /favicon.svg / /pricing /terms
        /privacy /docs /errors /errors/{code} /robots.txt /sitemap.xml /signup /signup/sent /link/{token} /login /logout
        /login/link /login/link/sent /reset /reset/sent /login/code /oauth/{name} /oauth/{name}/callback
        /login/passkey/options /login/passkey /left /deleted /joined
    """,
    "customer": """
        /overview /usage /usage.csv /calls /calls.csv /calls/{call_id} /keys /keys/{key_id}/rotate /keys/{key_id}/revoke
        /playground /playground/{name} /playground/{name}/key /playground/{name}/code
        /playground/{name}/receipts/{call_id} /settings /settings/address /settings/password /settings/security
        /settings/security/services/disconnect /settings/security/totp /settings/security/totp/on
        /settings/security/totp/off /settings/security/codes /settings/security/passkeys/options
        /settings/security/passkeys /settings/security/passkeys/rename /settings/security/passkeys/remove
        /settings/sessions /settings/sessions/end /settings/sessions/end-others /settings/confirm
        /settings/confirm/passkey/options /settings/confirm/passkey /settings/confirm/mail /team /team/leave /switch
        /plan /plan/paid /credit /settings/export /settings/export/person
        /invoices /invoices/{invoice_id} /invoices/{invoice_id}.csv
    """,
    "owner": """
        /team/invite /team/invitations/{link_id}/revoke /team/members/{person_id}/role /team/members/{person_id}/remove
        /plan/choose /plan/cap /plan/mails /plan/buy /plan/portal /plan/change /plan/cancel /plan/resume /credit/buy
        /credit/top-up /settings/export/account /settings/activity /settings/delete
    """,
    "key": """
        /v1/usage /v1/usage/calls/{call_id} /v1/models /v1/models/{name:path} /v1/generate /v1/chat/completions
        /v1/responses /v1/embeddings /v1/tagline /v1/score /v1/sized /v1/story
    """,
}
ACCESS: Final[dict[str, Access]] = {path: access for access, paths in WALK.items() for path in paths.split()}
THEIRS: Final = re.compile(r"\{(?:key_id|call_id|link_id|person_id|invoice_id)\}")
"""What names something of one account: of another one's, there is no such thing."""
NOTHING_THERE: Final = {("POST", "/switch"): 404}
"""The same, named in the body."""
COOKIE: Final = re.compile(
    r'__Host-[a-z]+=(?:[^;"]+|""); HttpOnly; Max-Age=\d+; Path=/; SameSite=lax; Secure'
)  # fmt: skip
CROSS_SITE: Final[tuple[dict[str, str], ...]] = (
    {}, {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}, {"origin": "https://evil.example"},
    {"origin": "null"},
)  # fmt: skip
BODIES: Final = {
    "/v1/generate": '{"prompt": "Say hello"}',
    "/v1/chat/completions": '{"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Say hello"}]}',
    "/v1/responses": '{"model": "gpt-4o-mini", "input": "Say hello"}',
    "/v1/embeddings": '{"model": "text-embedding-3-small", "input": "Say hello"}',
    "/v1/tagline": '{"product": "tea"}',
    "/v1/score": '{"lead": {"company": "Tea"}, "words": []}',
    "/v1/sized": '{"document": {"content": "", "filename": "x"}}',
    "/v1/story": '{"about": "tea"}',
}
"""Calls that would be answered, but for two."""
UNCALLED: Final = {"/v1/embeddings": 404, "/v1/sized": 422}
"""What is refused before anybody looks whose key it is: there is no such model, and a file comes as a form."""
FORM_TYPE: Final = {"content-type": "application/x-www-form-urlencoded"}


@pytest.fixture(scope="module")
def street(playground: Place) -> Neighbours:
    return Neighbours(playground)


@pytest.fixture(scope="module")
def routes(playground: Place) -> list[Route]:
    return routes_of(playground)


@pytest.fixture(autouse=True)
def _unchanged(street: Neighbours) -> Iterator[None]:
    """Whoever walks: not a row of Ada's account, or that Ada's account is named in, is another one afterwards."""
    before = street.rows(street.own.names)
    assert len(before) > 15
    yield
    assert street.rows(street.own.names) == before


def filled(street: Neighbours, path: str) -> str:
    """A path, with what is Ada's wherever it names something."""
    own = street.own
    values = {
        "key_id": own.key, "call_id": own.call, "link_id": own.invitation, "person_id": own.member, "digest": "x",
        "invoice_id": own.invoice,
        "token": f"{own.invitation}-{'x' * 43}", "code": "insufficient_quota",
        "name": "gpt-4o-mini" if path.startswith("/v1") else "tagline",
    }  # fmt: skip
    return re.sub(r"\{(\w+)(?::path)?\}", lambda found: values[found[1]], path)


def form(street: Neighbours) -> dict[str, str]:
    """All at once: what names things of Ada's, what no form has, and what forms have."""
    own = street.own
    return {
        "account": own.account, "account_id": own.account, "session": own.session, "session_id": own.session,
        "key_id": own.key, "key": own.key, "call_id": own.call, "person_id": own.member, "person": own.member,
        "link_id": own.invitation, "passkey": own.passkey, "issuer": "https://issuer.example",
        "subject": next(name for name in own.secret if name.startswith("subject")), "address": street.emails["ada"],
        "plan": "open", "is_admin": "true", "role": "owner", "state": "active", "spend_cap_nanodollars": "1",
        "anchor_us": "1", "closed_us": "1", "confirmed_us": "1", "mode": "live", "grace": "0", "name": "Walked",
        "email": f"walked{next(numbers)}@example.com", "password": "not the right words", "current": "not it either",
        "code": "000000", "answer": "{}", "next": "//evil.example", "wanted": "yes", "form": new_token(),
        "once": secrets.token_hex(16), "in.product": "tea", "in.tone": "warm",
    }  # fmt: skip


def walked(street: Neighbours, browser: Browser, route: Route, **headers: str) -> Page:
    """Go there. Whatever comes is no crash, says nothing that is Ada's, and leads to no other site."""
    path = filled(street, route.path)
    if route.method == "GET":
        page = browser._send("GET", path, None, headers)
    elif ACCESS[route.path] == "key":
        page = browser._send(route.method, path, BODIES[route.path], {"content-type": "application/json"} | headers)
    else:
        page = browser.post(path, **form(street))
    assert page.status < 500, (route, page.text)
    said = files_in(page)
    told = {name for name in street.own.secret if name in said and name not in form(street).values()}
    assert not told, (route, told)
    assert "evil.example" not in page.header("location"), route
    for cookie in (value for name, value in page.headers if name == "set-cookie"):
        assert COOKIE.fullmatch(cookie), (route, cookie)
    return page


def test_every_route_is_in_the_walk(routes: list[Route]) -> None:
    paths = {route.path for route in routes}
    assert paths - ACCESS.keys() == set(), "say in WALK who may use them"
    assert ACCESS.keys() - paths == set(), "they are gone"
    assert len(routes) > 90


def test_a_stranger_sees_and_changes_nothing(street: Neighbours, routes: list[Route]) -> None:
    accounts = street.shop.query("SELECT * FROM account ORDER BY id")
    for route in routes:
        page = walked(street, street.place.browser(), route)
        if ACCESS[route.path] == "key":
            assert page.status == 401, route
        elif ACCESS[route.path] != "everybody":
            _is_turned_away(route, page)
    assert street.shop.query("SELECT * FROM account ORDER BY id") == accounts


def test_somebody_of_another_account_sees_and_changes_nothing(street: Neighbours, routes: list[Route]) -> None:
    before = _standing(street, "eve")
    for route in routes:
        page = walked(street, street.eve, route, **_key(street, "eve", route))
        if THEIRS.search(route.path) or (route.method, route.path) in NOTHING_THERE:
            assert page.status == 404, (route, page.text)
        if "__Host-session" not in street.eve.cookies:
            assert route.path == "/logout"
            street.eve, _ = street.place.log_in(street.emails["eve"])
    # What no form has did nothing to the own account either.
    assert _standing(street, "eve") == before


def test_a_member_does_nothing_that_only_owners_may(street: Neighbours, routes: list[Route]) -> None:
    owners = [route for route in routes if ACCESS[route.path] == "owner"]
    assert len(owners) > 9
    for route in owners:
        page = street.mia.post(filled(street, route.path), **form(street)) if route.method == "POST" else (
            street.mia.get(filled(street, route.path)))  # fmt: skip
        assert (page.status, "Only an owner of this account may do this" in page.text) == (403, True), route


def test_whoever_works_in_another_account_by_now_does_nothing_there(street: Neighbours, routes: list[Route]) -> None:
    """A form, or a link, of a page of Ada's, in a session that is in Eve's."""
    names = street.names_of("eve")
    before = street.rows(names)
    for route in routes:
        if route.where == "pages" and ACCESS[route.path] in {"customer", "owner"}:
            path = of_account(filled(street, route.path), street.own.account)
            page = street.eve.post(path, **form(street)) if route.method == "POST" else street.eve.get(path)
            assert (page.status, "an account that you are not in" in page.text) == (409, True), (route, page.text)
            assert ("Nothing was done." in page.text) == (route.method == "POST"), route
            assert not any(name in page.text for name in street.own.secret), route
    assert street.rows(names) == before


def test_a_suspended_account_sees_and_changes_nothing(street: Neighbours, routes: list[Route]) -> None:
    names = street.names_of("sue")
    before = [row for row in street.rows(names) if not row.startswith("session ")]
    cookies = dict(street.sue.cookies)
    [session] = street.shop.query("SELECT * FROM session WHERE person_id = %s", street.person_of("sue"))
    for route in routes:
        # The first look at her session ends it: so she has it again at each route, and it is not compared.
        street.shop.query("DELETE FROM session WHERE digest = %s", session[0])
        street.shop.query(f"INSERT INTO session VALUES ({', '.join(['%s'] * len(session))})", *session)
        street.sue.cookies = dict(cookies)
        page = walked(street, street.sue, route, **_key(street, "sue", route))
        assert street.emails["sue"] not in page.text, route
        if route.path in UNCALLED:
            assert page.status == UNCALLED[route.path], route
        elif ACCESS[route.path] == "key":
            assert (page.status, "account_suspended" in page.text) == (403, True), (route, page.text)
        elif ACCESS[route.path] != "everybody":
            _is_turned_away(route, page)
        assert [row for row in street.rows(names) if not row.startswith("session ")] == before, route


def test_what_another_site_sends_is_refused_by_every_unsafe_page(street: Neighbours, routes: list[Route]) -> None:
    unsafe = [route for route in routes if route.where == "pages" and route.method != "GET"]
    assert len(unsafe) > 40
    for route in unsafe:
        for headers in CROSS_SITE:
            page = street.ada._send(route.method, filled(street, route.path), "role=owner", FORM_TYPE | headers)
            assert (page.status, "was not sent from a page of this site" in page.text) == (403, True), (route, headers)


def test_a_call_takes_nothing_for_an_account_that_its_body_has(street: Neighbours) -> None:
    before = _standing(street, "eve")
    for path, body in BODIES.items():
        more = {**json.loads(body), **{name: value for name, value in form(street).items() if "." not in name}}
        headers = {"content-type": "application/json", "x-api-key": street.keys["eve"]}
        page = street.eve._send("POST", path, json.dumps(more), headers)
        assert page.status in {200, 404, 422}, (path, page.text)
    assert _standing(street, "eve") == before


def test_nobody_signs_up_as_more_than_they_are(street: Neighbours) -> None:
    more = form(street)
    email = more.pop("email")
    browser = street.place.browser()
    browser.post("/signup", **more | {"email": email, "password": PASSWORD, "plan": "credit"})
    browser.post(street.place.link_to(email), **more | {"email": street.emails["ada"]})
    columns = "plan, state, spend_cap_nanodollars, closed_us, role"
    sql = f"SELECT {columns} FROM account JOIN member ON account_id = id WHERE email = %s"
    assert street.shop.query(sql, email) == [("open", "active", None, None, "owner")]


def _is_turned_away(route: Route, page: Page) -> None:
    if route.method == "GET":
        assert (page.status, page.header("location").startswith("/login?next=")) == (303, True), (route, page.status)
    else:
        assert (page.status, "You are logged out, so nothing was done." in page.text) == (403, True), (
            route,
            page.status,
        )


def _key(street: Neighbours, name: str, route: Route) -> dict[str, str]:
    return {"x-api-key": street.keys[name]} if ACCESS[route.path] == "key" else {}


def _standing(street: Neighbours, name: str) -> list[tuple[object, ...]]:
    """What a customer must not be able to give themselves."""
    account, person = street.account_of(name), street.person_of(name)
    rows = street.shop.query("SELECT * FROM account WHERE id = %s", account)
    rows += street.shop.query("SELECT account_id, role FROM member WHERE person_id = %s", person)
    rows += street.shop.query("SELECT id, email, password_hash, totp_secret FROM person WHERE id = %s", person)
    return [*rows, *street.shop.query("SELECT account_id FROM session WHERE person_id = %s", person)]
