"""The services that the other tests stand on do what they say."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from tests.services.load import Load, Reply, Request, fire_all, spread
from tests.services.postgres import PostgresServer
from tests.services.process import free_port, is_alive, is_listening, wait_until
from tests.services.proxy import Proxy, Verdict
from tests.services.redis import RedisServer
from tests.services.served import Served
from tests.services.upstream import CHAT, Behaviour, FakeUpstream

REPOSITORY = Path(__file__).parents[2]
CHAT_BODY = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Say hello"}]}


def call(port: int) -> Request:
    return Request(f"http://127.0.0.1:{port}{CHAT}", CHAT_BODY, {"authorization": "Bearer sk-test"})


def ask(port: int, timeout_seconds: float = 30) -> Reply:
    return fire_all([call(port)], timeout_seconds=timeout_seconds)[0]


@pytest.fixture
def proxy(upstream: FakeUpstream) -> Iterator[Proxy]:
    with Proxy(upstream.port) as proxy:
        yield proxy


# -- PostgreSQL and Redis


def scalar(url: str, query: str) -> object:
    with psycopg.connect(url) as connection:
        row = connection.execute(query.encode()).fetchone()
    return row and row[0]


def test_postgres_is_18_durable_and_empty(pg_url: str) -> None:
    assert str(scalar(pg_url, "SHOW server_version")).startswith("18.")
    assert [scalar(pg_url, f"SHOW {name}") for name in ("fsync", "synchronous_commit")] == ["on", "on"]
    assert scalar(pg_url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0


@pytest.mark.parametrize("blow", [PostgresServer.stop, PostgresServer.kill])
def test_what_postgres_committed_survives(
    postgres: PostgresServer, pg_url: str, blow: Callable[[PostgresServer], None]
) -> None:
    with psycopg.connect(pg_url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
    bystander = psycopg.connect(pg_url)
    blow(postgres)
    with pytest.raises(psycopg.OperationalError):
        bystander.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError):
        scalar(pg_url, "SELECT 1")
    bystander.close()
    postgres.start()
    assert scalar(pg_url, "SELECT number FROM kept") == 7


def test_a_second_postgres_stands_beside_the_first_and_leaves_nothing(postgres: PostgresServer) -> None:
    second = PostgresServer()
    second.start()
    assert second.port != postgres.port
    with psycopg.connect(second.url()) as bystander:
        pid = bystander.info.backend_pid
        second.kill()
        assert not is_alive(pid)
    second.close()
    assert not second._home.exists()
    assert not is_listening(second.port)


def test_redis_forgets_when_killed(redis_server: RedisServer) -> None:
    with redis.Redis.from_url(redis_server.url) as client:
        client.set("a", "1")
        assert client.get("a") == b"1"
        redis_server.kill()
        with pytest.raises(redis.ConnectionError):
            client.get("a")
        redis_server.start()
        assert client.get("a") is None


def test_what_killed_tests_started_is_killed() -> None:
    script = """
import os, signal
from pathlib import Path
from tests.services.process import ProcessGroup
print(ProcessGroup(["sleep", "600"], log=Path(os.devnull)).pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL
    wait_until(lambda: not is_alive(int(done.stdout)), "the orphan to be killed")


# -- the proxy


def test_the_proxy_passes_everything(proxy: Proxy, upstream: FakeUpstream) -> None:
    upstream.program_next(Behaviour(fault="huge_body"))
    assert ask(proxy.port).json()["choices"][0]["message"]["content"].startswith("dog dog")
    assert ask(proxy.port).ok


def test_the_proxy_refuses(proxy: Proxy) -> None:
    proxy.refuse()
    assert isinstance(ask(proxy.port).error, ConnectionRefusedError)
    proxy.heal()
    assert ask(proxy.port).ok


def test_the_proxy_is_a_black_hole(proxy: Proxy, upstream: FakeUpstream) -> None:
    proxy.blackhole()
    assert isinstance(ask(proxy.port, timeout_seconds=0.3).error, TimeoutError)
    assert upstream.count() == 0
    healed_at: list[float] = []

    def heal() -> None:
        healed_at.append(time.time())
        proxy.heal()

    healing = threading.Timer(0.3, heal)
    healing.start()
    patient = ask(proxy.port)
    healing.join()
    assert patient.ok
    assert patient.sent_at + patient.seconds >= healed_at[0]


def test_the_proxy_cuts_calls_under_way(proxy: Proxy, upstream: FakeUpstream) -> None:
    upstream.program_next(Behaviour(fault="hang"))
    with Load(lambda _: call(proxy.port), callers=1) as load:
        upstream.wait_for_calls(1)
        proxy.cut()
        upstream.wait_for_calls(2)
    assert isinstance(load.replies[0].error, ConnectionError | EOFError)
    assert load.replies[1].ok
    wait_until(lambda: upstream.calls()[0].outcome == "client_left", "the provider to see the cut")


def test_the_proxy_delays_and_judges(proxy: Proxy) -> None:
    proxy.delay(0.3)
    assert ask(proxy.port).seconds >= 0.3
    proxy.heal()
    proxy.on_client_bytes(lambda data: "cut" if b"hello" in data else "pass")
    assert not ask(proxy.port).ok
    proxy.heal()
    assert ask(proxy.port).ok


def test_a_commit_is_done_although_its_answer_never_came(postgres: PostgresServer, pg_url: str) -> None:
    def cut_after_commit(data: bytes) -> Verdict:
        return "forward_then_cut" if b"COMMIT" in data else "pass"

    with psycopg.connect(pg_url) as connection:
        connection.execute("CREATE TABLE kept (number int)")
    with Proxy(postgres.port) as proxy:
        proxy.on_client_bytes(cut_after_commit)
        through_proxy = pg_url.replace(str(postgres.port), str(proxy.port))
        with pytest.raises(psycopg.OperationalError), psycopg.connect(through_proxy) as connection:
            connection.execute("INSERT INTO kept VALUES (7)")
        wait_until(lambda: scalar(pg_url, "SELECT number FROM kept") == 7, "the commit")


# -- a server under test

APP = """
import os
async def app(scope, receive, send):
    if scope["type"] == "http":
        body = f"{os.getpid()} {os.environ.get('FAREBOX_X')} {os.environ['Y']}".encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close")]})
        await send({"type": "http.response.body", "body": body})
"""
UVICORN = [sys.executable, "-m", "uvicorn", "app:app", "--lifespan", "off", "--timeout-worker-healthcheck", "60"]


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setenv("FAREBOX_X", "of whoever runs the tests")
    (tmp_path / "app.py").write_text(APP)
    command = [*UVICORN, "--port", "{port}", "--workers", "{workers}"]
    with Served(command, workers=2, env={"Y": "set"}, cwd=tmp_path) as served:
        yield served


def test_a_server_is_killed_and_stopped(served: Served) -> None:
    pid, _, rest = fire_all([Request(served.url + "/health", method="GET")])[0].body.decode().partition(" ")
    assert rest == "None set"
    before = served.worker_pids()
    assert len(before) == 2
    assert int(pid) in before
    killed = served.kill_worker()
    wait_until(lambda: not is_alive(killed), "the worker to die")
    wait_until(lambda: served.health() == 200, "the other to answer")
    before = [served.pid, *served.worker_pids()]
    served.kill()
    assert not any(map(is_alive, before))
    assert served.health() is None
    served.start()
    assert served.stop() == 0
    assert "Uvicorn running" in served.output()


def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="No module named 'nonsense'"):
        Served([sys.executable, "-c", "import nonsense"], cwd=tmp_path).start()


# -- the load


@pytest.mark.alone
def test_a_thousand_callers_are_under_way_at_once(upstream: FakeUpstream, proxy: Proxy) -> None:
    upstream.program(Behaviour(latency_seconds=2.5))
    urls = [f"http://127.0.0.1:{port}" for port in (upstream.port, proxy.port)]
    replies = fire_all(spread(urls, CHAT, [CHAT_BODY] * 1000, {"authorization": "Bearer sk-test"}))
    assert [reply.status for reply in replies] == [200] * 1000
    calls = upstream.calls()
    assert len(calls) == 1000
    assert max(call.arrived_at for call in calls) < min(call.ended_at or 0 for call in calls)


def test_callers_call_on_through_an_outage(upstream: FakeUpstream, proxy: Proxy) -> None:
    with Load(lambda _: call(proxy.port), callers=5) as load:
        upstream.wait_for_calls(50)
        proxy.refuse()
        proxy.cut()
        wait_until(lambda: not load.replies[-1].ok, "a failure")
        proxy.heal()
        wait_until(lambda: load.replies[-1].ok, "a success")
    whole = sum(reply.ok for reply in load.replies)
    assert whole <= upstream.count() <= whole + 5
    assert {reply.status for reply in load.replies} == {200, None}


def test_free_ports_differ() -> None:
    assert len({free_port() for _ in range(50)}) == 50
