"""`farebox dev` with no account and no network: what is bought, called and invoiced is what the ledger has."""

import re
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx2
import pytest

from farebox.domain.billing import lines_from_json
from farebox.domain.money import cents_of, format_usd
from tests.api.conftest import empty_database
from tests.api.place import ANY_LINK, PASSWORD
from tests.api.playground import told
from tests.api.shop import generate, get, send
from tests.api.test_cli_dev import dev, line
from tests.services.browser import Browser
from tests.services.command import printed
from tests.services.process import ProcessGroup, free_port, wait_until
from tests.services.sums import connect

CALLS: Final = 5
CENT: Final = 10_000_000
APP: Final = """
from farebox import Farebox, Pack, Plan

app = Farebox(
    "Till",
    model="openai:gpt-4o-mini",
    prices={"gpt-4o-mini": (0.15, 0.60)},
    plans=[
        Plan("free", calls=1),
        Plan("each", usd=29, calls=2, overage_usd="0.0123"),
        Plan("words", usd=29, tokens=30, overage_usd_per_1k_tokens="0.2"),
        Plan("cost", usd=29, credit_usd="0.000001", credit_overage=True, markup=0.2),
        Plan("saved", usd=5, calls=1, overage_usd="0.50", prepaid=True),
    ],
    packs=[Pack("small", usd=10)],
)
"""


def of_each(rows: list[tuple[int, int]]) -> int:
    return (len(rows) - 2) * 12_300_000


def of_words(rows: list[tuple[int, int]]) -> int:
    return (sum(read + written for read, written in rows) - 30) * 200_000


def of_cost(rows: list[tuple[int, int]]) -> int:
    return sum(-(-(read * 150 + written * 600) * 12 // 10) for read, written in rows) - 1_000


class Shop(NamedTuple):
    """A founder's folder with `farebox dev` in it, and the Stripe beside."""

    folder: Path
    url: str
    stripe: httpx2.Client
    process: ProcessGroup
    settings: dict[str, str]

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with closing(connect(self.settings["FAREBOX_DATABASE_URL"])) as connection:
            return list(connection.execute(sql).fetchall())

    def advance(self, by: str) -> None:
        assert self.stripe.post("/_control/advance", json={"by": by}).status_code == 200
        wait_until(lambda: self.stripe.post("/_control/state", json={}).json()["is_idle"], "Stripe to come to rest")

    def link(self, number: int) -> str:
        """The path of a link of a mail, which `farebox dev` prints."""
        wait_until(lambda: len(ANY_LINK.findall(self.process.output())) > number, "a link by mail")
        return str(ANY_LINK.findall(self.process.output())[number])


class Buyer:
    """Somebody who has joined, and has a key."""

    def __init__(self, shop: Shop, name: str) -> None:
        self.shop = shop
        self.browser = Browser(shop.url)
        email = f"{name}@example.com"
        links = len(ANY_LINK.findall(shop.process.output()))
        self.browser.post("/signup", email=email, password=PASSWORD)
        assert self.browser.post(shop.link(links)).header("location") == "/playground"
        self.account = str(shop.query(f"SELECT id FROM account WHERE email = '{email}'")[0][0])
        self.key, self.test_key = (
            printed(shop.folder, "keys", "create", email, *more, **shop.settings).splitlines()[-1]
            for more in ((), ("--test",))
        )

    def buy(self, path: str, name: str) -> None:
        url = self.browser.post(path, name=name).header("location")
        paid = self.shop.stripe.post(url, data={"card": "visa", "email": "ada@example.com", "is_me": "yes"})
        assert paid.status_code == 303, paid.text
        self.browser.get(paid.headers["location"].removeprefix(self.shop.url))

    def call(self, times: int) -> list[int | None]:
        return [send(generate(self.shop.url, self.key, {"prompt": "Say hello"})).status for _ in range(times)]

    def rows(self, columns: str, more: str = "") -> list[tuple[Any, ...]]:
        return self.shop.query(f"SELECT {columns} FROM usage_record WHERE account_id = '{self.account}' {more}")

    def billed(self) -> list[tuple[str, int, int]]:
        """The lines about use of the invoices that are paid: the invoice, the nanodollars, and the cents."""
        paid = f"SELECT id, lines FROM invoice WHERE account_id = '{self.account}' AND status = 'paid'"
        found = [(name, one) for name, text in self.shop.query(paid) for one in lines_from_json(text)]
        return [(name, one.quantity, one.amount_cents) for name, one in found if one.is_usage]


@pytest.fixture(scope="module")
def shop(
    database_kind: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shop]:
    folder, port = tmp_path_factory.mktemp("dev"), free_port()
    (folder / "app.py").write_text(APP)
    with empty_database(database_kind, tmp_path_factory.mktemp("database"), request) as database_url:
        settings = {"FAREBOX_DATABASE_URL": database_url, "FAREBOX_SWEEP_SECONDS": "0.3"}
        with dev(folder, "--port", str(port), **settings) as process:
            stripe = line(process, "Stripe").split()[1].rstrip(",")
            with httpx2.Client(base_url=stripe, trust_env=False, timeout=60) as client:
                url = f"http://127.0.0.1:{port}"
                wait_until(lambda: get(f"{url}/health").status == 200, "the product")
                yield Shop(folder, url, client, process, settings)
            assert "Traceback" not in process.output()


def test_what_the_sandbox_answers_is_charged_and_the_start_says_so(shop: Shop) -> None:
    assert line(shop.process, "Model").endswith("What it answers is charged at the price of gpt-4o-mini")


def test_credit_pays_for_what_the_sandbox_answers_and_a_test_key_is_free(shop: Shop) -> None:
    sue = Buyer(shop, "sue")
    sue.buy("/plan/buy", "saved")
    assert sue.call(2) == [200, 402]
    sue.buy("/credit/buy", "small")
    assert sue.call(2) == [200, 200]
    assert send(generate(shop.url, sue.test_key, {"prompt": "Say hello"})).status == 200
    assert sue.rows("mode, charge_nanodollars, prepaid_nanodollars", "ORDER BY admitted_us, call_id") == [
        ("live", 0, 0), ("live", 50 * CENT, 50 * CENT), ("live", 50 * CENT, 50 * CENT), ("test", 0, 0),
    ]  # fmt: skip
    assert get(f"{shop.url}/v1/usage", sue.key).json()["prepaid_remaining_nanodollars"] == 900 * CENT


def test_after_a_month_the_invoice_is_what_the_ledger_has_for_each_kind_of_overage(shop: Shop) -> None:
    kinds: dict[str, Callable[[list[tuple[int, int]]], int]] = {"each": of_each, "words": of_words, "cost": of_cost}
    buyers = {plan: Buyer(shop, plan) for plan in kinds}
    for plan, buyer in buyers.items():
        buyer.buy("/plan/buy", plan)
        assert buyer.call(CALLS) == [200] * CALLS
        assert send(generate(shop.url, buyer.test_key, {"prompt": "Say hello"})).status == 200
    waiting = "SELECT count(*) FROM usage_outbox o LEFT JOIN usage_event e ON e.id = o.event_id"
    wait_until(lambda: shop.query(f"{waiting} WHERE coalesce(e.state, '') <> 'sent'") == [(0,)], "all to be reported")
    shop.advance("month")
    shop.advance("hour")
    for plan, buyer in buyers.items():
        used = int(buyer.rows("sum(invoiced_nanodollars)")[0][0])
        assert used == kinds[plan](buyer.rows("input_tokens, output_tokens", "AND mode = 'live'")) > 0
        assert {model for (model,) in buyer.rows("model")} == {"farebox-sandbox"}
        wait_until(lambda: bool(buyer.billed()), "the invoice")  # noqa: B023  # waited for at once
        [(invoice, quantity, cents)] = buyer.billed()
        assert (quantity, cents) == (used, cents_of(used))
        page = buyer.browser.get(f"/invoices/{invoice}")
        assert f"that the plan did not pay, {format_usd(used)} in all, as on the invoice." in told(page)
        opened = set(re.findall(r"/calls/(req_[0-9a-f]{32})", page.text))
        assert opened == {call_id for (call_id,) in buyer.rows("call_id", "AND invoiced_nanodollars > 0")}
    assert "every sum is right" in printed(shop.folder, "reconcile", **shop.settings)
