"""A till over a fresh database, and a key; after each test every sum is right."""

from collections.abc import Iterator

import pytest

from farebox.account.keys import NewKey
from farebox.store.database import Database
from tests.contract.till import Till


@pytest.fixture
def till(migrated_url: str, database: Database) -> Till:
    return Till(migrated_url, database)


@pytest.fixture
def key(till: Till) -> NewKey:
    return till.new_key()


@pytest.fixture(autouse=True)
def sums_are_right_afterwards(till: Till) -> Iterator[None]:
    yield
    assert till.findings() == []
