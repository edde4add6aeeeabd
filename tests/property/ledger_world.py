"""The real store under a clock of the test's own: SQLite in memory, or PostgreSQL with new accounts in each example."""

import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import psycopg

from farebox.domain.ledger import Hold
from farebox.domain.plan import Plan
from farebox.domain.wallet import Grant, take_back
from farebox.store.cursor import Cursor
from farebox.store.database import Database
from farebox.store.ledger.batch import Item, Overdue, Result, run
from farebox.store.ledger.statements import (
    HOLD,
    METER,
    USAGE_OUTBOX,
    USAGE_RECORD,
    PostgresStatements,
    SqliteStatements,
    Statements,
)
from tests.services.sums import check_credit, check_sums

Row = tuple[Any, ...]
# In the order of the rows; a table's own order is another one where a later revision added columns.
COLUMNS = {table.name: ", ".join(table.columns) for table in (METER, HOLD, USAGE_RECORD)} | {
    "credit_grant": ", ".join(Grant._fields),
    "usage_outbox": f"{', '.join(USAGE_OUTBOX.columns)}, event_id",
}


class DiskFull(Exception):
    """What the n-th statement of a batch is made to raise."""


class FailingCursor:
    """A cursor whose n-th statement fails, before or after the database has done it."""

    def __init__(self, cursor: Cursor, fail_at: int, *, done_first: bool) -> None:
        self._cursor = cursor
        self._left = fail_at
        self._done_first = done_first

    @property
    def rowcount(self) -> int:
        return self._cursor.rowcount

    def execute(self, statement: Any, parameters: Any = (), /) -> Any:  # noqa: ANN401  # as the drivers have it
        return self._run(lambda: self._cursor.execute(statement, parameters))

    def executemany(self, statement: Any, rows: Any, /) -> Any:  # noqa: ANN401
        return self._run(lambda: self._cursor.executemany(statement, rows))

    def fetchone(self) -> Any:  # noqa: ANN401
        return self._cursor.fetchone()

    def fetchall(self) -> Any:  # noqa: ANN401
        return self._cursor.fetchall()

    def _run(self, statement: Callable[[], Any]) -> Any:  # noqa: ANN401
        self._left -= 1
        if self._left == 0:
            if self._done_first:
                statement()
            raise DiskFull
        return statement()


class World(Protocol):
    """One example's database. `prefix` begins the names of all that is in it."""

    now_us: int
    prefix: str
    batches: int  # so far, those that failed too

    def add(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None: ...
    def buy(self, grant: Grant) -> None: ...
    def take_back(self, grant_id: str, nanodollars: int) -> None: ...
    def change(self, table: str, name: str, column: str, value: object) -> None: ...
    def run(self, items: Sequence[Item], plans: Mapping[str, Plan]) -> list[Result]: ...
    def run_and_fail(
        self, items: Sequence[Item], plans: Mapping[str, Plan], fail_at: int, *, done_first: bool
    ) -> list[Result]: ...
    def rows(self, table: str) -> list[Row]: ...
    def due(self) -> list[Hold]: ...
    def sums_off(self) -> list[str]: ...
    def close(self) -> None: ...


class _World:
    """What both databases have in common."""

    def __init__(self, connection: Any, statements: Statements, prefix: str, mark: str) -> None:  # noqa: ANN401
        self.connection = connection
        self.prefix = prefix
        self.now_us = 0
        self.batches = 0
        self._statements = statements
        self._mark = mark

    def add(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        names, marks = ", ".join(rows[0]), ", ".join([self._mark] * len(rows[0]))
        insert = f"INSERT INTO {table} ({names}) VALUES ({marks})"
        self.connection.cursor().executemany(insert, [tuple(row.values()) for row in rows])
        self.connection.commit()

    def buy(self, grant: Grant) -> None:
        self.batches += 1
        names, marks = ", ".join(Grant._fields), ", ".join([self._mark] * (len(grant) + 2))
        insert = f"INSERT INTO credit_grant (source, pack, {names}) VALUES ({marks})"
        self.connection.execute(insert, (grant.id, "small", *grant))
        self.change("account", grant.account_id, "has_credit", 1)

    def take_back(self, grant_id: str, nanodollars: int) -> None:
        self.batches += 1
        sql = f"SELECT {COLUMNS['credit_grant']} FROM credit_grant WHERE id = {self._mark}"
        after = take_back(Grant(*self.connection.execute(sql, (grant_id,)).fetchone()), nanodollars)
        changed = ", ".join(f"{name}_back_nanodollars = {self._mark}" for name in ("taken", "due"))
        sums = (after.taken_back_nanodollars, after.due_back_nanodollars)
        self.connection.execute(f"UPDATE credit_grant SET {changed} WHERE id = {self._mark}", (*sums, grant_id))
        self.connection.commit()

    def change(self, table: str, name: str, column: str, value: object) -> None:
        self.connection.execute(f"UPDATE {table} SET {column} = {self._mark} WHERE id = {self._mark}", (value, name))
        self.connection.commit()

    def run(self, items: Sequence[Item], plans: Mapping[str, Plan]) -> list[Result]:
        results = self._transact(items, plans, lambda cursor: cursor)
        self.connection.commit()
        return results

    def run_and_fail(
        self, items: Sequence[Item], plans: Mapping[str, Plan], fail_at: int, *, done_first: bool
    ) -> list[Result]:
        """Where the batch has fewer statements, its commit fails; then there are results that never came to be."""
        try:
            return self._transact(items, plans, lambda cursor: FailingCursor(cursor, fail_at, done_first=done_first))
        except DiskFull:
            return []
        finally:
            self.connection.rollback()

    def _transact(
        self, items: Sequence[Item], plans: Mapping[str, Plan], wrap: Callable[[Cursor], Cursor]
    ) -> list[Result]:
        self.batches += 1
        cursor = self.connection.cursor()
        self._statements.begin(cursor)
        return run(items, wrap(cursor), self._statements, plans)

    def close(self) -> None:
        self.connection.close()


class SqliteWorld(_World):
    """A copy of a database that was migrated once."""

    def __init__(self) -> None:
        super().__init__(sqlite3.connect(":memory:", isolation_level=None), _SqliteClock(self), "", "?")
        _migrated().backup(self.connection)

    def rows(self, table: str) -> list[Row]:
        found: list[Row] = self.connection.execute(f"SELECT {COLUMNS[table]} FROM {table}").fetchall()
        return found

    def due(self) -> list[Hold]:
        [found] = self.run([Overdue()], {})
        assert isinstance(found, list)
        return found

    def sums_off(self) -> list[str]:
        return check_sums(self.connection)  # the model compares credit and the outbox row by row


@cache
def _migrated() -> sqlite3.Connection:
    memory = sqlite3.connect(":memory:", check_same_thread=False)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "migrated.db"
        database = Database(f"sqlite:///{path}")
        database.migrate()
        database.close()
        file = sqlite3.connect(path)
        file.backup(memory)
        file.close()
    return memory


class PostgresWorld(_World):
    """The one database of the session: usage rows cannot be deleted, so each example has accounts of its own."""

    examples = 0

    def __init__(self, url: str) -> None:
        PostgresWorld.examples += 1
        connection = psycopg.connect(url)
        connection.execute("SET synchronous_commit = off")  # nothing here dies
        super().__init__(connection, _PostgresClock(self), f"{PostgresWorld.examples:05d}-", "%s")

    def rows(self, table: str) -> list[Row]:
        return self._mine(f"SELECT {COLUMNS[table]} FROM {table} WHERE account_id LIKE %s", f"{self.prefix}%")

    def due(self) -> list[Hold]:
        sql = f"SELECT {COLUMNS['hold']} FROM hold WHERE account_id LIKE %s AND expires_us <= %s"
        return [Hold(*row) for row in self._mine(sql, f"{self.prefix}%", self.now_us)]

    def _mine(self, sql: str, *parameters: object) -> list[Row]:
        found: Iterable[Row] = self.connection.execute(sql, parameters)
        rows = list(found)
        self.connection.commit()
        return rows

    def sums_off(self) -> list[str]:
        found = check_sums(self.connection) + check_credit(self.connection)
        self.connection.commit()
        return found


class _SqliteClock(SqliteStatements):
    def __init__(self, world: SqliteWorld) -> None:
        self.__dict__.update(_sqlite().__dict__)
        self._world = world

    def lock(self, cursor: Cursor, digests: Sequence[str], account_ids: Sequence[str]) -> int:
        super().lock(cursor, digests, account_ids)
        return self._world.now_us


class _PostgresClock(PostgresStatements):
    def __init__(self, world: PostgresWorld) -> None:
        self.__dict__.update(_postgres().__dict__)
        self._world = world

    def lock(self, cursor: Cursor, digests: Sequence[str], account_ids: Sequence[str]) -> int:
        super().lock(cursor, digests, account_ids)
        return self._world.now_us


# The statements' texts are the same for each example, and building them costs more than an example.
_sqlite = cache(SqliteStatements)
_postgres = cache(PostgresStatements)
