"""What customers read where the two modes' periods began apart, on both databases."""

from typing import Final

import pytest

from farebox.domain.apikey import Mode
from farebox.domain.ledger import Meter
from farebox.domain.period import MICROSECONDS, Period, period_at
from farebox.store.database import Database
from farebox.store.readings import StoredReadings
from farebox.store.tables import meter
from tests.services.many_calls import new_customer

SECRET: Final = b"a secret of the tests, long enough"


@pytest.mark.parametrize(("mode", "other"), [("live", "test"), ("test", "live")])
def test_a_mode_is_read_in_the_period_of_its_own_meter(database: Database, mode: Mode, other: Mode) -> None:
    """A purchase once began a period for the mode that had called alone; the other's began at the anchor."""
    readings = StoredReadings(database)
    account = new_customer(database, SECRET, "open", age_days=0).account
    cut_us, end_us = account.anchor_us + 2 * MICROSECONDS, period_at(account.anchor_us, account.anchor_us).end_us
    cut, whole = Meter(account.id, other, cut_us, end_us), Meter(account.id, mode, account.anchor_us, end_us, 3)
    with database.write() as connection:
        connection.execute(meter.insert(), [cut._asdict(), whole._asdict()])
    summary = readings.summary(account.id, account.anchor_us)
    assert summary.meters == {mode: whole, other: cut}
    assert summary.period.start_us == summary.meters["live"].period_start_us
    both: list[tuple[Mode, Meter]] = [(mode, whole), (other, cut)]
    for name, each in both:
        found = readings.period(account.id, account.anchor_us, name, None)
        assert found is not None
        assert (found.meter, found.period, found.current) == (each, Period(*each[2:4]), Period(*each[2:4]))
        assert found.periods == [Period(cut_us, end_us), Period(account.anchor_us, end_us)]
