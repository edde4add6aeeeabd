"""A stand-in for Stripe that a module shares, and a shop that sells by it, on a database of each kind."""

import os
import random
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


@pytest.fixture
def seed() -> int:
    """For a random test: fresh each time, or FAREBOX_TEST_SEED, to replay a failure."""
    found = int(os.environ.get("FAREBOX_TEST_SEED") or random.SystemRandom().randrange(2**32))
    print(f"To replay: FAREBOX_TEST_SEED={found}")
    return found
