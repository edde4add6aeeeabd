"""The customer's pages with a million calls in the ledger: how long each takes, and how much of a processor.

python bench/pages.py                           SQLite, in a temporary folder
python bench/pages.py postgresql                a PostgreSQL of its own, from the wheel
python bench/pages.py postgresql://…/bench      a database made for this; what it has already is not written again
"""

import argparse
import http.client
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from compare import cpu_seconds
from sqlalchemy import text

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from farebox.domain.period import DAY_US, day  # noqa: E402  # after the path is set
from farebox.domain.reading import place_of  # noqa: E402
from farebox.store.database import Database  # noqa: E402
from tests.services.many_calls import Customer, add_calls, known_customer, new_customer  # noqa: E402
from tests.services.postgres import PostgresServer  # noqa: E402
from tests.services.served import Served  # noqa: E402

SECRET = "a secret of the benchmark, long enough"
PLAN = 'Plan("over", calls=500_000, overage_usd=0.01)'
APP = f'from farebox import Farebox, Plan\n\napp = Farebox("Bench", plans=[{PLAN}])\n'
OTHERS, OTHERS_CALLS = 20, 2_000


@contextmanager
def database_url(chosen: str, folder: Path) -> Iterator[str]:
    if chosen != "postgresql":
        yield f"sqlite:///{folder}/bench.db" if chosen == "sqlite" else chosen
        return
    server = PostgresServer()
    try:
        server.start()
        yield server.create_database("bench")
    finally:
        server.close()


def filled(url: str, calls: int) -> Customer:
    """A ledger with so many calls of one customer, and some of others."""
    database = Database(url)
    database.migrate()
    customer = known_customer(database, SECRET.encode(), "bench")
    if customer is None:
        started = time.perf_counter()
        customer = new_customer(database, SECRET.encode(), "over", name="bench")
        add_calls(database, customer, calls, held=20)
        for _ in range(OTHERS):
            add_calls(database, new_customer(database, SECRET.encode(), "over"), OTHERS_CALLS)
        print(f"{calls:,} calls written in {time.perf_counter() - started:.0f} s", flush=True)
    if not database.is_sqlite:
        with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))
    database.close()
    return customer


def pages_of(url: str, customer: Customer) -> list[str]:
    database = Database(url)
    with database.read() as connection:
        now_us = database.now_us(connection)
        of_account = {"account": customer.account.id}
        ids = "SELECT call_id FROM usage_record WHERE account_id = :account"
        newest = connection.execute(text(f"{ids} ORDER BY call_id DESC LIMIT 1"), of_account).scalar_one()
    database.close()
    key, last_week, middle = customer.keys[1].id, day(now_us - 7 * DAY_US), place_of(now_us - 30 * DAY_US)
    return [
        "/overview", "/usage", "/usage?mode=test", "/calls", f"/calls?before={middle}", f"/calls/{newest}",
        "/calls?state=expired", "/calls?state=held", f"/calls?state=expired&before={middle}",
        f"/calls?key={key}&endpoint=/v1/summary&state=voided", f"/calls?day={last_week}",
        f"/calls?day={last_week}&state=expired", "/calls?endpoint=/v1/none",
    ]  # fmt: skip


def ask(connection: http.client.HTTPConnection, path: str, cookie: str) -> float:
    started = time.perf_counter()
    connection.request("GET", path, headers={"cookie": cookie, "accept": "text/html"})
    response = connection.getresponse()
    response.read()
    assert response.status == 200, f"{path}: {response.status}"  # noqa: PLR2004
    return 1000 * (time.perf_counter() - started)


def measure(served: Served, customer: Customer, pages: list[str], rounds: int) -> None:
    if not rounds:
        return
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)
    process = psutil.Process(served.pid)
    ask(connection, "/overview", customer.cookie)  # loads the pages
    for path in pages:
        first = ask(connection, path, customer.cookie)
        before = cpu_seconds(process)
        seen = sorted(ask(connection, path, customer.cookie) for _ in range(rounds))
        cpu = 1000 * (cpu_seconds(process) - before) / rounds
        took = f"{seen[rounds // 2]:6.1f} ms p50 {seen[-1]:6.1f} max {first:6.1f} first {cpu:5.1f} ms of a processor"
        print(f"{took}  {path[:60]}", flush=True)
    for path in ("/usage.csv", "/calls.csv"):
        seconds = ask(connection, path, customer.cookie) / 1000
        print(f"{seconds:6.1f} s, the whole file  {path}", flush=True)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("database", nargs="?", default="sqlite")
    options.add_argument("--calls", type=int, default=1_000_000)
    options.add_argument("--rounds", type=int, default=15)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="farebox-bench-", dir=Path.cwd()) as name:
        folder = Path(name)
        (folder / "app.py").write_text(APP)
        with database_url(chosen.database, folder) as url:
            customer = filled(url, chosen.calls)
            settings = {"FAREBOX_DATABASE_URL": url, "FAREBOX_SECRET_KEY": SECRET, "FAREBOX_SWEEP_SECONDS": "3600"}
            with Served(env=settings, cwd=folder) as served:
                measure(served, customer, pages_of(url, customer), chosen.rounds)


if __name__ == "__main__":
    main()
