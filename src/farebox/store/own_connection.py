"""The driver's own connections of work beside the calls: kept open for what is done again and again, else brief."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from typing import Any

from farebox.store.cursor import Cursor, clock_us
from farebox.store.database import Database, unavailable


class Connected(ABC):
    """What is done by statements, with a connection of either kind."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @abstractmethod
    def cursor(self) -> AbstractContextManager[Cursor]: ...

    @contextmanager
    def transaction(self) -> Iterator[Cursor]:
        """Several statements that write; what fails takes all of them back."""
        with self.cursor() as cursor, self._writing(cursor):
            yield cursor

    def now_us(self, cursor: Cursor) -> int:
        return clock_us(cursor, is_sqlite=self._database.is_sqlite)

    def run(self, cursor: Cursor, statement: str, *values: object) -> None:
        cursor.execute(statement if self._database.is_sqlite else statement.replace("?", "%s"), values)

    @contextmanager
    def _writing(self, cursor: Cursor) -> Iterator[None]:
        with self._database.writers_turn():
            cursor.execute(self._database.begins)
            yield
            cursor.execute("COMMIT")


class OwnConnection(Connected):
    """A connection for one thread at a time. Each statement commits by itself, but those of a transaction.

    Raises:
        LedgerUnavailable: the database cannot be asked; the next use connects again.
    """

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.skip_locked = "" if database.is_sqlite else " FOR UPDATE SKIP LOCKED"
        """The end of a SELECT whose rows are written to, but not those that somebody else is writing to."""
        self._connection: Any = None
        self._one_at_a_time = threading.Lock()

    @contextmanager
    def cursor(self) -> Iterator[Cursor]:
        with self._one_at_a_time:
            try:
                self._let_go_if_dead()
                if self._connection is None:
                    self._connection = self._database.connect()
                yield self._connection.cursor()
            except self._database.outages as error:
                self._drop()
                raise unavailable(error) from error
            except BaseException:
                self._drop()
                raise

    def write(self, cursor: Cursor, statement: str, *values: object) -> int:
        """How many rows it wrote, in a transaction of its own: a statement alone takes the role's isolation."""
        with self._writing(cursor):
            self.run(cursor, statement, *values)
            written: int = cursor.rowcount
        return written

    def close(self) -> None:
        with self._one_at_a_time:
            self._drop()

    def _let_go_if_dead(self) -> None:
        """PostgreSQL, or what is before it, may have hung up while nothing was asked: that is no outage."""
        if self._connection is not None and not self._database.is_sqlite:
            try:
                self._connection.execute("SELECT 1")
            except self._database.outages:
                self._drop()

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(*self._database.outages):
                connection.close()


class BriefConnection(Connected):
    """A connection for each use, on any thread. Each statement commits by itself, but those of a transaction.

    Raises:
        LedgerUnavailable: the database cannot be asked.
    """

    @contextmanager
    def cursor(self) -> Iterator[Cursor]:
        try:
            with closing(self._database.connect()) as connection:
                cursor: Any = connection.cursor()
                yield cursor
        except self._database.outages as error:
            raise unavailable(error) from error
