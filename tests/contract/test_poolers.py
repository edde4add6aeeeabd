"""What each transaction brings, as a pooler in transaction mode may give each another connection of PostgreSQL's."""

from collections.abc import Iterator
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection

from farebox.store.database import Database
from farebox.store.ledger.statements import POSTGRES_BEGIN_BATCH, PREPARE_AFTER, PostgresStatements
from farebox.store.own_connection import OwnConnection
from farebox.store.reconcile.findings import Finding
from farebox.store.reconcile.sums import reconcile

PREPARED = "SELECT name, statement FROM pg_prepared_statements"
SET_HERE = "SELECT name, setting FROM pg_settings WHERE source = 'session'"
IDLE_FOR = "SHOW idle_in_transaction_session_timeout"
ISOLATION = "current_setting('transaction_isolation')"
MANY = range(2 * PREPARE_AFTER)


@pytest.fixture
def database(migrated_pg_url: str) -> Iterator[Database]:
    with closing(Database(migrated_pg_url)) as opened:
        yield opened


def test_nothing_is_prepared_or_set_on_a_connection(database: Database) -> None:
    for _ in MANY:
        with database.write() as connection:
            connection.exec_driver_sql("SELECT name FROM note WHERE name = %s", ("",))
        with database.read() as connection:
            connection.exec_driver_sql("SELECT name FROM note WHERE name = %s", ("",))
    with database.engine.connect() as connection:
        driver: Any = connection.connection
        for question in (PREPARED, SET_HERE):
            assert driver.execute(question).fetchall() == []
    with closing(OwnConnection(database)) as own:
        for _ in MANY:
            with own.transaction() as cursor:
                own.run(cursor, "SELECT name FROM note WHERE name = ?", "")
        with own.cursor() as cursor:
            for question in (PREPARED, SET_HERE):
                cursor.execute(question)
                assert cursor.fetchall() == []


def test_no_transaction_keeps_its_locks_for_long_where_its_machine_is_lost(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []

    def tell(connection: Connection) -> list[Finding]:
        told.append(connection.exec_driver_sql(IDLE_FOR).scalar_one())
        return []

    for transaction in (database.write, database.read):
        with transaction() as connection:
            tell(connection)
    with closing(OwnConnection(database)) as own, own.transaction() as cursor:
        cursor.execute(IDLE_FOR)
        told += cursor.fetchone()
    monkeypatch.setattr("farebox.store.reconcile.money.grants", tell)
    reconcile(database, {})
    assert told == ["10s", "10s", "10s", "1h"]


def test_the_isolation_is_farebox_own_whatever_the_role_has(migrated_pg_url: str) -> None:
    url = f"{migrated_pg_url}?options=-cdefault_transaction_isolation%3Dserializable"
    with closing(Database(url)) as database:
        with closing(OwnConnection(database)) as own, own.cursor() as cursor:
            assert own.write(cursor, f"INSERT INTO note SELECT 'alone', {ISOLATION}")
            own.run(cursor, "SELECT value FROM note WHERE name = 'alone'")
            told = [cursor.fetchone()[0]]
            for begins in (database.begins, POSTGRES_BEGIN_BATCH):
                cursor.execute(begins)
                cursor.execute(f"SELECT {ISOLATION}")
                told += cursor.fetchone()
                cursor.execute("COMMIT")
        for transaction in (database.write, database.read):
            with transaction() as connection:
                told.append(connection.exec_driver_sql(f"SELECT {ISOLATION}").scalar_one())
    assert told == [*4 * ["read committed"], "repeatable read"]


class Pooled:
    """A cursor whose connection was told another process ID than PostgreSQL's, as by a pooler."""

    def __init__(self, real: "psycopg.Cursor[Any]") -> None:
        self._real = real
        self.connection = SimpleNamespace(info=SimpleNamespace(backend_pid=1), prepare_threshold=None)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._real, name)


def test_the_ledger_has_statements_prepared_but_behind_a_pooler(database: Database) -> None:
    with closing(database.connect()) as connection:
        pooled: Any = Pooled(connection.cursor())
        PostgresStatements().prepare(pooled)
        assert pooled.connection.prepare_threshold is None
        PostgresStatements().prepare(connection.cursor())
        assert connection.prepare_threshold == PREPARE_AFTER
        assert connection.execute(SET_HERE).fetchall() == []


def test_a_batch_brings_its_own_settings(database: Database) -> None:
    """Whatever the role has, and whoever had PostgreSQL's connection before."""
    with closing(database.connect()) as connection:
        for name, value in (("synchronous_commit", "off"), ("statement_timeout", "0")):
            connection.execute(f"SET {name} = {value}")
        for name, value in (("synchronous_commit", "on"), ("statement_timeout", "10s")):
            PostgresStatements().begin(connection.cursor())
            assert connection.execute(f"SHOW {name}").fetchone() == (value,)
            connection.commit()
        assert connection.execute("SHOW synchronous_commit").fetchone() == ("off",)
