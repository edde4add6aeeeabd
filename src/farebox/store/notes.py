"""Facts about the database itself."""

from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError

from farebox.store.database import Database
from farebox.store.tables import note


def note_once(database: Database, name: str, value: str) -> str:
    """Write a fact down if there is none yet; what the database holds afterwards."""
    known = select(note.c.value).where(note.c.name == name)
    with database.read() as connection:
        found: str | None = connection.execute(known).scalar()
    if found is not None:
        return found
    try:
        with database.write() as connection:
            connection.execute(insert(note).values(name=name, value=value))
    except IntegrityError:  # another process was first
        return note_once(database, name, value)
    return value
