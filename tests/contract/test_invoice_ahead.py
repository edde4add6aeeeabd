"""What is told of the next invoice while one period is over, and Stripe's word about the next one has not come."""

from collections.abc import Iterator
from typing import Final

import pytest

from farebox.domain.period import DAY_US, MICROSECONDS, period_at
from farebox.domain.report import HOUR_US
from farebox.store.database import Database
from farebox.store.money.invoices import StoredInvoices
from tests.contract.usage_world import UsageWorld

FOUR_YEARS_US: Final = 1_461 * DAY_US


@pytest.fixture
def world(database: Database) -> Iterator[UsageWorld]:
    found = UsageWorld(database)
    yield found
    found.close()


def ahead(world: UsageWorld) -> tuple[int, int]:
    """The use that is told, and its calls."""
    found = StoredInvoices(world.database).ahead("ada")
    assert found is not None
    return found.used_nanodollars, found.calls


@pytest.mark.parametrize(("over_us", "told"), [(10 * MICROSECONDS, (11, 2)), (2 * HOUR_US, (1, 1))])
def test_a_period_that_is_over_is_told_without_the_use_of_the_next_one(
    world: UsageWorld, over_us: int, told: tuple[int, int]
) -> None:
    """Two hours later its invoice is closed: what still waits comes onto the next one."""
    end_us = world.now_us - over_us
    anchor_us = end_us - FOUR_YEARS_US
    start_us = period_at(anchor_us, end_us - 1).start_us
    world.subscribe("ada", start_us=start_us, end_us=end_us)
    world.rows("UPDATE account SET anchor_us = :anchor", anchor=anchor_us)
    world.call("ada", 1, at_us=end_us - HOUR_US, period_us=start_us)
    world.call("ada", 100, at_us=end_us + MICROSECONDS, period_us=end_us)
    assert world.report.send_all() == 2
    world.call("ada", 10, at_us=end_us - MICROSECONDS, period_us=start_us)
    world.call("ada", 1_000, at_us=end_us + MICROSECONDS, period_us=end_us)
    world.call("ada", 10_000, at_us=start_us - MICROSECONDS, period_us=start_us - 1)  # far too late for its own
    # This one was taken in time.
    world.rows("UPDATE usage_event SET timestamp_us = :at WHERE nanodollars = 1", at=end_us - HOUR_US)
    assert ahead(world) == told
    world.renew("ada")
    world.rows("UPDATE subscription SET invoiced_until_us = :end", end=end_us if over_us > HOUR_US else start_us)
    assert ahead(world) == (11_111 - told[0], 5 - told[1])
