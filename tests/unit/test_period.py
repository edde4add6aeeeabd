"""Periods tile time: each moment is in exactly one, and it begins where the last one ended."""

from calendar import monthrange
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox.domain.period import DAY_US, day, iso, period_at

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def us(moment: datetime) -> int:
    return (moment - EPOCH) // MICROSECOND


def moment(microseconds: int) -> datetime:
    return EPOCH + microseconds * MICROSECOND


def at(text: str) -> int:
    return us(datetime.fromisoformat(text).replace(tzinfo=UTC))


TIMES_OF_DAY_US = [0, 1, 9 * 3_600_000_000 + 58_123_457, DAY_US // 2, DAY_US - 1]


@pytest.mark.parametrize("anchor_day", range(1, 32))
def test_every_day_of_eleven_years_is_in_one_period_and_periods_tile(anchor_day: int) -> None:
    """Each anchor day of the month, at five times of day, looked at once a day at the anchor's time and beside it."""
    for time_us in TIMES_OF_DAY_US:
        anchor_us = at(f"2019-01-{anchor_day:02d}") + time_us
        last = period_at(anchor_us, anchor_us)
        assert last.start_us == anchor_us
        first_us = last.end_us
        for days in range(4018):
            now_us = first_us + days * DAY_US + (-1, 0, 1)[days % 3]
            period = period_at(anchor_us, now_us)
            assert period.start_us <= now_us < period.end_us
            if period != last:
                assert period.start_us == last.end_us
                assert _begins_where_it_should(period.start_us, anchor_day, time_us)
                last = period


def _begins_where_it_should(start_us: int, anchor_day: int, time_us: int) -> bool:
    start = moment(start_us)
    expected_day = min(anchor_day, monthrange(start.year, start.month)[1])
    return start.day == expected_day and start_us % DAY_US == time_us


@given(
    st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001  # given below
    st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
)
def test_a_period_contains_its_moment_and_touches_its_neighbours(anchor: datetime, now: datetime) -> None:
    anchor_us, now_us = us(anchor), us(now)
    period = period_at(anchor_us, now_us)
    assert period.start_us <= now_us < period.end_us
    assert period_at(anchor_us, period.start_us) == period == period_at(anchor_us, period.end_us - 1)
    assert period_at(anchor_us, period.end_us).start_us == period.end_us
    assert period_at(anchor_us, period.start_us - 1).end_us == period.start_us
    assert 28 * DAY_US <= period.end_us - period.start_us <= 31 * DAY_US


@pytest.mark.parametrize(
    ("anchor", "now", "start", "end"),
    [
        ("2026-01-31T10:00:00", "2026-02-28T09:59:59.999999", "2026-01-31T10:00:00", "2026-02-28T10:00:00"),
        ("2026-01-31T10:00:00", "2026-02-28T10:00:00", "2026-02-28T10:00:00", "2026-03-31T10:00:00"),
        ("2024-01-30T00:00:00", "2024-02-29T00:00:00", "2024-02-29T00:00:00", "2024-03-30T00:00:00"),
        ("2024-02-29T12:00:00", "2025-02-28T12:00:00", "2025-02-28T12:00:00", "2025-03-29T12:00:00"),
        ("2024-02-29T12:00:00", "2028-02-29T12:00:00", "2028-02-29T12:00:00", "2028-03-29T12:00:00"),
        ("2099-12-31T23:59:59.999999", "2100-02-28T23:59:59.999999", "2100-02-28T23:59:59.999999",
         "2100-03-31T23:59:59.999999"),
        ("2026-11-23T09:07:58.123456", "2026-12-31T00:00:00", "2026-12-23T09:07:58.123456",
         "2027-01-23T09:07:58.123456"),
    ],
)  # fmt: skip
def test_a_short_month_ends_early_and_the_day_comes_back(anchor: str, now: str, start: str, end: str) -> None:
    assert period_at(at(anchor), at(now)) == (at(start), at(end))


def test_a_moment_before_the_anchor_has_a_period_too() -> None:
    assert period_at(at("2026-03-31"), at("2026-02-27")) == (at("2026-01-31"), at("2026-02-28"))


@given(st.integers(-(10**15), 4 * 10**15))
def test_a_moment_is_written_as_python_writes_it(microseconds: int) -> None:
    whole = moment(microseconds)
    assert iso(microseconds) == whole.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    assert day(microseconds) == whole.strftime("%Y-%m-%d")


def test_a_day_ends_at_midnight_utc() -> None:
    midnight_us = at("2028-02-29")
    assert [day(midnight_us - 1), day(midnight_us), day(midnight_us + DAY_US - 1)] == [
        "2028-02-28",
        "2028-02-29",
        "2028-02-29",
    ]
