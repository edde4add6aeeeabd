"""A shop on either database, served by four processes, shared by the tests of this folder."""

import os
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from farebox import Farebox
from tests.api.fort import Fort
from tests.api.functions import serving
from tests.api.place import Place, serve_place
from tests.api.playground import Customer, opened
from tests.api.shop import Shop
from tests.services.issuer import CLIENT_ID, CLIENT_SECRET, FakeGitHub, FakeIssuer
from tests.services.postgres import PostgresServer
from tests.services.served import Served
from tests.services.upstream import FakeUpstream


@pytest.fixture(scope="package", params=["sqlite", "postgresql"])
def database_kind(request: pytest.FixtureRequest) -> str:
    """A test that uses a database runs once on each kind."""
    return str(request.param)


@contextmanager
def empty_database(kind: str, folder: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    if kind == "sqlite":
        yield f"sqlite:///{folder}/farebox.db"
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    with server.database() as url:
        yield url


@pytest.fixture(scope="package")
def database_url(
    database_kind: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The shop's database."""
    with empty_database(database_kind, tmp_path_factory.mktemp("sqlite"), request) as url:
        yield url


@pytest.fixture
def fresh_database_url(database_kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database for one test alone."""
    with empty_database(database_kind, tmp_path, request) as url:
        yield url


@pytest.fixture(scope="package")
def shop(database_url: str, tmp_path_factory: pytest.TempPathFactory, upstream_process: FakeUpstream) -> Shop:
    """A product whose provider is the fake one."""
    return Shop(tmp_path_factory.mktemp("shop"), database_url, upstream_process)


@pytest.fixture(scope="package")
def playground(
    database_kind: str,
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    upstream_process: FakeUpstream,
) -> Iterator[Place]:
    """A product whose pages are served, with mail."""
    folder = tmp_path_factory.mktemp("playground")
    with empty_database(database_kind, folder, request) as url, opened(folder, url, upstream_process) as place:
        yield place


@pytest.fixture
def pia(playground: Place, upstream: FakeUpstream) -> Customer:
    """A new customer of it."""
    del upstream  # it has forgotten what it was told
    return Customer(playground)


@pytest.fixture(scope="package")
def served(shop: Shop) -> Iterator[Served]:
    """The shop on four processes."""
    with shop.served_in_earnest(workers=4, FAREBOX_SWEEP_SECONDS="0.5") as served:  # its memory is measured
        yield served


@pytest.fixture(scope="package")
def fort(
    database_kind: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Fort]:
    """A shop with pages, and services to log in at."""
    folder = tmp_path_factory.mktemp("fort")
    with empty_database(database_kind, folder, request) as url, FakeIssuer() as issuer, FakeGitHub() as github:
        settings = {
            "OIDC_ISSUER": issuer.url, "OIDC_CLIENT_ID": CLIENT_ID, "OIDC_CLIENT_SECRET": CLIENT_SECRET,
            "OIDC_NAME": "Example", "GITHUB_BASE_URL": github.url, "GITHUB_CLIENT_ID": CLIENT_ID,
            "GITHUB_CLIENT_SECRET": CLIENT_SECRET,
        }  # fmt: skip
        with serve_place(folder, url, **settings) as place:
            yield Fort(place, issuer, github)


@pytest.fixture
def seed() -> int:
    """For a random test: fresh each time, or FAREBOX_TEST_SEED, to replay a failure."""
    seed = int(os.environ.get("FAREBOX_TEST_SEED") or random.SystemRandom().randrange(2**32))
    print(f"To replay: FAREBOX_TEST_SEED={seed}")
    return seed


@pytest.fixture(scope="module")
def shop_and_server(
    tmp_path_factory: pytest.TempPathFactory, upstream_process: FakeUpstream
) -> Iterator[tuple[Shop, Served]]:
    """The product of functions, on one process."""
    with serving(tmp_path_factory.mktemp("till"), upstream_process) as both:
        yield both


@pytest.fixture
def till(shop_and_server: tuple[Shop, Served]) -> Shop:
    """Its shop."""
    return shop_and_server[0]


@pytest.fixture
def server(shop_and_server: tuple[Shop, Served]) -> Served:
    """Its server."""
    return shop_and_server[1]


@pytest.fixture
def serve(bare: Path) -> Iterator[Callable[[Farebox], TestClient]]:
    """Serves a product whose file would be in the folder we are in."""
    with ExitStack() as running:

        def start(app: Farebox) -> TestClient:
            app.folder = bare
            return running.enter_context(TestClient(app, raise_server_exceptions=False))

        yield start
