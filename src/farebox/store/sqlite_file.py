"""The file of SQLite: its address, how it is made, and what lies beside it."""

import os
import sqlite3
from pathlib import Path, PurePath
from urllib.parse import quote

from farebox.domain.errors import FounderError


def address_of(absolute: PurePath) -> str:
    """The URI by which SQLite opens the file to read and write, but never makes it."""
    name = absolute.as_posix()
    root = "" if name.startswith("/") else "/"  # before the drive of Windows
    return f"file://{root}{quote(os.fsencode(name), safe='/:')}?mode=rw"


def has_data(path: Path) -> bool:
    """Whether it is there, and not empty."""
    return path.exists() and path.stat().st_size > 0


def log_of(path: Path) -> Path:
    """The file's -wal, whether it is there or not."""
    real = path.resolve()  # SQLite follows a link, and puts the -wal beside its target
    return real.with_name(f"{real.name}-wal")


def lost(path: Path) -> tuple[str, str] | None:
    """What is wrong if SQLite's -wal is there without its database, and what to do; None where nothing is wrong.

    The -wal may have the latest calls in it, and SQLite deletes it as soon as an empty database of that name is opened.
    """
    real, wal = path.resolve(), log_of(path)
    if not wal.exists() or has_data(real):
        return None
    wrong = f"{wal} is there, which may have the latest calls in it, and its database {real} is not"
    return wrong, f"put the database back; or, to start again without those calls, delete {wal.name} too"


def make(path: Path) -> None:
    """Make the file, empty, where there is none. Its writers' lock has to be held.

    Raises:
        FounderError: there is a -wal, whose calls would be lost.
        OSError: it cannot be made.
    """
    found = lost(path)
    if found is not None:
        raise FounderError("{}; {}.".format(*found))
    path.touch(0o644)  # as SQLite would make it


def copy_log(connection: sqlite3.Connection) -> None:
    """Copy all of the -wal to the database, flush that, and empty the -wal.

    Raises:
        sqlite3.OperationalError: it could not be done in the time that the connection waits; nothing is lost.
    """
    is_busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if is_busy:
        raise sqlite3.OperationalError("the log cannot be copied while others read from it")
