"""A copy of SQLite's file, whole and of one moment, while others write to it."""

import errno
import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from uuid import uuid4

from farebox.domain.errors import FounderError
from farebox.store.database import Database


def back_up(database: Database, copy: Path) -> int:
    """Copy a database of SQLite's into a new file; its size in bytes, once all of it is on the disk.

    A folder that is not there is made, for the owner alone, if the one that it belongs in is there.

    Raises:
        FounderError: there is such a file, or it cannot be written.
        Exception: one of the database's `outages`.
    """
    _make_folder(copy.parent)
    aside = copy.with_name(f"{copy.name}.{uuid4().hex}")
    with closing(database.connect()) as source:
        try:
            _refuse_taken(copy)
            _copy(source, aside)
            _give_name(aside, copy)
        except FileExistsError:
            raise FounderError(f"{copy} already exists, and was not changed; name a new file.") from None
        except (OSError, sqlite3.Error) as error:
            why = getattr(error, "strerror", None) or error
            advice = "make room there, or name another file" if _is_full(error) else "name another file"
            raise FounderError(f"{copy} could not be written ({why}); {advice}.") from None
        finally:
            aside.unlink(missing_ok=True)
    _flush_folder(copy.absolute().parent)
    return copy.stat().st_size


def _refuse_taken(copy: Path) -> None:
    if os.path.lexists(copy):
        raise FileExistsError(copy)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except FileNotFoundError:
        raise FounderError(f"There is no folder {folder}; make it (mkdir -p {folder}), or name another file.") from None
    except OSError as error:
        raise FounderError(f"The folder {folder} could not be made ({error.strerror}); name another file.") from None


def _is_full(error: OSError | sqlite3.Error) -> bool:
    if isinstance(error, OSError):
        return error.errno in {errno.ENOSPC, errno.EDQUOT}
    return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL


def _give_name(aside: Path, copy: Path) -> None:
    """Give the whole copy its name, without replacing another file."""
    try:
        copy.hardlink_to(aside)
    except FileExistsError:
        raise
    except OSError:  # a disk that has no links
        _refuse_taken(copy)
        aside.rename(copy)


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
    """Flush the copy's name to disk as well, if the system can do that for a folder."""
    if os.name == "posix":
        with suppress(OSError):
            file = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(file)
            finally:
                os.close(file)
