"""A copy of SQLite's file, whole and of one moment, while others write to it."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from uuid import uuid4

from farebox.domain.errors import FounderError
from farebox.store.database import Database


def back_up(database: Database, copy: Path) -> int:
    """Copy a database of SQLite's into a new file; its size in bytes, once all of it is on the disk.

    Raises:
        FounderError: there is such a file, or it cannot be written.
        Exception: one of the database's `outages`.
    """
    with closing(database.connect()) as source:
        try:
            os.close(os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))  # the name is taken from now on
        except FileExistsError:
            raise FounderError(f"{copy} is there already, and is left as it is; name a new file.") from None
        except OSError as error:
            raise FounderError(f"{copy} cannot be written ({error.strerror}); name a file elsewhere.") from None
        aside = copy.with_name(f"{copy.name}.{uuid4().hex}")
        try:
            _copy(source, aside)
            aside.replace(copy)  # so that half a copy never has its name
            _flush_folder(copy.absolute().parent)
        except (OSError, sqlite3.Error) as error:
            copy.unlink(missing_ok=True)
            raise FounderError(f"{copy} could not be written ({error}); make room there, or name another.") from None
        finally:
            aside.unlink(missing_ok=True)
    return copy.stat().st_size


def _copy(source: sqlite3.Connection, aside: Path) -> None:
    os.close(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    with closing(sqlite3.connect(aside)) as target:
        source.backup(target)  # in one step, and so of one moment; nobody waits for it
    file = os.open(aside, os.O_RDWR)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _flush_folder(folder: Path) -> None:
    if os.name == "posix":
        file = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)
