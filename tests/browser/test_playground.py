"""The Playground in a real browser: the first call, answers that come in pieces, stop; and all without a script."""

import re
import sys
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, StorageState, expect

from tests.browser.conftest import SECRET
from tests.browser.inspection import Inspector
from tests.browser.playground import APP, CLICKS_MAX, Product, Visitor
from tests.services.process import wait_until
from tests.services.served import Served


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    folder = tmp_path_factory.mktemp("playground")
    (folder / "app.py").write_text(APP)
    command = [sys.executable, "-m", "farebox", "dev", "--port", "{port}"]
    with Served(command, env={"FAREBOX_SECRET_KEY": SECRET}, cwd=folder) as served:
        yield Product(served, folder)
        assert "Traceback" not in served.output()


@pytest.fixture(scope="module")
def state(product: Product, browser: Browser) -> StorageState:
    """What the browser of somebody who has joined has in it."""
    context = browser.new_context()
    Visitor(context.new_page()).join(product.url, "ada@example.com")
    found = context.storage_state()
    context.close()
    return found


@pytest.fixture
def inside(browser: Browser, state: StorageState) -> Iterator[Page]:
    """A tab that is logged in."""
    context = browser.new_context(storage_state=state, locale="en-GB", timezone_id="Europe/Lisbon")
    yield context.new_page()
    context.close()


@pytest.fixture
def scriptless(browser: Browser, state: StorageState) -> Iterator[Page]:
    """The same without scripts."""
    context = browser.new_context(storage_state=state, java_script_enabled=False)
    yield context.new_page()
    context.close()


def run(page: Page) -> None:
    page.get_by_role("button", name="Run").click()


def done(page: Page) -> None:
    expect(page.locator("#receipt dl")).to_be_visible()


def test_the_mails_that_nobody_gets_are_a_page_that_fits(product: Product, reader: Page, inspector: Inspector) -> None:
    reader.goto(f"{product.url}/signup")
    reader.get_by_label("E-mail address").fill("mia@example.com")
    reader.get_by_label("Password").fill("three odd words")
    reader.get_by_role("button", name="Sign up", exact=True).click()
    reader.wait_for_url("**/signup/sent")
    reader.goto(f"{product.url}/dev/mail")
    wait_until(lambda: bool(reader.reload() and reader.get_by_text("mia@example.com").count()), "the mail")
    inspector.assert_page(reader, f"{product.url}/dev/mail", name="dev-mail")


def test_the_first_call_comes_within_eight_clicks(product: Product, browser: Browser) -> None:
    context: BrowserContext = browser.new_context(locale="en-GB", timezone_id="Europe/Lisbon")
    page = context.new_page()
    visitor = Visitor(page)
    visitor.join(product.url, "pia@example.com")
    expect(page).to_have_url(f"{product.url}/playground/tagline")
    expect(page.get_by_text("Press Run to make your first call")).to_be_visible()
    visitor.click("Run", "button")
    expect(page.locator("#text")).to_contain_text("[farebox-sandbox]")
    assert visitor.clicks <= CLICKS_MAX
    expect(page.locator("#receipt")).to_contain_text("499 of 500 calls")
    expect(page.get_by_text("That was your first call")).to_be_visible()
    expect(page.get_by_text("Press Run to make your first call")).to_have_count(0)
    assert product.records("pia@example.com") == [("/v1/tagline", "posted", "")]
    context.close()


# -- As it comes


def test_a_stream_is_seen_to_come_in_pieces(product: Product, inside: Page) -> None:
    inside.goto(f"{product.url}/playground/story")
    text = inside.locator("#text")
    with product.held():
        run(inside)
        expect(text).to_have_attribute("aria-busy", "true")
        expect(inside.get_by_role("status")).to_have_text("The call is under way.")
        expect(text).not_to_be_empty()
        first = text.text_content() or ""
    done(inside)
    expect(inside.get_by_role("status")).to_contain_text(re.compile(r"Done in \d+\.\d s\. Tokens: \d+ in, \d+ out\."))
    whole = text.text_content() or ""
    assert whole.startswith(first)
    assert len(whole) > 3 * len(first) > 0, "it came at once"
    expect(text).not_to_have_attribute("aria-busy", "true")
    inside.get_by_text("As it was sent").click()
    expect(inside.locator("#raw")).to_contain_text("event: done")


def test_stop_ends_the_call_and_its_row_is_cut(product: Product, inside: Page) -> None:
    inside.goto(f"{product.url}/playground/story")
    stop = inside.get_by_role("button", name="Stop")
    with product.held():
        inside.get_by_role("button", name="Run").focus()
        inside.keyboard.press("Enter")
        expect(inside.locator("#text")).not_to_be_empty()
        inside.keyboard.press("Tab")
        expect(stop).to_be_focused()
        inside.keyboard.press("Enter")
        expect(inside.get_by_role("status")).to_contain_text("Stopped.")
        ended = "It ended early. What was written until then is counted."
        expect(inside.locator("#receipt")).to_contain_text(ended)
        expect(inside.get_by_role("button", name="Run")).to_be_focused()
        expect(stop).to_be_hidden()
        endpoint, state, marks = product.records("ada@example.com")[-1]
    assert (endpoint, state, "cut" in marks.split()) == ("/v1/story", "posted", True)


def test_objects_that_stream_come_one_below_the_other(product: Product, inside: Page) -> None:
    inside.goto(f"{product.url}/playground/numbers")
    run(inside)
    done(inside)
    shown = inside.locator("#text").text_content() or ""
    assert re.findall(r'"points": (\d)', shown) == ["0", "1", "2"]
    assert shown.count("}\n{") == 2


def test_the_plain_prompt_streams_unless_it_is_not_to(product: Product, inside: Page) -> None:
    inside.goto(f"{product.url}/playground/generate")
    code = inside.locator(".tabs code").first
    expect(code).to_contain_text("curl -N")
    run(inside)
    done(inside)
    expect(inside.locator("#raw")).to_contain_text("event: done")
    inside.get_by_label("stream").uncheck()
    expect(code).not_to_contain_text("curl -N")
    run(inside)
    done(inside)
    expect(inside.locator("#raw")).to_contain_text('"calls_remaining"')
    expect(inside.locator("#text")).to_contain_text("[farebox-sandbox] You wrote")


def test_who_stops_waiting_gets_the_answer_without_another_charge(product: Product, inside: Page) -> None:
    before = len(product.records("ada@example.com"))
    inside.goto(f"{product.url}/playground/tagline")
    with product.held():
        run(inside)
        # What is stopped before it has come is no call, and the next one is the first.
        wait_until(lambda: product.sql("SELECT count(*) FROM hold") == [(1,)], "the call to be under way")
        inside.get_by_role("button", name="Stop waiting").click()
        expect(inside.get_by_role("status")).to_contain_text("Run it again unchanged")
    run(inside)
    done(inside)
    expect(inside.get_by_role("status")).to_contain_text("This is the answer of the call that you stopped waiting for.")
    assert len(product.records("ada@example.com")) == before + 1


# -- Once


def test_a_double_click_is_one_call(product: Product, inside: Page) -> None:
    before = len(product.records("ada@example.com"))
    inside.goto(f"{product.url}/playground/summary")  # over before the second click, as it may be
    inside.get_by_role("button", name="Run").dblclick()
    done(inside)
    inside.goto(f"{product.url}/playground/tagline")
    with product.held():  # and here it is not
        inside.get_by_role("button", name="Run").dblclick()
    done(inside)
    assert len(product.records("ada@example.com")) == before + 2
    run(inside)
    done(inside)
    assert len(product.records("ada@example.com")) == before + 3


def test_a_double_click_is_one_call_without_a_script(product: Product, scriptless: Page) -> None:
    before = len(product.records("ada@example.com"))
    scriptless.goto(f"{product.url}/playground/tagline")
    with product.held():  # or the second click could meet the page that the first one led to
        scriptless.get_by_role("button", name="Run").dblclick(no_wait_after=True)
    done(scriptless)
    expect(scriptless.locator("#text")).to_contain_text("[farebox-sandbox]")
    assert len(product.records("ada@example.com")) == before + 1


# -- Without a script


def test_it_works_without_a_script(product: Product, scriptless: Page, inspector: Inspector) -> None:
    said = {"tagline": "tagline for tea.", "story": "A story about tea", "generate": "You wrote: “tea”"}
    scriptless.set_viewport_size({"width": 390, "height": 844})
    for name, words in said.items():
        scriptless.goto(f"{product.url}/playground/{name}")
        scriptless.locator("textarea").first.fill("tea")
        with scriptless.expect_navigation() as navigation:
            run(scriptless)
        expect(scriptless.locator("#text")).to_contain_text(words)
        expect(scriptless.locator("#text")).to_be_in_viewport()
        expect(scriptless.locator("textarea").first).to_have_value("tea")
        expect(scriptless.locator(".tabs code").first).to_contain_text("tea")
        expect(scriptless.get_by_role("button", name="Stop")).to_have_count(0)
        expect(scriptless.get_by_role("region", name="Answer")).to_be_focused()
        assert inspector.validator.faults(navigation.value.text()) == []


def test_what_is_wrong_is_told_beside_its_field_without_a_script(
    product: Product, scriptless: Page, inspector: Inspector
) -> None:
    scriptless.goto(f"{product.url}/playground/score")
    scriptless.get_by_label("extra").fill("{no")
    with scriptless.expect_navigation() as navigation:
        run(scriptless)
    extra = scriptless.get_by_label("extra")
    expect(extra).to_be_focused()
    expect(extra).to_have_accessible_description(re.compile("extra is not JSON"))
    assert navigation.value.status == 422
    assert inspector.validator.faults(navigation.value.text()) == []


# -- What goes wrong


def test_what_is_wrong_is_told_beside_its_field_which_has_the_focus(product: Product, inside: Page) -> None:
    inside.goto(f"{product.url}/playground/score")
    inside.get_by_label("extra").fill('{"a": "b"}')
    inside.get_by_label("extra").press("Control+Enter")
    extra = inside.get_by_label("extra")
    expect(extra).to_be_focused()
    expect(extra).to_have_attribute("aria-invalid", "true")
    expect(extra).to_have_accessible_description(re.compile(r"extra\.a: Input should be a valid integer"))
    expect(inside.get_by_role("alert")).to_contain_text("extra.a: Input should be a valid integer")
    extra.fill("")
    inside.keyboard.press("Control+Enter")
    done(inside)
    expect(extra).not_to_have_attribute("aria-invalid", "true")
    expect(inside.get_by_role("alert")).to_be_empty()
    expect(inside.locator("#text")).to_contain_text('"<b>bold</b>"')  # as text


def test_a_call_is_not_made_by_an_account_that_was_switched_to_in_another_tab(product: Product, inside: Page) -> None:
    product.sql(
        "INSERT INTO account (id, email, plan, state, created_us, anchor_us) "
        "SELECT 'acct_two', 'two@example.com', plan, state, created_us, anchor_us FROM account WHERE email = ?",
        "ada@example.com",
    )
    product.sql(
        "INSERT INTO member (account_id, person_id, role, joined_us) "
        "SELECT 'acct_two', id, 'owner', created_us FROM person WHERE email = ?", "ada@example.com"
    )  # fmt: skip
    inside.goto(f"{product.url}/playground/tagline")
    other = inside.context.new_page()
    other.goto(f"{product.url}/team")
    other.get_by_label("Account").first.select_option("two@example.com")
    other.get_by_role("button", name="Switch").first.click()
    other.wait_for_url("**/overview")
    run(inside)
    told = "This page belongs to the account ada@example.com, but you are now in two@example.com. Nothing was done."
    expect(inside.get_by_role("alert")).to_contain_text(told)
    assert product.records("two@example.com") == []
    inside.get_by_role("button", name="Switch").first.click()  # back, as the old page has it
    inside.wait_for_url("**/overview")
    product.sql("DELETE FROM member WHERE account_id = 'acct_two'")


def test_over_the_limit_the_way_to_the_plan_is_shown(product: Product, browser: Browser) -> None:
    context = browser.new_context(locale="en-GB")
    page = context.new_page()
    Visitor(page).join(product.url, "eve@example.com")
    product.sql("UPDATE account SET plan = 'one' WHERE email = ?", "eve@example.com")
    run(page)
    done(page)
    run(page)
    expect(page.get_by_role("alert")).to_contain_text("Plan 'one' includes 1 call a month, and it is used up.")
    expect(page.get_by_role("alert").locator("time")).to_have_text(re.compile(r"^\d+ \w+ \d{4}, \d\d:\d\d$"))
    expect(page.get_by_role("alert").get_by_role("link")).to_have_attribute("href", "/plan")
    expect(page.get_by_role("status")).to_be_empty()
    context.close()


def test_a_revoked_key_is_replaced_by_a_button(product: Product, browser: Browser) -> None:
    context = browser.new_context()
    page = context.new_page()
    Visitor(page).join(product.url, "bob@example.com")
    run(page)
    done(page)
    revoke = "UPDATE api_key SET revoked_us = 1 WHERE account_id = (SELECT id FROM account WHERE email = ?)"
    product.sql(revoke, "bob@example.com")
    run(page)
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("The Playground's key was revoked")
    alert.get_by_role("button", name="Create a new key").click()
    run(page)
    done(page)
    context.close()


def test_a_session_that_is_over_is_told(product: Product, browser: Browser) -> None:
    context = browser.new_context()
    page = context.new_page()
    Visitor(page).join(product.url, "zoe@example.com")
    context.clear_cookies()
    run(page)
    expect(page.get_by_role("alert")).to_contain_text("You are logged out")
    context.close()


# -- Looks


def test_the_code_follows_the_form(product: Product, inside: Page) -> None:
    inside.goto(f"{product.url}/playground/tagline")
    inside.get_by_text("Python", exact=True).click()
    code = inside.locator(".tabs code:visible")
    inside.get_by_label("product").fill("It's 2 o'clock")
    inside.get_by_label("bold").check()
    expect(code).to_contain_text('"product": "It\'s 2 o\'clock"')
    expect(code).to_contain_text('"tone": "bold"')
    expect(code).to_contain_text("YOUR_API_KEY")


def test_a_file_is_sent(product: Product, inside: Page) -> None:
    inside.goto(f"{product.url}/playground/summary")
    run(inside)
    expect(inside.locator("#text")).to_contain_text("document.txt has")
    inside.get_by_label("document").set_input_files({"name": "mine.txt", "mimeType": "text/plain", "buffer": b"12345"})
    expect(inside.locator(".tabs code").first).to_contain_text("-F document=@mine.txt")
    run(inside)
    expect(inside.locator("#text")).to_have_text("mine.txt has 5 bytes.")


def test_a_test_call_says_that_it_is_free(product: Product, inside: Page) -> None:
    inside.goto(f"{product.url}/playground/tagline")
    expect(inside.get_by_text("Free: a made-up model answers")).to_be_hidden()
    inside.get_by_text("Test", exact=True).click()
    expect(inside.get_by_text("Free: a made-up model answers")).to_be_visible()
    run(inside)
    done(inside)
    expect(inside.locator("#receipt")).to_contain_text("nothing (test)")


@pytest.mark.parametrize("name", ["tagline", "score", "summary", "story", "generate"])
def test_the_page_is_as_it_should_be(product: Product, inside: Page, inspector: Inspector, name: str) -> None:
    inspector.assert_page(inside, f"{product.url}/playground/{name}")
    run(inside)
    done(inside)
    inspector.assert_here(inside, f"playground-{name}-done")
