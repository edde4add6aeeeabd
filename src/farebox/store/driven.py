"""A connection of one's own to a database, by its driver alone: for what serving processes do beside the calls."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from farebox.store.cursor import Cursor, clock_us
from farebox.store.database import Database, unavailable


class Driven:
    """One connection, for one thread at a time; it is opened when it is needed, and again after an outage."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: Any = None
        self._one_at_a_time = threading.Lock()

    def close(self) -> None:
        """Close it, when nobody uses it."""
        with self._one_at_a_time:
            self._drop()

    @contextmanager
    def _cursor(self) -> Iterator[Cursor]:
        """A cursor whose statements are each a transaction.

        Raises:
            LedgerUnavailable: the database cannot be asked.
        """
        with self._one_at_a_time:
            try:
                if self._connection is None:
                    self._connection = self._database.connect()
                    if not self._database.is_sqlite:
                        self._connection.autocommit = True
                yield self._connection.cursor()
            except self._database.outages as error:
                self._drop()
                raise unavailable(error) from error
            except BaseException:
                self._drop()
                raise

    @contextmanager
    def _transaction(self) -> Iterator[Cursor]:
        """A cursor whose statements are one transaction that writes.

        Raises:
            LedgerUnavailable: the database cannot be asked.
        """
        with self._cursor() as cursor, self._database.writers_turn():
            cursor.execute("BEGIN IMMEDIATE" if self._database.is_sqlite else "BEGIN")
            yield cursor
            cursor.execute("COMMIT")

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(*self._database.outages):
                connection.close()

    def _now_us(self, cursor: Cursor) -> int:
        return clock_us(cursor, is_sqlite=self._database.is_sqlite)

    def _write(self, cursor: Cursor, statement: str, *values: object) -> bool:
        """One statement that writes; whether it changed a row."""
        with self._database.writers_turn():
            self._run(cursor, statement, *values)
            return cursor.rowcount > 0

    def _run(self, cursor: Cursor, statement: str, *values: object) -> None:
        cursor.execute(statement if self._database.is_sqlite else statement.replace("?", "%s"), values)
