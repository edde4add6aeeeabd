"""The ledger alone: admit + record, batched, in calls a second. No HTTP, no model.

python bench/ledger.py                          SQLite, in a temporary folder
python bench/ledger.py postgresql://…/empty     PostgreSQL, a database made for this
"""

import argparse
import asyncio
import resource
import tempfile
import time
from pathlib import Path

from farebox.account.keys import create_key
from farebox.account.sign_up import sign_up
from farebox.domain import apikey
from farebox.domain.admission import Admitted, Ask
from farebox.domain.ledger import Spent
from farebox.domain.plan import Plan
from farebox.domain.prices import Price
from farebox.domain.product import Product
from farebox.store.accounts import StoredAccounts
from farebox.store.database import Database
from farebox.store.ledger.group_commit import GroupCommitLedger
from farebox.web.request import new_call_id

SECRET = b"bench" * 8
PRICE = Price(150_000_000, 75_000_000, 600_000_000)


async def caller(ledger: GroupCommitLedger, digest: str, calls: int) -> None:
    for _ in range(calls):
        ask = Ask(new_call_id(), digest, "/v1/generate", "gpt-4o-mini", PRICE, 60, None, 180_000_000)
        admitted = await ledger.admit(ask)
        assert isinstance(admitted, Admitted)
        spent = Spent(12, 0, 27, (), '[{"model": "gpt-4o-mini", "ms": 1, "status": 200}]')
        await ledger.record(admitted.hold, "post", spent, time.monotonic() + 10)


async def measure(database: Database, digests: list[str], callers: int, calls: int, plans: dict[str, Plan]) -> str:
    ledger = GroupCommitLedger(database, plans)
    ledger.start()
    before, started = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    await asyncio.gather(*(caller(ledger, digests[n % len(digests)], calls) for n in range(callers)))
    seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF)
    await ledger.close()
    done = callers * calls
    cpu = (after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime) / done
    return (
        f"{callers:4} callers, {len(digests):4} accounts: {done / seconds:8.0f} calls/s, "
        f"{1e6 * seconds / done:7.1f} µs a call, {1e6 * cpu:6.1f} µs CPU of this process"
    )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("url", nargs="?")
    options.add_argument("--calls", type=int, default=8_000)
    options.add_argument("--callers", default="1,32,128")
    options.add_argument("--accounts", default="1,64")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="farebox-bench-", dir=Path.cwd()) as folder:
        database = Database(chosen.url or f"sqlite:///{folder}/bench.db")
        database.migrate()
        accounts = StoredAccounts(database)
        plan = Plan("bench", calls=10**12)
        product = Product("Bench", plans=(plan,))
        print("SQLite" if database.is_sqlite else "PostgreSQL", flush=True)
        for count in map(int, chosen.accounts.split(",")):
            digests = []
            for n in range(count):
                address = f"{time.time_ns()}-{n}@bench.test"
                sign_up(accounts, product, address, "bench")
                digests.append(apikey.digest(SECRET, create_key(accounts, SECRET, "bench", address).key))
            for callers in map(int, chosen.callers.split(",")):
                calls = max(chosen.calls // (8 if callers == 1 else 1) // callers, 1)
                print(asyncio.run(measure(database, digests, callers, calls, {"bench": plan})), flush=True)
        database.close()


if __name__ == "__main__":
    main()
