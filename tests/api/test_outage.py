"""Promises P2, P3 and P6 while PostgreSQL is away: nothing lost, nothing double, no model call, back by itself."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.api.crashes import APP, Calls, assert_money_is_kept, whole
from tests.api.shop import Shop, assert_problem, get
from tests.services.load import Load, Reply
from tests.services.postgres import PostgresServer
from tests.services.process import wait_until
from tests.services.proxy import Proxy, Verdict
from tests.services.served import Served
from tests.services.upstream import Behaviour, FakeUpstream

RESTARTS = 5
BACK_SECONDS_MAX = 10
CALLERS = 20
HOLD_TTL_SECONDS = 25
SETTINGS = {
    "FAREBOX_CALL_SECONDS_MAX": "10",
    "FAREBOX_HOLD_TTL_SECONDS": str(HOLD_TTL_SECONDS),
    "FAREBOX_SWEEP_SECONDS": "0.5",
}


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A PostgreSQL of this file's own, to be stopped at will."""
    server = PostgresServer()
    server.start()
    yield server
    server.close()


@pytest.fixture
def proxy(server: PostgresServer) -> Iterator[Proxy]:
    server.start()
    with Proxy(server.port) as proxy:
        yield proxy


@pytest.fixture
def shop(server: PostgresServer, proxy: Proxy, tmp_path: Path, upstream: FakeUpstream) -> Shop:
    """A shop whose processes reach the database through the proxy, while the test goes straight to it."""
    direct = server.create_database(f"outage_{proxy.port}")
    shop = Shop(tmp_path, direct, upstream, app=APP)
    shop.settings["FAREBOX_DATABASE_URL"] = direct.replace(f":{server.port}/", f":{proxy.port}/")
    return shop


@pytest.fixture
def served(shop: Shop) -> Iterator[Served]:
    with shop.served(workers=2, **SETTINGS) as served:
        yield served


def refusals(replies: Sequence[Reply]) -> list[Reply]:
    return [reply for reply in replies if reply.status == 503]


def wait_for_refusals(load: Load, count: int, timeout_seconds: float = 30) -> None:
    wanted = len(refusals(load.replies)) + count
    wait_until(lambda: len(refusals(load.replies)) >= wanted, f"{count} refusals", timeout_seconds=timeout_seconds)


def wait_for_success(load: Load) -> float:
    """Seconds until the next answer, which must come within ten."""
    start, wanted = time.monotonic(), whole(load.replies) + 1
    wait_until(lambda: whole(load.replies) >= wanted, "an answer", timeout_seconds=BACK_SECONDS_MAX)
    return time.monotonic() - start


def assert_nothing_lost_and_nothing_double(
    shop: Shop, upstream: FakeUpstream, replies: Sequence[Reply], *, may_expire: bool = False
) -> None:
    """Every caller got a whole answer here, so the rows are known exactly."""
    assert {reply.error for reply in replies} == {None}
    assert {reply.status for reply in replies} <= {200, 503}
    for reply in refusals(replies):
        assert_problem(reply, 503, "ledger_unavailable")
        assert int(reply.headers["retry-after"]) >= 1
    wait_until(lambda: shop.held() == 0, "nothing to be held", timeout_seconds=HOLD_TTL_SECONDS + 30)
    rows = {row[0]: row[1:] for row in shop.records("call_id, state, input_tokens, output_tokens")}
    answers = {reply.headers["x-request-id"]: reply.json() for reply in replies if reply.ok}
    posted = {call_id for call_id, row in rows.items() if row[0] == "posted"}
    assert posted == answers.keys()
    # What a refused caller may have held is given back at once, and does not wait for its time to live.
    assert may_expire or "expired" not in {row[0] for row in rows.values()}
    for call_id, answer in answers.items():
        assert rows[call_id] == ("posted", answer["input_tokens"], answer["output_tokens"])
    assert upstream.count() == len(posted)  # a call that was refused has not reached the model
    shop.assert_sums()
    assert_money_is_kept(shop)
    shop.farebox("reconcile")


def test_postgresql_is_restarted_five_times_under_load(
    server: PostgresServer, shop: Shop, served: Served, upstream: FakeUpstream, seed: int
) -> None:
    upstream.reset(seed=seed)
    upstream.program(Behaviour(latency_seconds_max=0.05))
    late_replies: list[Reply] = []
    calls = Calls(shop, served, seed)
    with Load(calls, callers=CALLERS) as load:
        for restart in range(RESTARTS):
            wait_until(lambda: whole(load.replies) > 100 * (restart + 1), "calls")  # noqa: B023 - waited for at once
            server.stop("fast" if restart % 2 == 0 else "immediate")
            late_replies += call_while_away(calls, served, upstream)
            server.start()
            print(f"restart {restart + 1}: serving again after {wait_for_success(load):.2f} s")
    assert get(served.url + "/ready").status == 200
    assert whole(late_replies) == 0
    assert_nothing_lost_and_nothing_double(shop, upstream, load.replies + late_replies)
    assert "Traceback" not in served.output()


def call_while_away(calls: Calls, served: Served, upstream: FakeUpstream) -> list[Reply]:
    """Replies to callers that come while there is no database. Those who came before may be waiting for its return."""
    with Load(calls, callers=CALLERS) as late:
        wait_for_refusals(late, CALLERS)
        wait_until(lambda: upstream.in_flight() == 0, "the calls that were admitted before")
        seen = upstream.count()
        wait_for_refusals(late, 2 * CALLERS)
        assert get(served.url + "/health").status == 200
        assert_problem(get(served.url + "/ready"), 503, "ledger_unavailable")
    assert upstream.count() == seen
    return late.replies


@pytest.mark.parametrize("fate", ["cut", "forward_then_cut"])
def test_a_connection_that_breaks_at_its_commit_loses_and_doubles_nothing(
    fate: Verdict, proxy: Proxy, shop: Shop, served: Served, upstream: FakeUpstream, seed: int
) -> None:
    """Before the commit has reached PostgreSQL, or when it has and only its answer is lost."""
    upstream.reset(seed=seed)
    upstream.program(Behaviour(latency_seconds_max=0.02))
    commits = 0

    def hook(data: bytes) -> Verdict:
        nonlocal commits
        commits += b"COMMIT\0" in data  # not that of READ COMMITTED
        return fate if b"COMMIT\0" in data and commits % 7 == 0 else "pass"

    with Load(Calls(shop, served, seed), callers=CALLERS) as load:
        wait_until(lambda: whole(load.replies) > CALLERS, "calls")
        proxy.on_client_bytes(hook)
        wait_until(lambda: commits >= 140, "twenty broken commits")
        proxy.heal()
        print(f"{commits} commits; {wait_for_success(load):.2f} s after the last that broke, an answer")
    assert refusals(load.replies)
    assert_nothing_lost_and_nothing_double(shop, upstream, load.replies)


def test_a_database_that_swallows_everything_is_a_503_in_time_and_is_found_again(
    proxy: Proxy, shop: Shop, served: Served, upstream: FakeUpstream, seed: int
) -> None:
    upstream.reset(seed=seed)
    calls = Calls(shop, served, seed)
    with Load(calls, callers=CALLERS) as load:
        wait_until(lambda: whole(load.replies) > 100, "calls")
        proxy.blackhole()
        with Load(calls, callers=CALLERS) as late:  # those who came before may be waiting for its return
            wait_for_refusals(late, CALLERS)
            seen = upstream.count()
            assert get(served.url + "/health").status == 200
            assert_problem(get(served.url + "/ready"), 503, "ledger_unavailable")
            assert upstream.count() == seen
            proxy.heal()
            print(f"serving again after {wait_for_success(load):.2f} s")
    replies = load.replies + late.replies
    slowest = max(reply.seconds for reply in refusals(replies))
    print(f"the slowest 503 took {slowest:.1f} s")
    assert slowest < BACK_SECONDS_MAX
    # A commit that the black hole swallowed may arrive when its caller is long gone: that hold expires.
    assert_nothing_lost_and_nothing_double(shop, upstream, replies, may_expire=True)
