"""`tests/api/test_crash.py` two hundred times, and a PostgreSQL that dies as often as it is started."""

from pathlib import Path

import pytest

from tests.api.crashes import (
    CALLERS,
    SETTINGS,
    Calls,
    check_books,
    crash_shop,
    kill_under_load,
    wait_for_replies,
    whole,
)
from tests.services.load import Load
from tests.services.postgres import PostgresServer
from tests.services.process import wait_until
from tests.services.upstream import Behaviour, FakeUpstream

pytestmark = pytest.mark.chaos

KILLS = 200
DATABASE_KILLS = 20
BACK_SECONDS_MAX = 10


def test_after_two_hundred_kills_under_load_every_answer_has_its_row_and_nothing_stays_held(
    fresh_database_url: str, tmp_path: Path, upstream: FakeUpstream, seed: int
) -> None:
    shop = crash_shop(tmp_path, fresh_database_url, upstream)
    replies = kill_under_load(shop, upstream, kills=KILLS, groups=50, seed=seed)
    check_books(shop, upstream, replies, KILLS * CALLERS)


def test_a_database_that_is_killed_twenty_times_loses_nothing_that_was_answered(
    tmp_path: Path, upstream: FakeUpstream, seed: int
) -> None:
    """SIGKILL to PostgreSQL, so that it comes back by its own crash recovery, with the calls of then still open."""
    server = PostgresServer()
    server.start()
    upstream.program(Behaviour(latency_seconds_max=0.1))
    shop = crash_shop(tmp_path, server.create_database("killed"), upstream)
    with shop.served(workers=2, **SETTINGS) as served:
        with Load(Calls(shop, served, seed), callers=CALLERS) as load:
            for _ in range(DATABASE_KILLS):
                wait_for_replies(load, 100)
                server.kill()
                server.start()
                wait_for_replies(load, 1, timeout_seconds=BACK_SECONDS_MAX)
        wait_until(lambda: shop.held() == 0, "nothing to be held")
        assert "Traceback" not in served.output()
    refused = [reply for reply in load.replies if reply.status == 503]
    print(f"{whole(load.replies)} answers, {len(refused)} refused")
    answered = [reply for reply in load.replies if reply.status != 503]
    check_books(shop, upstream, answered, 0)
    server.close()
