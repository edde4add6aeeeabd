"""A file of SQLite's that is away for a moment, or has a name that is hard to write, costs no call."""

from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path, PureWindowsPath
from typing import Final

import pytest

from farebox.cli.doctor_database import check_database
from farebox.domain.errors import FounderError, LedgerUnavailable
from farebox.store.database import SQLITE_WAL_BYTES, Database
from farebox.store.sqlite_file import address_of
from tests.services.examined import fixes, set_to

LATEST: Final = "INSERT INTO note VALUES ('latest', 'call')"


def notes(path: Path) -> list[tuple[str, ...]]:
    with closing(Database(f"sqlite:///{path}")) as database, closing(database.connect()) as connection:
        return list(connection.execute("SELECT * FROM note"))


def migrated(name: str) -> None:
    with closing(Database(f"sqlite:///{name}")) as database:
        database.migrate()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Path]:
    """A file that another connection has open, with its latest row in the -wal alone."""
    path = tmp_path / "farebox.db"
    with ExitStack() as until:
        database = until.enter_context(closing(Database(f"sqlite:///{path}")))
        database.migrate()
        connection = until.enter_context(closing(database.connect()))
        connection.execute(LATEST)
        yield path


@pytest.mark.parametrize("is_link", [False, True])
def test_a_file_that_is_away_is_not_made_anew_and_nothing_of_its_wal_is_lost(
    served: Path, monkeypatch: pytest.MonkeyPatch, *, is_link: bool
) -> None:
    named = served
    if is_link:
        named = served.with_name("link.db")
        named.symlink_to(served)
    elsewhere = served.rename(served.with_name("elsewhere.db"))
    with closing(Database(f"sqlite:///{named}")) as other:
        with pytest.raises(LedgerUnavailable) as refused, other.read():
            pass
        assert refused.value.retry_after_seconds
        told = r"farebox\.db-wal is there, .*; put the database back; or, .* delete farebox\.db-wal too\.$"
        with pytest.raises(FounderError, match=told):
            other.migrate()
    [mistake] = fixes(check_database(set_to(monkeypatch, FAREBOX_DATABASE_URL=f"sqlite:///{named}"), None, 1))
    assert "farebox.db-wal is there" in mistake
    assert not served.exists()
    elsewhere.rename(served)
    assert notes(served) == [("latest", "call")]


def test_an_empty_file_in_its_place_is_not_opened(served: Path) -> None:
    elsewhere = served.rename(served.with_name("elsewhere.db"))
    served.touch()
    with closing(Database(f"sqlite:///{served}")) as other:
        with pytest.raises(LedgerUnavailable), other.read():
            pass
        with pytest.raises(FounderError, match="put the database back"):
            other.migrate()
    elsewhere.replace(served)
    assert notes(served) == [("latest", "call")]


def test_only_migrating_makes_the_file(tmp_path: Path) -> None:
    with closing(Database(f"sqlite:///{tmp_path}/farebox.db")) as database:
        with pytest.raises(LedgerUnavailable), database.read():
            pass
        assert database.revision() is None
        assert list(tmp_path.iterdir()) == []
        database.migrate()
        assert (tmp_path / "farebox.db").exists()


def test_a_wal_that_has_grown_large_shrinks_again(served: Path) -> None:
    wal = served.with_name("farebox.db-wal")
    with closing(Database(f"sqlite:///{served}")) as database, closing(database.connect()) as connection:
        connection.execute("INSERT INTO note VALUES ('large', ?)", (" " * (SQLITE_WAL_BYTES + 1),))
        assert wal.stat().st_size > SQLITE_WAL_BYTES
        for number in range(2):
            connection.execute("INSERT INTO note VALUES (?, '')", (f"small {number}",))
        assert wal.stat().st_size <= SQLITE_WAL_BYTES


@pytest.mark.parametrize("name", ["a b.db", "a?mode=memory.db", "a#b.db", "100%25.db", "ä;&+.db", "sub/a.db"])
@pytest.mark.parametrize("is_relative", [True, False])
def test_a_file_of_any_name_is_that_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, *, is_relative: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    named = name if is_relative else f"{tmp_path}/{name}"
    migrated(named)
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.db")} == {name}
    assert notes(Path(named)) == []


@pytest.mark.parametrize(
    ("name", "address"),
    [
        (r"C:\shop 1\farebox.db", "file:///C:/shop%201/farebox.db?mode=rw"),
        (r"\\server\share\farebox.db", "file:////server/share/farebox.db?mode=rw"),
    ],
)
def test_a_file_of_windows_is_addressed_as_sqlite_takes_it(name: str, address: str) -> None:
    assert address_of(PureWindowsPath(name)) == address
