"""The schema: what the migrations make is what the tables say, on both databases, however they are started."""

import os
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from importlib import resources
from pathlib import Path
from typing import Final

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import BigInteger, CheckConstraint, Connection, LargeBinary, Table, Text, inspect

from farebox.domain.ledger import Hold, Meter, Outcome
from farebox.domain.people import Link, Mail, Member, Person, Session
from farebox.ports.calls import AccountRow, KeyRow
from farebox.store import database as database_module
from farebox.store.database import Database
from farebox.store.filelock import FileLock
from farebox.store.ledger.statements import HOLD, METER, ROLLUP_DAILY, USAGE_RECORD, Written
from farebox.store.migrations import HEAD
from farebox.store.tables import metadata
from farebox.store.tables_money import invoice
from farebox.store.tables_people import audit
from tests.contract.till import SECONDS_MAX
from tests.services.at_once import at_once
from tests.services.process import wait_until
from tests.services.sums import connect

assert audit.metadata is invoice.metadata is metadata  # the tables of people, and of money, are among all tables
TABLES: Final = {table.name: table for table in metadata.sorted_tables}
MIGRATE: Final = """
from farebox.store.database import Database
database = Database(sys.argv[1])
wait_for_all()
database.migrate()
database.close()
"""


def dump(database: Database) -> list[tuple[object, ...]]:
    """Everything that the database says of its own schema."""
    with database.read() as connection:
        if database.is_sqlite:
            found = connection.exec_driver_sql(
                "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY name, type"
            )
        else:
            found = connection.exec_driver_sql(
                "SELECT table_name, column_name, ordinal_position, data_type, is_nullable, column_default"
                " FROM information_schema.columns WHERE table_schema = 'public'"
                " UNION ALL SELECT conrelid::regclass::text, conname, 0, contype::text, pg_get_constraintdef(oid), ''"
                " FROM pg_constraint WHERE connamespace = 'public'::regnamespace"
                " UNION ALL SELECT tgrelid::regclass::text, tgname, 0, '', pg_get_triggerdef(oid), '' FROM pg_trigger"
                " WHERE NOT tgisinternal ORDER BY 1, 2, 3"
            )
        return [tuple(row) for row in found]


def _same_type(context: MigrationContext, *columns: object) -> bool | None:
    del context
    in_metadata, found = columns[-1], columns[-2]
    # SQLite's INTEGER is its 64-bit integer; there is no other.
    return False if isinstance(in_metadata, BigInteger) and str(found) == "INTEGER" else None


def differences(connection: Connection) -> list[object]:
    context = MigrationContext.configure(connection, opts={"compare_type": _same_type, "compare_server_default": True})
    return [change for change in compare_metadata(context, metadata) if "alembic_version" not in str(change)]


def test_a_migrated_database_is_what_the_tables_say(database: Database) -> None:
    with database.read() as connection:
        assert differences(connection) == []


@pytest.mark.parametrize(
    "change",
    [
        "DROP TABLE note",
        "CREATE TABLE more (id TEXT)",
        "ALTER TABLE note ADD COLUMN more TEXT",
        "ALTER TABLE meter RENAME COLUMN held_calls TO holding_calls",
        "CREATE UNIQUE INDEX one_name ON account (plan)",
    ],
)
def test_the_comparison_sees_a_schema_that_is_another(database: Database, change: str) -> None:
    with database.write() as connection:
        connection.exec_driver_sql(change)
    with database.read() as connection:
        assert differences(connection) != []


def test_keys_and_rules_of_every_table_are_in_the_database(database: Database) -> None:
    """What Alembic's comparison leaves out: primary keys, checks, and the order of the columns."""
    with database.read() as connection:
        found = inspect(connection)
        assert set(found.get_table_names()) == {*TABLES, "alembic_version"}
        for name, table in TABLES.items():
            columns, expected = [column["name"] for column in found.get_columns(name)], [c.name for c in table.columns]
            if name == "usage_record":  # the one table whose rows are longer than when it was made, and not at the end
                columns, expected = sorted(columns), sorted(expected)
            assert columns == expected
            assert found.get_pk_constraint(name)["constrained_columns"] == [c.name for c in table.primary_key]
            checks = {str(each["name"]) for each in found.get_check_constraints(name)}
            assert checks == {str(each.name) for each in table.constraints if isinstance(each, CheckConstraint)}


def test_sqlite_tables_are_strict_and_found_by_their_key(tmp_path_factory: pytest.TempPathFactory) -> None:
    database = Database(f"sqlite:///{tmp_path_factory.mktemp('strict')}/farebox.db")
    database.migrate()
    for kind, name, _, sql in dump(database):
        if kind == "table" and name in TABLES:
            assert str(sql).endswith("STRICT, WITHOUT ROWID")
    database.close()


def test_the_revision_that_a_process_looks_for_is_alembics_head(database: Database) -> None:
    config = Config()
    config.set_main_option("script_location", str(resources.files("farebox.store") / "migrations"))
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]
    assert database.revision() == HEAD


def test_an_empty_database_has_no_revision(empty_url: str) -> None:
    database = Database(empty_url)
    assert database.revision() is None
    database.close()


def test_migrating_again_changes_nothing(database: Database) -> None:
    with database.write() as connection:
        connection.exec_driver_sql("INSERT INTO note VALUES ('kept', 'value')")
    before = dump(database)
    database.migrate()
    assert dump(database) == before
    with database.read() as connection:
        assert connection.exec_driver_sql("SELECT * FROM note").fetchall() == [("kept", "value")]


def test_a_migration_that_fails_leaves_nothing_behind(empty_url: str) -> None:
    database = Database(empty_url)
    if database.path is not None:
        database.path.touch()
    with database.write() as connection:
        connection.exec_driver_sql("CREATE TABLE idempotency_expires (in_the_way TEXT)")
    before = dump(database)
    with pytest.raises(Exception) as failed:  # noqa: PT011  # each driver has an error of its own
        database.migrate()
    assert "idempotency_expires" in f"{failed.value!r} {failed.value.__cause__!r}"
    assert dump(database) == before
    assert database.revision() is None
    with database.write() as connection:
        connection.exec_driver_sql("DROP TABLE idempotency_expires")
    database.migrate()
    assert database.revision() == HEAD
    database.close()


def test_a_process_that_opens_a_new_database_waits_for_the_one_that_is_setting_it_up(tmp_path: Path) -> None:
    """The state that two first starts at once meet: the other one has the file's lock, and no WAL yet."""
    path = tmp_path / "farebox.db"
    begun = threading.Event()

    def set_up() -> None:
        turn = FileLock(path)
        with turn, closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            other.execute("CREATE TABLE first (id TEXT)")
            begun.set()
            time.sleep(0.2)
            other.execute("COMMIT")
        turn.close()

    with ThreadPoolExecutor() as pool, closing(Database(f"sqlite:///{path}")) as database:
        done = pool.submit(set_up)
        assert begun.wait(SECONDS_MAX)
        assert database.revision() is None
        done.result()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root makes files for others")
def test_the_lock_that_root_makes_belongs_to_the_owner_of_the_database(tmp_path: Path) -> None:
    path = tmp_path / "farebox.db"
    with closing(Database(f"sqlite:///{path}")) as database:
        database.migrate()
        lock = Path(f"{path}.lock")
        lock.unlink()
        os.chown(path, 65_534, 65_533)
    with closing(Database(f"sqlite:///{path}")) as database, database.writers_turn():
        assert (lock.stat().st_uid, lock.stat().st_gid) == (65_534, 65_533)


def test_four_processes_that_migrate_at_once_all_succeed(empty_url: str) -> None:
    at_once(4, MIGRATE, empty_url)
    database = Database(empty_url)
    with database.read() as connection:
        assert differences(connection) == []
        assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").fetchall() == [(HEAD,)]
    database.close()


def test_a_migration_waits_for_another_one_as_long_as_that_takes(
    empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(empty_url)
    if database.is_sqlite:
        pytest.skip("SQLite's writers take turns")
    monkeypatch.setattr(database_module, "POSTGRES_BEGIN", database_module.POSTGRES_BEGIN.replace("'2s'", "'0.05s'"))
    with closing(connect(empty_url)) as other, ThreadPoolExecutor(1) as pool:
        other.execute("SELECT pg_advisory_lock(%s)", (database_module.MIGRATION_LOCK,))
        migrating = pool.submit(database.migrate)
        waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        wait_until(lambda: other.execute(waiting).fetchone() == (1,), "the wait")
        time.sleep(0.2)
        other.execute("SELECT pg_advisory_unlock_all()")
        migrating.result(30)
    assert database.revision() == HEAD
    database.close()


# -- What is written without SQLAlchemy


@pytest.mark.parametrize("written", [METER, HOLD, USAGE_RECORD, ROLLUP_DAILY], ids=lambda written: written.name)
def test_the_ledgers_statements_know_each_column_in_its_place(written: Written) -> None:
    table = TABLES[written.name]
    assert dict(written.columns) == columns_of(table)
    assert list(written.columns) == list(columns_of(table))
    assert written.key in {(), tuple(column.name for column in table.primary_key)}


def columns_of(table: Table) -> dict[str, str]:
    names = {BigInteger: "bigint", Text: "text", LargeBinary: "bytea"}
    return {column.name: names[type(column.type)] for column in table.columns}


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("account", AccountRow._fields),
        ("api_key", KeyRow._fields),
        ("meter", Meter._fields),
        ("hold", Hold._fields),
        ("usage_record", Hold._fields + Outcome._fields),
        ("person", Person._fields),
        ("member", Member._fields),
        ("session", Session._fields),
        ("link", Link._fields),
        ("mail", Mail._fields),
    ],
)
def test_a_row_is_a_tuple_of_its_tables_columns(name: str, fields: tuple[str, ...]) -> None:
    assert tuple(columns_of(TABLES[name])) == fields
