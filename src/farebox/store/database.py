"""One database, SQLite or PostgreSQL: how to connect, what differs, and its migrations."""

import os
import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib import resources
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

from farebox.domain.errors import FounderError, LedgerUnavailable
from farebox.store.filelock import FileLock
from farebox.store.migrations import HEAD

SQLITE_BUSY_SECONDS: Final = 10
POSTGRES_CONNECT: Final[dict[str, int | str]] = {
    "connect_timeout": 3,  # seconds
    "tcp_user_timeout": 5_000,  # milliseconds: a network that swallows everything is an outage
    "keepalives_idle": 10,
    "options": "-c synchronous_commit=on",  # an answer is sent only for what is on the disk
}
MIGRATION_LOCK: Final = 7_240_911  # any number that no other use of the server's advisory locks takes


class Database:
    """A database by its URL. Opening it connects to nothing yet.

    Args:
        url: `sqlite:///file.db` or `postgresql://user:password@host/name`.

    Raises:
        FounderError: the URL is not one of these.
    """

    def __init__(self, url: str) -> None:
        self.url = _read_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.path = Path(self.url.database or "") if self.is_sqlite else None
        self._lock: AbstractContextManager[None] = nullcontext()
        if self.is_sqlite:
            self.engine = create_engine(self.url, connect_args={"timeout": SQLITE_BUSY_SECONDS})
            if not self.is_memory:
                self._lock = FileLock(Path(f"{self.path}.lock"))
        else:
            # 'format' gives positional parameters, so that rows are written as they are.
            self.engine = create_engine(
                self.url, paramstyle="format", pool_pre_ping=True, connect_args=POSTGRES_CONNECT
            )
        dbapi: Any = self.engine.dialect.dbapi
        self.outages: tuple[type[Exception], ...] = (dbapi.OperationalError, dbapi.InterfaceError, OSError)
        if self.is_sqlite:
            event.listen(self.engine, "connect", _prepare_sqlite)
        event.listen(self.engine, "begin", self._begin)

    @property
    def is_memory(self) -> bool:
        """Whether the data lives in this process only."""
        return self.is_sqlite and (self.url.database or ":memory:") == ":memory:"

    def _begin(self, connection: Connection) -> None:
        if self.is_sqlite:
            writes = connection.get_execution_options().get("writes", False)
            connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    def open_raw(self) -> PoolProxiedConnection:
        """A driver's connection, to be kept; `invalidate` gives it up.

        Raises:
            LedgerUnavailable: the database cannot be reached.
        """
        with _as_unavailable():
            return self.engine.raw_connection()

    def interrupt(self, connection: PoolProxiedConnection) -> None:
        """Make whoever waits on the connection fail now; may be called from another thread."""
        driver: Any = connection.driver_connection
        if self.is_sqlite:
            driver.interrupt()
            return
        with socket.socket(fileno=os.dup(driver.pgconn.socket)) as wire:
            wire.shutdown(socket.SHUT_RDWR)

    def writers_turn(self) -> AbstractContextManager[None]:
        """A turn to write: on SQLite one process at a time, in a fair order; elsewhere at once."""
        return self._lock

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that writes.

        Raises:
            LedgerUnavailable: the database cannot be reached or written to.
        """
        with (
            _as_unavailable(),
            self.writers_turn(),
            self.engine.connect().execution_options(writes=True) as connection,
            connection.begin(),
        ):
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that reads one consistent state of the whole database.

        Raises:
            LedgerUnavailable: the database cannot be reached.
        """
        with _as_unavailable(), self.engine.connect() as connection:
            if not self.is_sqlite:
                connection.execution_options(isolation_level="REPEATABLE READ")
            with connection.begin():
                yield connection

    def now_us(self, connection: Connection) -> int:
        """The ledger's clock: PostgreSQL's own, so that all machines agree; with SQLite this machine's."""
        if self.is_sqlite:
            return time.time_ns() // 1000
        return int(connection.execute(text("SELECT extract(epoch FROM clock_timestamp()) * 1000000")).scalar_one())

    def revision(self) -> str | None:
        """The schema's revision as the database has it, or None where it has none."""
        with self.read() as connection:
            has_table = connection.dialect.has_table(connection, "alembic_version")
            if not has_table:
                return None
            found: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
            return found

    def migrate(self) -> None:
        """Bring the schema up to date. Safe to run again, and by several processes at once."""
        if self.revision() == HEAD:
            return
        from alembic import command  # noqa: PLC0415  # 10 MB that a serving process does not need
        from alembic.config import Config  # noqa: PLC0415

        config = Config()
        config.set_main_option("script_location", str(resources.files("farebox.store") / "migrations"))
        with self.write() as connection:
            if not self.is_sqlite:
                connection.execute(text(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    def close(self) -> None:
        self.engine.dispose()


@contextmanager
def _as_unavailable() -> Iterator[None]:
    try:
        yield
    except (OperationalError, OSError) as error:
        raise unavailable(error) from error
    except DBAPIError as error:
        if error.connection_invalidated:
            raise unavailable(error) from error
        raise


def unavailable(error: BaseException) -> LedgerUnavailable:
    """The error that a customer may see; what the driver said stays in its cause."""
    refused = LedgerUnavailable("The service cannot record calls right now. Try again shortly.", retry_after_seconds=2)
    refused.__cause__ = error
    return refused


def _read_url(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError:
        parsed = None
    names = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}
    driver = names.get(parsed.drivername.partition("+")[0]) if parsed else None
    if parsed is None or driver is None:
        raise FounderError(
            "FAREBOX_DATABASE_URL is not a database that Farebox knows. Write sqlite:///farebox.db or "
            "postgresql://user:password@host/name."
        )
    return parsed.set(drivername=driver)


def _prepare_sqlite(connection: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # Farebox begins its transactions itself
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
