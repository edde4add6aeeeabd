"""The pages around an account over HTTP: its people, its plan, its export, its end, and the mails that come of them."""

import io
import json
import re
import zipfile
from collections.abc import Iterator
from email.message import EmailMessage
from typing import Final, NamedTuple

import pytest

from tests.api.conftest import empty_database
from tests.api.place import LINK, PASSWORD, Place, numbers
from tests.api.shop import Shop, ask, send
from tests.services.browser import Browser, Page
from tests.services.mail import MailServer, text_of
from tests.services.process import wait_until

APP: Final = """
from farebox import Farebox, Plan

app = Farebox(
    "Till",
    contact="help@till.example",
    plans=[Plan("free", calls=20), Plan("over", usd=9, calls=4, overage_usd="0.01"), Plan("pro", usd=29)],
)
"""
POSTS: Final = (
    "/team/invite", "/team/leave", "/team/members/person_1/role", "/team/members/person_1/remove",
    "/team/invitations/x/revoke", "/switch", "/plan/choose", "/plan/cap", "/plan/mails", "/settings/export/account",
    "/settings/export/person", "/settings/delete",
)  # fmt: skip
GETS: Final = ("/team", "/plan", "/settings/export", "/settings/activity", "/settings/delete")


@pytest.fixture(scope="module")
def place(
    database_kind: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("account")
    with empty_database(database_kind, folder, request) as url, MailServer() as server:
        shop = Shop(folder, url, None, APP)
        settings = {
            "SMTP_URL": server.url,
            "FAREBOX_PUBLIC_URL": "https://till.example",
            "FAREBOX_TRUSTED_PROXIES": "127.0.0.1",
        }
        with shop.served(workers=2, **settings) as served:
            yield Place(shop, served, server)
            assert "Traceback" not in served.output()


class Member(NamedTuple):
    """Somebody in an account, with their browser."""

    place: Place
    email: str
    browser: Browser

    @property
    def person_id(self) -> str:
        return str(self.place.shop.scalar("SELECT id FROM person WHERE email = %s", self.email))

    @property
    def account_id(self) -> str:
        sql = "SELECT account_id FROM session WHERE person_id = %s ORDER BY created_us DESC"
        return str(self.place.shop.scalar(sql, self.person_id))

    @property
    def own_account_id(self) -> str:
        return str(self.place.shop.scalar("SELECT id FROM account WHERE email = %s", self.email))

    @property
    def is_in(self) -> bool:
        return self.browser.get("/plan").status == 200

    def invite(self, email: str, role: str = "member") -> str:
        """The path of the link that is mailed."""
        count = len(self.place.server.to(email))
        page = self.browser.post("/team/invite", email=email, role=role)
        assert (page.status, page.header("location")) == (303, "/team?told=invited"), page.text
        return self.place.link_to(email, count + 1)

    def columns(self, names: str) -> tuple[object, ...]:
        return tuple(self.place.shop.query(f"SELECT {names} FROM account WHERE email = %s", self.email)[0])


def new(name: str) -> str:
    return f"{name}{next(numbers)}@example.com"


@pytest.fixture
def ada(place: Place) -> Member:
    """Somebody with an account of their own."""
    email = new("ada")
    return Member(place, email, place.joined(email))


@pytest.fixture
def bea(place: Place, ada: Member) -> Member:
    """Somebody who is a member of Ada's account, and of no other."""
    email, browser = new("bea"), place.browser()
    browser.post(ada.invite(email), password=PASSWORD)
    return Member(place, email, browser)


@pytest.fixture
def eve(place: Place) -> Member:
    """Somebody with another account."""
    email = new("eve")
    return Member(place, email, place.joined(email))


def html_of(letter: EmailMessage) -> str:
    body = letter.get_body(("html",))
    assert body is not None
    return str(body.get_content())


def mails(place: Place, email: str, count: int) -> list[EmailMessage]:
    wait_until(lambda: len(place.server.to(email)) >= count, f"{count} mails to {email}")
    return place.server.to(email)


# -- Team


def test_somebody_new_comes_in_by_the_mail_and_a_password(place: Place, ada: Member) -> None:
    email, browser = new("bea"), place.browser()
    path = ada.invite(email)
    [letter] = place.server.to(email)
    assert letter["Subject"] == f"{ada.email} invites you to Till"
    for said in (text_of(letter), html_of(letter)):
        assert f"invites you to the account {ada.email} at Till, as a member." in said
        assert "choose a password" in said
    page = browser.get(path)
    assert (page.status, f"<b>{ada.email}</b> as a member" in page.text) == (200, True)
    assert 'autocomplete="new-password"' in page.text
    page = browser.post(path, password="short")
    assert (page.status, "at least 8 characters" in page.text) == (422, True)
    assert place.shop.query("SELECT 1 FROM person WHERE email = %s", email) == []
    page = browser.post(path, password=PASSWORD)
    assert (page.status, page.header("location")) == (303, "/overview")
    team = browser.get("/team").text
    assert ada.email in team
    assert email in team
    assert place.log_in(email)[0].get("/team").status == 200
    for page in (browser.get(path), browser.post(path, password=PASSWORD)):
        assert page.status == 410


def test_whoever_is_logged_in_as_the_invited_goes_on_in_the_account(ada: Member, eve: Member) -> None:
    path = ada.invite(eve.email, "owner")
    letter = mails(eve.place, eve.email, 2)[1]
    assert "Your log-in stays as it is" in text_of(letter)
    assert "Your log-in stays as it is" in html_of(letter)
    assert "password" not in eve.browser.get(path).text
    assert eve.browser.post(path).header("location") == "/overview"
    page = eve.browser.get("/team")
    assert f"Who can work in the account {ada.email}." in page.text
    assert page.text.count('action="/switch"') == 2, "at the side, and in the menu"
    assert eve.browser.post("/switch", account=eve.own_account_id).header("location") == "/overview"
    assert f"Who can work in the account {eve.email}." in eve.browser.get("/team").text


def test_an_invitation_lets_nobody_in_who_has_a_log_in(ada: Member, eve: Member) -> None:
    path, stranger = ada.invite(eve.email), eve.place.browser()
    page = stranger.post(path, password="a password of mine")
    assert (page.status, page.header("location")) == (303, "/joined")
    assert stranger.cookies == {}
    assert "Log in as you always do" in stranger.get("/joined").text
    assert f"Who can work in the account {eve.email}." in eve.browser.get("/team").text, "and moves them nowhere"
    assert 'action="/switch"' in eve.browser.get("/team").text


def test_somebody_new_comes_in_also_by_the_browser_of_somebody_else(ada: Member, eve: Member) -> None:
    path = ada.invite(new("cem"))
    page = eve.browser.post(path, password=PASSWORD)
    assert page.header("location") == "/overview"
    assert f"Who can work in the account {ada.email}." in eve.browser.get("/team").text, "as the one who was invited"
    assert eve.email not in eve.browser.get("/team").text


def test_an_invitation_is_listed_sent_again_and_revoked(place: Place, ada: Member) -> None:
    email = new("bea")
    older, newer = ada.invite(email), ada.invite(email)
    page = ada.browser.get("/team").text
    assert page.count(f'<th scope="row">{email}</th>') == 1
    [link_id] = re.findall(r"/team/invitations/([0-9a-f]{32})/revoke", page)
    assert place.browser().get(older).status == 410
    assert place.browser().get(newer).status == 200
    assert ada.browser.post(f"/team/invitations/{link_id}/revoke").header("location") == "/team?told=revoked"
    assert place.browser().get(newer).status == 410
    assert email not in ada.browser.get("/team").text
    assert ada.browser.post(f"/team/invitations/{link_id}/revoke").status == 404


def test_what_is_wrong_with_an_invitation_is_told_beside_its_field(ada: Member, bea: Member) -> None:
    for email, told in (("no address <b>", "write it as name@example.com"), (bea.email, "is in this account already")):
        page = ada.browser.post("/team/invite", email=email, role="owner")
        assert (page.status, told in page.text) == (422, True)
        assert "<b>" not in page.text.replace("<b>You", "")
        assert '<option value="owner" selected>' in page.text
    assert ada.browser.post("/team/invite", email="x@example.com", role="admin").status == 422


def test_a_role_is_changed_and_counts_from_the_next_page_on(ada: Member, bea: Member) -> None:
    assert bea.browser.get("/settings/activity").status == 403
    path = f"/team/members/{bea.person_id}/role"
    assert ada.browser.post(path, role="owner").header("location") == "/team?told=role"
    assert bea.browser.get("/settings/activity").status == 200
    assert bea.browser.post(f"/team/members/{ada.person_id}/role", role="member").status == 303
    assert ada.browser.get("/settings/activity").status == 403
    page = bea.browser.post(f"/team/members/{bea.person_id}/role", role="member")
    assert (page.status, "An account needs an owner" in page.text) == (403, True)


def test_who_is_removed_is_out_at_once_in_every_process(ada: Member, bea: Member) -> None:
    copied = dict(bea.browser.cookies)
    assert ada.browser.post(f"/team/members/{bea.person_id}/remove").header("location") == "/team?told=removed"
    for _ in range(6):
        bea.browser.cookies = dict(copied)
        assert not bea.is_in
    said = text_of(mails(ada.place, bea.email, 2)[1])
    assert f"You are no longer in the account {ada.email} at Till." in said
    assert "all that was kept of you is deleted" in said
    wait_until(lambda: bea.place.shop.query("SELECT 1 FROM mail WHERE email = %s", bea.email) == [], "the end of it")


def test_a_member_leaves_and_the_last_owner_cannot(ada: Member, bea: Member) -> None:
    assert "I want to leave" in bea.browser.get("/team").text
    page = bea.browser.post("/team/leave")
    assert (page.header("location"), bea.browser.cookies) == ("/left", {})
    assert "You have left the account" in bea.browser.get("/left").text
    assert "I want to leave" not in ada.browser.get("/team").text
    assert ada.browser.post("/team/leave").status == 403
    assert ada.browser.post(f"/team/members/{ada.person_id}/remove").status == 403
    assert ada.is_in


def test_a_member_sees_people_and_plan_and_can_change_nothing(ada: Member, bea: Member) -> None:
    open_link = ada.invite(new("cem"))
    team, plan = bea.browser.get("/team").text, bea.browser.get("/plan").text
    assert ada.email in team
    for form in ("/team/invite", "/role", "/remove", "/revoke", "/plan/choose", "/plan/cap", "/plan/mails"):
        assert f'{form}"' not in team + plan
    before = ada.columns("*")
    link_id = ada.place.shop.scalar(
        "SELECT max(id) FROM link WHERE account_id = %s AND used_us IS NULL", ada.account_id
    )
    for path, fields in (
        ("/team/invite", {"email": "x@example.com", "role": "owner"}),
        (f"/team/members/{bea.person_id}/role", {"role": "owner"}),
        (f"/team/members/{ada.person_id}/remove", {}),
        (f"/team/invitations/{link_id}/revoke", {}),
        ("/plan/choose", {"name": "free"}),
        ("/plan/cap", {"cap": "1"}),
        ("/plan/mails", {"wanted": "no"}),
        ("/settings/export/account", {}),
        ("/settings/delete", {"address": ada.email}),
    ):
        page = bea.browser.post(path, **fields)
        assert (page.status, "Only an owner" in page.text) == (403, True), path
    for path in ("/settings/activity", "/settings/delete"):
        assert bea.browser.get(path).status == 403
    assert (ada.columns("*"), ada.place.browser().get(open_link).status) == (before, 200)


def test_ids_of_another_account_are_not_found(ada: Member, bea: Member, eve: Member) -> None:
    ada.invite(new("cem"))
    link_id = ada.place.shop.scalar(
        "SELECT max(id) FROM link WHERE account_id = %s AND used_us IS NULL", ada.account_id
    )
    for path, fields in (
        (f"/team/members/{bea.person_id}/role", {"role": "owner"}),
        (f"/team/members/{bea.person_id}/remove", {}),
        (f"/team/invitations/{link_id}/revoke", {}),
        ("/switch", {"account": ada.own_account_id}),
        ("/switch", {"account": ""}),
    ):
        assert eve.browser.post(path, **fields).status == 404, path
    for page in (eve.browser.get("/team"), eve.browser.get("/settings/activity"), eve.browser.get("/plan")):
        assert page.status == 200
        assert not any(text in page.text for text in (ada.email, bea.email, ada.account_id))
    assert bea.is_in


@pytest.mark.parametrize("path", POSTS)
def test_a_form_of_another_site_and_one_of_a_stranger_do_nothing(place: Place, ada: Member, path: str) -> None:
    fields = f"email=x@example.com&role=owner&name=over&cap=1&wanted=no&address={ada.email}"
    before = (
        ada.columns("*"),
        place.shop.query("SELECT count(*) FROM link"),
        place.shop.query("SELECT count(*) FROM audit"),
    )
    headers = {"content-type": "application/x-www-form-urlencoded", "sec-fetch-site": "cross-site"}
    assert ada.browser._send("POST", path, fields, headers).status == 403
    assert place.browser().post(path, email="x@example.com", address=ada.email).status == 403
    after = (
        ada.columns("*"),
        place.shop.query("SELECT count(*) FROM link"),
        place.shop.query("SELECT count(*) FROM audit"),
    )
    assert before == after
    assert ada.is_in


@pytest.mark.parametrize("path", GETS)
def test_a_stranger_is_sent_to_log_in(place: Place, path: str) -> None:
    page = place.browser().get(path)
    assert (page.status, page.header("location")) == (303, f"/login?next={path.replace('/', '%2F')}")


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
    assert "Your own cap" not in page, "nothing is charged by use"
    assert "/plan/choose" not in page


def test_an_owner_goes_to_the_free_plan_and_to_no_paid_one_whatever_a_form_says(ada: Member) -> None:
    for name in ("over", "pro", "free", "gone"):
        page = ada.browser.post("/plan/choose", name=name, plan="pro", usd="0", is_admin="1", account_id="x", state="x")
        assert page.status == (303 if name == "free" else 403)
    assert ada.columns("plan, state") == ("free", "active")
    ada.place.shop.query("UPDATE account SET plan = 'over' WHERE email = %s", ada.email)
    assert "Move to this plan" in ada.browser.get("/plan").text
    assert ada.browser.post("/plan/choose", name="free").header("location") == "/plan?told=plan"
    assert ada.columns("plan") == ("free",)


def test_a_plan_that_is_gone_is_told_of(ada: Member) -> None:
    ada.place.shop.query("UPDATE account SET plan = 'old' WHERE email = %s", ada.email)
    page = ada.browser.get("/plan")
    assert (page.status, "is no longer offered" in page.text) == (200, True)


def test_a_cap_of_ones_own_is_set_kept_and_taken_away(ada: Member) -> None:
    page = ada.browser.post("/plan/cap", cap="5")
    assert (page.status, "charges nothing by use" in page.text) == (422, True)
    ada.place.shop.query("UPDATE account SET plan = 'over' WHERE email = %s", ada.email)
    page = ada.browser.post("/plan/cap", cap="twelve")
    assert (page.status, "no amount of money" in page.text, 'value="twelve"' in page.text) == (422, True, True)
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
            assert "switch these mails off" in said
            assert f"The account {ada.email} has used" in said
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
    assert (page.status, f"Type the address of the account, {ada.email}" in page.text) == (422, True)
    ada.place.shop.query("UPDATE session SET authenticated_us = 1 WHERE person_id = %s", ada.person_id)
    assert "show that it is you" in ada.browser.get("/settings/delete").text
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
        assert letter["Subject"] == "An account at Till is deleted"
        assert f"The account {ada.email} at Till was deleted by an owner of it." in text_of(letter)
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
    page = ada.browser.get("/settings/activity").text
    assert (
        page.index("joined as a member")
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
