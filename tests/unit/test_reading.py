"""Where a search looks, and which days and periods there are."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox.domain.ledger import Meter
from farebox.domain.period import DAY_US, Period, day, period_at
from farebox.domain.reading import (
    ABOVE_ALL,
    CALL_ID,
    CLOCKS_APART_US,
    PLACE,
    DayCount,
    Search,
    close_starts,
    day_start_us,
    days_between,
    days_looked_at,
    is_day,
    moment_us,
    periods_of,
    place_before,
    place_of,
    route,
    span_of,
    starting_at,
    under_way,
)
from farebox.web.request import new_call_id

NOON_US = 1_795_608_000_000_000  # 2026-11-25


@st.composite
def day_counts(draw: st.DrawFn) -> list[DayCount]:
    days = draw(st.lists(st.integers(0, 400), unique=True, max_size=40))
    fitting = [draw(st.integers(0, 60)) for _ in days]
    return [
        DayCount(day(NOON_US - ago * DAY_US), fits, draw(st.integers(fits, 4_000)))
        for ago, fits in zip(days, fitting, strict=True)
    ]


def test_an_id_says_when_the_call_came() -> None:
    call_id = new_call_id()
    assert CALL_ID.fullmatch(call_id)
    moment = moment_us(call_id)
    assert place_of(moment) < call_id < place_of(moment + 1000) < ABOVE_ALL
    assert PLACE.fullmatch(place_of(moment))
    assert call_id[:16] == place_of(moment)


@pytest.mark.parametrize("us", [-1, 0, NOON_US, 2**63 - 1])
def test_every_moment_has_a_place(us: int) -> None:
    assert PLACE.fullmatch(place_of(us))
    assert moment_us(place_of(us)) >= 0


@pytest.mark.parametrize(
    ("name", "is_one"),
    [("2026-11-25", True), ("2024-02-29", True), ("2026-02-29", False), ("2026-11-5", False), ("20261125", False),
     ("2026-W48-3", False), ("9999-12-31", False), ("0001-01-01", False), ("", False), ("today", False)],
)  # fmt: skip
def test_a_day_is_written_in_one_way(name: str, is_one: bool) -> None:  # noqa: FBT001  # a parameter of the test
    assert is_day(name) == is_one
    if is_one:
        assert day(day_start_us(name)) == name
        assert day(day_start_us(name) - 1) != name


def test_the_ids_of_a_day_have_room_for_clocks_that_differ() -> None:
    low, high = span_of("2026-11-25", "2026-11-25")
    start_us = day_start_us("2026-11-25")
    assert (low, high) == (place_of(start_us - CLOCKS_APART_US), place_of(start_us + DAY_US + CLOCKS_APART_US))


def test_a_search_goes_on_where_the_one_before_stopped() -> None:
    assert days_looked_at(Search(), NOON_US, 3) == ("2026-11-23", "2026-11-25")
    stopped = place_before("2026-11-23")
    assert days_looked_at(Search(before=stopped), NOON_US, 3) == ("2026-11-21", "2026-11-23")
    assert days_looked_at(Search(before="req_ffffffffffff"), NOON_US, 3) == ("2026-11-23", "2026-11-25")
    assert days_looked_at(Search(day="2026-01-01", before=stopped), NOON_US, 3) == ("2026-01-01", "2026-01-01")
    assert days_looked_at(Search(before=place_of(0)), NOON_US, 3) == ("1970-01-01", "1970-01-01")


@given(days=day_counts(), days_ago=st.integers(0, 400), wanted=st.integers(1, 60), most=st.integers(1, 10_000))
def test_a_way_looks_at_no_more_than_it_may_and_leaves_out_nothing_on_its_way(
    days: list[DayCount], days_ago: int, wanted: int, most: int
) -> None:
    below = place_of(NOON_US - days_ago * DAY_US)
    way = route(days, below, wanted, most)
    spans = [*way.spans, *([way.rest] if way.rest else [])]
    assert all(span.low < span.high <= below for span in spans)
    assert all(newer.low >= older.high for newer, older in pairwise(spans))

    def is_in(name: str) -> bool:
        low, high = span_of(name, name)
        high = min(high, below)
        return low < high and any(span.low <= low and high <= span.high for span in way.spans)

    # What lies whole within the spans is no more than may be looked at.
    assert sum(one.whole for one in days if is_in(one.name)) + way.rest_max <= max(most, way.rest_max)
    fitting = [one.name for one in days if one.fitting and span_of(one.name, one.name).low < below]
    if way.is_whole:
        assert all(is_in(name) for name in fitting)
        assert way.rest is None
    elif spans:
        assert all(is_in(name) for name in fitting if span_of(name, name).low > spans[-1].low)
    # It gets somewhere, so that who goes on again and again comes to the end.
    assert way.is_whole or spans


def test_small_days_between_are_gone_through_and_large_ones_are_stepped_over() -> None:
    names = [day(NOON_US - n * DAY_US) for n in range(3)]
    small = route(
        [DayCount(names[0], 1, 9), DayCount(names[1], 0, 900), DayCount(names[2], 1, 9)], ABOVE_ALL, 51, 10_000
    )
    assert small.spans == [span_of(names[2], names[0])]
    large = route(
        [DayCount(names[0], 1, 9), DayCount(names[1], 0, 9_000), DayCount(names[2], 1, 9)], ABOVE_ALL, 51, 10_000
    )
    assert large.spans == [span_of(names[0], names[0]), span_of(names[2], names[2])]


def test_a_way_ends_where_there_is_enough() -> None:
    names = [day(NOON_US - n * DAY_US) for n in range(3)]
    way = route([DayCount(name, 60, 100) for name in names], ABOVE_ALL, 51, 10_000)
    assert (way.spans, way.rest, way.is_whole) == ([span_of(names[0], names[0])], None, False)


def test_the_period_under_way_is_there_before_its_first_call() -> None:
    anchor_us = NOON_US - 40 * DAY_US
    first, now = period_at(anchor_us, anchor_us), period_at(anchor_us, NOON_US)
    assert periods_of([], now) == [now]
    meters = [Meter("a", mode, *first) for mode in ("live", "test")]
    assert under_way(meters, "live", NOON_US) is None
    assert periods_of(meters, now) == [now, first]
    assert starting_at([now, first], first.start_us) == first
    assert starting_at([now, first], first.start_us + 1) is None
    moved = Meter("a", "live", NOON_US - DAY_US, NOON_US + DAY_US)  # an anchor that was moved: the meter is right
    assert under_way([*meters, moved], "live", NOON_US) == moved
    assert under_way([*meters, moved], "test", NOON_US) is None
    assert periods_of([moved], Period(*moved[2:4])) == [Period(*moved[2:4])]


def test_starts_within_a_day_of_another_are_told_apart_by_more_than_the_day() -> None:
    starts = [NOON_US, NOON_US + DAY_US - 1, NOON_US + 2 * DAY_US - 1, NOON_US - 30 * DAY_US]
    periods = [Period(start, start + 1) for start in starts]
    assert close_starts(periods) == set(starts[:2])
    assert close_starts(periods[1:]) == set()


def test_the_days_between_two_moments_have_both_ends() -> None:
    assert days_between(NOON_US, NOON_US) == ["2026-11-25"]
    assert days_between(NOON_US, day_start_us("2026-11-27")) == ["2026-11-25", "2026-11-26", "2026-11-27"]
