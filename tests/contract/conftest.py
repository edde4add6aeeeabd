"""One database of each kind, migrated and empty: a test that uses it runs on both."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from farebox.store.database import Database


@pytest.fixture
def database(migrated_url: str) -> Iterator[Database]:
    with closing(Database(migrated_url)) as found:
        yield found
