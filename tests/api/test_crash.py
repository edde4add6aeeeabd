"""Promises P2, P3 and P4 under kill -9. `tests/chaos` does the same two hundred times."""

from pathlib import Path

from tests.api.crashes import CALLERS, check_books, crash_shop, kill_under_load
from tests.services.upstream import FakeUpstream

KILLS = 10


def test_after_ten_kills_under_load_every_answer_has_its_row_and_nothing_stays_held(
    fresh_database_url: str, tmp_path: Path, upstream: FakeUpstream, seed: int
) -> None:
    shop = crash_shop(tmp_path, fresh_database_url, upstream)
    replies = kill_under_load(shop, upstream, kills=KILLS, groups=3, seed=seed)
    check_books(shop, upstream, replies, KILLS * CALLERS)
