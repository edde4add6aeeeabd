"""What customers set up, in a real browser: with nothing yet, and with all that there can be."""

import json
from typing import Final, NamedTuple

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import Connection, insert, text, update

from farebox.domain.people import Link, Passkey, Person
from farebox.store.tables import account, api_key
from farebox.store.tables_people import audit, identity, link, member, passkey, person, recovery_code
from tests.browser.conftest import SECRET, be
from tests.browser.inspection import Inspector
from tests.browser.shop_window import Window
from tests.services.many_calls import Customer, add_calls, new_customer

IS_HIGHLIT: Final = """
(part) => {
  const probe = document.body.appendChild(document.createElement("i"));
  probe.style.cssText = "forced-color-adjust: none; background: Highlight";
  const [found, wanted] = [document.querySelector(part), probe].map((one) => getComputedStyle(one).backgroundColor);
  return found === wanted;
}
"""
pytestmark = pytest.mark.xdist_group("window")
LONG = "ada.lovelace.of.the.analytical.engine.in.the.county.of.middlesex@department.of.mathematics.example.com"
MINE = [
    "/keys", "/playground/ideas", "/plan", "/team", "/settings", "/settings/security", "/settings/sessions",
    "/settings/export", "/settings/activity", "/settings/delete",
]  # fmt: skip


class Settled(NamedTuple):
    """A product with somebody who has all, and somebody who has just come."""

    window: Window
    full: Customer
    new: Customer


@pytest.fixture(scope="module")
def settled(window: Window) -> Settled:
    with window.database() as database:
        full, new = (
            new_customer(database, SECRET.encode(), plan, age_days=age) for plan, age in (("pro", 75), ("free", 0))
        )
        add_calls(database, full, 500, days=70, held=1)
        with database.write() as connection:
            connection.execute(api_key.delete().where(api_key.c.account_id == new.account.id))
            _fill(connection, full, database.now_us(connection))
        return Settled(window, full, new)


@pytest.mark.parametrize("path", MINE[1:])  # the keys of somebody who has all kinds have a file of their own
def test_a_page_with_everything_is_as_it_should_be(
    settled: Settled, reader: Page, inspector: Inspector, path: str
) -> None:
    be(reader, settled.full)
    inspector.assert_page(reader, f"{settled.window.url}{path}", name=f"full{path.replace('/', '-')}")


@pytest.mark.parametrize("path", MINE)
def test_a_page_with_nothing_yet_is_as_it_should_be(
    settled: Settled, reader: Page, inspector: Inspector, path: str
) -> None:
    be(reader, settled.new)
    inspector.assert_page(reader, f"{settled.window.url}{path}", name=f"fresh{path.replace('/', '-')}")


@pytest.mark.parametrize("part", ["main nav [aria-current]", ".segments :checked + label", ".tabs :checked + label"])
def test_what_is_chosen_is_seen_in_colours_that_the_system_forces(settled: Settled, reader: Page, part: str) -> None:
    be(reader, settled.full)
    reader.emulate_media(forced_colors="active")
    reader.goto(f"{settled.window.url}/playground/ideas")
    assert reader.evaluate(IS_HIGHLIT, part)
    reader.emulate_media(forced_colors="none")


def test_a_link_to_another_account_leads_there_by_a_button(window: Window, reader: Page, inspector: Inspector) -> None:
    with window.database() as database:
        here, there = (new_customer(database, SECRET.encode(), "pro", age_days=0) for _ in range(2))
        with database.write() as connection:
            connection.execute(update(account).where(account.c.id == there.account.id).values(email=LONG))
            mine = {"account_id": here.account.id, "now_us": 0, "there": there.account.id}
            connection.execute(text(
                "INSERT INTO member (account_id, person_id, role, joined_us) "
                "SELECT :there, person_id, role, :now_us FROM member WHERE account_id = :account_id"
            ), mine)  # fmt: skip
    be(reader, here)
    link = f"{window.url}/plan?account={there.account.id}"
    inspector.assert_page(reader, link, name="another-account", status=409)
    button = reader.get_by_role("button", name=f"Switch to {LONG}")
    button.focus()
    reader.keyboard.press("Enter")
    reader.wait_for_url("**next=%2Fplan%3Faccount%3D**")  # the cookie of `be` does not go along with a redirect
    reader.goto(link)
    expect(reader.get_by_role("heading", name="Plan", exact=True)).to_be_visible()


@pytest.mark.parametrize("path", ["/signup/sent", "/left", "/deleted"])  # the others are with the ways to log in
def test_a_page_on_the_way_in_or_out_is_as_it_should_be(
    settled: Settled, reader: Page, inspector: Inspector, path: str
) -> None:
    inspector.assert_page(reader, f"{settled.window.url}{path}")


def _fill(connection: Connection, full: Customer, now_us: int) -> None:
    """Have all there can be: people, invitations, devices, services, sessions, a log, a cap, a key of each kind."""
    mine = {"account": full.account.id}
    me = str(connection.execute(text("SELECT person_id FROM member WHERE account_id = :account"), mine).scalar())
    connection.execute(update(account).where(account.c.id == full.account.id).values(spend_cap_nanodollars=5 * 10**10))
    connection.execute(update(person).where(person.c.id == me).values(totp_secret=b"x"))
    connection.execute(insert(recovery_code), [{"person_id": me, "digest": str(n)} for n in range(9)])
    for number, email in enumerate((LONG, "bob@example.com")):
        who = Person(f"person_{number}", email, "x", now_us, None, None, now_us)
        connection.execute(insert(person).values(who._asdict()))
        role = {"account_id": full.account.id, "person_id": who.id, "role": ("owner", "member")[number]}
        connection.execute(insert(member).values(joined_us=now_us, **role))
        data = json.dumps({"role": "member", "by": full.account.email})
        open_ = Link(
            f"{number:032x}", "invite", f"x{email}", me, full.account.id, data, now_us, now_us + 6 * 10**11, None
        )
        connection.execute(insert(link).values(open_._asdict()))
        device = Passkey(f"device{number}", me, b"x", 1, "", ("Ada's phone", LONG[:60])[number], now_us, now_us)
        connection.execute(insert(passkey).values(device._asdict()))
        connection.execute(text(
            "INSERT INTO session SELECT :n, :n, person_id, account_id, 'passkey', created_us, seen_us, expires_us, "
            "authenticated_us, '2001:db8::1', :agent FROM session WHERE account_id = :account LIMIT 1"
        ), {**mine, "n": f"more{number}", "agent": "Mozilla/5.0 (Windows NT 10.0) Firefox/140.0"})  # fmt: skip
    issuers = ("https://github.com", "https://login.of.a.company.that.has.a.long.name.example.com/and/a/path")
    for issuer in issuers:
        connection.execute(insert(identity).values(issuer=issuer, subject="1", person_id=me, created_us=now_us))
    for number, what in enumerate(
        ("key_created", "key_revoked", "invited", "second_factor_on", "signed_up", "logged_in")
    ):
        row = {"id": f"audit{number}", "at_us": now_us - number * 10**9, "account_id": full.account.id, "person_id": me}
        connection.execute(insert(audit).values(what=what, network="192.0.2.0/24", data="{}", **row))
    key, capped, ended = full.keys[1], full.keys[2], full.keys[3]
    scoped = "/v1/tagline,/v1/summary"
    connection.execute(update(api_key).where(api_key.c.id == key.id).values(scopes=scoped, name=f"<b>{LONG}</b>"))
    connection.execute(update(api_key).where(api_key.c.id == capped.id).values(cap_calls=9_000, cap_id=capped.id))
    connection.execute(update(api_key).where(api_key.c.id == ended.id).values(revoked_us=now_us))
