"""Questions to a database that may be set up wrongly; the driver's own reason comes back as text."""

import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy import insert, select

from farebox.domain.errors import FounderError, LedgerUnavailable
from farebox.store.database import Database
from farebox.store.tables import note


class DatabaseTrouble(Exception):
    """What the driver says, in one line."""


class _TakenBack(Exception):
    """Rolls the trial back."""


def folder_lacks(path: Path) -> tuple[str, str] | None:
    """Why SQLite's file cannot be made where it is named, and what to do; None where it can."""
    folder = path.resolve().parent
    if not folder.is_dir():
        return f"there is no folder {folder}", "make it, or set FAREBOX_DATABASE_URL to a file in another one"
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        remedy = "let the user who runs farebox write there, or set FAREBOX_DATABASE_URL to a file elsewhere"
        return f"{folder} cannot be written to ({error.strerror})", remedy
    return None


def revision(database: Database) -> str | None:
    """The schema's revision, or None where there is none.

    Raises:
        FounderError: the database is one that cannot be used.
        DatabaseTrouble: the database cannot be asked.
    """
    with told():
        return database.revision()


def try_write(database: Database) -> None:
    """Write a row, and take it back.

    Raises:
        DatabaseTrouble: it cannot be written.
    """
    with told(), suppress(_TakenBack), database.write() as connection:
        connection.execute(insert(note).values(name=f"trial {uuid.uuid4()}", value=""))
        raise _TakenBack


def noted(database: Database, name: str) -> str | None:
    """A fact that is written down about the database.

    Raises:
        DatabaseTrouble: the database cannot be asked.
    """
    with told(), database.read() as connection:
        found: str | None = connection.execute(select(note.c.value).where(note.c.name == name)).scalar()
        return found


def now_us(database: Database) -> int:
    """The database's clock.

    Raises:
        DatabaseTrouble: the database cannot be asked.
    """
    with told(), database.read() as connection:
        return database.now_us(connection)


def connections_allowed(database: Database) -> int:
    """How many connections PostgreSQL allows at once, without those that it reserves.

    Raises:
        DatabaseTrouble: the database cannot be asked.
    """
    # PostgreSQL reserves the former for superusers, the latter (since 16) for members of pg_use_reserved_connections.
    sql = (
        "SELECT current_setting('max_connections')::int - sum(setting::int) FROM pg_settings"
        " WHERE name IN ('superuser_reserved_connections', 'reserved_connections')"
    )
    with told(), database.read() as connection:
        return int(connection.exec_driver_sql(sql).scalar_one())


@contextmanager
def told() -> Iterator[None]:
    """Turn whatever the driver raises into a DatabaseTrouble in the driver's own words.

    Raises:
        DatabaseTrouble: the block failed for another reason than a founder's mistake.
    """
    try:
        yield
    except FounderError:
        raise
    except LedgerUnavailable as error:
        raise DatabaseTrouble(_line(error.__cause__ or error)) from error
    except Exception as error:
        raise DatabaseTrouble(_line(error)) from error


def _line(error: BaseException) -> str:
    reason = getattr(error, "orig", None) or error
    return str(reason).strip().partition("\n")[0]
