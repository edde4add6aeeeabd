"""The page of an account's people over HTTP, and the mails that come of it."""

import re
from typing import Final

import pytest

from tests.api.account.members import Member, html_of, mails, new
from tests.api.place import PASSWORD, Place
from tests.services.mail import text_of
from tests.services.process import wait_until

POSTS: Final = (
    "/team/invite", "/team/leave", "/team/members/person_1/role", "/team/members/person_1/remove",
    "/team/invitations/x/revoke", "/switch", "/plan/choose", "/plan/cap", "/plan/mails", "/settings/export/account",
    "/settings/export/person", "/settings/delete",
)  # fmt: skip
GETS: Final = ("/team", "/plan", "/settings/export", "/settings/activity", "/settings/delete")


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
        assert page.header("location") == "/overview"
    for page in (place.browser().get(path), place.browser().post(path, password=PASSWORD)):
        assert (page.status, "you have joined: log in here" in page.text) == (410, True)


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


def test_a_form_of_a_page_acts_on_the_account_that_the_page_is_of_or_not_at_all(
    ada: Member, bea: Member, eve: Member
) -> None:
    """Eve has Ada's team in a tab, works in her own account since, and sends the tab's forms."""
    eve.browser.post(ada.invite(eve.email, "owner"))
    ours, hers = ada.own_account_id, eve.own_account_id
    tab = eve.browser.get("/team").text
    path = f"/team/members/{bea.person_id}/remove?account={ours}"
    for action in (path, f"/team/invite?account={ours}", f"/team/leave?account={ours}"):
        assert f'action="{action}"' in tab
    eve.browser.post("/switch", account=hers)
    for action in (path, f"/team/leave?account={ours}", f"/plan/cap?account={ours}", f"/keys?account={ours}"):
        page = eve.browser.post(action, cap="1", name="Website", mode="live")
        told = f"This page belongs to the account {ada.email}, but you are now in {eve.email}. Nothing was done."
        assert (page.status, told in page.text) == (409, True), action
    assert (bea.is_in, eve.columns("spend_cap_nanodollars")) == (True, (None,))
    assert f"Who can work in the account {eve.email}." in eve.browser.get("/team").text, "nobody is switched or out"
    page = eve.browser.post(path)
    fields = dict(re.findall(r'<input type="hidden" name="(account|next)" value="(.*?)">', page.text))
    assert fields == {"account": ours, "next": "/team"}
    assert 'href="/team">Stay in' in page.text
    assert eve.browser.post("/switch", **fields).header("location") == "/team"
    assert eve.browser.post(path).header("location") == "/team?told=removed"
    assert not bea.is_in


def test_a_link_to_a_page_of_another_account_switches_nothing_by_itself(ada: Member, eve: Member) -> None:
    eve.browser.post(ada.invite(eve.email, "owner"))
    ours, hers = ada.own_account_id, eve.own_account_id
    eve.browser.post("/switch", account=hers)
    for path in (f"/plan?account={ours}", f"/credit?account={ours}", f"/plan/paid?cs=cs_1&account={ours}"):
        page = eve.browser.get(path)
        told = f"This link belongs to the account {ada.email}, but you are in {eve.email}."
        assert (page.status, told in page.text) == (409, True), path
        assert f'name="next" value="{path.replace("&", "&amp;")}"' in page.text
        assert eve.browser.get(f"/plan?account={hers}").status == 200
    plan = f"/plan?account={ours}"
    assert eve.browser.post("/switch", account=ours, next=plan).header("location") == plan
    assert eve.browser.get(plan).status == 200
    assert eve.browser.post("/switch", account=hers, next="//evil.example").header("location") == "/overview"
    stranger = eve.place.browser().get(f"/plan?account={ours}")
    assert stranger.header("location") == f"/login?next=%2Fplan%3Faccount%3D{ours}", "and it survives the log-in"


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
    for email, told in (("no address <b>", "write it as name@example.com"), (bea.email, "is already in this account")):
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
    assert "everything kept about you is deleted" in said
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
        assert f"{form}?account=" not in team + plan
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
