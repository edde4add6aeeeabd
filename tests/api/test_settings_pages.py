"""What customers change about how they log in, over HTTP; and what they have to show first."""

import re
from typing import Final
from urllib.parse import unquote

import pytest

from tests.api.fort import ORIGIN, SECURITY, Fort, Guarded
from tests.api.place import OTHER, PASSWORD, is_in
from tests.services.authenticator import Authenticator
from tests.services.browser import Browser
from tests.services.mail import text_of
from tests.services.process import wait_until

CONFIRM: Final = "/settings/confirm?next="
CODE: Final = re.compile(r"[2-9a-z]{4}(?:-[2-9a-z]{4}){3}")
GUARDED: Final[dict[str, dict[str, str]]] = {
    "/settings/address": {"email": "thief@example.com"},
    "/settings/password": {"current": PASSWORD, "password": OTHER},
    f"{SECURITY}/totp": {},
    f"{SECURITY}/totp/on": {"code": "000000"},
    f"{SECURITY}/totp/off": {},
    f"{SECURITY}/codes": {},
    f"{SECURITY}/passkeys/options": {},
    f"{SECURITY}/passkeys": {"name": "thief's", "answer": "{}"},
    f"{SECURITY}/passkeys/rename": {"passkey": "x", "name": "y"},
    f"{SECURITY}/passkeys/remove": {"passkey": "x"},
    f"{SECURITY}/services/disconnect": {"issuer": "x", "subject": "y"},
}


class Customer:
    def __init__(self, fort: Fort) -> None:
        self.email = fort.new_email()
        self.browser = fort.joined(self.email)


@pytest.fixture
def ada(fort: Fort) -> Customer:
    return Customer(fort)


def connecting(browser: Browser) -> str:
    """The link by which somebody has GitHub log them in from now on."""
    found = re.search(r'href="(/oauth/github\?connect=[^"]+)"', browser.get(SECURITY).text)
    assert found is not None
    return found[1].replace("&amp;", "&")


def form_of_codes(browser: Browser) -> str:
    found = re.search(r'/codes"><input type="hidden" name="form" value="([^"]+)"', browser.get(SECURITY).text)
    assert found is not None
    return found[1]


# -- Showing again who one is


def test_a_stolen_session_changes_nothing_that_a_log_in_needs(fort: Fort, ada: Customer) -> None:
    device = fort.add_passkey(ada.browser)
    connects = connecting(ada.browser)
    fort.make_stale(ada.email)
    sql = "SELECT email, password_hash, totp_secret FROM person WHERE email = %s"
    before, mails = fort.shop.query(sql, ada.email), len(fort.server.to("thief@example.com"))
    for path, fields in GUARDED.items():
        page = ada.browser.post(path, **fields)
        assert (page.status, page.header("location")) == (303, f"{CONFIRM}%2Foverview%3Ftold%3Dnot-done"), path
    for path in (f"{SECURITY}/totp", connects):
        assert ada.browser.get(path).header("location").startswith(CONFIRM), path
    assert fort.shop.query(sql, ada.email) == before
    assert len(fort.server.to("thief@example.com")) == mails
    assert fort.show_passkey(fort.browser(), device).status == 303
    for path in ("/settings", SECURITY):
        text = ada.browser.get(path).text
        assert "confirm that it is you" in text
        assert f'action="{path}' not in text
    assert is_in(ada.browser)


def test_after_the_password_one_is_back_on_the_page_for_ten_minutes(fort: Fort, ada: Customer) -> None:
    fort.make_stale(ada.email)
    ada.browser.referer = f"{ORIGIN}{SECURITY}?told=off"
    page = ada.browser.post(f"{SECURITY}/totp")
    assert page.header("location") == f"{CONFIRM}%2Fsettings%2Fsecurity%3Ftold%3Dnot-done"
    page = ada.browser.post("/settings/confirm", password="not the password", next=SECURITY)
    assert (page.status, "This is not your password" in page.text) == (422, True)
    assert ada.browser.post(f"{SECURITY}/totp").status == 303
    page = ada.browser.post("/settings/confirm", password=PASSWORD, next=SECURITY)
    assert page.header("location") == SECURITY
    assert ada.browser.post(f"{SECURITY}/totp").header("location") == f"{SECURITY}/totp"
    fort.shop.query("UPDATE session SET authenticated_us = authenticated_us - 600000000")
    assert ada.browser.post(f"{SECURITY}/totp").header("location").startswith(CONFIRM)


def test_who_sends_a_form_after_its_ten_minutes_is_told_that_nothing_was_changed(fort: Fort, ada: Customer) -> None:
    fort.make_stale(ada.email)
    ada.browser.referer = f"{ORIGIN}/settings"
    shown = ada.browser.post("/settings/password", current=PASSWORD, password=OTHER).header("location")
    assert "Nothing was changed yet" in ada.browser.get(shown).text
    back = unquote(shown.removeprefix(CONFIRM))
    assert "please send it again" not in ada.browser.get(back).text, "they cannot yet"
    assert ada.browser.post("/settings/confirm", password=PASSWORD, next=back).header("location") == back
    assert "Now you can: please send it again" in ada.browser.get(back).text
    for path in ("/settings/confirm", "/settings"):
        assert "Nothing was changed" not in ada.browser.get(path).text


def test_who_has_a_second_factor_shows_that_and_not_only_the_password(fort: Fort) -> None:
    ada = Guarded(fort)
    fort.make_stale(ada.email)
    page = ada.browser.get(f"{CONFIRM}{SECURITY}")
    assert 'name="code"' in page.text
    assert 'name="password"' not in page.text
    page = ada.browser.post("/settings/confirm", password=PASSWORD)
    assert (page.status, "Use your second factor" in page.text) == (403, True)
    assert ada.browser.post("/settings/confirm", code=ada.code()).header("location") == "/settings"
    assert ada.browser.post(f"{SECURITY}/codes", form=form_of_codes(ada.browser)).status == 200


def test_a_passkey_or_a_mailed_link_shows_it_too(fort: Fort, ada: Customer) -> None:
    device = fort.add_passkey(ada.browser)
    fort.make_stale(ada.email)
    asked = ada.browser.post("/settings/confirm/passkey/options")
    page = ada.browser.post("/settings/confirm/passkey", answer=device.show(asked.text, ORIGIN), next=SECURITY)
    assert page.header("location") == SECURITY
    fort.make_stale(ada.email)
    known = [fort.newest_link(ada.email)]
    assert ada.browser.post("/settings/confirm/mail", next=SECURITY).header("location") == "/login/link/sent"
    assert ada.browser.post(fort.newest_link(ada.email, known)).header("location") == SECURITY
    assert ada.browser.post(f"{SECURITY}/totp").header("location") == f"{SECURITY}/totp"


def test_a_strangers_passkey_does_not_show_it(fort: Fort, ada: Customer) -> None:
    eves = fort.add_passkey(fort.joined(fort.new_email()))
    fort.make_stale(ada.email)
    asked = ada.browser.post("/settings/confirm/passkey/options")
    page = ada.browser.post("/settings/confirm/passkey", answer=eves.show(asked.text, ORIGIN))
    assert (page.status, "is not known here" in page.text) == (422, True)
    assert ada.browser.post(f"{SECURITY}/totp").header("location").startswith(CONFIRM)


# -- The second factor


def test_the_page_of_the_recovery_codes_can_be_loaded_again_and_the_way_back_says_that_it_is_on(fort: Fort) -> None:
    ada = Guarded(fort)
    again = ada.browser.post(f"{SECURITY}/totp/on", code="the one of before")
    assert (again.status, [code in again.text for code in ada.codes]) == (200, [True] * 10)
    del ada.browser.cookies["__Host-totp"]
    for page in (
        ada.browser.post(f"{SECURITY}/totp/on", code=ada.code()),
        ada.browser.post(f"{SECURITY}/totp"),
        ada.browser.get(f"{SECURITY}/totp"),
    ):
        assert (page.status, page.header("location")) == (303, f"{SECURITY}?told=already")
    told = ada.browser.get(f"{SECURITY}?told=already").text
    assert "Keep its entry in your app. If you do not have the recovery codes, make new ones." in told
    assert "Make new recovery codes" in told


def test_a_form_for_new_recovery_codes_shows_the_same_ones_when_it_comes_again(fort: Fort) -> None:
    ada = Guarded(fort)
    forms = [form_of_codes(ada.browser) for _ in range(2)]
    shown = [CODE.findall(ada.browser.post(f"{SECURITY}/codes", form=forms[0]).text) for _ in range(2)]
    assert len(shown[0]) == 10
    assert shown[0] == shown[1]
    assert ada.browser.post(f"{SECURITY}/codes", form=forms[1]).header("location") == f"{SECURITY}?told=newer"
    assert "so nothing was done now" in ada.browser.get(f"{SECURITY}?told=newer").text
    assert ada.first().post("/login/code", code=shown[0][0]).header("location") == "/overview"
    # A template of the founder's, or a page of before, that has no such field.
    made = [CODE.findall(ada.browser.post(f"{SECURITY}/codes").text) for _ in range(2)]
    assert [len(set(codes) - set(shown[0])) for codes in made] == [10, 10]
    assert made[0] != made[1]
    assert ada.first().post("/login/code", code=made[1][0]).header("location") == "/overview"


# -- Address and password


def test_the_address_changes_by_a_link_to_the_new_one_and_the_old_one_is_told(fort: Fort, ada: Customer) -> None:
    new = fort.new_email()
    assert ada.browser.post("/settings/address", email=new).header("location") == "/settings?told=sent"
    link = fort.newest_link(new)
    stranger = fort.browser()
    for page in (stranger.get(link), fort.joined(fort.new_email()).post(link)):
        assert page.status in {303, 410}
    assert "Confirm your new address" in ada.browser.get(link).text
    assert ada.browser.post(link).header("location") == "/settings?told=address"
    assert new in ada.browser.get("/settings").text
    assert is_in(fort.log_in(new)[0])
    wait_until(lambda: len(fort.server.to(ada.email)) == 3, "two notices")
    notices = [text_of(letter) for letter in fort.server.to(ada.email)[1:]]
    assert ["asked to change" in notices[0], "was changed to" in notices[1]] == [True, True]
    assert all(new in notice and "/reset" in notice for notice in notices)


def test_whether_somebody_has_the_new_address_is_not_told(fort: Fort, ada: Customer) -> None:
    pages = [ada.browser.post("/settings/address", email=email) for email in (Customer(fort).email, fort.new_email())]
    assert pages[0].same() == pages[1].same()


def test_a_change_of_password_logs_out_everywhere_else(fort: Fort, ada: Customer) -> None:
    other, _ = fort.log_in(ada.email)
    for fields in ({"current": OTHER, "password": OTHER}, {"current": PASSWORD, "password": "password1"}):
        page = ada.browser.post("/settings/password", **fields)
        assert page.status == 422
        assert OTHER not in page.text
    assert is_in(other)
    page = ada.browser.post("/settings/password", current=PASSWORD, password=OTHER)
    assert page.header("location") == "/settings?told=password"
    assert (is_in(other), is_in(ada.browser)) == (False, True)
    assert is_in(fort.log_in(ada.email, OTHER)[0])


# -- Sessions


def test_sessions_are_listed_in_words_and_ended_one_by_one_or_all(fort: Fort, ada: Customer) -> None:
    firefox = "Mozilla/5.0 (Windows NT 10.0; rv:140.0) Gecko/20100101 Firefox/140.0"
    others = [Browser(fort.served.url, user_agent=firefox, x_forwarded_for=f"198.18.0.{n}") for n in (1, 2)]
    for other in others:
        other.post("/login", email=ada.email, password=PASSWORD)
    text = ada.browser.get("/settings/sessions").text
    assert text.count("Firefox on Windows</th>") == 2
    assert "198.18.0.1" in text
    assert text.count("This one") == 1
    first = re.findall(r'name="session" value="(session_\w+)"', text)[1]
    eve = fort.joined(fort.new_email())
    eve.post("/settings/sessions/end", session=first)
    assert is_in(others[0])
    ada.browser.post("/settings/sessions/end", session=first)
    assert [is_in(other) for other in others] == [False, True]
    ada.browser.post("/settings/sessions/end-others")
    assert [is_in(others[1]), is_in(ada.browser), is_in(eve)] == [False, True, True]


# -- Passkeys and services


def test_passkeys_are_named_renamed_and_removed(fort: Fort, ada: Customer) -> None:
    device = fort.add_passkey(ada.browser, "my <b>phone</b>")
    text = ada.browser.get(SECURITY).text
    assert "my &lt;b&gt;phone&lt;/b&gt;" in text
    [passkey] = set(re.findall(r'name="passkey" value="([^"]+)"', text))
    page = ada.browser.post(f"{SECURITY}/passkeys/rename", passkey=passkey, name="")
    assert (page.status, "A name has to be one line" in page.text) == (422, True)
    ada.browser.post(f"{SECURITY}/passkeys/rename", passkey=passkey, name="the old one")
    assert "the old one" in ada.browser.get(SECURITY).text
    ada.browser.post(f"{SECURITY}/passkeys/remove", passkey=passkey)
    assert "the old one" not in ada.browser.get(SECURITY).text
    assert fort.show_passkey(fort.browser(), device).status == 422


@pytest.mark.parametrize("answer", ["", "{}", "[]", "\0", "{" * 1000])
def test_an_answer_that_is_none_is_told_in_a_sentence(fort: Fort, ada: Customer, answer: str) -> None:
    ada.browser.post(f"{SECURITY}/passkeys/options")
    page = ada.browser.post(f"{SECURITY}/passkeys", name="x", answer=answer)
    assert (page.status, "does not work here" in page.text) == (422, True)
    browser = fort.browser()
    browser.post("/login/passkey/options")
    page = browser.post("/login/passkey", answer=answer)
    assert (page.status, "does not work here" in page.text) == (422, True)


def test_a_service_is_connected_and_disconnected(fort: Fort, ada: Customer) -> None:
    fort.github.be(abs(hash(ada.email)) % 10**9, ("another@example.com", True, False))
    page = fort.agree(ada.browser, connecting(ada.browser))
    assert page.header("location") == f"{SECURITY}?told=connected"
    browser = fort.browser()
    assert fort.agree(browser, "/oauth/github").header("location") == "/overview"
    text = ada.browser.get(SECURITY).text
    assert "It is" not in text
    [subject] = re.findall(r'name="subject" value="(\d+)"', text)
    ada.browser.post(f"{SECURITY}/services/disconnect", issuer=fort.github.url, subject=subject)
    assert fort.agree(fort.browser(), "/oauth/github").status == 422


def test_somebody_new_comes_in_by_github_and_has_an_account(fort: Fort) -> None:
    email = fort.new_email()
    fort.github.be(abs(hash(email)) % 10**9, (email, True, True))
    browser = fort.browser()
    assert fort.agree(browser, "/oauth/github?next=/settings").header("location") == "/settings"
    text = browser.get("/settings").text
    assert email in text
    assert "You have none: you log in with e-mail links" in text
    assert browser.post("/settings/password", password=PASSWORD).header("location") == "/settings?told=password"
    assert is_in(fort.log_in(email)[0])


def test_who_refuses_elsewhere_is_told_so_beside_the_other_ways(fort: Fort) -> None:
    browser = fort.browser()
    state = re.findall(r"state=(\w+)", browser.get("/oauth/oidc").header("location"))[0]
    page = browser.get(f"/oauth/oidc/callback?error=access_denied&state={state}")
    assert (page.status, "Example did not say who you are" in page.text) == (422, True)
    assert browser.get("/oauth/nowhere").status == 410


def test_buttons_are_there_for_the_services_that_are_set(fort: Fort) -> None:
    for path in ("/login", "/signup"):
        text = fort.browser().get(path).text
        assert "Continue with GitHub" in text
        assert "Continue with Example" in text
        assert "Google" not in text


def test_what_comes_without_the_steps_before_it_is_told_in_a_sentence(fort: Fort, ada: Customer) -> None:
    assert ada.browser.get(f"{SECURITY}/totp").status == 410
    assert ada.browser.post(f"{SECURITY}/totp/on", code="123456").status == 410
    assert ada.browser.post(f"{SECURITY}/codes").status == 403
    assert fort.browser().post("/login/code", code="123456").status == 410
    assert fort.browser().post("/login/passkey", answer=Authenticator().id.hex()).status == 410
    assert fort.browser().get("/oauth/oidc/callback?state=x&code=y").status == 410
