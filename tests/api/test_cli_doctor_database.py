"""The doctor tells what is wrong with the database: each mistake on a real one."""

import re
import shutil
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

import psycopg
import pytest

from farebox.cli.doctor_database import check_database
from farebox.domain.errors import FounderError
from farebox.domain.plan import Plan
from farebox.domain.product import Product
from farebox.store.database import Database
from farebox.store.migrations import HEAD
from farebox.wiring import open_store
from tests.services.command import printed
from tests.services.examined import fixes, set_to
from tests.services.postgres import PostgresServer

PRODUCT: Final = Product("Till", plans=(Plan("pro", calls=10),))


def mistakes(monkeypatch: pytest.MonkeyPatch, url: str, workers: int = 1) -> list[str]:
    settings = set_to(monkeypatch, FAREBOX_DATABASE_URL=url)
    return fixes(check_database(settings, PRODUCT, workers))


def migrated(url: str) -> str:
    with closing(Database(url)) as database:
        database.migrate()
    return url


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("sqlite://", "database: one in memory ends with its process, and 4 workers would each have their own → set "),
        ("sqlite:////no/such/folder/farebox.db", "database: there is no folder /no/such/folder → make it"),
        ("sqlite:////proc/farebox.db", "database: /proc cannot be written to ("),
        ("postgresql://postgres:pass@127.0.0.1:1/shop", "database: 127.0.0.1/shop cannot be used (connection failed"),
    ],
)
def test_a_database_that_cannot_be_used_is_told(monkeypatch: pytest.MonkeyPatch, url: str, told: str) -> None:
    [mistake] = mistakes(monkeypatch, url, workers=4)
    assert mistake.startswith(told)
    assert "pass@" not in mistake


@pytest.mark.usefixtures("bare")
def test_a_database_of_another_kind_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    [finding] = check_database(set_to(monkeypatch, FAREBOX_DATABASE_URL="mysql://host/shop"), PRODUCT, 1)
    assert finding.level == "FIX"
    assert "Write sqlite:///farebox.db or postgresql://user:password@host/name." in finding.sentence


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgres://u:secret@host/shop?pgbouncer=true", r"URL has pgbouncer, which is not PostgreSQL's: leave it out"),
        ("postgresql://u:secret@host/shop?sslmode=require&schema=a&pool=5", "URL has schema, pool, which is not"),
        ("postgresql://u:p%secret@host/shop", "cannot be read. Write .* and a password with one of"),
        ("postgresql://u:p?secret=1@host/shop?x=y", "cannot be read. Write .* and a password with one of"),
    ],
)
def test_an_address_that_postgresql_does_not_know_is_told_without_its_password(url: str, told: str) -> None:
    with pytest.raises(FounderError, match=told) as refused:
        Database(url)
    assert "secret" not in str(refused.value)


def test_a_file_that_is_no_database_is_told(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (bare / "farebox.db").write_text("a shopping list\n" * 100)
    [mistake] = mistakes(monkeypatch, "sqlite:///farebox.db")
    assert mistake.startswith("database: farebox.db cannot be used (file is not a database) → ")


@pytest.mark.usefixtures("bare")
def test_a_full_disk_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    free = shutil.disk_usage("/")._replace(free=10 * 2**20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: free)
    [mistake] = mistakes(monkeypatch, "sqlite:///farebox.db")
    assert mistake.startswith("disk: only 10 MB are free in ")


@pytest.mark.usefixtures("bare")
def test_a_database_that_is_not_migrated_is_told(pg_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told = "database: it has none of Farebox's tables yet → farebox migrate"
    assert mistakes(monkeypatch, pg_url) == [told]


@pytest.mark.usefixtures("bare")
def test_a_database_of_a_newer_farebox_is_told(empty_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(Database(migrated(empty_url))) as database, database.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    told = "database: it is at revision 9999, of a newer Farebox → install that version of Farebox"
    assert mistakes(monkeypatch, empty_url) == [told]
    with (
        closing(Database(empty_url)) as database,
        pytest.raises(FounderError, match="of a newer Farebox; install that"),
    ):
        database.migrate()


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize(
    ("statement", "wrong"),
    [
        ("UPDATE alembic_version SET version_num = 'abc'", "is at revision 'abc', which no Farebox has: it is another"),
        ("UPDATE alembic_version SET version_num = '00005'", "is at revision '00005', which no Farebox has: it is"),
        ("DELETE FROM alembic_version", "has a table 'account' but no Farebox revision: it is another program's"),
        ("DROP TABLE alembic_version", "has a table 'account' but no Farebox revision: it is another program's"),
    ],
)
def test_a_database_of_another_program_or_without_its_revision_is_told_alike_by_all(
    empty_url: str, monkeypatch: pytest.MonkeyPatch, statement: str, wrong: str
) -> None:
    settings = set_to(monkeypatch, FAREBOX_DATABASE_URL=empty_url)
    with closing(Database(migrated(empty_url))) as database:
        with database.write() as connection:
            connection.exec_driver_sql(statement)
        [mistake] = mistakes(monkeypatch, empty_url)
        assert mistake.startswith(f"database: it {wrong}")
        assert " → set FAREBOX_DATABASE_URL to a database of its own, or restore this one" in mistake
        for refusing in (database.migrate, lambda: open_store(settings, Path.cwd())):
            with pytest.raises(FounderError, match=f"^The database {wrong}.*; set FAREBOX_DATABASE_URL to a database"):
                refusing()


def test_tables_of_others_beside_it_are_in_nobodys_way(empty_url: str) -> None:
    with closing(Database(empty_url)) as database:
        if database.path is not None:
            database.path.touch()
        with database.write() as connection:
            connection.exec_driver_sql("CREATE TABLE orders (id TEXT)")
        database.migrate()
        assert database.revision() == HEAD


@pytest.mark.usefixtures("bare")
def test_a_database_that_may_only_be_read_is_told(
    pg_url: str, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = migrated(pg_url).rpartition("/")[2]
    with psycopg.connect(postgres.url(), autocommit=True) as admin:
        admin.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    [mistake] = mistakes(monkeypatch, pg_url)
    assert "cannot be used (cannot execute INSERT in a read-only transaction) → " in mistake


def test_a_write_that_the_doctor_tries_leaves_nothing(
    bare: Path, empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(Database(migrated(empty_url))) as database, database.read() as connection:
        assert mistakes(monkeypatch, empty_url) == []
        assert list(connection.exec_driver_sql("SELECT * FROM note")) == []
    assert list(bare.iterdir()) == []


def test_a_secret_that_is_lost_or_another_is_told(bare: Path, empty_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    printed(bare, "accounts", "create", "ada@example.com", "--plan", "pro", FAREBOX_DATABASE_URL=migrated(empty_url))
    assert mistakes(monkeypatch, empty_url) == []
    (bare / "farebox.secret").rename(bare / "kept")
    [mistake] = mistakes(monkeypatch, empty_url)
    assert mistake.startswith("secret: this database's keys were made under a secret that is not here → run Farebox in")
    assert not (bare / "farebox.secret").exists()
    monkeypatch.setenv("FAREBOX_SECRET_KEY", "another secret, as long as that")
    [mistake] = mistakes(monkeypatch, empty_url)
    assert mistake.startswith("secret: this database's keys were made under another secret")
    monkeypatch.setenv("FAREBOX_SECRET_KEY", (bare / "kept").read_text())
    assert mistakes(monkeypatch, empty_url) == []


def test_a_damaged_secret_is_told_before_there_are_tables_too(
    bare: Path, empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (bare / "farebox.secret").write_text("0" * 64, "utf-16")
    for url in ("sqlite:///farebox.db", empty_url):
        *_, found = check_database(set_to(monkeypatch, FAREBOX_DATABASE_URL=url), PRODUCT, 1)
        assert found.level == "FIX"
        assert found.sentence.startswith(f"secret: {bare}/farebox.secret is incomplete; restore it, or ")
    assert [path.name for path in bare.iterdir()] == ["farebox.secret"]


@pytest.mark.usefixtures("bare")
def test_a_clock_that_differs_from_the_databases_is_told(pg_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name = migrated(pg_url).rpartition("/")[2]
    with psycopg.connect(pg_url, autocommit=True) as admin:
        # Found before PostgreSQL's own, it is its clock.
        admin.execute(
            "CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS"
            " $$ SELECT pg_catalog.clock_timestamp() - interval '30 seconds' $$"
        )
        admin.execute(f"ALTER DATABASE {name} SET search_path = public, pg_catalog")
    told = r"clock: this machine's is [23]\d s ahead of the database's → switch on time synchronisation \(NTP\)"
    [mistake] = mistakes(monkeypatch, pg_url)
    assert re.fullmatch(told, mistake)


@pytest.mark.usefixtures("bare")
def test_a_locked_sqlite_file_is_told(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("farebox.store.database.SQLITE_BUSY_SECONDS", 0.1)
    migrated("sqlite:///farebox.db")
    with closing(sqlite3.connect(bare / "farebox.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        [mistake] = mistakes(monkeypatch, "sqlite:///farebox.db")
    assert mistake.startswith("database: farebox.db cannot be used (database is locked) → ")


@pytest.mark.usefixtures("bare")
def test_more_workers_than_postgresql_has_connections_for_are_told(
    migrated_pg_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = set_to(monkeypatch, FAREBOX_DATABASE_URL=migrated_pg_url)

    def told(workers: int) -> list[str]:
        found = [str(one) for one in check_database(settings, PRODUCT, workers)]
        return [sentence for sentence in found if "connections:" in sentence]

    assert told(4) == []
    [sentence] = told(5)
    assert "lets in 97, and 5 processes may want 115 when many pages are asked for" in sentence
    assert "a max_connections of 125 or more" in sentence


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_a_database_that_cannot_keep_every_name_is_refused_by_all(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    name = f"test_{encoding.lower()}"
    with psycopg.connect(postgres.url(), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} ENCODING '{encoding}' TEMPLATE template0")
    settings = set_to(monkeypatch, FAREBOX_DATABASE_URL=postgres.url(name))
    wrong = f"The database's encoding is {encoding}, which cannot keep every name. Set FAREBOX_DATABASE_URL to a new"
    [finding] = check_database(settings, PRODUCT, 1)
    assert finding.level == "FIX"
    assert finding.sentence.startswith(f"database: {wrong} one: CREATE DATABASE")
    with closing(Database(postgres.url(name))) as database:
        for refusing in (database.migrate, lambda: open_store(settings, Path.cwd())):
            with pytest.raises(FounderError, match=f"^{wrong}"):
                refusing()
    postgres.drop_database(name)


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize(
    ("setting", "wrong", "remedy"),
    [
        ("role=visitor", "lets the role visitor make no tables in its schema public",
         "as its owner, run: GRANT CREATE ON SCHEMA public TO visitor"),
        ("search_path=nothing", "has no schema to make tables in", "run: ALTER ROLE postgres SET search_path = public"),
        ("default_transaction_read_only=on", "is read-only", "name the server that takes writes, or"),
    ],
)  # fmt: skip
def test_where_no_table_can_be_made_migrate_and_the_doctor_say_alike_what_to_do(
    pg_url: str, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch, setting: str, wrong: str, remedy: str
) -> None:
    with psycopg.connect(postgres.url(), autocommit=True) as admin, suppress(psycopg.errors.DuplicateObject):
        admin.execute("CREATE ROLE visitor")
    url = f"{pg_url}?options=-c{setting.replace('=', '%3D')}"
    [mistake] = mistakes(monkeypatch, url)
    assert mistake.startswith(f"database: it {wrong} → {remedy}")
    with closing(Database(url)) as database, pytest.raises(FounderError, match=f"^The database {wrong}; {remedy}"):
        database.migrate()
