"""`farebox serve`: what it refuses to start with, and several workers on one port."""

import http.client
import os
import re
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Final

import psutil
import pytest

from farebox.store.database import Database
from farebox.store.migrations import HEAD
from tests.api.shop import get, send
from tests.services.command import farebox, printed
from tests.services.load import Request
from tests.services.postgres import PostgresServer
from tests.services.process import is_alive, wait_until
from tests.services.served import Served

APP: Final = 'from farebox import Farebox, Plan\napp = Farebox("Till", plans=[Plan("free", calls=500)])\n'
SLOW: Final = """
import asyncio, pathlib

@app.get("/slow")
async def slow():
    pathlib.Path("begun").touch()
    while not pathlib.Path("go").exists():
        await asyncio.sleep(0.01)
"""

FAILING: Final = """
import os, pathlib
if pathlib.Path("failing").exists():
    exec(pathlib.Path("failing").read_text())
"""


@pytest.fixture
def shop(tmp_path: Path, empty_url: str) -> tuple[Path, dict[str, str]]:
    """A folder with an app file, and the settings of its database."""
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "app.py").write_text(APP)
    return folder, {"FAREBOX_DATABASE_URL": empty_url}


@pytest.fixture
def served(shop: tuple[Path, dict[str, str]]) -> Iterator[tuple[Served, str]]:
    """Four workers, and a key."""
    folder, settings = shop
    printed(folder, "migrate", **settings)
    printed(folder, "accounts", "create", "ada@example.com", "--plan", "free", **settings)
    key = printed(folder, "keys", "create", "ada@example.com", **settings).splitlines()[-1]
    with Served(workers=4, env=settings, cwd=folder, in_earnest=True) as served:
        yield served, key


@pytest.fixture
def on_one_processor(tmp_path: Path) -> Iterator[Served]:
    with Served(workers=3, processors=1, cwd=tmp_path) as served:
        yield served


def connections_of(pid: int, port: int) -> int:
    found = psutil.Process(pid).net_connections("tcp")
    return sum(c.status == psutil.CONN_ESTABLISHED and c.laddr.port == port for c in found)


def test_every_worker_of_one_port_serves(served: tuple[Served, str]) -> None:
    server, key = served
    workers = server.worker_pids()
    assert len(workers) == 4
    calls = 0
    with ExitStack() as open_connections:
        while not all(connections_of(pid, server.port) for pid in workers):
            assert calls < 400, "some worker never took a connection"
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
            open_connections.enter_context(closing(connection))
            connection.request("POST", "/v1/generate", b'{"prompt": "Hello"}', {"x-api-key": key})
            response = connection.getresponse()
            assert (response.status, response.read()[:8]) == (200, b'{"text":')
            calls += 1
    used = send(Request(f"{server.url}/v1/usage", method="GET", headers={"x-api-key": key})).json()
    assert used["calls_used"] == calls
    assert "Till is served at" in server.output()
    assert "by 4 processes." in server.output()
    assert "No OPENAI_API_KEY: calls are answered by the sandbox model" in server.output()


@pytest.mark.alone
def test_more_workers_than_processors_stand_by(on_one_processor: Served) -> None:
    """A connection that a busy machine keeps waiting may be taken by them all the same."""
    server = on_one_processor
    with ExitStack() as open_connections:
        for _ in range(30):
            connected(server, open_connections)
        taken = sorted(connections_of(pid, server.port) for pid in server.worker_pids())
    assert sum(taken) == 30
    assert taken[-1] > 20
    assert "by 3 processes, of which 2 stand by, as there is 1 processor." in server.output()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows stops no process")
def test_who_stands_by_serves_those_whom_a_stuck_or_dead_process_leaves_waiting(on_one_processor: Served) -> None:
    server = on_one_processor
    workers = server.worker_pids()
    with ExitStack() as open_connections:
        connected(server, open_connections)
        at_work = max(workers, key=lambda pid: connections_of(pid, server.port))
        os.kill(at_work, signal.SIGSTOP)
        connected(server, open_connections)
        os.kill(at_work, signal.SIGKILL)
        connected(server, open_connections)
        assert sum(connections_of(pid, server.port) for pid in workers if pid != at_work) >= 1
        wait_until(lambda: at_work not in server.worker_pids() and len(server.worker_pids()) == 3, "a new worker")
        assert server.stop() == 0


@pytest.mark.skipif(sys.platform == "win32", reason="there is no PostgreSQL for tests")
def test_a_worker_that_dies_while_the_database_is_away_leaves_its_callers_to_the_others(
    tmp_path: Path, postgres: PostgresServer, migrated_pg_url: str
) -> None:
    """It is replaced when the database is back, though its tables may be newer by then."""
    with Served(workers=2, env={"FAREBOX_DATABASE_URL": migrated_pg_url}, cwd=tmp_path) as server:
        wait_until(lambda: len(server.worker_pids()) == 2, "both workers")
        connected_to_all(server)
        postgres.stop()
        dead = server.kill_worker()
        wait_until(lambda: "Next try in" in server.output(), "a worker that cannot start")
        with ExitStack() as open_connections:
            for _ in range(20):
                connected(server, open_connections)
        postgres.start()
        with closing(Database(migrated_pg_url)) as database, database.write() as connection:
            connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
        wait_until(lambda: len({*server.worker_pids()} - {dead}) == 2, "a new worker")
        connected_to_all(server)
        assert server.stop() == 0


def test_workers_that_are_killed_or_fail_at_each_start_leave_their_callers_to_the_others(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP + FAILING)
    with Served(app="app.py", workers=3, cwd=tmp_path) as server:
        wait_until(lambda: len(server.worker_pids()) == 3, "all workers")
        connected_to_all(server)
        (tmp_path / "failing").write_text("os.kill(os.getpid(), 9)")
        server.kill_worker()
        wait_until(lambda: "could not start: it was killed" in server.output(), "a worker that is killed")
        (tmp_path / "failing").write_text("raise SystemExit(1)")
        server.kill_worker()
        wait_until(lambda: "could not start: it ended, with exit code 1" in server.output(), "a worker that fails")
        with ExitStack() as open_connections:
            for _ in range(20):
                connected(server, open_connections)
        assert "another takes its place" in server.output()
        assert server.stop() == 0


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 1), (2, 2)])
def test_a_start_takes_the_port_though_connections_of_the_last_server_are_being_closed(
    tmp_path: Path, before: int, after: int
) -> None:
    with Served(workers=before, cwd=tmp_path) as server, ExitStack() as open_connections:
        for _ in range(8):
            connected(server, open_connections)
        server.stop()
    with Served(workers=after, cwd=tmp_path, port=server.port) as later:
        assert later.health() == 200


def test_workers_whose_parent_was_killed_end_by_themselves_and_leave_the_port(tmp_path: Path) -> None:
    with Served(workers=2, cwd=tmp_path) as server:
        workers = server.worker_pids()
        connected_to_all(server)
        os.kill(server.pid, signal.SIGKILL)
        wait_until(lambda: not any(map(is_alive, workers)), "the workers to end")
        assert server.health() is None


@pytest.mark.parametrize("workers", [1, 2])
def test_a_terminal_that_is_closed_does_not_cut_the_calls_under_way(tmp_path: Path, workers: int) -> None:
    (tmp_path / "app.py").write_text(APP + SLOW)
    with Served(app="app.py", workers=workers, cwd=tmp_path) as server, ThreadPoolExecutor(1) as pool:
        answered = pool.submit(get, f"{server.url}/slow")
        wait_until((tmp_path / "begun").exists, "the call to begin")
        os.killpg(server.pid, signal.SIGHUP)
        (tmp_path / "go").touch()
        assert answered.result().status == 200


def connected_to_all(server: Served) -> None:
    """Wait until every worker has taken a call."""
    with ExitStack() as open_connections:
        while not all(connections_of(pid, server.port) for pid in server.worker_pids()):
            connected(server, open_connections)


def connected(server: Served, until: ExitStack) -> None:
    """One more connection, on which a request was answered."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    until.enter_context(closing(connection))
    connection.request("GET", "/health")
    response = connection.getresponse()
    assert (response.status, bool(response.read())) == (200, True)


def test_a_database_in_memory_is_refused(tmp_path: Path) -> None:
    done = farebox(tmp_path, "serve", "--workers", "2", FAREBOX_DATABASE_URL="sqlite://")
    assert done.returncode == 1
    told = (
        "A database in memory belongs to one process alone and ends with it. Name a file: FAREBOX_DATABASE_URL=sqlite"
    )
    assert told in done.stderr


def test_a_postgresql_is_migrated_by_its_own_command(tmp_path: Path, pg_url: str) -> None:
    done = farebox(tmp_path, "serve", "--port", "0", FAREBOX_DATABASE_URL=pg_url)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "farebox: The database has none of Farebox's tables yet. Run: farebox migrate\n"
    first = printed(tmp_path, "migrate", FAREBOX_DATABASE_URL=pg_url)
    assert first == f"The database is at revision {HEAD}.\n"
    assert printed(tmp_path, "migrate", FAREBOX_DATABASE_URL=pg_url) == f"{first.strip()} It was already.\n"


@pytest.mark.parametrize("command", [["serve", "--port", "0"], ["migrate"]])
def test_a_database_of_a_newer_version_is_told_as_that(shop: tuple[Path, dict[str, str]], command: list[str]) -> None:
    """Not that a migration is due, which would then refuse."""
    folder, settings = shop
    printed(folder, "migrate", **settings)
    with closing(Database(settings["FAREBOX_DATABASE_URL"])) as database, database.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    done = farebox(folder, *command, **settings)
    assert (done.returncode, done.stdout) == (1, "")
    assert "The database is at revision 9999, of a newer Farebox; install that version of Farebox." in done.stderr


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql://127.0.0.1:1/shop", "connection failed: "),
        ("sqlite:///app.py", "file is not a database"),
    ],
)
def test_a_database_that_cannot_be_used_is_told(tmp_path: Path, url: str, told: str) -> None:
    (tmp_path / "app.py").write_text(APP + "# a comment" * 1_000)
    done = farebox(tmp_path, "serve", "--port", "0", FAREBOX_DATABASE_URL=url)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"farebox: The database cannot be used ({told}")
    assert done.stderr.endswith("). Run `farebox doctor` to see what to do.\n")


@pytest.mark.parametrize("command", [["serve", "--port", "0"], ["dev", "--port", "0"], ["migrate"]])
@pytest.mark.parametrize(
    ("url", "told"),
    [
        (
            "sqlite:////no/such/folder/farebox.db",
            r"there is no folder /no/such/folder; make it, or set FAREBOX_DATABASE_URL to a file in another one\.",
        ),
        (
            "sqlite:////proc/farebox.db",
            r"/proc cannot be written to \([^)]+\); let the user who runs farebox write there, or set FAREBOX_.*",
        ),
    ],
)
def test_a_folder_that_has_no_room_for_the_database_is_told_with_what_to_do(
    tmp_path: Path, command: list[str], url: str, told: str
) -> None:
    done = farebox(tmp_path, *command, FAREBOX_DATABASE_URL=url)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(f"farebox: The database cannot be used: {told}\n", done.stderr)


def test_accounts_on_plans_that_are_gone_and_an_odd_price_are_a_line_each(tmp_path: Path) -> None:
    printed(tmp_path, "accounts", "create", "ada@example.com", "--plan", "free")
    (tmp_path / "app.py").write_text(APP.replace('"free"', '"starter", credit_usd=5, markup=20'))
    with Served(cwd=tmp_path, in_earnest=True) as server:
        line, odd = [line for line in server.output().splitlines() if "Warning" in line]
    assert "your file no longer has the plan 'free' (ada@example.com). Their calls are refused with 402" in line
    assert odd.startswith("Warning: Plan('starter') has markup=20, which charges 21 times the model's cost; ")


def test_a_money_plan_without_a_price_is_told_before_a_process_starts(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "from farebox import Farebox, Plan\n"
        'app = Farebox("Till", model="openai:no-such-model", plans=[Plan("pro", credit_usd=5)])\n'
    )
    done = farebox(tmp_path, "serve", "--workers", "4", "--port", "0", OPENAI_API_KEY="sk-a-key-of-the-tests-0000")
    assert done.returncode == 1
    assert "Plan('pro') is limited in money, and the price of 'no-such-model' is not known." in done.stderr
    assert "Traceback" not in done.stderr


def test_a_template_that_cannot_be_shown_is_told_before_a_process_starts(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "templates" / "mail").mkdir(parents=True)
    (tmp_path / "templates" / "mail" / "confirm.txt").write_text("{% if %}")
    done = farebox(tmp_path, "serve", "--port", "0")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"farebox: {tmp_path}/templates/mail/confirm.txt, line 1: Expected an expression")
