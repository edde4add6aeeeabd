"""The Keys page over HTTP: a key is shown once, does what it was made for, and ends when it is told to."""

import html
import re
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any, Final, NamedTuple

import pytest

from farebox.account.keys import new_key
from farebox.domain import apikey
from farebox.domain.period import DAY_US, iso
from farebox.store.accounts import StoredAccounts
from farebox.store.database import Database
from tests.api.conftest import empty_database
from tests.api.shop import SECRET, Shop, ask, assert_problem, get, send
from tests.services.browser import Browser, Page
from tests.services.many_calls import Customer, new_customer
from tests.services.served import Served
from tests.services.upstream import FakeUpstream

KEY: Final = re.compile(r"till_(?:live|test)_[0-9A-Za-z]{38}")
FORM: Final = re.compile(r'name="form" value="([0-9A-Za-z]{43})"')
CODE: Final = re.compile(r"<code>([^<]*)</code></pre>")


class Place(NamedTuple):
    """A shop with pages, served on two processes."""

    shop: Shop
    served: Served

    def customer(self, plan: str = "open") -> "Visitor":
        """Somebody with a new account who is logged in; it has six keys."""
        with closing(Database(self.shop.database_url)) as database:
            found = new_customer(database, SECRET.encode(), plan)
        browser = Browser(self.served.url)
        browser.cookies = dict([found.cookie.split("=")])
        return Visitor(self, found, browser)


class Visitor(NamedTuple):
    """A customer at the page."""

    place: Place
    customer: Customer
    browser: Browser

    def form(self, path: str = "/keys") -> str:
        """The one-time token of a form."""
        found = FORM.search(self.browser.get(path).text)
        assert found is not None
        return found[1]

    def create(self, **fields: Any) -> Page:  # noqa: ANN401  # texts, and lists of them
        return self.browser.post("/keys", **({"name": "Website", "mode": "live", "form": self.form()} | fields))

    def new_key(self, **fields: Any) -> str:  # noqa: ANN401
        return the_key(self.create(**fields))

    def rotate(self, key_id: str, grace: str) -> Page:
        path = f"/keys/{key_id}/rotate"
        return self.browser.post(path, grace=grace, form=self.form(path))

    def rows(self, columns: str) -> list[tuple[Any, ...]]:
        """The account's keys that were made on the page."""
        sql = f"SELECT {columns} FROM api_key WHERE account_id = %s AND id NOT LIKE %s ORDER BY created_us, id"
        return self.place.shop.query(sql, self.customer.account.id, f"key_{self.customer.account.id[5:]}_%")

    def id_of(self, key: str) -> str:
        parsed = apikey.parse(key)
        assert parsed is not None
        sql = "SELECT id FROM api_key WHERE digest = %s"
        return str(self.place.shop.scalar(sql, apikey.digest(SECRET.encode(), parsed)))

    def status(self, key: str) -> int | None:
        """Of a question that costs nothing."""
        return get(f"{self.place.served.url}/v1/usage", key).status

    def audit(self) -> list[tuple[Any, ...]]:
        sql = "SELECT what, person_id, data FROM audit WHERE account_id = %s AND what LIKE 'key%%' ORDER BY at_us, id"
        return self.place.shop.query(sql, self.customer.account.id)


def the_key(page: Page) -> str:
    assert page.status == 200, page.text
    found = set(KEY.findall(page.text))
    assert len(found) == 1
    return str(found.pop())


@pytest.fixture(scope="module")
def place(
    database_kind: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory,
    upstream_process: FakeUpstream,
) -> Iterator[Place]:  # fmt: skip
    folder = tmp_path_factory.mktemp("keys")
    with empty_database(database_kind, folder, request) as url:
        shop = Shop(folder, url, upstream_process)
        with shop.served(workers=2) as served:
            yield Place(shop, served)
            assert "Traceback" not in served.output()
        shop.assert_sums()


@pytest.fixture
def ada(place: Place, upstream: FakeUpstream) -> Visitor:
    upstream.reset()
    return place.customer()


# -- A key is made


def test_a_key_is_shown_once_with_a_line_that_works_and_a_reload_makes_no_other(ada: Visitor) -> None:
    form = ada.form()
    page = ada.create(form=form)
    key = the_key(page)
    assert page.header("cache-control") == "no-store"
    shown, line = [html.unescape(text) for text in CODE.findall(page.text)]
    assert shown == key
    called = subprocess.run(["bash", "-c", f"{line} --silent --fail"], capture_output=True, text=True, check=True)
    assert '"calls_used":1' in called.stdout
    again = ada.create(form=form, name="Another")
    assert (again.status, again.header("location")) == (303, "/keys?done=again")
    listed = ada.browser.get("/keys?done=again")
    assert "This form was already sent" in listed.text
    assert KEY.search(listed.text) is None
    assert f"{key[:14]}…{key[-4:]}" in listed.text
    assert ada.rows("name, mode, scopes, cap_calls, cap_id, expires_us") == [("Website", "live", "", None, "", None)]


def test_a_test_key_is_one(ada: Visitor) -> None:
    assert ada.new_key(mode="test").startswith("till_test_")


def test_a_key_for_some_endpoints_calls_those_alone(ada: Visitor) -> None:
    page = ada.create(scopes=["/v1/embeddings", "/v1/chat/completions"])
    key = the_key(page)
    line = html.unescape(CODE.findall(page.text)[1])
    assert "/v1/chat/completions" in line  # what it may call, and can show something
    subprocess.run(["bash", "-c", f"{line} --silent --fail"], capture_output=True, check=True)
    assert_problem(send(ask(ada.place.served, key)), 403, "insufficient_permissions")
    assert "<code>/v1/embeddings</code>" in ada.browser.get("/keys").text


def test_a_cap_is_kept_and_shared_with_the_key_that_replaces_it(ada: Visitor) -> None:
    key = ada.new_key(cap="3", name="Batch")
    assert [send(ask(ada.place.served, key)).status for _ in range(2)] == [200, 200]
    page = ada.rotate(ada.id_of(key), "3600")
    assert "Both count on one limit of 3 calls a month." in page.text
    successor = the_key(page)
    assert [send(ask(ada.place.served, each)).status for each in (successor, key, successor)] == [200, 429, 429]
    body = assert_problem(send(ask(ada.place.served, successor)), 429, "insufficient_quota")
    assert body["violated-policies"] == ["key"]
    assert ada.browser.get("/keys").text.count("limit: 3 of 3") == 2
    assert [cap_id for (cap_id,) in ada.rows("cap_id")] == [ada.id_of(key)] * 2


def test_a_key_with_an_end_ends(ada: Visitor) -> None:
    key = ada.new_key(days="30")
    [(expires_us,)] = ada.rows("expires_us")
    assert abs(expires_us - time.time_ns() // 1000 - 30 * DAY_US) < DAY_US
    ada.place.shop.query("UPDATE api_key SET expires_us = 1 WHERE id = %s", ada.id_of(key))
    assert ada.status(key) == 401
    assert "that no longer works" in ada.browser.get("/keys").text


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"name": " "}, "Give it a name"),
        ({"name": "x" * 101}, "at most 100 characters"),
        ({"name": "two\nlines"}, "one line"),
        ({"cap": "0"}, "from 1 to 1,000,000,000"),
        ({"cap": "ten"}, "Enter a whole number"),
        ({"cap": "9" * 5_000}, "Enter a whole number"),
        ({"days": "3651"}, "from 1 to 3,650"),
        ({"days": "-1"}, "Enter a whole number"),
        ({"scopes": ["/v1/generate", "/v1/nothing"]}, "There is no endpoint /v1/nothing"),
        ({"form": ""}, "Parts of the form are missing"),
        ({"form": "key_of_mine"}, "Parts of the form are missing"),
    ],
    ids=lambda value: repr(value)[:24] if isinstance(value, dict) else "",
)
def test_what_cannot_be_is_told_beside_its_field_and_makes_nothing(
    ada: Visitor, fields: dict[str, Any], sentence: str
) -> None:
    page = ada.create(**({"name": "A <b>name</b>", "cap": "12", "days": "5", "scopes": ["/v1/generate"]} | fields))
    assert page.status == 422
    assert sentence in html.unescape(page.text)
    assert "<b>name" not in page.text
    assert 'value="/v1/generate" checked' in page.text
    assert ada.rows("id") == []


def test_what_is_not_of_the_form_changes_nothing(ada: Visitor) -> None:
    other = ada.place.customer()
    ada.new_key(
        account_id=other.customer.account.id, id="key_1", cap_id="key_2", digest="0", plan="pro", revoked_us="1"
    )
    [(account_id, key_id, cap_id, revoked_us)] = ada.rows("account_id, id, cap_id, revoked_us")
    assert (account_id, cap_id, revoked_us) == (ada.customer.account.id, "", None)
    assert re.fullmatch(r"key_[0-9a-f]{16}", key_id)
    assert other.rows("id") == []


# -- A key is replaced


def test_a_key_that_is_replaced_at_once_is_refused_at_once(ada: Visitor) -> None:
    key = ada.new_key(scopes=["/v1/generate"])
    path = f"/keys/{ada.id_of(key)}/rotate"
    form = ada.form(path)
    page = ada.browser.post(path, grace="0", form=form)
    successor = the_key(page)
    assert "which has ended." in page.text
    assert (ada.status(key), ada.status(successor)) == (401, 200)
    assert ada.rows("name, scopes") == [("Website", "/v1/generate")] * 2
    again = ada.browser.post(path, grace="0", form=form)
    assert (again.status, again.header("location")) == (303, "/keys?done=again")
    gone = ada.rotate(ada.id_of(key), "3600")
    assert (gone.status, "so it cannot be replaced" in gone.text) == (422, True)
    assert len(ada.rows("id")) == 2


def test_a_key_for_a_closed_endpoint_alone_is_shown_no_call(ada: Visitor) -> None:
    key = ada.new_key(scopes=["/v1/generate"])
    ada.place.shop.query("UPDATE api_key SET scopes = '/v1/closed' WHERE id = %s", ada.id_of(key))
    page = ada.rotate(ada.id_of(key), "0")
    assert CODE.findall(page.text) == [the_key(page)]
    assert "It is only for endpoints that are closed, so no call works with it." in page.text


@pytest.mark.parametrize(("grace", "seconds"), [("3600", 3_600), ("86400", 86_400), ("604800", 604_800)])
def test_a_key_works_beside_its_successor_for_as_long_as_was_chosen(ada: Visitor, grace: str, seconds: int) -> None:
    key = ada.new_key()
    successor = the_key(ada.rotate(ada.id_of(key), grace))
    assert (ada.status(key), ada.status(successor)) == (200, 200)
    [expires_us, none] = [expires_us for (expires_us,) in ada.rows("expires_us")]
    assert none is None
    assert abs(expires_us / 10**6 - time.time() - seconds) < 120


def test_a_key_with_an_end_of_its_own_is_told_to_end_then_and_not_after_the_grace(ada: Visitor) -> None:
    key_id = ada.id_of(ada.new_key(days="1"))
    [(expires_us,)] = ada.rows("expires_us")
    asked = ada.browser.get(f"/keys/{key_id}/rotate").text
    made = ada.rotate(key_id, "604800").text
    assert ada.rows("expires_us") == [(expires_us,), (None,)]
    minute = iso(expires_us)[:16]
    assert f'The old key ends on <time datetime="{minute}' in asked
    assert f'which ends on <time datetime="{minute}' in made


def test_a_grace_that_is_no_choice_is_refused(ada: Visitor) -> None:
    key = ada.new_key()
    for grace in ("", "99999999", "-1", "1h"):
        assert ada.rotate(ada.id_of(key), grace).status == 422
    assert len(ada.rows("id")) == 1


# -- A key is revoked


def test_a_key_is_revoked_after_a_question_and_refused_from_then_on(ada: Visitor) -> None:
    key = ada.new_key(name="Old & <gone>")
    path = f"/keys/{ada.id_of(key)}/revoke"
    question = ada.browser.get(path)
    assert (question.status, ada.status(key)) == (200, 200)
    assert "Old &amp; &lt;gone&gt;" in question.text
    done = ada.browser.post(path)
    assert (done.status, done.header("location")) == (303, "/keys?done=revoked")
    assert ada.status(key) == 401
    listed = ada.browser.get("/keys?done=revoked").text
    assert "The key is revoked" in listed
    assert "1 key that no longer works" in listed
    ada.browser.post(path)
    assert [what for what, _, _ in ada.audit()] == ["key_created", "key_revoked"]


# -- Whose keys they are


def test_the_keys_of_another_account_are_nothing_here(ada: Visitor) -> None:
    eve = ada.place.customer()
    key = ada.new_key()
    before = ada.rows("*")
    for verb in ("rotate", "revoke"):
        path = f"/keys/{ada.id_of(key)}/{verb}"
        form = ada.form(f"/keys/{ada.id_of(key)}/rotate")
        for page in (eve.browser.get(path), eve.browser.post(path, grace="0", form=form)):
            assert page.status == 404
            assert "This account has no such key." in page.text
    assert f"…{key[-4:]}" not in eve.browser.get("/keys").text
    assert ada.rows("*") == before
    assert eve.audit() == []


def test_a_stranger_sees_and_does_nothing(ada: Visitor) -> None:
    key = ada.new_key()
    form = ada.form()
    stranger = Browser(ada.place.served.url)
    for path in ("/keys", f"/keys/{ada.id_of(key)}/rotate", f"/keys/{ada.id_of(key)}/revoke"):
        page = stranger.get(path)
        assert (page.status, page.header("location").partition("?")[0]) == (303, "/login")
        assert stranger.post(path, name="x", grace="0", form=form).status == 403
        foreign = ada.browser._send("POST", path, f"name=x&grace=0&form={form}", {"sec-fetch-site": "cross-site"})
        assert foreign.status == 403
    assert (ada.status(key), len(ada.rows("id"))) == (200, 1)


def test_a_member_who_is_no_owner_makes_keys_too_and_each_change_is_written_down(ada: Visitor) -> None:
    account = ada.customer.account
    ada.place.shop.query("UPDATE member SET role = 'member' WHERE account_id = %s", account.id)
    key_id = ada.id_of(ada.new_key())
    successor = ada.id_of(the_key(ada.rotate(key_id, "0")))
    ada.browser.post(f"/keys/{successor}/revoke")
    person = f"person_{account.id[5:]}"
    assert ada.audit() == [
        ("key_created", person, f'{{"key": "{key_id}"}}'),
        ("key_rotated", person, f'{{"key": "{key_id}", "successor": "{successor}"}}'),
        ("key_revoked", person, f'{{"key": "{successor}"}}'),
    ]


# -- A hundred is enough


def fill_up(ada: Visitor, count: int) -> None:
    """So many more keys that work."""
    with closing(Database(ada.place.shop.database_url)) as database:
        accounts = StoredAccounts(database)
        for number in range(count):
            key = apikey.derive("till", "live", b"filling up", f"{ada.customer.account.id} {number}")
            accounts.add_key(new_key(SECRET.encode(), ada.customer.account.id, key, "Filler", accounts.now_us()).row)


def test_of_many_keys_at_once_no_more_are_made_than_there_may_be(ada: Visitor) -> None:
    fill_up(ada, 100 - len(ada.customer.keys) - 3)
    forms = [ada.form() for _ in range(10)]
    with ThreadPoolExecutor(10) as pool:
        pages = list(pool.map(lambda form: ada.create(form=form, name="At once"), forms))
    assert sorted(page.status for page in pages) == [200] * 3 + [422] * 7
    [refused, *_] = [page for page in pages if page.status == 422]
    assert "100 keys that work, the most" in refused.text
    [key_id, *_] = [key_id for key_id, name in ada.rows("id, name") if name == "At once"]
    assert ada.rotate(key_id, "3600").status == 422
    assert ada.rotate(key_id, "0").status == 200
    ada.browser.post(f"/keys/{ada.customer.keys[0].id}/revoke")
    assert ada.create().status == 200
    assert ada.create().status == 422


def test_what_a_key_was_used_for_stands_in_the_list(ada: Visitor) -> None:
    key = ada.new_key(name="Counted")
    days = {time.strftime("%Y-%m-%d", time.gmtime())}
    for _ in range(3):
        assert send(ask(ada.place.served, key)).status == 200
    row = re.search(r"<tr>(?:(?!<tr>).)*Counted.*?</tr>", ada.browser.get("/keys").text, re.DOTALL)
    assert row is not None
    assert re.search(r"<span>3</span>", row[0])
    days.add(time.strftime("%Y-%m-%d", time.gmtime()))  # it may be another one by now
    assert any(f'<time datetime="{day}">' in row[0] for day in days)
