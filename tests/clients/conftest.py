"""A product on SQLite behind a witness, with every client ready to call it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.shop import Shop
from tests.clients.desk import APP, Desk
from tests.clients.program import Program
from tests.clients.roster import started
from tests.clients.witness import Witness
from tests.services.upstream import FakeUpstream


class Programs:
    """Each client is started when it is first asked for, and kept."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: dict[str, Program] = {}

    def __getitem__(self, client: str) -> Program:
        if client not in self._running:
            self._running[client] = started(client, self._folder / f"{client}.log")
        return self._running[client]

    def close(self) -> None:
        for program in self._running.values():
            program.close()


@pytest.fixture(scope="package")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Programs]:
    programs = Programs(tmp_path_factory.mktemp("clients"))
    yield programs
    programs.close()


@pytest.fixture(scope="package")
def shop(tmp_path_factory: pytest.TempPathFactory, upstream_process: FakeUpstream) -> Shop:
    folder = tmp_path_factory.mktemp("shop")
    return Shop(folder, f"sqlite:///{folder}/farebox.db", upstream_process, APP)


@pytest.fixture(scope="package")
def witness(shop: Shop) -> Iterator[Witness]:
    with shop.served(workers=2) as served, Witness(served.port) as witness:
        yield witness


@pytest.fixture
def desk(shop: Shop, witness: Witness, upstream: FakeUpstream, programs: Programs) -> Desk:
    witness.seen.clear()
    return Desk(shop, witness, upstream, programs)
