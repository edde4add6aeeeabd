"""What an attacker tries at the door, over HTTP: a test each, named after the trick."""

import re
from typing import Final
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from farebox.web.pages.guard import SAFE
from tests.api.fort import ORIGIN, SECURITY, Fort, Guarded
from tests.api.neighbours import routes_of
from tests.api.place import OTHER, PASSWORD, is_in, numbers
from tests.services.authenticator import PRESENT
from tests.services.browser import Browser

FLAGS: Final = re.compile(
    r"__Host-(?:session|code|signup|link|totp|passkey|oauth)=[^;]+; HttpOnly; Max-Age=\d+; Path=/; SameSite=lax; Secure"
)
TRICKS: Final = ("//evil.example", "/\\evil.example", "https:evil.example", "/\t/evil.example")


@pytest.fixture
def ada(fort: Fort) -> str:
    """Somebody who has joined; the address."""
    email = fort.new_email()
    fort.joined(email)
    return email


# -- Sessions and cookies


def test_session_fixation_each_way_in_has_a_session_of_its_own(fort: Fort) -> None:
    ada = Guarded(fort)
    device = fort.add_passkey(ada.browser)
    planted = {"__Host-session": "A" * 43}
    seen = [dict(ada.browser.cookies)]
    for way in ("code", "passkey", "oauth"):
        browser = ada.first() if way == "code" else fort.browser()
        browser.cookies |= planted
        if way == "code":
            browser.post("/login/code", code=ada.code())
        elif way == "passkey":
            fort.show_passkey(browser, device)
        else:
            fort.issuer.be(f"subject of {fort.new_email()}", fort.new_email())
            fort.agree(browser)
        assert is_in(browser)
        assert set(browser.cookies) == {"__Host-session"}
        seen.append(dict(browser.cookies))
    assert len({each["__Host-session"] for each in seen} | {"A" * 43}) == len(seen) + 1


@pytest.mark.parametrize("byte", ["\xa0", "\x85"])
def test_session_fixation_by_a_cookie_that_another_host_of_the_domain_sets(fort: Fort, ada: str, byte: str) -> None:
    eve = fort.joined(fort.new_email()).cookies["__Host-session"]
    browser, _ = fort.log_in(ada)
    browser.cookies[f"{byte}__Host-session"] = eve
    assert ada in browser.get("/overview").text
    del browser.cookies["__Host-session"]
    assert not is_in(browser)


def test_takeover_at_sign_up_by_a_cookie_that_another_host_of_the_domain_sets(fort: Fort) -> None:
    victim = fort.new_email()
    eve = fort.browser()
    eve.post("/signup", email=victim, password=OTHER)
    browser = fort.browser()
    browser.cookies["\xa0__Host-signup"] = eve.cookies["__Host-signup"]
    path = fort.link_to(victim)
    browser.get(path)
    assert browser.post(path).header("location") == "/playground?told=not-kept"
    assert is_in(browser)
    assert fort.log_in(victim, OTHER)[1].status == 422


def test_cookie_flags_of_every_cookie(fort: Fort) -> None:
    ada = Guarded(fort)
    browser, eve = ada.first(), fort.new_email()
    found = [
        browser.post("/login/code", code=ada.code()),
        fort.log_in(ada.email)[1],
        browser.post("/login/passkey/options"),
        browser.get("/oauth/github"),
        fort.browser().post("/signup", email=eve, password=PASSWORD),
        fort.browser().get(fort.link_to(eve)),
        fort.joined(fort.new_email()).post(f"{SECURITY}/totp"),
    ]
    cookies = [value for page in found for name, value in page.headers if name == "set-cookie"]
    names = {cookie.partition("=")[0] for cookie in cookies if "Max-Age=0;" not in cookie}
    assert names == {f"__Host-{name}" for name in ("session", "code", "signup", "link", "totp", "passkey", "oauth")}
    for cookie in cookies:
        assert FLAGS.fullmatch(cookie.replace('=""', "=-")), cookie


def test_the_cookie_of_the_first_step_is_no_session(fort: Fort) -> None:
    browser = Guarded(fort).first()
    browser.cookies = {"__Host-session": browser.cookies["__Host-code"]}
    assert not is_in(browser)


def test_suspended_persons_sessions_are_dead_at_once_and_no_way_leads_in(fort: Fort) -> None:
    ada = Guarded(fort)
    device = fort.add_passkey(ada.browser)
    half = ada.first()
    fort.shop.query("UPDATE account SET state = 'suspended' WHERE email = %s", ada.email)
    for path in ("/overview", "/settings", SECURITY, "/settings/sessions"):
        assert ada.browser.get(path).status == 303
    assert ada.browser.post("/settings/sessions/end-others").status == 403
    fort.issuer.be(f"subject of {ada.email}", ada.email)
    for page in (
        half.post("/login/code", code=ada.code()),
        fort.show_passkey(fort.browser(), device),
        fort.agree(fort.browser()),
    ):
        assert (page.status, "This account is suspended" in page.text) == (403, True)


# -- Cross-site requests


def unsafe_routes(fort: Fort) -> list[tuple[str, str]]:
    """Each method and path of the pages that does something."""
    found = [route for route in routes_of(fort) if route.where == "pages" and route.method not in SAFE]
    return [(route.method, re.sub(r"\{[^}]+\}", "x", route.path)) for route in found]


def test_csrf_every_unsafe_route_refuses_what_another_site_sends(fort: Fort) -> None:
    routes = unsafe_routes(fort)
    assert len(routes) > 20
    ada = Guarded(fort)
    tables = ("person", "session", "link", "recovery_code", "passkey", "identity", "ceremony", "guess", "mail")
    before = [fort.shop.scalar(f"SELECT count(*) FROM {table}") for table in tables]
    for method, path in routes:
        for headers in (
            {"sec-fetch-site": "cross-site"},
            {"sec-fetch-site": "same-site", "origin": "https://evil.till.example"},
            {"sec-fetch-site": "none"},
            {"origin": "https://evil.example"},
            {"origin": "null"},
            {"referer": f"{ORIGIN}/settings"},
        ):
            form = {"content-type": "application/x-www-form-urlencoded", **headers}
            page = ada.browser._send(method, path, f"email={ada.email}&password={OTHER}", form)
            assert (page.status, "was not sent from a page of this site" in page.text) == (403, True), (path, headers)
    assert [fort.shop.scalar(f"SELECT count(*) FROM {table}") for table in tables] == before
    assert is_in(ada.browser)


def test_csrf_a_service_is_connected_by_a_link_of_ones_own_page_only(fort: Fort) -> None:
    ada, eve = fort.joined(fort.new_email()), fort.joined(fort.new_email())
    link = re.compile(r'href="(/oauth/oidc\?connect=[^"]+)"')
    mine, eves = [link.search(browser.get(SECURITY).text) for browser in (ada, eve)]
    assert mine is not None
    assert eves is not None
    for path in (eves[1], "/oauth/oidc?connect=x", "/oauth/oidc?connect=%C3%A9"):
        page = ada.get(path.replace("&amp;", "&"))
        assert (page.status, "was not sent from a page" in page.text) == (403, True)
    assert fort.browser().get(mine[1].replace("&amp;", "&")).header("location").startswith("/login?next=")
    fort.issuer.be(f"subject of {fort.new_email()}", None)
    assert fort.agree(ada, mine[1].replace("&amp;", "&")).header("location") == f"{SECURITY}?told=connected"


# -- Open redirects


@pytest.mark.parametrize("target", TRICKS)
def test_open_redirect_by_next_leads_nowhere_else(fort: Fort, target: str) -> None:
    email = fort.new_email()
    browser = fort.joined(email)
    fort.issuer.be(f"subject of {email}", email)
    for page in (
        browser.get(f"/login?next={quote(target)}"),
        browser.post("/settings/confirm", password=PASSWORD, next=target),
        fort.log_in(email, next=target)[1],
        fort.agree(fort.browser(), f"/oauth/oidc?next={quote(target)}"),
    ):
        assert page.status == 303
        assert page.header("location") in {"/overview", "/settings"}


def test_open_redirect_after_the_second_step_a_passkey_and_a_mailed_link(fort: Fort) -> None:
    ada = Guarded(fort)
    device = fort.add_passkey(ada.browser)
    assert fort.show_passkey(fort.browser(), device, next=TRICKS[0]).header("location") == "/overview"
    assert ada.first().post("/login/code", code=ada.code(), next=TRICKS[0]).header("location") == "/overview"
    known = [fort.newest_link(ada.email)]
    ada.browser.post("/settings/confirm/mail", next=TRICKS[0])
    page = fort.browser().post(fort.newest_link(ada.email, known))
    assert page.header("location") == "/login/code?next=/settings"


# -- The second factor


def test_brute_force_on_the_second_factor_ten_are_looked_at_in_a_quarter_of_an_hour(fort: Fort) -> None:
    ada = Guarded(fort)
    browser, told = ada.first(), []
    for attempt in range(14):
        if attempt == 7:  # another log-in gives no more guesses
            browser = ada.first()
        told.append(browser.post("/login/code", code=ada.wrong()))
    assert [page.status for page in told] == [422] * 14
    assert ["not checked" in page.text for page in told] == [False] * 10 + [True] * 4
    assert 0 < int(told[-1].header("retry-after")) <= 900
    for right in (ada.code(), ada.codes[0]):
        assert "not checked" in browser.post("/login/code", code=right).text
    assert not is_in(browser)
    sql = (
        "SELECT count(*) FROM audit WHERE what = 'code_wrong' AND person_id = (SELECT id FROM person WHERE email = %s)"
    )
    assert fort.shop.scalar(sql, ada.email) == 10


def test_totp_replay_a_code_that_was_used_lets_nobody_in(fort: Fort) -> None:
    ada = Guarded(fort)
    first, second = ada.first(), fort.browser()
    code = ada.code(1)
    assert first.post("/login/code", code=code).header("location") == "/overview"
    second = ada.first()
    for used in (code, ada.code()):
        page = second.post("/login/code", code=used)
        assert (page.status, "This code does not work" in page.text) == (422, True)
        assert used not in page.text
    assert not is_in(second)


def test_a_recovery_code_twice_lets_in_once(fort: Fort) -> None:
    ada = Guarded(fort)
    first = ada.first()
    assert first.post("/login/code", code=ada.codes[0]).header("location") == "/overview"
    assert is_in(first)
    second = ada.first()
    assert second.post("/login/code", code=ada.codes[0]).status == 422
    assert "9 recovery codes left" in first.get(SECURITY).text


def test_a_reset_of_the_password_does_not_bypass_the_second_factor(fort: Fort) -> None:
    ada = Guarded(fort)
    links = [fort.newest_link(ada.email)]
    browser = fort.browser()
    for path, fields in (("/reset", {"password": OTHER}), ("/login/link", {})):
        browser.post(path, email=ada.email)
        links.append(fort.newest_link(ada.email, links))
        page = browser.post(links[-1], **fields)
        assert page.header("location") == "/login/code?next=/overview"
        assert not is_in(browser)
        assert browser.post("/login/code", code=ada.wrong()).status == 422
    assert browser.post("/login/code", code=ada.code()).header("location") == "/overview"


def test_a_log_in_that_waits_for_its_code_is_over_when_the_password_changes(fort: Fort) -> None:
    ada = Guarded(fort)
    half = ada.first()
    ada.browser.post("/settings/password", current=PASSWORD, password=OTHER)
    page = half.post("/login/code", code=ada.code())
    assert (page.status, "Your log-in took too long" in page.text) == (410, True)
    assert half.cookies == {}


# -- Passkeys


def test_passkey_challenge_replay_lets_nobody_in(fort: Fort) -> None:
    ada = fort.joined(fort.new_email())
    device = fort.add_passkey(ada)
    browser = fort.browser()
    asked = browser.post("/login/passkey/options")
    copied, answer = dict(browser.cookies), device.show(asked.text, ORIGIN)
    assert browser.post("/login/passkey", answer=answer).header("location") == "/overview"
    for cookies in (copied, {}, {"__Host-passkey": "A" * 43}):
        thief = fort.browser()
        thief.cookies = dict(cookies)
        page = thief.post("/login/passkey", answer=answer)
        assert (page.status, "started in another browser" in page.text) == (410, True)
        assert not is_in(thief)


def test_passkey_of_a_wrong_origin_or_without_verification_lets_nobody_in(fort: Fort) -> None:
    device = fort.add_passkey(fort.joined(fort.new_email()))
    for at in ("https://evil.example", "http://till.example", fort.served.url):
        page = fort.show_passkey(fort.browser(), device, at)
        assert (page.status, "does not work here" in page.text) == (422, True)
    browser = fort.browser()
    asked = browser.post("/login/passkey/options")
    assert browser.post("/login/passkey", answer=device.show(asked.text, ORIGIN, flags=PRESENT)).status == 422
    assert fort.show_passkey(browser, device).status == 303


# -- Log-ins elsewhere


def test_oauth_state_of_another_browser_or_replayed_lets_nobody_in(fort: Fort) -> None:
    fort.issuer.be(f"subject of {fort.new_email()}", fort.new_email())
    ada, eve = fort.browser(), fort.browser()
    eves = fort.issuer.agree(eve.get("/oauth/oidc").header("location"))
    ada.get("/oauth/oidc")
    copied = dict(eve.cookies)
    for browser in (ada, fort.browser()):
        page = browser.get(eves)
        assert (page.status, "started in another browser" in page.text) == (410, True)
    assert eve.get(eves).header("location") == "/overview"
    eve.cookies = copied
    assert eve.get(eves).status == 410
    assert not is_in(ada)


def test_oauth_nonce_mismatch_and_code_replay_let_nobody_in(fort: Fort) -> None:
    fort.issuer.be(f"subject of {fort.new_email()}", fort.new_email())
    fort.issuer.claims["nonce"] = "of another log-in"
    browser = fort.browser()
    page = fort.agree(browser)
    assert (page.status, "Example does not answer as it should" in page.text) == (422, True)
    del fort.issuer.claims["nonce"]
    fort.agree(browser)
    stolen = parse_qs(urlsplit(fort.issuer.agree(browser.get("/oauth/oidc").header("location"))).query)["code"][0]
    thief = fort.browser()
    mine = fort.issuer.agree(thief.get("/oauth/oidc").header("location"))
    page = thief.get(re.sub(r"code=\w+", f"code={stolen}", mine))
    assert page.status == 422
    assert not is_in(thief)


def test_an_unverified_address_is_not_linked(fort: Fort, ada: str) -> None:
    fort.issuer.be(f"subject of {ada}", ada, is_verified=False)
    fort.github.be(next(numbers) + 10_000, (ada, True, False))
    for leave in ("/oauth/oidc", "/oauth/github"):
        browser = fort.browser()
        page = fort.agree(browser, leave)
        assert (page.status, "has not confirmed your address" in page.text) == (422, True)
        assert "Log in with an e-mail link" in page.text
        assert not is_in(browser)
    sql = "SELECT count(*) FROM identity i JOIN person p ON p.id = i.person_id WHERE email = %s"
    assert fort.shop.scalar(sql, ada) == 0


# -- Links


@pytest.mark.parametrize("path", ["/login/link", "/reset"])
def test_a_link_that_is_used_twice_expired_or_of_an_older_mail_is_gone(fort: Fort, ada: str, path: str) -> None:
    links = [fort.newest_link(ada)]
    for _ in range(3):
        fort.browser().post(path, email=ada)
        links.append(fort.newest_link(ada, links))
    fields = {"password": OTHER} if path == "/reset" else {}
    for older in links[1:3]:
        assert fort.browser().post(older, **fields).status == 410
    fort.shop.query("UPDATE link SET expires_us = created_us WHERE email = %s", ada)
    assert fort.browser().post(links[3], **fields).status == 410
    fort.shop.query("UPDATE link SET expires_us = created_us + 600000000 WHERE email = %s", ada)
    assert fort.browser().post(links[3], **fields).status == 303
    assert fort.browser().post(links[3], **fields).status == 410


# -- Proxies


def test_forwarded_headers_are_trusted_from_a_configured_proxy(fort: Fort, ada: str) -> None:
    browser = Browser(fort.served.url, x_forwarded_for="192.0.2.77", forwarded="for=192.0.2.78")
    browser.post("/login", email=ada, password=PASSWORD)
    seen = browser.get("/settings/sessions").text
    assert ">192.0.2.77<" in seen
    assert "192.0.2.78" not in seen
