"""What is reported to Stripe: when it counts, when it is not sent again, and what Stripe's own sum says of it."""

from collections.abc import Iterable, Sequence
from itertools import combinations, pairwise
from typing import Final, NamedTuple

from farebox.domain.period import DAY_US, MICROSECONDS, Period, period_at

MINUTE_US: Final = 60 * MICROSECONDS
HOUR_US: Final = 60 * MINUTE_US
DRAFT_US: Final = 50 * MINUTE_US
"""Stripe keeps a renewal's invoice open for an hour: what comes in its last minutes is left for the next one."""
MONTH_US_MAX: Final = 31 * DAY_US
OLDEST_US: Final = 34 * DAY_US
"""Stripe takes what is up to 35 days old."""
AMBIGUOUS_US: Final = 23 * HOUR_US
"""Stripe recognises a repeated identifier for 24 hours."""
LAG_US: Final = HOUR_US
"""After this time, Stripe's sums include what was sent."""
SUBSETS_OF_MAX: Final = 12


class InvoiceTimes(NamedTuple):
    """What a subscription says of its invoices: its anchor, the period under way, and up to where they are closed."""

    anchor_us: int
    period_start_us: int
    period_end_us: int
    invoiced_until_us: int


NO_SUBSCRIPTION: Final = InvoiceTimes(0, 0, 0, 0)


def closed_until_us(standing: InvoiceTimes, now_us: int) -> int:
    """The moment before which usage no longer comes onto the invoice of its own period.

    This does not wait for Stripe's word: an invoice closes an hour after its period, whether or not a webhook came.
    Before the first period there is no invoice.
    """
    begun = standing.anchor_us if standing.anchor_us <= standing.period_start_us else 0  # else a trial lasts
    ends = [standing.period_start_us, standing.period_end_us]
    if 0 < standing.period_end_us - standing.period_start_us <= MONTH_US_MAX:
        # In the hour after a renewal the invoice before is a draft, and the one before that is closed.
        ends.append(period_at(standing.anchor_us, standing.period_start_us - 1).start_us)
    over = [end for end in ends if end + DRAFT_US <= now_us]
    if standing.period_end_us and standing.period_end_us in over:  # periods have begun since, though no webhook came
        over.append(period_at(standing.anchor_us, now_us - DRAFT_US).start_us)
    return max(standing.invoiced_until_us, begun, *over)


def counts_at_us(admitted_us: int, closed_us: int, now_us: int) -> int:
    """The time that Stripe is told for calls: when they happened, or else the first moment that is still invoiced."""
    if admitted_us >= closed_us and admitted_us > now_us - OLDEST_US:
        return admitted_us
    return max(now_us, closed_us)


def reason_to_hold(first_sent_us: int | None, timestamp_us: int, closed_us: int, now_us: int) -> str:
    """Why an event must not be sent (again); empty where it may be.

    An event that was never sent gets a timestamp that fits; one that may have arrived must stay as it was.
    """
    if first_sent_us is None:
        return ""
    if now_us - first_sent_us >= AMBIGUOUS_US:
        return "it was first sent more than 23 hours ago, and Stripe never said that it was taken"
    if counts_at_us(timestamp_us, closed_us, now_us) != timestamp_us:
        return "its invoice was closed before Stripe said that it was taken"
    return ""


def spans(starts: Iterable[int], until_us: int) -> list[Period]:
    """The spans between these moments, up to `until_us`, in whole minutes, as Stripe sums them up."""
    minutes = sorted({one // MINUTE_US * MINUTE_US for one in (*starts, until_us) if one <= until_us})
    return [Period(start, end) for start, end in pairwise(minutes)]


def counted_of(missing: int, doubtful: Sequence[int]) -> set[int] | None:
    """Which of the doubtful amounts (by their place) Stripe has counted, if it counted `missing` beyond the sure ones.

    None where no choice of them adds up to that, or too many are doubtful to try. Any choice that adds up will do.
    """
    places = range(len(doubtful))
    if missing == sum(doubtful):
        return set(places)
    if missing == 0:
        return set()
    if len(doubtful) > SUBSETS_OF_MAX:
        return None
    choices = (set(some) for count in places for some in combinations(places, count))
    return next((some for some in choices if sum(doubtful[place] for place in some) == missing), None)
