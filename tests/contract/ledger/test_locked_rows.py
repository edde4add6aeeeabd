"""On PostgreSQL somebody else keeps a row locked: a psql left open, a machine that vanished in a transaction."""

import asyncio
from contextlib import closing

import pytest

from tests.contract.till import Till, until

SLEEPING = "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(3600)' AND state = 'active'"


def test_what_is_interrupted_ends_on_the_server_too(till: Till) -> None:
    """Or its locks would stay: a server does not look for its caller while it waits."""
    if till.is_sqlite:
        pytest.skip("SQLite has no server")

    async def call() -> None:
        with closing(till.database.connect()) as connection:
            asleep = asyncio.create_task(asyncio.to_thread(connection.execute, "SELECT pg_sleep(3600)"))
            await until(lambda: till.query(SLEEPING) == [(1,)], "the wait")
            await asyncio.to_thread(till.database.interrupt, connection)
            with pytest.raises(till.database.outages):
                await asleep
            await until(lambda: till.query(SLEEPING) == [(0,)], "the end of it on the server")

    asyncio.run(call())
