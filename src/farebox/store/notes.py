"""Facts about the database itself."""

from contextlib import closing
from typing import Final

from farebox.store.database import Database, unavailable

READ: Final = "SELECT value FROM note WHERE name = ?"
WRITE: Final = "INSERT INTO note (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING"


def note_once(database: Database, name: str, value: str) -> str:
    """Write a fact down if there is none yet; what the database holds afterwards.

    Raises:
        LedgerUnavailable: the database cannot be reached or written to.
    """
    mark = "?" if database.is_sqlite else "%s"
    try:
        with closing(database.connect()) as connection:
            cursor = connection.cursor()
            cursor.execute(READ.replace("?", mark), (name,))
            found = cursor.fetchone()
            if found is None:
                cursor.execute(WRITE.replace("?", mark), (name, value))
                cursor.execute(READ.replace("?", mark), (name,))
                found = cursor.fetchone()
                connection.commit()
    except database.outages as error:
        raise unavailable(error) from error
    return str(found[0])
