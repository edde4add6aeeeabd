"""Facts about the database itself."""

from contextlib import closing
from typing import Final
from uuid import uuid4

from farebox.store.database import Database
from farebox.store.own_connection import OwnConnection

READ: Final = "SELECT value FROM note WHERE name = ?"
WRITE: Final = "INSERT INTO note (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING"
REMOVE: Final = "DELETE FROM note WHERE name = ?"


def note_once(database: Database, name: str, value: str) -> str:
    """Write a fact down if there is none yet; what the database holds afterwards.

    Raises:
        LedgerUnavailable: the database cannot be reached or written to.
    """
    with closing(OwnConnection(database)) as own, own.cursor() as cursor:
        own.run(cursor, READ, name)
        found = cursor.fetchone()
        if found is None:
            own.write(cursor, WRITE, name, value)
            own.run(cursor, READ, name)
            found = cursor.fetchone()
    return str(found[0])


def try_write(database: Database) -> None:
    """Write something and take it away again.

    Raises:
        LedgerUnavailable: the database cannot be reached or written to.
    """
    name = f"trial {uuid4()}"
    with closing(OwnConnection(database)) as own, own.transaction() as cursor:
        own.run(cursor, WRITE, name, "")
        own.run(cursor, REMOVE, name)
