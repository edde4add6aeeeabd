"""Kill a serving process again and again under load, then ask the books."""

import random
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from farebox.store.database import Database
from farebox.store.money.wallet import StoredCredit
from tests.api.shop import Shop, ask
from tests.services.load import Load, Reply, Request
from tests.services.process import wait_until
from tests.services.served import Served
from tests.services.sums import connect
from tests.services.upstream import Behaviour, FakeUpstream, expected_answer

CALLERS = 50
HOLD_TTL_SECONDS = 5
SWEEP_SECONDS = 0.5
SETTINGS = {
    "FAREBOX_CALL_SECONDS_MAX": "4",
    "FAREBOX_HOLD_TTL_SECONDS": str(HOLD_TTL_SECONDS),
    "FAREBOX_SWEEP_SECONDS": str(SWEEP_SECONDS),
}
APP = """
from farebox import Farebox, Plan

app = Farebox(
    "Till",
    model="openai:gpt-4o-mini",
    prices={"gpt-4o-mini": (0.15, 0.60)},
    plans=[
        Plan("calls", calls=10**9),
        Plan("over", calls=5, overage_usd=0.01),
        Plan("words", tokens=1_000, overage_usd_per_1k_tokens=0.01, prepaid=True),
        Plan("money", credit_usd=10_000, markup=0.2),
    ],
)
"""
CENT = 10_000_000
SMALL = ("small", 15 * CENT // 2, 3)  # seven calls of the plan "over", and a half of the eighth
LARGE = ("large", 10**6 * CENT, 300)  # never used up


class Calls:
    """Random calls of several accounts; the n-th is the same whenever the seed is.

    Two are invoiced for what is beyond their plan and their little credit; two pay with much credit, and nothing else.
    """

    def __init__(self, shop: Shop, served: Served, seed: int) -> None:
        self.billed = shop.new_keys("over", 2) + shop.new_keys("words", 2)
        for key in self.billed[:2]:
            shop.subscribe(key)
            shop.buy(key, SMALL)
        for key in self.billed[2:]:
            shop.buy(key, LARGE, SMALL)
        self.keys = [*self.billed, *shop.new_keys("calls"), *shop.new_keys("money", 2)]
        self._served = served
        self._seed = seed

    def __call__(self, number: int) -> Request:
        dice = random.Random(f"{self._seed} {number}")
        return ask(self._served, dice.choice(self.keys), f"Call {number}" + " dog" * dice.randint(0, 400))


def kill_under_load(shop: Shop, upstream: FakeUpstream, *, kills: int, groups: int, seed: int) -> list[Reply]:
    """Kill so often, `groups` times all processes at once and else one worker; every reply that came."""
    upstream.reset(seed=seed)
    upstream.program(Behaviour(latency_seconds_max=0.1))
    dice = random.Random(seed)
    whole_group = [index < groups for index in range(kills)]
    dice.shuffle(whole_group)
    with shop.served(workers=2, **SETTINGS) as served:
        with Load(Calls(shop, served, seed), callers=CALLERS) as load:
            for is_whole_group in whole_group:
                wait_for_replies(load, dice.randint(20, 150))
                time.sleep(dice.uniform(0, 0.02))  # a moment that no reply decides
                if is_whole_group:
                    served.kill()
                    served.start()
                else:
                    served.kill_worker()
            wait_for_replies(load, 2 * CALLERS)
        ended_at = time.monotonic()
        wait_until(lambda: shop.held() == 0, "nothing to be held", timeout_seconds=HOLD_TTL_SECONDS + 30)
        print(f"{len(load.replies)} calls, {kills} kills; nothing held after {time.monotonic() - ended_at:.1f} s")
        assert "Traceback" not in served.output()
    return load.replies


def wait_for_replies(load: Load, count: int, timeout_seconds: float = 30) -> None:
    """So many whole answers more."""
    wanted = whole(load.replies) + count
    wait_until(lambda: whole(load.replies) >= wanted, f"{count} answers", timeout_seconds=timeout_seconds)


def whole(replies: Sequence[Reply]) -> int:
    return sum(reply.ok for reply in replies)


def check_books(shop: Shop, upstream: FakeUpstream, replies: Sequence[Reply], in_flight_max: int) -> None:
    """Each answer that was seen has its row, there is a row for each model call, and every sum is right."""
    assert {reply.status for reply in replies} <= {200, None}
    seen = [reply for reply in replies if reply.ok]
    cut = [reply for reply in replies if not reply.ok and not isinstance(reply.error, ConnectionRefusedError)]
    rows = {row[0]: row[1:] for row in shop.records("call_id, state, input_tokens, output_tokens")}
    for reply in seen:
        answer = reply.json()
        honest = expected_answer({"messages": [{"content": reply.request.body["prompt"]}], "max_tokens": 400})  # type: ignore[index]  # a dict, as `ask` made it
        assert (answer["text"], answer["input_tokens"]) == (honest.text, honest.input_tokens)
        posted = ("posted", answer["input_tokens"], answer["output_tokens"])
        assert rows[reply.headers["x-request-id"]] == posted
    seen_ids = {reply.headers["x-request-id"] for reply in seen}
    assert len(seen_ids) == len(seen)
    unseen = [call_id for call_id, row in rows.items() if row[0] == "posted" and call_id not in seen_ids]
    expired = [call_id for call_id, row in rows.items() if row[0] == "expired"]
    print(f"{len(seen)} answers seen, {len(cut)} cut, {len(unseen)} posted unseen, {len(expired)} expired")
    assert len(unseen) + len(expired) <= len(cut) <= in_flight_max
    assert whole(replies) <= upstream.count() <= len(rows)
    shop.assert_sums()
    assert_money_is_kept(shop)
    shop.farebox("reconcile")
    if shop.is_sqlite:
        assert integrity(shop) == "ok"


def assert_money_is_kept(shop: Shop) -> None:
    """There are calls that credit paid and calls for the invoice; what is kept of each is what its rows say."""
    posted = "FROM usage_record WHERE state = 'posted'"
    [(prepaid, invoiced)] = shop.query(f"SELECT sum(prepaid_nanodollars), sum(invoiced_nanodollars) {posted}")
    [(rows,)] = shop.query(f"SELECT count(*) {posted} AND invoiced_nanodollars > 0")
    [(waiting, waiting_sum)] = shop.query("SELECT count(*), sum(nanodollars) FROM usage_outbox")
    assert waiting == rows > 0
    assert waiting_sum == invoiced > 0
    [(bought, spent)] = shop.query("SELECT sum(amount_nanodollars), sum(spent_nanodollars) FROM credit_grant")
    assert spent == prepaid > 0
    accounts = shop.query("SELECT DISTINCT account_id FROM credit_grant")
    with closing(Database(shop.database_url)) as database:
        left = sum(StoredCredit(database).balance(account_id) for (account_id,) in accounts)
    assert bought == prepaid + left
    print(f"{rows} calls for the invoice, {invoiced} nanodollars in all; {prepaid} paid with credit")


def integrity(shop: Shop) -> str:
    with closing(connect(shop.database_url)) as connection:
        assert isinstance(connection, sqlite3.Connection)
        return str(connection.execute("PRAGMA integrity_check").fetchone()[0])


def crash_shop(folder: Path, database_url: str, upstream: FakeUpstream) -> Shop:
    return Shop(folder, database_url, upstream, app=APP)
