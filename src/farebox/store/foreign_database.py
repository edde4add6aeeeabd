"""Whether a database may be brought up to date: it takes tables, and is empty, or a Farebox's no newer than this."""

import re
from typing import Final

from sqlalchemy import Connection, inspect

from farebox.domain.errors import FounderError
from farebox.store import tables_money, tables_people
from farebox.store.database import Database, read_revision
from farebox.store.migrations import HEAD

REVISION: Final = re.compile(r"\d{4}", re.ASCII)
OURS: Final = frozenset(tables_money.invoice.metadata.tables) | frozenset(tables_people.person.metadata.tables)
# What CREATE TABLE would need, as the role that asks.
ROOM: Final = """
SELECT quote_ident(current_user), quote_ident(current_schema()),
    current_setting('transaction_read_only') = 'on', has_schema_privilege(current_schema(), 'CREATE')"""
REMEDY: Final = "set FAREBOX_DATABASE_URL to a database of its own, or restore this one from a backup"


def foreign(database: Database) -> tuple[str, str] | None:
    """Why an existing database must not be brought up to date, and what to do; None where it may be.

    Raises:
        LedgerUnavailable: the database cannot be reached.
    """
    with database.read() as connection:  # one state of it: another process may be setting it up
        found = read_revision(connection.connection.cursor(), is_sqlite=database.is_sqlite)
        taken = sorted(OURS.intersection(inspect(connection).get_table_names())) if found is None else []
        lacking = None if database.is_sqlite else _lacking(connection)
    if taken:
        return (
            f"has a table {taken[0]!r} but no Farebox revision: it is another program's, or is damaged",
            REMEDY,
        )
    if found is None or (REVISION.fullmatch(found) and found <= HEAD):
        return lacking
    if REVISION.fullmatch(found):
        return f"is at revision {found}, of a newer Farebox", "install that version of Farebox"
    return f"is at revision {found!r}, which no Farebox has: it is another program's, or is damaged", REMEDY


def _lacking(connection: Connection) -> tuple[str, str] | None:
    role, schema, is_read_only, may_create = connection.exec_driver_sql(ROOM).one()
    if is_read_only:
        return "is read-only", "name the server that takes writes, or set its default_transaction_read_only to off"
    if schema is None:
        return "has no schema to make tables in", f"run: ALTER ROLE {role} SET search_path = public"
    if not may_create:
        remedy = f"as its owner, run: GRANT CREATE ON SCHEMA {schema} TO {role}"
        return f"lets the role {role} make no tables in its schema {schema}", remedy
    return None


def refuse_foreign(database: Database) -> None:
    """Refuse a database that is not to be brought up to date.

    Raises:
        FounderError: it is of a newer Farebox, or another program's, or damaged, or lets nobody make tables.
        LedgerUnavailable: the database cannot be reached.
    """
    found = foreign(database)
    if found is not None:
        raise FounderError("The database {}; {}.".format(*found))
