"""Whether a database may be brought up to date: it is empty, or a Farebox's that is no newer than this one."""

import re
from typing import Final

from sqlalchemy import inspect

from farebox.domain.errors import FounderError
from farebox.store import tables_money, tables_people
from farebox.store.database import Database, read_revision
from farebox.store.migrations import HEAD

REVISION: Final = re.compile(r"\d{4}", re.ASCII)
OURS: Final = frozenset(tables_money.invoice.metadata.tables) | frozenset(tables_people.person.metadata.tables)
REMEDY: Final = "set FAREBOX_DATABASE_URL to a database of its own, or restore this one from a backup"


def foreign(database: Database) -> tuple[str, str] | None:
    """Why an existing database must not be brought up to date, and what to do; None where it may be.

    Raises:
        LedgerUnavailable: the database cannot be reached.
    """
    with database.read() as connection:  # one state of it: another process may be setting it up
        found = read_revision(connection.connection.cursor(), is_sqlite=database.is_sqlite)
        taken = sorted(OURS.intersection(inspect(connection).get_table_names())) if found is None else []
    if taken:
        return (
            f"has a table {taken[0]!r} but no Farebox revision: it is another program's, or is damaged",
            REMEDY,
        )
    if found is None or (REVISION.fullmatch(found) and found <= HEAD):
        return None
    if REVISION.fullmatch(found):
        return f"is at revision {found}, of a newer Farebox", "install that version of Farebox"
    return f"is at revision {found!r}, which no Farebox has: it is another program's, or is damaged", REMEDY


def refuse_foreign(database: Database) -> None:
    """Refuse a database that is not to be brought up to date.

    Raises:
        FounderError: it is of a newer Farebox, or another program's, or damaged.
        LedgerUnavailable: the database cannot be reached.
    """
    found = foreign(database)
    if found is not None:
        raise FounderError("The database {}; {}.".format(*found))
