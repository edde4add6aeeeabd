"""One stand-in for Stripe for the tests that leave it whole, and one for each file that breaks it."""

from collections.abc import Iterator

import pytest
from stripe import StripeClient

from tests.services.stripe import StripeStandin


@pytest.fixture(scope="package")
def standin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StripeStandin]:
    """Nobody moves its time, or troubles it."""
    with StripeStandin(tmp_path_factory.mktemp("stripe")) as standin:
        yield standin


@pytest.fixture(scope="package")
def client(standin: StripeStandin) -> StripeClient:
    return standin.client()


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StripeStandin]:
    """One that may be troubled."""
    with StripeStandin(tmp_path_factory.mktemp("stripe")) as standin:
        yield standin
