"""A stand-in for Stripe that a module shares, and a shop that sells by it, on a database of each kind."""

from collections.abc import Iterator

import pytest

from farebox.store.database import Database
from tests.contract.selling.counter import PRODUCT, Counter
from tests.services.stripe import StripeStandin


@pytest.fixture(scope="module")
def stripe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StripeStandin]:
    with StripeStandin(tmp_path_factory.mktemp("stripe")) as standin:
        yield standin


@pytest.fixture
def counter(database: Database, stripe: StripeStandin) -> Iterator[Counter]:
    stripe.heal()
    counter = Counter(database, stripe, PRODUCT)
    counter.sync()
    yield counter
    counter.close()
