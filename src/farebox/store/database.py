"""One database, SQLite or PostgreSQL: how to connect, what differs, and its migrations.

The ledger uses the driver itself. SQLAlchemy and Alembic are loaded by what needs them (accounts, reports,
migrations), because they take as much memory as all the rest of a serving process.
"""

import logging
import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from functools import cached_property
from importlib import resources
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

from farebox.domain.errors import FounderError, InvalidRequest, LedgerUnavailable
from farebox.store import sqlite_file
from farebox.store.cursor import NOW
from farebox.store.filelock import FileLock
from farebox.store.migrations import HEAD

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine
    from sqlalchemy.engine import ExceptionContext

log = logging.getLogger("farebox.database")

SQLITE_BUSY_SECONDS: Final = 10
SQLITE_CACHE_KIB: Final = 1024
SQLITE_WAL_BYTES: Final = 8 * 1024**2  # twice what it has while calls are written
MEMORY: Final = ":memory:"
NUL: Final = "What you sent has a character that is not allowed: NUL (%00). Leave it out, or open the page again."
POSTGRES_CONNECT: Final[dict[str, int | str]] = {
    "connect_timeout": 3,  # seconds
    "tcp_user_timeout": 5_000,  # milliseconds: a network that swallows everything is an outage
    "keepalives_idle": 10,
    "client_encoding": "utf8",
}
CANCEL_SECONDS_MAX: Final = 1.0
LOCK_TIMED_OUT: Final = "55P03"  # PostgreSQL's
# What PostgreSQL calls it where a statement cannot be done as the database is: that is no mistake of the caller's.
REFUSALS: Final = ("InsufficientPrivilege", "UndefinedTable", "UndefinedColumn", "FeatureNotSupported")
ENCODING: Final = "UTF8"
# Of a machine that is lost in the middle of a transaction PostgreSQL hears nothing for hours, and keeps its locks.
IDLE: Final = "SET LOCAL idle_in_transaction_session_timeout = '10s'"
# Nor is a row waited for without end that somebody else keeps locked: it would hold up what comes after it.
POSTGRES_BEGIN: Final = f"BEGIN ISOLATION LEVEL READ COMMITTED; {IDLE}; SET LOCAL lock_timeout = '2s'"
POSTGRES_BEGIN_READING: Final = f"BEGIN ISOLATION LEVEL REPEATABLE READ; {IDLE}"
POOL_SIZE: Final = 5
POOL_OVERFLOW: Final = 10
CONNECTIONS_MAX: Final = POOL_SIZE + POOL_OVERFLOW + 8
"""Of one serving process, when all its pages are asked for at once: the pool's, the ledger's, each outbox's own."""
MIGRATION_LOCK: Final = 7_240_911  # any number that no other use of the server's advisory locks takes
BEGINS: Final = "farebox_begins"


class Database:
    """A database by its URL. Opening it connects to nothing yet.

    Args:
        url: `sqlite:///file.db` or `postgresql://user:password@host/name`.

    Raises:
        FounderError: the URL is not one of these.
    """

    def __init__(self, url: str) -> None:
        scheme = url.partition("://")[0].partition("+")[0]
        if scheme not in {"sqlite", "postgresql", "postgres"}:
            raise FounderError(
                "FAREBOX_DATABASE_URL is not a database that Farebox knows. Write sqlite:///farebox.db or "
                "postgresql://user:password@host/name."
            )
        self.is_sqlite = scheme == "sqlite"
        rest = url.partition("://")[2]
        self.is_memory = self.is_sqlite and rest.removeprefix("/") in {"", MEMORY}
        """Whether the data lives in this process only."""
        self.path = Path(rest.removeprefix("/")) if self.is_sqlite and not self.is_memory else None
        self._driver: ModuleType = sqlite3
        self._conninfo: dict[str, Any] = {}
        if not self.is_sqlite:
            self._driver, conninfo = _psycopg(f"postgresql://{rest}")
            self._conninfo = POSTGRES_CONNECT | conninfo  # what the URL says itself goes first
        self.outages: tuple[type[Exception], ...] = (
            self._driver.OperationalError,
            self._driver.InterfaceError,
            self._driver.InternalError,  # PostgreSQL's class 25: read-only after a failover, timed out in a transaction
            OSError,
        )
        """What the driver raises while the database cannot be reached or written to."""
        if not self.is_sqlite:
            self.outages += tuple(getattr(self._driver.errors, name) for name in REFUSALS)
        self.lock = FileLock(self.path) if self.path else None
        """Of those who write to a file of SQLite; None elsewhere."""
        # A database in memory lives as long as one connection to it.
        self._anchor = self.connect() if self.is_memory else None

    @property
    def name(self) -> str:
        """The database as it may be shown: without its password."""
        if self.is_sqlite:
            return str(self.path or MEMORY)
        return f"{self._conninfo.get('host', 'localhost')}/{self._conninfo.get('dbname', '')}"

    # -- The driver ----------------------------------------------------------------------------------------------

    @property
    def begins(self) -> str:
        """What begins a transaction that writes, on a cursor of the driver's."""
        return "BEGIN IMMEDIATE" if self.is_sqlite else POSTGRES_BEGIN

    def connect(self, *, busy_seconds: float = SQLITE_BUSY_SECONDS) -> Any:  # noqa: ANN401  # of either driver
        """A driver's connection, outside SQLAlchemy. On SQLite it waits so long for who has locked the file.

        Each statement commits by itself, but between `begins` and a COMMIT. Nothing may be set for the connection, and
        nothing is prepared on it: a pooler may give each transaction another connection of PostgreSQL's.
        It never makes the file: a new one in the place of one that is away would cost the calls in its -wal.

        Raises:
            Exception: one of `outages`.
        """
        if not self.is_sqlite:
            return self._driver.connect(**self._conninfo, autocommit=True, prepare_threshold=None)
        target = f"file:farebox-{id(self)}?mode=memory&cache=shared"
        if self.path is not None:
            if sqlite_file.lost(self.path) is not None:
                raise sqlite3.OperationalError("the database's file is away, and its -wal is there")
            target = sqlite_file.address_of(self.path.absolute())
        # A connection is closed on another thread than it was opened on.
        connection = sqlite3.connect(
            target, timeout=busy_seconds, isolation_level=None, check_same_thread=False, uri=True
        )
        try:
            self._set_up(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _set_up(self, connection: sqlite3.Connection) -> None:
        if connection.execute("PRAGMA journal_mode").fetchone()[0] == "delete":
            with self.writers_turn():  # SQLite refuses the switch at once while another process is writing
                connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute(f"PRAGMA cache_size = -{SQLITE_CACHE_KIB}")
        connection.execute(f"PRAGMA journal_size_limit = {SQLITE_WAL_BYTES}")  # or its -wal never shrinks again

    def file_id(self) -> tuple[int, int] | None:
        """Which file SQLite's is, as the system numbers it; None where there is none."""
        with suppress(FileNotFoundError):
            if self.path is not None:
                found = self.path.stat()
                return found.st_dev, found.st_ino
        return None

    def interrupt(self, connection: Any, *, cancels: bool = True) -> None:  # noqa: ANN401
        """Make whoever waits on the driver's connection fail now; may be called from another thread.

        If it `cancels`, the server is told too, which takes a second where it does not answer: while it waits for a
        lock it does not notice that its caller has gone, and keeps the locks that it has.
        """
        if self.is_sqlite:
            connection.interrupt()
            return
        if cancels:
            with suppress(*self.outages):
                connection.cancel_safe(timeout=CANCEL_SECONDS_MAX)
        with suppress(*self.outages):  # it is lost, or closed, meanwhile
            wire = socket.socket(fileno=connection.pgconn.socket)
            try:
                wire.shutdown(socket.SHUT_RDWR)
            finally:
                wire.detach()  # the connection's own: the driver closes it

    def writers_turn(self) -> AbstractContextManager[None]:
        """A turn to write: on SQLite one process at a time, in a fair order; elsewhere at once."""
        return self.lock or nullcontext()

    # -- SQLAlchemy ----------------------------------------------------------------------------------------------

    @cached_property
    def engine(self) -> "Engine":
        """SQLAlchemy over the same connections."""
        from sqlalchemy import create_engine, event, pool  # noqa: PLC0415  # see the top

        if self.is_sqlite:
            # One connection stays open: to open a file and read its schema takes longer than what a page asks of it.
            engine = create_engine(
                "sqlite://", creator=self.connect, poolclass=pool.QueuePool, pool_size=1, max_overflow=-1,
                hide_parameters=True,
            )  # fmt: skip
        else:
            engine = create_engine(
                "postgresql+psycopg://", creator=self.connect, pool_pre_ping=True, hide_parameters=True,
                pool_size=POOL_SIZE, max_overflow=POOL_OVERFLOW,
            )  # fmt: skip
            event.listen(engine, "handle_error", self._let_go)
        event.listen(engine, "begin", _begin)
        return engine

    @contextmanager
    def write(self) -> "Iterator[Connection]":
        """A transaction that writes.

        Raises:
            LedgerUnavailable: the database cannot be reached or written to.
            InvalidRequest: it was asked for, or given, a text with a NUL.
        """
        with (
            self._as_unavailable(),
            self.writers_turn(),
            self.engine.connect().execution_options(**{BEGINS: self.begins}) as connection,
            connection.begin(),
        ):
            yield connection

    @contextmanager
    def read(self) -> "Iterator[Connection]":
        """A transaction that reads one consistent state of the whole database.

        Raises:
            LedgerUnavailable: the database cannot be reached.
            InvalidRequest: it was asked for a text with a NUL.
        """
        begins = "BEGIN" if self.is_sqlite else POSTGRES_BEGIN_READING
        with (
            self._as_unavailable(),
            self.engine.connect().execution_options(**{BEGINS: begins}) as connection,
            connection.begin(),
        ):
            yield connection

    def _let_go(self, context: "ExceptionContext") -> None:
        """Keep no connection of the time of an outage: read-only then, it stays so, and answers the pool's ping."""
        is_row_locked = getattr(context.original_exception, "sqlstate", None) == LOCK_TIMED_OUT
        if isinstance(context.original_exception, self.outages) and not is_row_locked:
            context.is_disconnect = True

    @contextmanager
    def _as_unavailable(self) -> Iterator[None]:
        from sqlalchemy.exc import DBAPIError  # noqa: PLC0415  # see the top
        from sqlalchemy.exc import TimeoutError as NoneFree  # noqa: PLC0415  # of the pool's connections

        try:
            yield
        except self.outages as error:
            raise unavailable(error) from error
        except NoneFree as error:
            raise unavailable(error) from error
        except DBAPIError as error:
            if isinstance(error.orig, self.outages) or error.connection_invalidated:
                raise unavailable(error.orig or error) from error
            # A text with a NUL, which PostgreSQL has none of. SQLite has, and there nothing is found by it.
            if isinstance(error.orig, self._driver.DataError) and "NUL" in str(error.orig):
                raise InvalidRequest(NUL) from error
            raise

    def now_us(self, connection: "Connection") -> int:
        """The ledger's clock: PostgreSQL's own, so that all machines agree; with SQLite this machine's."""
        if self.is_sqlite:
            return time.time_ns() // 1000
        asked = connection.exec_driver_sql(NOW)
        return int(asked.scalar_one())

    # -- The schema ----------------------------------------------------------------------------------------------

    def revision(self) -> str | None:
        """The schema's revision as the database has it, or None where it has none.

        Raises:
            FounderError: the database cannot keep texts of all languages.
            LedgerUnavailable: the database cannot be reached.
        """
        try:
            if self.path is not None and not self.path.exists():
                return None
            with closing(self.connect()) as connection:
                if not self.is_sqlite:
                    _refuse_encoding(connection.execute("SHOW server_encoding").fetchone()[0])
                return read_revision(connection.cursor(), is_sqlite=self.is_sqlite)
        except self.outages as error:
            raise unavailable(error) from error

    def migrate(self) -> None:
        """Bring the schema up to date. Safe to run again, and by several processes at once.

        Raises:
            FounderError: it is not this Farebox's to do, or a file of SQLite's is away whose -wal is there.
            LedgerUnavailable: the database cannot be reached or written to.
        """
        self._make_file()
        if self.revision() == HEAD:
            return
        from alembic import command  # noqa: PLC0415  # see the top
        from alembic.config import Config  # noqa: PLC0415

        from farebox.store.foreign_database import refuse_foreign  # noqa: PLC0415

        refuse_foreign(self)
        config = Config()
        config.set_main_option("script_location", str(resources.files("farebox.store") / "migrations"))
        with self.write() as connection:
            if not self.is_sqlite:
                # It waits for another process's migration, and for the tables, as long as these take.
                connection.exec_driver_sql("SET LOCAL lock_timeout = 0")
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    def _make_file(self) -> None:
        try:
            if self.path is not None and not sqlite_file.has_data(self.path):
                with self.writers_turn():
                    sqlite_file.make(self.path)
        except OSError as error:
            raise unavailable(error) from error

    def close(self) -> None:
        if "engine" in self.__dict__:
            self.engine.dispose()
        if self._anchor is not None:
            self._anchor.close()
        if self.lock is not None:
            self.lock.close()


def read_revision(cursor: Any, *, is_sqlite: bool) -> str | None:  # noqa: ANN401
    """The schema's revision, read on a driver's cursor."""
    known = "SELECT max(name) FROM sqlite_master WHERE name = 'alembic_version'"
    cursor.execute(known if is_sqlite else "SELECT to_regclass('alembic_version')")
    if cursor.fetchone()[0] is None:
        return None
    cursor.execute("SELECT version_num FROM alembic_version")
    row = cursor.fetchone()
    return None if row is None else str(row[0])


def _refuse_encoding(encoding: str) -> None:
    if encoding != ENCODING:
        raise FounderError(
            f"The database's encoding is {encoding}, which cannot keep every name. Set FAREBOX_DATABASE_URL to a new "
            f"one: CREATE DATABASE farebox ENCODING '{ENCODING}' TEMPLATE template0."
        )


def give_up(connection: Any) -> None:  # noqa: ANN401  # of either driver
    """Close a driver's connection, dead or not, with what it has not committed."""
    try:
        # A cursor that an error's traceback keeps alive would keep SQLite's lock, past the close.
        connection.rollback()
        connection.close()
    except Exception as error:  # noqa: BLE001  # it is dead already
        log.debug("closing a dead connection: %r", error)


def unavailable(error: BaseException) -> LedgerUnavailable:
    """The error that a customer may see; what the driver said stays in its cause."""
    refused = LedgerUnavailable("The service cannot record calls right now. Try again shortly.", retry_after_seconds=2)
    refused.is_row_locked = getattr(error, "sqlstate", None) == LOCK_TIMED_OUT
    refused.__cause__ = error
    return refused


def _psycopg(url: str) -> tuple[ModuleType, dict[str, Any]]:
    import psycopg  # noqa: PLC0415  # 9 MB that a process on SQLite does not need
    from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415

    try:
        return psycopg, conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        known = {option.keyword.decode() for option in psycopg.pq.Conninfo.get_defaults()}
        query = url.partition("?")[2]
        unknown = [name for name, _ in parse_qsl(query) if name not in known]
        if unknown and "@" not in query:  # or it is the rest of a password
            named = ", ".join(unknown)
            raise FounderError(f"FAREBOX_DATABASE_URL has {named}, which is not PostgreSQL's: leave it out.") from None
        # The driver's own words would show a part of the password.
        raise FounderError(
            "FAREBOX_DATABASE_URL cannot be read. Write postgresql://user:password@host/name, and a password with "
            "one of % / @ : ? # percent-encoded, as %25 for %."
        ) from None


def _begin(connection: "Connection") -> None:
    connection.exec_driver_sql(connection.get_execution_options().get(BEGINS, "BEGIN"))
