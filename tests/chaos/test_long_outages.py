"""Outages that outlast the patience of a call that has had its answer from the model."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.api.crashes import APP, SETTINGS, Calls, whole
from tests.api.shop import Shop, ask, assert_problem, get
from tests.services.load import Load, fire_all
from tests.services.postgres import PostgresServer
from tests.services.process import wait_until
from tests.services.upstream import Behaviour, FakeUpstream

pytestmark = pytest.mark.chaos

CALLERS = 20
ANSWER_SECONDS_MAX = 10
LOCKED_SECONDS = 25


def test_an_answer_that_cannot_be_recorded_is_not_given_and_not_charged(tmp_path: Path, upstream: FakeUpstream) -> None:
    server = PostgresServer()
    server.start()
    upstream.program(Behaviour(latency_seconds=1))
    shop = Shop(tmp_path, server.create_database("away"), upstream, app=APP)
    [key] = shop.new_keys("money")
    settings = SETTINGS | {"FAREBOX_HOLD_TTL_SECONDS": "600"}  # the holds are not to end by themselves
    with shop.served(workers=2, **settings) as served:
        with Load(lambda _: ask(served, key), callers=CALLERS) as load:
            upstream.wait_for_calls(CALLERS)
            server.stop()
            wait_until(lambda: len(load.replies) >= CALLERS, "the patience of all callers to end")
            seen = upstream.count()
        assert whole(load.replies) == 0
        for reply in load.replies:
            assert_problem(reply, 503, "ledger_unavailable")
        assert upstream.count() == seen == CALLERS  # no further call has reached the model meanwhile
        server.start()
        wait_until(lambda: shop.held() == 0, "the holds to be voided")
        assert get(f"{served.url}/ready").status == 200
        rows = shop.records("state, marks, charge_nanodollars, cost_nanodollars > 0", key)
        assert rows == [("voided", "", 0, True)] * CALLERS
        [reply] = fire_all([ask(served, key)])
        assert reply.ok
    shop.assert_sums()
    server.close()


def test_a_sqlite_file_that_another_program_locks_is_a_503_in_time_and_is_used_again(
    tmp_path: Path, upstream: FakeUpstream, seed: int
) -> None:
    shop = Shop(tmp_path, f"sqlite:///{tmp_path}/farebox.db", upstream, app=APP)
    with shop.served(workers=2, **SETTINGS) as served:
        calls = Calls(shop, served, seed)
        with closing(sqlite3.connect(tmp_path / "farebox.db", isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            locked_at = time.monotonic()
            with Load(calls, callers=CALLERS) as load:
                wait_until(
                    lambda: time.monotonic() > locked_at + LOCKED_SECONDS, "the lock to last", timeout_seconds=60
                )
                other.execute("ROLLBACK")
                wait_until(lambda: whole(load.replies) > CALLERS, "answers", timeout_seconds=ANSWER_SECONDS_MAX)
        refused = [reply for reply in load.replies if not reply.ok]
        assert len(refused) >= CALLERS
        for reply in refused:
            assert_problem(reply, 503, "ledger_unavailable")
        slowest = max(reply.seconds for reply in refused)
        print(f"{len(refused)} refused, the slowest after {slowest:.1f} s")
        assert slowest < ANSWER_SECONDS_MAX
        assert upstream.count() == whole(load.replies)
        wait_until(lambda: shop.held() == 0, "nothing to be held")
    shop.assert_sums()
