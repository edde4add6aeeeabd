"""In a crowd the ledger's thread waits for its turn on the processor; for a single call it pushes in."""

import asyncio
import os
import sys
import threading
from contextlib import closing

import pytest

from farebox.store.database import Database
from farebox.store.ledger.scheduling import CROWD
from tests.contract.till import Till, admit, running, until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a thread choose")


def policy() -> int:
    (thread,) = (each for each in threading.enumerate() if each.name == "farebox-ledger")
    return os.sched_getscheduler(thread.native_id or -1)


def test_the_ledgers_thread_pushes_in_for_one_and_waits_among_many(migrated_url: str) -> None:
    async def calls(till: Till) -> None:
        key = till.new_key()
        async with running(till.database) as ledger:
            await ledger.standing(key.row.digest)
            assert policy() == os.SCHED_OTHER
            with till.writes_locked():
                crowd = [asyncio.create_task(admit(ledger, key)) for _ in range(3 * CROWD)]
                await asyncio.sleep(0)
            await asyncio.gather(*crowd)
            await until(lambda: policy() == os.SCHED_BATCH, "the thread to be courteous")
            await ledger.standing(key.row.digest)
            await until(lambda: policy() == os.SCHED_OTHER, "the thread to push in again")

    with closing(Database(migrated_url)) as database:
        asyncio.run(calls(Till(migrated_url, database)))
