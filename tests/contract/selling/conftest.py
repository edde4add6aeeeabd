"""A stand-in for Stripe that a module shares, and a shop that sells by it, on a database of each kind."""

import os
import random
from collections.abc import Iterator

import pytest

from farebox.adapters import stripe_client
from farebox.store.database import Database
from tests.contract.selling.counter import PRODUCT, Counter
from tests.services.stripe import StripeStandin


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look at Stripe that a start makes is brief; a busy machine is not taken for a Stripe that is away."""
    monkeypatch.setattr(stripe_client, "BRIEF_SECONDS_MAX", 60)


@pytest.fixture(scope="module")
def stripe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StripeStandin]:
    with StripeStandin(tmp_path_factory.mktemp("stripe")) as standin:
        standin.settings(settle_seconds=3_600)  # a debit comes when its time is moved, however slow the machine
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
