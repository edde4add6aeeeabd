"""What a transaction of the ledger makes of the rows that it has read, in whatever order they came."""

from itertools import permutations
from typing import Final

from farebox.domain.admission import Standing
from farebox.domain.period import DAY_US
from farebox.domain.plan import Plan
from farebox.store.ledger.batch import Batch, Look
from tests.unit.decided import CALLER, METER, NOW_US, START_US

LAST_TAT_US: Final = NOW_US + 7


def test_a_new_period_begins_with_the_burst_of_the_last_one() -> None:
    ends = [(START_US - 30 * DAY_US, LAST_TAT_US - 1), (START_US, LAST_TAT_US)]
    meters = [METER._replace(period_start_us=end - DAY_US, period_end_us=end, burst_tat_us=tat) for end, tat in ends]
    for order in permutations(meters):
        batch = Batch({"pro": Plan("pro", burst="5/24h")}, NOW_US)
        batch.callers["digest"] = CALLER
        for meter in order:
            batch.load_meter(meter)
        standing = batch.look(Look("digest"))
        assert isinstance(standing, Standing)
        assert (standing.meter.period_start_us, standing.meter.burst_tat_us) == (START_US, LAST_TAT_US)
