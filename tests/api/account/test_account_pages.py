"""The pages around an account over HTTP: its plan, its export, its end, and the mails that come of them."""

import io
import json
import re
import zipfile

import pytest

from tests.api.account.members import APP, Member, html_of, mails, new
from tests.api.place import LINK, PASSWORD, Place, numbers
from tests.api.playground import told
from tests.api.shop import Shop, ask, send
from tests.services.browser import Page
from tests.services.mail import MailServer, text_of
from tests.services.process import wait_until

# -- Plan


def test_the_plan_is_told_in_words_beside_the_others(ada: Member) -> None:
    page = ada.browser.get("/plan").text
    for said in (
        "Free",
        "20 calls a month",
        "Stops at the limit",
        "0 of 20 used, 20 left",
        "$29",
        "$0.01 for each call",
    ):
        assert said in page
    assert page.count('To get it, write to <a href="mailto:help@till.example">') == 2
    assert "Your spend cap" not in page, "nothing is charged by use"
    assert "/plan/choose" not in page


def test_an_owner_goes_to_the_free_plan_and_to_no_paid_one_whatever_a_form_says(ada: Member) -> None:
    for name in ("over", "pro", "free", "gone"):
        page = ada.browser.post("/plan/choose", name=name, plan="pro", usd="0", is_admin="1", account_id="x", state="x")
        assert page.status == (303 if name == "free" else 403)
    assert ada.columns("plan, state") == ("free", "active")
    ada.place.shop.query("UPDATE account SET plan = 'over' WHERE email = %s", ada.email)
    assert "<summary>Move to Free</summary>" in ada.browser.get("/plan").text
    assert ada.browser.post("/plan/choose", name="free").header("location") == "/plan?told=plan"
    assert ada.columns("plan") == ("free",)


def test_a_plan_that_is_gone_is_told_of(ada: Member) -> None:
    ada.place.shop.query("UPDATE account SET plan = 'old' WHERE email = %s", ada.email)
    page = ada.browser.get("/plan")
    assert (page.status, "is no longer offered" in page.text) == (200, True)


def test_without_stripe_nobody_is_sent_to_pay(ada: Member) -> None:
    change = "UPDATE account SET grace_until_us = 1, customer_id = %s, state = 'past_due' WHERE email = %s"
    ada.place.shop.query(change, f"cus_{ada.email}", ada.email)
    page = told(ada.browser.get("/plan"))
    assert "Your last payment failed, and cannot be made online here. Write to help@till.example." in page
    assert "Until it is paid, the limits of Free apply." in page
    assert ("Buy a plan" in page, "Card and invoices" in page, "check your card" in page) == (False, False, False)
    page = told(ada.browser.get("/overview"))
    assert "It cannot be paid online here: write to help@till.example." in page
    assert "Update the payment method" not in page
    assert "Nothing can be bought online here yet." in told(ada.browser.get("/invoices"))
    page = told(ada.browser.get("/credit"))
    assert "Credit cannot be bought online yet. To ask for it, write to help@till.example." in page


def test_a_cap_of_ones_own_is_set_kept_and_taken_away(ada: Member) -> None:
    page = ada.browser.post("/plan/cap", cap="5")
    assert (page.status, "charges nothing by use" in page.text) == (422, True)
    ada.place.shop.query("UPDATE account SET plan = 'over' WHERE email = %s", ada.email)
    page = ada.browser.post("/plan/cap", cap="twelve")
    assert (page.status, "Enter US dollars, such as 25" in page.text, 'value="twelve"' in page.text) == (
        422,
        True,
        True,
    )
    assert ada.browser.post("/plan/cap", cap="$12.50").header("location") == "/plan?told=cap"
    assert ada.columns("spend_cap_nanodollars") == (12_500_000_000,)
    page = ada.browser.get("/plan?told=cap")
    assert 'value="12.50"' in page.text
    assert "$0 of $12.50 used" in page.text
    assert ada.browser.post("/plan/cap", cap="").header("location") == "/plan?told=no-cap"
    assert ada.columns("spend_cap_nanodollars") == (None,)


# -- Mails about limits


def key_of(member: Member, *, test: bool = False) -> str:
    made = member.place.shop.farebox("keys", "create", member.email, *(["--test"] if test else []))
    return made.splitlines()[-1]


def call(member: Member, key: str, count: int) -> None:
    for _ in range(count):
        assert send(ask(member.place.served, key)).status == 200


def test_an_owner_is_written_to_at_each_mark_once(ada: Member, bea: Member) -> None:
    test_key, key = key_of(ada, test=True), key_of(ada)
    call(ada, test_key, 12)
    for calls, percent in ((10, 50), (6, 80), (4, 100)):
        call(ada, key, calls)
        count = 1 + (50, 80, 100).index(percent) + 1
        letter = mails(ada.place, ada.email, count)[-1]
        assert letter["Subject"] == f"{percent} % of your calls used at Till"
        for said in (text_of(letter), html_of(letter)):
            assert "turn these e-mails off" in said
            assert f"The account {ada.email} has used" in said
            assert f"https://till.example/plan?account={ada.own_account_id}" in said
    assert "calls are refused until then" in text_of(ada.place.server.to(ada.email)[-1])
    assert ada.browser.get("/plan").text.count(">reached<") == 3
    assert [letter["Subject"] for letter in ada.place.server.to(bea.email)] == [f"{ada.email} invites you to Till"]
    assert len(ada.place.server.to(ada.email)) == 4


def test_mails_about_limits_are_switched_off_by_each_owner_for_themselves(ada: Member) -> None:
    assert ada.browser.post("/plan/mails", wanted="no").header("location") == "/plan?told=mails-off"
    call(ada, key_of(ada), 10)
    sql = "SELECT count(*) FROM limit_mark WHERE account_id = %s"
    wait_until(lambda: ada.place.shop.scalar(sql, ada.account_id) == 1, "the mark")
    assert len(ada.place.server.to(ada.email)) == 1
    assert ada.browser.post("/plan/mails", wanted="yes").header("location") == "/plan?told=mails-on"


def test_a_mark_that_a_killed_process_had_seen_is_told_of_once(
    fresh_database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    shop = Shop(tmp_path_factory.mktemp("killed"), fresh_database_url, None, APP)
    with MailServer() as server:
        settings = {"SMTP_URL": server.url, "FAREBOX_PUBLIC_URL": "https://till.example"}
        with shop.served(workers=2, **settings) as served:
            place = Place(shop, served, server)
            ada = Member(place, "ada@example.com", place.joined("ada@example.com"))
            key = key_of(ada)
            for _ in range(3):
                call(ada, key, 3)
            call(ada, key, 1)
            served.kill()  # within the second in which nobody has looked yet
            before = shop.scalar("SELECT count(*) FROM limit_mark")
            served.start()
            wait_until(
                lambda: shop.scalar("SELECT count(*) FROM mail WHERE template = 'limit' AND sent_us > 0") == 1, "it"
            )
            call(ada, key, 1)
            print(f"marks noted before the kill: {before}")
            assert len(server.to(ada.email)) == 2
            assert "Traceback" not in served.output()


# -- Export


def files(content: bytes) -> dict[str, list[dict[str, object]]]:
    with zipfile.ZipFile(io.BytesIO(content)) as found:
        assert found.testzip() is None
        names = [name for name in found.namelist() if name.endswith(".jsonl")]
        return {name[:-6]: [json.loads(line) for line in found.read(name).decode().splitlines()] for name in names}


def test_everything_is_taken_along_as_one_file(ada: Member, bea: Member, eve: Member) -> None:
    key = key_of(ada)
    call(ada, key, 3)
    assert "Download the account" in ada.browser.get("/settings/export").text
    found = files(ada.browser.download("/settings/export/account"))
    assert [len(found[name]) for name in ("account", "members", "keys", "calls", "days", "periods")] == [
        1,
        2,
        1,
        3,
        1,
        1,
    ]
    text = json.dumps(found)
    assert key not in text
    assert not any(foreign in text for foreign in (eve.email, eve.account_id))
    assert "Download the account" not in bea.browser.get("/settings/export").text
    mine = files(bea.browser.download("/settings/export/person"))
    assert mine["person"][0]["email"] == bea.email
    assert [row["role"] for row in mine["accounts"]] == ["member"]


# -- The end


def test_deleting_asks_for_who_one_is_and_for_the_address(ada: Member) -> None:
    page = ada.browser.post("/settings/delete", address="eve@example.com")
    assert (page.status, f"To delete the account, type its address: {ada.email}" in page.text) == (422, True)
    ada.place.shop.query("UPDATE session SET authenticated_us = 1 WHERE person_id = %s", ada.person_id)
    assert "confirm that it is you" in ada.browser.get("/settings/delete").text
    assert (
        ada.browser.post("/settings/delete", address=ada.email).header("location").startswith("/settings/confirm?next=")
    )
    assert ada.columns("closed_us") == (None,)


def test_an_account_is_deleted_with_its_keys_its_people_and_its_address(ada: Member, bea: Member) -> None:
    place, shop, account_id = ada.place, ada.place.shop, ada.account_id
    key = key_of(ada)
    call(ada, key, 2)
    cookies = dict(ada.browser.cookies)
    page = ada.browser.post("/settings/delete", address=ada.email)
    assert (page.status, page.header("location"), ada.browser.cookies) == (303, "/deleted", {})
    assert "The account is deleted" in ada.browser.get("/deleted").text
    for member in (ada, bea):
        member.browser.cookies = member.browser.cookies or cookies
        assert not member.is_in
        assert place.log_in(member.email)[1].status == 422
    assert send(ask(place.served, key)).status == 401
    for member, count in ((ada, 2), (bea, 2)):
        letter = mails(place, member.email, count)[-1]
        assert letter["Subject"] == "An account at Till was deleted"
        assert f"An owner deleted the account {ada.email} at Till." in text_of(letter)
    gone = "SELECT count(*) FROM mail WHERE email IN (%s, %s)"
    wait_until(lambda: shop.scalar(gone, ada.email, bea.email) == 0, "the addresses to be forgotten")
    assert shop.query("SELECT count(*) FROM usage_record WHERE account_id = %s", account_id) == [(2,)]
    assert shop.query("SELECT email FROM account WHERE id = %s", account_id) == [(f"(deleted) {account_id}",)]
    shop.farebox("reconcile")
    assert account_id in shop.farebox("usage", "export")
    assert account_id not in shop.farebox("keys", "list")
    again = place.browser()
    again.post("/signup", email=ada.email, password=PASSWORD)
    assert again.post(place.link_to(ada.email, 3)).status == 303
    assert "0 of 20 used" in again.get("/plan").text


# -- Activity


def test_what_happened_is_told_the_newest_first_page_by_page(ada: Member, bea: Member) -> None:
    ada.place.shop.farebox("keys", "create", ada.email)
    page = ada.browser.get("/settings/activity").text
    assert (
        page.index("<b>The people who run this service</b> created an API key")
        < page.index("joined as a member")
        < page.index(f"invited {bea.email} as a member")
        < page.index("opened the account")
    )
    assert "198.51." in page
    for number in range(120):
        ada.place.shop.query(
            "INSERT INTO audit VALUES (%s, %s, %s, NULL, 'limit_mails_on', '', '{}')",
            f"audit_{number:08x}{next(numbers):024x}", number, ada.account_id,
        )  # fmt: skip
    count, path = 0, "/settings/activity"
    while path:
        found: Page = ada.browser.get(path)
        count += found.text.count('<td data-label="What">')
        older = re.search(r'href="(/settings/activity\?before=[^"]+)" rel="next"', found.text)
        path = older[1] if older else ""
    assert count == ada.place.shop.scalar("SELECT count(*) FROM audit WHERE account_id = %s", ada.account_id)
    assert ada.browser.get("/settings/activity?before=nonsense").status == 200


def test_the_links_of_the_mails_lead_here(ada: Member, place: Place) -> None:
    email = new("bea")
    ada.invite(email)
    [letter] = place.server.to(email)
    assert LINK.search(text_of(letter)) is not None
    assert LINK.search(text_of(letter))[0] in html_of(letter)  # type: ignore[index]  # as above
