"""The circuit breaker: whatever comes in whatever order, it opens, tries and closes as it says."""

from hypothesis import given
from hypothesis import strategies as st

from farebox.domain.breaker import Breaker

STEPS = st.lists(
    st.tuples(st.sampled_from(["ask", "succeeded", "failed"]), st.floats(0, 25, allow_subnormal=False)), max_size=60
)


def opened(failures_max: int = 3, seconds: float = 10, at: float = 100) -> Breaker:
    breaker = Breaker(failures_max, seconds)
    for _ in range(failures_max):
        assert breaker.may_try(at)
        breaker.failed(at)
    assert breaker.is_open
    return breaker


def test_it_opens_at_the_last_of_the_failures_and_not_before() -> None:
    breaker = Breaker(3, 10)
    for _ in range(2):
        breaker.failed(100)
    assert breaker.may_try(100)
    assert breaker.retry_after(100) == 0
    breaker.failed(100)
    assert not breaker.may_try(100)
    assert (breaker.retry_after(100), breaker.retry_after(109.5), breaker.retry_after(200)) == (10, 1, 0)


def test_a_success_between_them_starts_the_count_again() -> None:
    breaker = Breaker(2, 10)
    for _ in range(5):
        breaker.failed(100)
        breaker.succeeded()
    assert breaker.may_try(100)


def test_after_its_time_one_call_is_let_through_and_only_one() -> None:
    breaker = opened()
    assert not breaker.may_try(109.9)
    assert [breaker.may_try(110) for _ in range(3)] == [True, False, False]


def test_a_trial_that_succeeds_closes_it() -> None:
    breaker = opened()
    assert breaker.may_try(110)
    breaker.succeeded()
    assert all(breaker.may_try(110) for _ in range(5))
    breaker.failed(110)
    assert breaker.may_try(110)  # the count began again too


def test_a_trial_that_fails_opens_it_for_as_long_again() -> None:
    breaker = opened()
    assert breaker.may_try(110)
    breaker.failed(115)
    assert not breaker.may_try(124.9)
    assert breaker.may_try(125)


def test_a_trial_whose_end_is_never_told_makes_room_for_the_next() -> None:
    breaker = opened()
    assert breaker.may_try(110)
    assert not breaker.may_try(119.9)
    assert breaker.may_try(120)


def test_calls_from_before_it_opened_do_not_prolong_it() -> None:
    breaker = opened()
    breaker.failed(109)
    assert breaker.may_try(110)


def test_switched_off_it_never_opens() -> None:
    breaker = Breaker(0, 10)
    for _ in range(1_000):
        breaker.failed(100)
    assert breaker.may_try(100)


@given(STEPS, st.integers(1, 5), st.floats(0.5, 20))
def test_it_is_open_only_after_so_many_failures_in_a_row_and_lets_one_call_through_each_so_often(
    steps: list[tuple[str, float]], failures_max: int, seconds: float
) -> None:
    breaker = Breaker(failures_max, seconds)
    now, in_a_row, last_let_through = 0.0, 0, None
    for what, pause in steps:
        now += pause
        if what == "ask":
            was_open = breaker.is_open
            told = breaker.retry_after(now)
            let_through = breaker.may_try(now)
            assert let_through == (told == 0) or was_open
            assert was_open or let_through
            if was_open and let_through:
                assert last_let_through is None or now - last_let_through >= seconds - 1e-6  # a sum of floats
                last_let_through = now
            if not let_through:
                assert 0 < breaker.retry_after(now) <= seconds + 1
        elif what == "succeeded":
            breaker.succeeded()
            in_a_row, last_let_through = 0, None
            assert not breaker.is_open
        else:
            breaker.failed(now)
            in_a_row += 1
        assert breaker.is_open == (in_a_row >= failures_max)
