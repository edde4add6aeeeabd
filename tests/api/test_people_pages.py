"""Sign-up and log-in over HTTP: what a stranger can find out, what a browser is handed, what a link does."""

import re
from collections.abc import Iterator

import pytest

from tests.api.conftest import empty_database
from tests.api.place import OTHER, PASSWORD, Place, is_in, numbers, serve_place
from tests.services.browser import Browser
from tests.services.mail import text_of
from tests.services.process import wait_until


@pytest.fixture(scope="module")
def place(
    database_kind: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("people")
    with empty_database(database_kind, folder, request) as url, serve_place(folder, url) as place:
        yield place


@pytest.fixture
def ada(place: Place) -> str:
    """Somebody who has joined; the address."""
    email = f"ada{next(numbers)}@example.com"
    place.joined(email)
    return email


# -- What a stranger can find out


@pytest.mark.parametrize("path", ["/signup", "/login/link", "/reset"])
def test_whoever_asks_for_a_mail_learns_nothing_about_the_address(place: Place, ada: str, path: str) -> None:
    fields = {"password": PASSWORD} if path == "/signup" else {}
    pages = [place.browser().post(path, email=email, **fields) for email in (ada, f"nobody{next(numbers)}@example.com")]
    assert pages[0].same() == pages[1].same()
    assert (pages[0].status, pages[0].header("location")) == (303, f"{path}/sent")


def test_a_wrong_password_and_an_unknown_address_are_answered_alike(place: Place, ada: str) -> None:
    unknown = ada.replace("ada", "eve")
    pages = [place.log_in(email, OTHER)[1] for email in (ada, unknown)]
    known, strange = [page._replace(text=page.text.replace(unknown, ada)) for page in pages]
    assert known.same() == strange.same()
    assert known.status == 422
    assert "The address or the password is not right." in known.text
    assert OTHER not in known.text


def test_after_ten_guesses_known_and_unknown_addresses_are_answered_alike(place: Place, ada: str) -> None:
    unknown = ada.replace("ada", "eve")
    for email in (ada, unknown):
        for _ in range(10):
            assert "or the password is not right" in place.log_in(email, OTHER)[1].text
    pages = [place.log_in(email, PASSWORD)[1] for email in (ada, unknown)]
    # A slow machine may have taken a minute for what came before.
    known, strange = [
        page._replace(text=re.sub(r"in 1[345] minutes", "in 15 minutes", page.text.replace(unknown, ada)))
        for page in pages
    ]
    for page in (known, strange):
        assert page.status == 422
        assert 700 < int(page.header("retry-after")) <= 900
    known, strange = [
        page._replace(headers=[pair for pair in page.headers if pair[0] != "retry-after"]) for page in (known, strange)
    ]
    assert known.same() == strange.same()
    assert "this one was not checked. Try again in 15 minutes, or get a link by e-mail" in known.text
    browser = place.browser()
    browser.post("/login/link", email=ada)
    browser.post(place.link_to(ada, 2))
    assert is_in(browser)


def test_what_was_typed_is_kept_and_a_password_never_is(place: Place) -> None:
    page = place.browser().post("/signup", email="not an address <b>", password=PASSWORD, plan="pro")
    assert page.status == 422
    assert "write it as name@example.com" in page.text
    assert 'value="not an address &lt;b&gt;"' in page.text
    assert PASSWORD not in page.text
    page = place.browser().post("/signup", email="x@example.com", password="password1")
    assert "first passwords that anybody would try" in page.text
    assert "password1" not in page.text


def test_sign_ups_of_one_network_are_bounded_and_a_made_up_address_before_a_proxys_does_not_help(place: Place) -> None:
    number = next(numbers)
    pages = []
    for attempt in range(21):
        browser = Browser(place.served.url, x_forwarded_for=f"203.0.113.{attempt}, 192.0.2.{number}")
        pages.append(browser.post("/signup", email=f"many{number}-{attempt}@example.com", password=PASSWORD))
    assert [page.status for page in pages] == [303] * 20 + [429]
    assert "Too many sign-ups from your network" in pages[-1].text
    assert int(pages[-1].header("retry-after")) > 3_000


# -- Links


def test_a_get_of_a_link_does_nothing_as_mail_scanners_follow_them(place: Place) -> None:
    email = f"ada{next(numbers)}@example.com"
    browser = place.browser()
    browser.post("/signup", email=email, password=PASSWORD)
    path = place.link_to(email)
    for _ in range(2):
        page = place.browser().get(path)
        assert page.status == 200
        assert "Confirm your address" in page.text
    assert place.shop.query("SELECT count(*) FROM person WHERE email = %s", email) == [(0,)]
    browser.post(path)
    assert is_in(browser)
    assert is_in(place.log_in(email)[0])


def test_a_link_that_was_used_and_one_of_an_older_mail_are_gone(place: Place, ada: str) -> None:
    browser = place.browser()
    browser.post("/login/link", email=ada)
    older = place.link_to(ada, 2)  # it has come before the next is asked for: two processes send
    browser.post("/login/link", email=ada)
    newer = place.link_to(ada, 3)
    for path in (older, older.replace("-", "-0"), "/link/x"):
        for page in (browser.get(path), browser.post(path)):
            assert page.status == 410
            assert "a newer one was sent" in page.text
    assert browser.post(newer).status == 303
    assert place.browser().post(newer).status == 410


def test_a_link_that_is_pressed_again_lets_in_the_browser_that_opened_it_and_nobody_else(place: Place) -> None:
    email = f"ada{next(numbers)}@example.com"
    browser, thief = place.browser(), place.browser()
    browser.post("/signup", email=email, password=PASSWORD)
    path = place.link_to(email)
    for each in (browser, thief):
        each.get(path)
    before = dict(browser.cookies)
    assert browser.post(path).status == 303
    session = browser.cookies["__Host-session"]
    browser.cookies = before  # its first answer was thrown away
    page = thief.post(path)
    assert (page.status, "used a moment ago" in page.text, "/login" in page.text) == (410, True, True)
    assert not is_in(thief)
    assert browser.post(path).header("location") == "/playground"
    assert browser.cookies["__Host-session"] == session
    assert browser.get(path).header("location") == "/playground", "and says nothing strange to who is in"
    browser.post("/logout")
    assert browser.get(path).status == 410
    place.shop.query("UPDATE link SET used_us = used_us - 120000000 WHERE email = %s", email)
    assert "a newer one was sent" in browser.post(path).text


def test_who_opens_the_link_on_the_phone_is_told_that_the_password_of_the_laptop_is_not_kept(place: Place) -> None:
    email, phone = f"ada{next(numbers)}@example.com", place.browser()
    place.browser().post("/signup", email=email, password=PASSWORD)
    path = place.link_to(email)
    phone.get(path)
    opened = dict(phone.cookies)
    for _ in range(2):
        phone.cookies = dict(opened)
        page = phone.post(path)
        assert page.header("location") == "/playground?told=not-kept"
        page = phone.get(phone.get(page.header("location")).header("location"))
        assert "so your password was not kept" in page.text
        assert '<a href="/settings#the-password">Set one</a>' in page.text
    assert "was not kept" in phone.get("/plan?told=not-kept").text
    assert phone.post("/settings/password", password=PASSWORD).status == 303
    assert "was not kept" not in phone.get("/plan?told=not-kept").text
    assert is_in(place.log_in(email)[0])


def test_who_is_in_a_team_without_a_password_and_signs_up_is_told_nothing_of_another_browser(place: Place) -> None:
    email, browser = f"ada{next(numbers)}@example.com", place.browser()
    browser.post("/signup", email=email, password=PASSWORD)
    place.browser().post(place.link_to(email))
    place.shop.query("UPDATE account SET email = 'team of ' || email WHERE email = %s", email)
    theirs = "(SELECT id FROM person WHERE email = %s)"
    place.shop.query(f"UPDATE member SET role = 'member' WHERE person_id = {theirs}", email)
    browser.post("/signup", email=email, password=PASSWORD)
    assert browser.post(place.link_to(email, 2)).header("location") == "/playground"


def test_a_reset_and_a_change_of_address_that_are_pressed_again_lead_on(place: Place, ada: str) -> None:
    browser = place.browser()
    browser.post("/reset", email=ada)
    path = place.link_to(ada, 2)
    browser.get(path)
    before = dict(browser.cookies)
    for _ in range(2):
        browser.cookies = dict(before)
        assert browser.post(path, password=OTHER).header("location") == "/overview"
        assert is_in(browser)
    new = f"ada{next(numbers)}@example.com"
    browser.post("/settings/address", email=new)
    path = place.link_to(new)
    for _ in range(2):
        assert browser.post(path).header("location") == "/settings?told=address"


def test_a_reset_sets_the_password_and_ends_every_session(place: Place, ada: str) -> None:
    inside, _ = place.log_in(ada)
    browser = place.browser()
    browser.post("/reset", email=ada)
    path = place.link_to(ada, 2)
    page = browser.post(path, password="short")
    assert (page.status, "at least 8 characters" in page.text) == (422, True)
    assert browser.post(path, password=OTHER).status == 303
    assert is_in(browser)
    assert not is_in(inside)
    assert is_in(place.log_in(ada, OTHER)[0])
    assert not is_in(place.log_in(ada, PASSWORD)[0])
    wait_until(lambda: len(place.server.to(ada)) == 3, "the notice")
    assert "was just changed" in text_of(place.server.to(ada)[2])


# -- What a browser is handed


def test_the_cookie_is_of_this_host_alone_and_out_of_scripts_reach(place: Place, ada: str) -> None:
    _, page = place.log_in(ada)
    [cookie] = [value for name, value in page.headers if name == "set-cookie"]
    assert re.fullmatch(
        r"__Host-session=[0-9A-Za-z]{43}; HttpOnly; Max-Age=7776000; Path=/; SameSite=lax; Secure", cookie
    )


def test_a_log_in_gives_a_new_session_and_ends_the_one_before(place: Place, ada: str) -> None:
    browser, _ = place.log_in(ada)
    planted = dict(browser.cookies)
    browser.post("/login", email=ada, password=PASSWORD)
    assert browser.cookies != planted
    assert is_in(browser)
    browser.cookies = planted
    assert not is_in(browser)
    browser.cookies = {"__Host-session": "A" * 43}
    assert not is_in(browser)


def test_a_copied_cookie_opens_nothing_after_log_out(place: Place, ada: str) -> None:
    browser, _ = place.log_in(ada)
    copied = dict(browser.cookies)
    page = browser.post("/logout")
    assert page.header("location") == "/"
    assert browser.cookies == {}
    browser.cookies = copied
    assert not is_in(browser)


def test_a_suspension_ends_sessions_at_once(place: Place, ada: str) -> None:
    browser, _ = place.log_in(ada)
    place.shop.query("UPDATE account SET state = 'suspended' WHERE email = %s", ada)
    assert not is_in(browser)
    _, page = place.log_in(ada)
    assert page.status == 403
    assert "This account is suspended. Write to the people who run this service." in page.text


@pytest.mark.parametrize(
    "target", ["//evil.example", "https://evil.example/", "/\\evil.example", "javascript:alert(1)"]
)
def test_nobody_is_sent_to_another_site(place: Place, ada: str, target: str) -> None:
    browser, page = place.log_in(ada, next=target)
    assert page.header("location") == "/overview"
    again = browser.get(f"/login?next={target}")
    assert again.header("location") == "/overview"


def test_a_stranger_is_sent_to_log_in_and_comes_back(place: Place, ada: str) -> None:
    browser = place.browser()
    page = browser.get("/overview?day=1")
    assert (page.status, page.header("location")) == (303, "/login?next=%2Foverview%3Fday%3D1")
    assert 'value="/overview?day=1"' in browser.get(page.header("location")).text
    assert browser.post("/login", email=ada, password=PASSWORD, next="/overview?day=1").header("location") == (
        "/overview?day=1"
    )


def test_whoever_is_in_keeps_their_menu_when_there_is_an_error(place: Place, ada: str) -> None:
    browser, _ = place.log_in(ada)
    for path in ("/calls/req_nope", "/nothing", "/usage?period=x"):
        page = browser.get(path)
        assert page.status >= 400
        assert 'href="/settings"' in page.text
        assert 'href="/signup"' not in page.text
    assert 'href="/signup"' in place.browser().get("/nothing").text
    # What is for everybody is kept by browsers and proxies, so it is the same to both.
    assert browser.get("/docs").text == place.browser().get("/docs").text
    assert '<a class="push" href="/overview">Your account</a>' in browser.get("/docs").text


def test_a_form_of_another_site_is_refused(place: Place, ada: str) -> None:
    for path in ("/signup", "/login", "/login/link", "/reset", "/logout", "/link/x"):
        browser, _ = place.log_in(ada) if path == "/logout" else (place.browser(), None)
        page = browser._send("POST", path, f"email={ada}", {"sec-fetch-site": "cross-site"})
        assert page.status == 403
        assert path != "/logout" or is_in(browser)
