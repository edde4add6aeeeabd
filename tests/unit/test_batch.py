"""What a transaction of the ledger makes of the rows that it has read, in whatever order they came."""

from itertools import permutations
from typing import Final

from farebox.domain.admission import Cap, Standing
from farebox.domain.ledger import Spent
from farebox.domain.period import DAY_US
from farebox.domain.plan import Plan
from farebox.store.ledger.batch import Batch, Finish, Look
from tests.unit.decided import CALLER, END_US, METER, NOW_US, START_US, admitted

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


def test_who_calls_over_the_end_of_a_period_is_told_where_they_stand_in_the_one_that_is_now() -> None:
    plan, caller = Plan("pro", calls=5, burst="5/24h"), CALLER._replace(cap_calls=3, cap_id="key_1")
    old_cap = METER._replace(name="key_1")
    hold = admitted(plan, caller=caller, cap=Cap(3, old_cap)).hold
    now = METER._replace(period_start_us=END_US, period_end_us=END_US + 30 * DAY_US, burst_tat_us=LAST_TAT_US)
    now, now_cap = now._replace(held_calls=2), now._replace(name="key_1", held_calls=1, burst_tat_us=0)
    # This key may have called in it, or others of the account alone; where nobody has, the old one is all there is.
    for begun, expected in (
        ([now, now_cap], [(END_US, 0, 2, LAST_TAT_US), (END_US, 0, 1, 0)]),
        ([now], [(END_US, 0, 2, LAST_TAT_US), (END_US, 0, 0, 0)]),
        ([], [(START_US, 1, 0, 0)] * 2),
    ):
        batch = Batch({"pro": plan}, END_US + 5)
        for meter in (METER._replace(held_calls=1), old_cap._replace(held_calls=1), *begun):
            batch.load_meter(meter)
        standing = batch.finish(Finish(hold, "post", Spent())).standing
        assert standing is not None
        assert standing.cap is not None
        told = (standing.meter, standing.cap.meter)
        assert [(m.period_start_us, m.posted_calls, m.held_calls, m.burst_tat_us) for m in told] == expected
        assert batch.meters[METER[:3]].posted_calls == batch.meters[old_cap[:3]].posted_calls == 1
