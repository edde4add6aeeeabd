"""From the landing page to the end of the account: a customer helps themselves, in a real browser.

The tests are steps of one way, each on what the one before left; so a failure says where the way ends.
"""

import base64
import io
import json
import re
import time
import zipfile
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from farebox.domain.second_factor import code_at, step_of
from tests.browser.customer import ADA, BOB, PASSWORD, Journey, curl, opened
from tests.conftest import KINDS
from tests.services.steps import next_step
from tests.services.upstream import Behaviour, FakeUpstream

# The service to log in at is a library whose own dependencies moved on; a warning would be an error in its thread.
pytestmark = pytest.mark.filterwarnings("ignore:.*deprecated.*:DeprecationWarning")
CLICKS_MAX = 8
CALLS = 5
STORY = "Once upon a time there was a till that told no lies, and it lived happily ever after."


@pytest.fixture(scope="module", params=KINDS)
def way(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, upstream_process: FakeUpstream
) -> Iterator[Journey]:
    folder = tmp_path_factory.mktemp("journey")
    browser = request.getfixturevalue("browser")
    upstream_process.reset()
    upstream_process.program(Behaviour(text=STORY))
    if request.param == "sqlite":
        with opened(folder, f"sqlite:///{folder}/farebox.db", upstream_process, browser) as journey:
            yield journey
        return
    postgres = request.getfixturevalue("postgres")
    with postgres.database() as url, opened(folder, url, upstream_process, browser) as journey:
        yield journey


@pytest.fixture
def journey(way: Journey, request: pytest.FixtureRequest) -> Iterator[Journey]:
    yield from next_step(way, request)


def test_a_stranger_makes_a_first_call_that_streams(journey: Journey) -> None:
    page, began = journey.page, time.monotonic()
    page.goto(journey.url)
    journey.click("Sign up", "link")
    page.get_by_label("E-mail address").fill(ADA)
    page.get_by_label("Password").fill(PASSWORD)
    journey.click("Sign up")
    journey.is_at("/signup/sent")
    page.goto(journey.mailed(ADA, "Confirm"))
    journey.clicks += 1  # on the link in the mail
    journey.click("Confirm your address")
    expect(page.get_by_text("Press Run to make your first call")).to_be_visible()
    page.wait_for_load_state()  # with its script: without it Run is another button
    text = page.locator("#text")
    with journey.held():
        journey.click("Run")
        expect(text).not_to_be_empty()
        first = text.text_content() or ""
    expect(text).to_have_text(STORY)
    print(f"The first call came after {time.monotonic() - began:.1f} s and {journey.clicks} clicks.")
    assert 0 < len(first) < len(STORY) / 3, f"it came whole: {first}"
    assert journey.clicks <= CLICKS_MAX
    expect(page.get_by_text("That was your first call.")).to_be_visible()
    expect(page.locator("#receipt")).to_contain_text("19 of 20 calls")


def test_a_new_key_works_by_the_line_that_is_shown(journey: Journey) -> None:
    page = journey.page
    journey.goes_to("Keys")
    page.get_by_label("Name", exact=True).fill("Website")
    journey.click("Create key")
    line = page.get_by_label("A call with your key").inner_text()
    key = page.get_by_label("Your key", exact=True).inner_text()
    assert key in line
    journey.keys = [line, key]
    status, body = curl(line)
    assert (status, "".join(re.findall(r'"text": ?"([^"]*)"', body)) or body) != (200, "")
    assert status == 200, body
    journey.goes_to("Keys")
    expect(page.get_by_role("row", name=re.compile("Website"))).to_contain_text(key[-4:])
    assert key not in page.content()


def test_the_call_is_seen_in_usage_and_has_a_receipt(journey: Journey) -> None:
    page = journey.page
    journey.goes_to("Usage")
    table = page.get_by_role("row", name=re.compile("Website"))
    expect(table).to_contain_text("1")
    expect(page.get_by_role("link", name="/v1/story")).to_be_visible()
    journey.goes_to("Calls")
    expect(page.locator("tbody tr")).to_have_count(2)
    page.get_by_role("row", name=re.compile("Website")).get_by_role("link").first.click()
    expect(page.get_by_role("heading", name="Receipt")).to_be_visible()
    journey.goes_to("Overview")
    expect(page.get_by_role("main")).to_contain_text("18")


def test_a_rotated_key_works_on_for_a_while_and_a_revoked_one_never(journey: Journey) -> None:
    page, (line, old) = journey.page, journey.keys
    journey.goes_to("Keys")
    page.get_by_role("link", name="Rotate Website").click()
    page.get_by_label("The old key ends").select_option(label="after 1 hour")
    journey.click("Create the new key")
    new = page.get_by_label("Your key", exact=True).inner_text()
    assert [curl(line, key, old)[0] for key in (old, new)] == [200, 200]
    for key, status in ((old, (401, 200)), (new, (401, 401))):
        journey.goes_to("Keys")
        page.get_by_role("row", name=re.compile(re.escape(key[-4:]))).get_by_role("link", name="Revoke").click()
        journey.click("Revoke the key")
        expect(page.get_by_text("The key is revoked")).to_be_visible()
        assert tuple(curl(line, each, old)[0] for each in (old, new)) == status


def test_a_colleague_joins_by_invitation(journey: Journey) -> None:
    page = journey.page
    journey.goes_to("Team")
    page.get_by_label("E-mail address").fill(BOB)
    journey.click("Send the invitation")
    expect(page.get_by_text("The invitation is on its way")).to_be_visible()
    context = journey.browser.new_context(locale="en-GB")
    bobs = context.new_page()
    bobs.goto(journey.mailed(BOB, "invites you"))
    bobs.get_by_label("Password").fill(PASSWORD)
    bobs.get_by_role("button", name="Join", exact=True).click()
    expect(bobs).to_have_url(f"{journey.url}/overview")
    bobs.goto(f"{journey.url}/team")
    expect(bobs.get_by_role("row", name=re.compile(ADA))).to_contain_text("Owner")
    expect(bobs.get_by_role("heading", name="Invite somebody")).to_have_count(0)
    context.close()
    page.reload()
    expect(page.get_by_role("row", name=re.compile(BOB))).to_contain_text("Member")


def test_a_second_factor_and_a_passkey_are_set_up(journey: Journey) -> None:
    page = journey.page
    journey.goes_to("Settings")
    page.get_by_role("link", name="Security").click()
    journey.click("Turn it on")
    page.get_by_text("Or type it in").click()
    shown = page.get_by_label("The secret, to be typed into the app").inner_text()
    journey.totp_secret = base64.b32decode(shown.replace(" ", ""))
    page.get_by_label("Code", exact=True).fill(_code(journey))
    journey.click("Turn it on")
    journey.recovery_codes = page.get_by_label("The codes", exact=True).inner_text().split()
    assert len(journey.recovery_codes) == 10
    journey.click("I have saved them", "link")
    _have_authenticator(page)
    page.get_by_label("Name of the new passkey").fill("My phone")
    journey.click("Add a passkey")
    expect(page.get_by_text("The passkey is added")).to_be_visible()
    expect(page.get_by_role("row", name=re.compile("My phone"))).to_be_visible()


def test_every_way_to_log_in_leads_back(journey: Journey) -> None:
    page = journey.page
    _log_out(journey)
    page.get_by_role("link", name="Your account", exact=True).first.click()
    page.get_by_role("link", name="Log in with an e-mail link").click()
    page.get_by_label("E-mail address").fill(ADA)
    journey.click("Send me a link")
    expect(page.get_by_role("heading", name="Check your e-mail")).to_be_visible()
    page.goto(journey.mailed(ADA, "Log in"))
    journey.click("Log in")
    journey.is_at("/login/code")
    page.get_by_label("Code", exact=True).fill(_code(journey, 1))  # the one before is used
    journey.click("Log in")
    journey.is_at("/overview")

    _log_out(journey)
    page.goto(f"{journey.url}/login")
    journey.click("Log in with a passkey")
    journey.is_at("/overview")

    _log_out(journey)
    page.goto(f"{journey.url}/login")
    page.get_by_role("link", name="Continue with Example").click()
    page.get_by_role("button", name=ADA).click()
    journey.is_at("/login/code")
    page.get_by_label("Code", exact=True).fill(journey.recovery_codes[0])
    journey.click("Log in")
    journey.is_at("/overview")

    page.goto(f"{journey.url}/settings/sessions")
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.locator("tbody")).to_contain_text("at another service")


def test_everything_is_taken_along_and_the_account_is_deleted(journey: Journey) -> None:
    page = journey.page
    page.goto(f"{journey.url}/settings/export")
    with page.expect_download() as coming:
        journey.click("Download the account")
    with zipfile.ZipFile(io.BytesIO(coming.value.path().read_bytes())) as archive:
        files = {name: archive.read(name).decode() for name in archive.namelist()}
    calls = [json.loads(line) for line in files["calls.jsonl"].splitlines()]
    assert len(calls) == CALLS
    assert BOB in "".join(files.values())
    assert not any(key in text for key in journey.keys[1:] for text in files.values())

    page.goto(f"{journey.url}/settings/delete")
    page.get_by_label("Address of the account").fill(ADA)
    journey.click("Delete the account for good")
    journey.is_at("/deleted")
    page.goto(f"{journey.url}/overview")
    journey.is_at("/login")
    for table in ("person", "member", "session", "passkey", "identity", "recovery_code"):
        assert journey.row(f"SELECT count(*) FROM {table}") == (0,), table
    assert journey.row("SELECT count(*) FROM usage_record") == (CALLS,)
    assert journey.row("SELECT count(*) FROM account WHERE email LIKE '%@%'") == (0,)


def _code(journey: Journey, off: int = 0) -> str:
    return code_at(journey.totp_secret, step_of(time.time_ns() // 1000) + off)


def _log_out(journey: Journey) -> None:
    journey.page.get_by_role("button", name="Log out").first.click()
    journey.is_at("/")


def _have_authenticator(page: Page) -> None:
    """A device that makes passkeys, and says of whoever holds it that they are who they are."""
    devices = page.context.new_cdp_session(page)
    devices.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True,
        "isUserVerified": True, "automaticPresenceSimulation": True,
    }  # fmt: skip
    devices.send("WebAuthn.addVirtualAuthenticator", {"options": options})
