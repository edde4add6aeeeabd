"""People over a fresh database, and the mails that wait to be sent."""

from collections.abc import Iterator

import pytest

from farebox.store.database import Database
from farebox.store.mail_outbox import StoredMailOutbox
from tests.contract.world import World


@pytest.fixture
def world(database: Database) -> World:
    return World(database)


@pytest.fixture
def outbox(database: Database) -> Iterator[StoredMailOutbox]:
    found = StoredMailOutbox(database)
    yield found
    found.close()
