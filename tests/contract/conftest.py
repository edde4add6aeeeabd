"""One database of each kind, migrated and empty, or filled once and copied: a test that uses it runs on both."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from farebox.store.database import Database
from tests.conftest import KINDS
from tests.services.postgres import PostgresServer

Fill = Callable[[Database], object]
Copies = Callable[[Fill], str]


@pytest.fixture
def database(migrated_url: str) -> Iterator[Database]:
    with closing(Database(migrated_url)) as found:
        yield found


class Filled:
    """Databases that were filled once, each by one function."""

    def __init__(self, request: pytest.FixtureRequest, folder: Path) -> None:
        self._request = request
        self._folder = folder
        self._files: dict[Fill, Path] = {}
        self._names: dict[Fill, str] = {}

    def file(self, fill: Fill) -> Path:
        """One of SQLite."""
        if fill not in self._files:
            file = self._folder / f"{len(self._files)}.db"
            shutil.copyfile(self._request.getfixturevalue("sqlite_template"), file)
            self._fill(f"sqlite:///{file}", fill)
            self._files[fill] = file
        return self._files[fill]

    def name(self, fill: Fill) -> str:
        """Of one of PostgreSQL."""
        if fill not in self._names:
            server: PostgresServer = self._request.getfixturevalue("postgres")
            name = f"filled_{len(self._names)}"
            self._fill(server.create_database(name, self._request.getfixturevalue("pg_template")), fill)
            self._names[fill] = name
        return self._names[fill]

    def _fill(self, url: str, fill: Fill) -> None:
        with closing(Database(url)) as database:
            fill(database)


@pytest.fixture(scope="session")
def filled_ones(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Filled:
    return Filled(request, tmp_path_factory.mktemp("filled"))


@pytest.fixture(params=KINDS)
def copy_of(request: pytest.FixtureRequest, tmp_path: Path, filled_ones: Filled) -> Iterator[Copies]:
    """The URL of a copy of a database that a function has filled: once, and not for each test."""
    with ExitStack() as stack:

        def copied(fill: Fill) -> str:
            if request.param == "sqlite":
                return f"sqlite:///{shutil.copyfile(filled_ones.file(fill), tmp_path / 'farebox.db')}"
            server: PostgresServer = request.getfixturevalue("postgres")
            return stack.enter_context(server.database(filled_ones.name(fill)))

        yield copied
