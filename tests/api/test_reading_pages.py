"""Overview, usage, calls and receipts over HTTP: exact, of one's own account, and safe to look at."""

import json
import re
from collections.abc import Iterator
from contextlib import closing
from html import unescape
from typing import Final

import pytest

from farebox.domain.money import format_usd
from farebox.domain.period import iso, period_at
from farebox.store.database import Database
from farebox.store.money.wallet import StoredCredit
from tests.api.conftest import empty_database
from tests.api.desk import Desk, table, words
from tests.api.shop import Shop
from tests.services.browser import Browser
from tests.services.upstream import Behaviour, FakeUpstream

APP: Final = """
from farebox import Farebox, Plan

app = Farebox(
    "Till",
    model=["openai:gpt-4o-mini", "openai:gpt-4o"],
    prices={"gpt-4o-mini": (0.15, 0.60), "gpt-4o": (2.5, 10)},
    plans=[
        Plan("open", burst="1000/s"),
        Plan("few", usd=9, calls=2, overage_usd="0.01"),
        Plan("credit", usd=29, credit_usd=20, markup=0.2),
        Plan("tokens", tokens=900_000),
        Plan("words", usd=9, tokens=0, overage_usd_per_1k_tokens="0.01"),
    ],
)


@app.paid
async def tagline(call, product: str) -> str:
    \"\"\"Write a tagline.\"\"\"
    return await call.ask(f"Write a tagline for {product}.")
"""
PATHS: Final = ("/overview", "/usage", "/usage.csv", "/calls", "/calls.csv", "/calls/req_" + "0" * 32)
SECRETS: Final = ("cost_nanodollars", "wasted", "HTTPStatus", "openai:", "cause")


@pytest.fixture(scope="module")
def desk(
    database_kind: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory,
    upstream_process: FakeUpstream,
) -> Iterator[Desk]:  # fmt: skip
    folder = tmp_path_factory.mktemp("desk")
    with empty_database(database_kind, folder, request) as url:
        shop = Shop(folder, url, upstream_process, APP)
        with shop.served(workers=1, FAREBOX_SWEEP_SECONDS="3600") as served:
            yield Desk(shop, served, upstream_process)
            assert "Traceback" not in served.output()


# -- Figures


def test_what_the_pages_say_is_what_the_ledger_says(desk: Desk) -> None:
    customer, browser = desk.customer("few")
    live, other, test = customer.texts[0], customer.texts[1], customer.texts[-1]
    replies = [desk.call(live), desk.tagline(live), desk.tagline(other), desk.call(other), desk.call(test)]
    assert [reply.status for reply in replies] == [200] * 5
    failed = desk.call(live, "Hello [[fault:status=400]]")
    assert failed.status != 200
    account = customer.account.id
    posted = (
        "SELECT sum(calls), sum(tokens), sum(charge_nanodollars) FROM usage_record WHERE account_id = %s AND mode = %s"
    )
    calls, tokens, charge = map(int, desk.shop.query(posted, account, "live")[0])
    assert (calls, charge) == (4, 20_000_000)

    overview = words(browser.get("/overview"))
    assert "4 of 2 used, 0 left, then $0.01 each" in overview
    assert "Beyond the plan $0.02 2 calls" in overview
    assert f"Tokens {tokens:,} in and out" in overview
    assert "With test keys 1 call never billed" in overview
    assert "Few $9 a month" in overview
    for reply in [*replies, failed]:
        assert f'href="/calls/{reply.headers["x-request-id"]}"' in browser.get("/overview").text

    usage = words(browser.get("/usage"))
    assert f"Calls 4 Tokens {tokens:,} in and out Charge $0.02" in usage
    by_endpoint = {
        endpoint: (str(count), format_usd(int(money)))
        for endpoint, count, money in desk.shop.query(
            "SELECT endpoint, sum(calls), sum(charge_nanodollars) FROM usage_record WHERE account_id = %s"
            " AND mode = 'live' GROUP BY endpoint", account,
        )
    }  # fmt: skip
    for endpoint, (count, money) in by_endpoint.items():
        assert re.search(
            rf"{re.escape(endpoint)} {count} \d+ [\d,]+ [\d,]+ {re.escape(money.removesuffix('.00'))}", usage
        )
    assert re.search(r"Website till_live_\w+…\w{4} 2 1 ", usage)
    assert re.search(r"Nightly batch till_live_\w+…\w{4} 2 0 ", usage)
    assert "Calls 1 " in words(browser.get("/usage?mode=test"))

    rows = table(browser.get("/usage.csv"))
    sums = "sum(calls), sum(input_tokens), sum(output_tokens), sum(charge_nanodollars)"
    group = "mode, endpoint, key_id"
    expected = desk.shop.query(
        f"SELECT {group}, {sums} FROM usage_record WHERE account_id = %s GROUP BY {group}", account
    )
    names = ("mode", "endpoint", "key", "calls", "input_tokens", "output_tokens", "charge_nanodollars")
    assert sorted(tuple(row[name] for name in names) for row in rows) == sorted(
        tuple(map(str, row)) for row in expected
    )
    listed = table(browser.get("/calls.csv"))
    assert [row["id"] for row in listed] == sorted(reply.headers["x-request-id"] for reply in [*replies, failed])
    assert sum(int(row["charge_nanodollars"]) for row in listed) == charge
    assert {row["key_name"] for row in listed} == {"Website", "Nightly batch", "Try-outs"}


def test_modes_whose_periods_began_apart_each_have_their_own_pages_and_files(desk: Desk) -> None:
    """A purchase once began one for the test calls alone."""
    customer, browser = desk.customer("few", age_days=0)
    start_us, end_us = period_at(customer.account.anchor_us, customer.account.anchor_us)
    begun = "INSERT INTO meter VALUES (%s, 'test', %s, %s, 0, 0, 0, 0, 0, 0, 0)"
    desk.shop.query(begun, customer.account.id, start_us + 10**6, end_us)
    replies = [desk.call(customer.texts[place]) for place in (0, -1)]
    overview = words(browser.get("/overview"))
    assert "1 of 2 used, 1 left" in overview
    assert "With test keys 1 call never billed" in overview
    names = set[str]()
    for mode, other_us, reply in ("live", start_us + 10**6, replies[0]), ("test", start_us, replies[1]):
        page = browser.get(f"/usage?mode={mode}")
        assert "Calls 1 " in words(page)
        links = [unescape(link) for link in re.findall(r'href="(/(?:usage|calls)(?:\.csv)?\?[^"]*)"', page.text)]
        assert any(f"period={other_us}" in link for link in links), "the other one can be chosen"
        assert f'<time datetime="{iso(other_us)[:19]}Z" data-second>' in page.text
        assert [browser.get(link).status for link in links] == [200] * len(links)
        found = re.search(r'href="(/calls\.csv[^"]*)"', page.text)
        assert found is not None
        calls = browser.get(found[1])
        assert [row["id"] for row in table(calls)] == [reply.headers["x-request-id"]]
        names.add(calls.header("content-disposition"))
    assert len(names) == 2


def test_a_receipt_says_how_its_charge_came_about(desk: Desk) -> None:
    customer, browser = desk.customer("credit")
    reply = desk.call(customer.texts[0])
    assert reply.status == 200
    call_id = reply.headers["x-request-id"]
    [(charge, read, written)] = desk.shop.query(
        "SELECT charge_nanodollars, input_tokens, output_tokens FROM usage_record WHERE call_id = %s", call_id
    )
    used = -(-(read * 150_000_000 + written * 600_000_000) // 10**6)
    receipt = words(browser.get(f"/calls/{call_id}"))
    assert f"gpt-4o-mini: {read} tokens in at $0.15, {written} out at $0.60 a million {format_usd(used)}" in receipt
    assert f"The plan adds 20 % {format_usd(charge - used)} Charge {format_usd(charge)}" in receipt
    overview = browser.get("/overview")
    assert "Model use less than $0.01 of $20 used, $19.99 left" in words(overview)
    assert f'title="{format_usd(charge)} of $20 used' in overview.text
    # None of it is beyond the plan, and nothing calls it so.
    told = [receipt, words(browser.get("/usage")), words(browser.get("/openapi.json"))]
    assert [text for text in told if "beyond the plan" in text] == []


def test_a_receipt_says_who_pays_the_charge(desk: Desk) -> None:
    customer, browser = desk.customer("words")
    account_id, customer_id = customer.account.id, f"cus_{customer.account.id}"
    desk.shop.query("UPDATE account SET customer_id = %s, is_subscribed = 1 WHERE id = %s", customer_id, account_id)
    with closing(Database(desk.shop.database_url)) as database:
        assert StoredCredit(database).grant(account_id, f"pi_{account_id}", "small", 70_000, 2**60)
    call_id = desk.call(customer.texts[0]).headers["x-request-id"]
    [(tokens, prepaid)] = desk.shop.query(
        "SELECT tokens, prepaid_nanodollars FROM usage_record WHERE call_id = %s", call_id
    )
    assert prepaid == 70_000
    receipt = words(browser.get(f"/calls/{call_id}"))
    charge = format_usd(tokens * 10_000)
    assert (
        f"{tokens} tokens beyond those that the plan includes, at $0.01 a thousand {charge} Charge {charge}" in receipt
    )
    paid = f"Paid with credit $0.00007 On the invoice {format_usd(tokens * 10_000 - prepaid)}"
    assert f"Who pays it What Amount {paid}" in receipt
    [row] = table(browser.get("/calls.csv"))
    assert (int(row["prepaid_nanodollars"]), int(row["invoiced_nanodollars"])) == (prepaid, tokens * 10_000 - prepaid)
    overview = words(browser.get("/overview"))
    assert f"Tokens {tokens} of 0 used, 0 left, then $0.01 a thousand" in overview
    assert f"Beyond the plan {charge} so far" in overview
    assert "bought credit of $0.00007" in words(browser.get("/settings/activity"))


def test_a_receipt_keeps_what_the_founder_pays_to_the_founder(desk: Desk) -> None:
    customer, browser = desk.customer("open")
    desk.upstream.program_next(Behaviour(status=503, retry_after=1))
    reply = desk.call(customer.texts[0])
    call_id = reply.headers["x-request-id"]
    [(attempts, cost)] = desk.shop.query(
        "SELECT attempts, cost_nanodollars FROM usage_record WHERE call_id = %s", call_id
    )
    assert len(json.loads(attempts)) > 1
    assert cost > 0
    for page in (browser.get(f"/calls/{call_id}"), browser.get("/calls.csv"), browser.get("/usage.csv")):
        assert not [secret for secret in SECRETS if secret in page.text]
        assert str(cost) not in page.text.replace(call_id, "")
        assert format_usd(cost) not in page.text
    receipt = words(browser.get(f"/calls/{call_id}"))
    assert re.search(r"It was busy after \d+ ms It answered after \d+ ms", receipt)
    assert "How the charge was calculated" not in receipt


@pytest.mark.parametrize(
    ("fault", "state", "sentence"),
    [
        ("no_usage", "Done", "The model did not report its tokens"),
        ("no_message", "No answer", "The model answered without a message, so nothing was charged."),
        ("status=400", "Failed", "It ended without an answer, and nothing was charged."),
    ],
)
def test_what_is_out_of_the_ordinary_is_told_in_words(desk: Desk, fault: str, state: str, sentence: str) -> None:
    customer, browser = desk.customer("open")
    reply = desk.call(customer.texts[0], f"Hello [[fault:{fault}]]")
    receipt = words(browser.get(f"/calls/{reply.headers['x-request-id']}"))
    assert f"Receipt {state}" in receipt
    assert sentence in receipt
    assert f"Charge {'included' if state == 'Done' else 'free'}" in receipt
    assert state in words(browser.get("/calls"))


def test_calls_under_way_are_shown_with_what_is_set_aside(desk: Desk) -> None:
    customer, browser = desk.customer("few")
    desk.add_calls(customer, 40, held=3)
    page = browser.get("/calls?state=held")
    assert words(page).count("Under way none yet open") == 3
    ids = re.findall(r'href="/calls/(req_\w+)"', page.text)
    assert len(ids) == 3
    receipt = words(browser.get(f"/calls/{ids[0]}"))
    assert "Receipt Under way" in receipt
    assert "Set aside 1 call and up to 900 tokens Charge at most $0.02" in receipt
    assert "3 calls set aside until they end" in words(browser.get("/overview"))
    assert [row["state"] for row in table(browser.get("/calls.csv"))][-3:] == ["held"] * 3


# -- Finding calls


def test_the_list_is_paged_and_narrowed(desk: Desk) -> None:
    customer, browser = desk.customer("few")
    desk.add_calls(customer, 700, days=40)
    seen: list[str] = []
    path: str | None = "/calls"
    while path:
        page = browser.get(path)
        seen += re.findall(r'href="/calls/(req_\w+)"', page.text)
        older = re.search(r'href="(/calls\?[^"]*before=[^"]*)" rel="next"', page.text)
        path = unescape(older[1]) if older else None
    ids = [row[0] for row in desk.shop.query(
        "SELECT call_id FROM usage_record WHERE account_id = %s ORDER BY call_id DESC", customer.account.id
    )]  # fmt: skip
    assert seen == ids
    key = customer.keys[3].id
    page = browser.get(f"/calls?key={key}&state=voided&endpoint=/v1/summary")
    found = desk.shop.query(
        "SELECT call_id FROM usage_record WHERE key_id = %s AND state = 'voided' AND endpoint = '/v1/summary'", key
    )
    assert sorted(re.findall(r'href="/calls/(req_\w+)"', page.text)) == sorted(row[0] for row in found)
    assert len(found) > 0
    for chosen in (f'value="{key}" selected', 'value="voided" selected', 'value="/v1/summary" selected'):
        assert chosen in page.text
    assert "No calls found" in words(browser.get("/calls?endpoint=/v1/none"))
    badges = [
        browser.get(f"/calls?key={mode}").text.count('<span class="badge ">test</span>') for mode in ("live", "test")
    ]
    assert badges == [0, 50]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/calls?state=charged", 422), ("/calls?day=2026-02-30", 422), ("/calls?day=yesterday", 422),
        ("/calls?before=x", 422), ("/calls?before=req_" + "f" * 32, 200), ("/calls?endpoint=a%00b", 422),
        ("/calls?key=%00", 422), ("/calls?key=" + "k" * 201, 422), ("/calls?key=" + "%F0%9F%92%A9%FF", 200),
        ("/calls?day=9998-12-31", 200), ("/calls?day=1970-01-02", 200), ("/usage?period=17", 404),
        ("/usage?period=" + "9" * 30, 404), ("/usage?period=x", 422), ("/usage?mode=both", 422),
        ("/usage.csv?period=17", 404), ("/calls.csv?period=17", 404), ("/calls/req_x", 404), ("/calls/%00", 404),
        ("/calls/req_" + "g" * 32, 404), ("/calls/req_" + "f" * 32, 404),
    ],
)  # fmt: skip
def test_an_address_that_somebody_made_up_is_told_as_such(desk: Desk, path: str, status: int) -> None:
    _, browser = desk.customer("open")
    page = browser.get(path)
    assert page.status == status, page.text
    assert "Traceback" not in page.text


# -- Whose it is


def test_nobody_sees_anything_of_another_account(desk: Desk) -> None:
    mine, my_browser = desk.customer("few", name="minealone")
    desk.add_calls(mine, 60, held=2)
    _, browser = desk.customer("few")
    ids = [row[0] for row in desk.shop.query("SELECT call_id FROM usage_record WHERE account_id = %s", mine.account.id)]
    held = desk.shop.query("SELECT call_id FROM hold WHERE account_id = %s", mine.account.id)
    for call_id in (ids[0], ids[-1], held[0][0]):
        assert my_browser.get(f"/calls/{call_id}").status == 200
        theirs = browser.get(f"/calls/{call_id}")
        assert theirs.status == 404
        unknown = browser.get("/calls/req_" + "1" * 32)
        assert theirs.text.replace(call_id[:40], "").count("<") == unknown.text.count("<")
    paths = [*PATHS[:-1], f"/calls?key={mine.keys[0].id}", f"/calls?before={ids[-1]}"]
    for path in paths:
        page = browser.get(path)
        assert page.status == 200
        shown = page.text.replace(f'value="{mine.keys[0].id}"', "").replace(f"key={mine.keys[0].id}", "")
        assert "minealone" not in shown, path
        assert not [call_id for call_id in ids if call_id in shown.replace(f"before={ids[-1]}", "")], path


def test_a_stranger_and_a_suspended_account_see_nothing(desk: Desk) -> None:
    customer, browser = desk.customer("open")
    desk.shop.query("UPDATE account SET state = 'suspended' WHERE id = %s", customer.account.id)
    for path in PATHS:
        for visitor in (Browser(desk.served.url), browser):
            page = visitor.get(path)
            assert (page.status, page.text) == (303, "")
            assert page.header("location").startswith("/login?next=%2F")


@pytest.mark.parametrize("path", PATHS[:-1])
def test_nothing_of_it_is_kept_by_anybody_between(desk: Desk, path: str) -> None:
    _, browser = desk.customer("open")
    page = browser.get(path)
    assert page.header("cache-control") == "no-store"
    assert page.header("content-security-policy").startswith("default-src 'none'")
    assert page.header("x-content-type-options") == "nosniff"


# -- What others wrote


def test_names_that_are_markup_or_formulas_are_shown_as_they_are(desk: Desk) -> None:
    customer, browser = desk.customer("credit")
    evil = '"><script>alert(1)</script>{{ 7 * 7 }}'
    desk.add_calls(customer, 30, days=2, held=1, names=([f"/v1/e{evil}"], [f"m{evil}", "m"]))
    account = customer.account.id
    desk.shop.query("UPDATE api_key SET name = %s WHERE account_id = %s", f"=cmd(){evil}", account)
    [(newest,)] = desk.shop.query("SELECT max(call_id) FROM usage_record WHERE account_id = %s", account)
    paths = ("/overview", "/usage", "/calls", f"/calls/{newest}", "/calls?" + "endpoint=%22%3E%3Cscript%3Ealert(1)")
    for path in paths:
        page = browser.get(path)
        assert page.status == 200
        assert "<script>alert" not in page.text, path
        assert "alert(1)" in page.text, path
        assert path.startswith("/calls?") or "{{ 7 * 7 }}" in page.text, path
    assert {row["key_name"] for row in table(browser.get("/usage.csv"))} == {f"'=cmd(){evil}"}
    assert {row["key_name"] for row in table(browser.get("/calls.csv"))} == {f"'=cmd(){evil}"}


# -- What to do next


def test_an_account_without_a_call_is_told_what_to_do_next(desk: Desk) -> None:
    customer, browser = desk.customer("open", age_days=0)
    page = browser.get("/overview")
    assert "Make your first call" in words(page)
    assert "You have a key" in words(page)
    assert f"curl {desk.served.url}/v1/tagline" in words(page)
    assert 'href="/playground"' in page.text
    desk.shop.query("UPDATE api_key SET revoked_us = 1 WHERE account_id = %s", customer.account.id)
    assert "A key is what your program sends with each call." in words(browser.get("/overview"))
    assert "Nothing was used in this period" in words(browser.get("/usage"))
    assert "Every call appears here with its receipt" in words(browser.get("/calls"))
    assert table(browser.get("/usage.csv")) == table(browser.get("/calls.csv")) == []


def test_whoever_cannot_call_is_told_why(desk: Desk) -> None:
    customer, browser = desk.customer("few")
    desk.shop.query("UPDATE account SET state = 'past_due' WHERE id = %s", customer.account.id)
    assert "The last payment failed, so calls are refused." in words(browser.get("/overview"))
    desk.shop.query("UPDATE account SET plan = 'old' WHERE id = %s", customer.account.id)
    assert "Your plan old is no longer offered" in words(browser.get("/overview"))


def test_a_spend_cap_is_shown_beside_the_limits(desk: Desk) -> None:
    customer, browser = desk.customer("credit")
    desk.shop.query("UPDATE account SET spend_cap_nanodollars = 5000000000 WHERE id = %s", customer.account.id)
    assert "Your spend cap $0 of $5 used, $5 left" in words(browser.get("/overview"))
