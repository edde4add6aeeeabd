"""The burst limit: a bucket that no pattern of calls and no clock can cheat, and that locks nobody out."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox.domain.period import MICROSECONDS
from farebox.domain.rate import BURST_SECONDS_MAX, Burst, look, parse_burst, take

START_US = 1_800_000_000 * MICROSECONDS
HOUR_US = 3_600 * MICROSECONDS
DAY_US = 24 * HOUR_US

bursts = st.builds(Burst, st.integers(1, 50), st.integers(1, 3_600).map(lambda seconds: seconds * MICROSECONDS))
waits = st.lists(st.integers(0, 5 * MICROSECONDS) | st.sampled_from([0, 0, 0, HOUR_US]), max_size=200)


class Bucket:
    """A bucket in use: its one number, and a clock."""

    def __init__(self, burst: Burst) -> None:
        self.burst = burst
        self.now_us = START_US
        self.tat_us = 0

    def take(self) -> bool:
        taken = take(self.burst, self.tat_us, self.now_us)
        if taken.passed:
            self.tat_us = taken.tat_us
        return taken.passed

    def take_all(self) -> int:
        """How many pass at this moment."""
        passed = 0
        while self.take():
            passed += 1
        return passed

    @property
    def retry_after_us(self) -> int:
        return look(self.burst, self.tat_us, self.now_us).retry_after_us


@given(bursts)
def test_a_full_bucket_passes_its_number_at_once_and_not_one_more(burst: Burst) -> None:
    bucket = Bucket(burst)
    assert bucket.take_all() == burst.calls
    assert not bucket.take()


@given(bursts, waits)
def test_no_span_of_time_passes_more_than_a_bucket_and_what_flowed_in_meanwhile(burst: Burst, waits: list[int]) -> None:
    bucket = Bucket(burst)
    passed_us: list[int] = []
    for wait_us in waits:
        bucket.now_us += wait_us
        if bucket.take():
            passed_us.append(bucket.now_us)
    for first, start_us in enumerate(passed_us):
        for last in range(first, len(passed_us)):
            flowed_in = (passed_us[last] - start_us) * burst.calls / burst.window_us
            assert last - first + 1 <= burst.calls + flowed_in


@given(bursts, st.integers(1, 300))
def test_a_caller_who_asks_all_the_time_gets_the_whole_rate(burst: Burst, intervals: int) -> None:
    bucket = Bucket(burst)
    bucket.take_all()
    passed = 0
    for _ in range(intervals):
        bucket.now_us += burst.interval_us
        passed += bucket.take_all()
    assert passed == intervals
    # An interval is rounded up to a microsecond, so the rate falls short of the plan's by less than that.
    assert (
        intervals * burst.window_us
        <= passed * burst.interval_us * burst.calls
        < intervals * (burst.window_us + burst.calls)
    )


@given(bursts, st.integers(0, 3_000), st.integers(1, 50))
def test_a_refusal_takes_nothing_from_the_bucket(burst: Burst, part: int, tries: int) -> None:
    bucket = Bucket(burst)
    bucket.take_all()
    bucket.now_us += burst.interval_us * part // 3_001
    before = look(burst, bucket.tat_us, bucket.now_us)
    for _ in range(tries):
        refused = take(burst, bucket.tat_us, bucket.now_us)
        assert not refused.passed
        assert refused == before


@given(bursts, waits)
def test_waiting_as_long_as_told_is_enough_and_a_microsecond_less_is_not(burst: Burst, waits: list[int]) -> None:
    bucket = Bucket(burst)
    for wait_us in waits:
        bucket.now_us += wait_us
        bucket.take()
    bucket.take_all()
    told_us = bucket.retry_after_us
    assert told_us > 0
    bucket.now_us += told_us - 1
    assert not bucket.take()
    bucket.now_us += 1
    assert bucket.take()


@given(bursts, waits)
def test_looking_says_what_taking_finds(burst: Burst, waits: list[int]) -> None:
    bucket = Bucket(burst)
    for wait_us in waits:
        bucket.now_us += wait_us
        seen = look(burst, bucket.tat_us, bucket.now_us)
        assert 0 <= seen.remaining <= burst.calls
        assert seen.passed == (seen.retry_after_us == 0) == (seen.remaining > 0)
        assert bucket.take() == seen.passed
        after = look(burst, bucket.tat_us, bucket.now_us)
        assert after.remaining == max(seen.remaining - 1, 0)
        # When it is told to be full again, it is.
        assert look(burst, bucket.tat_us, bucket.now_us + after.full_after_us).remaining == burst.calls


@given(bursts, st.sampled_from([1, HOUR_US, DAY_US, 30 * DAY_US]))
def test_a_clock_set_back_gives_one_call_more_and_locks_out_for_one_call_at_most(burst: Burst, back_us: int) -> None:
    bucket = Bucket(burst)
    bucket.take_all()
    bucket.now_us -= back_us
    assert bucket.take_all() == 1
    told_us = bucket.retry_after_us
    assert told_us <= burst.interval_us
    bucket.now_us += told_us
    assert bucket.take()


@given(bursts, st.integers(0, 49), st.integers(0, 2 * DAY_US))
def test_a_clock_set_back_over_a_bucket_that_is_not_empty_locks_out_for_less_than_one_refill(
    burst: Burst, used: int, back_us: int
) -> None:
    bucket = Bucket(burst)
    for _ in range(used):
        bucket.take()
    bucket.now_us -= back_us
    assert bucket.take_all() <= burst.calls
    assert bucket.retry_after_us <= burst.interval_us


@given(bursts, st.lists(st.integers(-2 * DAY_US, 2 * DAY_US) | st.integers(-MICROSECONDS, MICROSECONDS), max_size=60))
def test_a_clock_that_jumps_about_gives_a_call_for_each_jump_back_and_never_locks_out(
    burst: Burst, steps: list[int]
) -> None:
    bucket = Bucket(burst)
    passed, forward_us, back = bucket.take_all(), 0, 0
    for step_us in steps:
        bucket.now_us += step_us
        forward_us += max(step_us, 0)
        back += step_us < 0
        passed += bucket.take_all()
        assert bucket.retry_after_us <= burst.interval_us
        assert passed <= burst.calls + back + forward_us * burst.calls / burst.window_us


def test_a_plan_with_a_smaller_bucket_does_not_lock_out_who_emptied_the_larger() -> None:
    larger, smaller = parse_burst("1000/h"), parse_burst("5/10s")
    emptied = Bucket(larger)
    emptied.take_all()
    emptied.burst = smaller
    assert emptied.take_all() == 1
    assert emptied.retry_after_us == smaller.interval_us


@given(bursts, st.sampled_from([HOUR_US, DAY_US]))
def test_a_clock_set_forward_gives_one_bucket_and_no_more(burst: Burst, forward_us: int) -> None:
    bucket = Bucket(burst)
    bucket.take_all()
    bucket.now_us += forward_us
    assert bucket.take_all() == min(burst.calls, forward_us // burst.interval_us)


@pytest.mark.parametrize(
    ("text", "calls", "seconds"),
    [
        ("5/10s", 5, 10),
        ("60/m", 60, 60),
        ("1000/h", 1000, 3600),
        ("20/5m", 20, 300),
        ("1/s", 1, 1),
        ("7/24h", 7, BURST_SECONDS_MAX),
        ("999999999/86400s", 999_999_999, BURST_SECONDS_MAX),
    ],
)
def test_a_burst_is_read_as_it_is_said(text: str, calls: int, seconds: int) -> None:
    assert parse_burst(text) == (calls, seconds * MICROSECONDS)


@pytest.mark.parametrize(
    "text",
    [
        "", "5", "5/", "/10s", "0/10s", "5/0s", "-5/10s", "5/10", "5/10d", "5 / 10s", "5/10s ", "5/10s\n", "05/10s",
        "5/010s", "5.0/10s", "1e3/s", "1_000/h", "5/25h", "5/86401s", "5/99999h", "\u0665/10s", "1000000000/s", 5.5,
        None,
    ],
)  # fmt: skip
def test_what_is_no_burst_is_refused_with_how_to_write_one(text: str) -> None:
    with pytest.raises(ValueError, match="write calls/time such as '5/10s'"):
        parse_burst(text)


def test_5_in_10_seconds_is_five_at_once_then_one_every_two_seconds() -> None:
    bucket = Bucket(parse_burst("5/10s"))
    passed_us = []
    for _ in range(20_000):
        if bucket.take():
            passed_us.append(bucket.now_us - START_US)
        bucket.now_us += 1_000
    assert passed_us[:5] == [0, 1_000, 2_000, 3_000, 4_000]
    assert {after - before for before, after in pairwise(passed_us[5:])} == {2 * MICROSECONDS}
