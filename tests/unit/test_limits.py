"""How far an account has come: each mark is reached by exactly one call, whatever the size of the calls."""

from hypothesis import given
from hypothesis import strategies as st

from farebox.domain.ledger import Hold, Meter, Outcome, State
from farebox.domain.limits import PERCENTS, marks_up_to, may_matter, reached, steps, used_of
from farebox.domain.plan import Plan
from farebox.testing import call

HOLD: Hold = call()._wire.admitted.hold._replace(account_id="acct_1", mode="live", plan="pro")


def outcome(calls: int = 1, tokens: int = 0, charge: int = 0) -> Outcome:
    return Outcome(State.POSTED, calls, tokens, 0, 0, 0, charge, 0, "", "[]", "", 0)


def meter(calls: int = 0, tokens: int = 0, nanodollars: int = 0) -> Meter:
    return Meter("acct_1", "live", 0, 1, calls, 0, tokens, 0, nanodollars)


def test_a_mark_is_reached_at_its_share_and_not_before() -> None:
    assert [reached(used, 10) for used in range(12)] == [0, 0, 0, 0, 0, 50, 50, 50, 80, 80, 100, 100]
    assert reached(1, 1) == 100
    assert (reached(1, 3), reached(2, 3), reached(3, 3)) == (0, 50, 100)
    assert (reached(0, 0), reached(5, 0)) == (0, 0)
    assert [marks_up_to(percent) for percent in PERCENTS] == [(50,), (50, 80), (50, 80, 100)]


@given(most=st.integers(1, 10**15), sizes=st.lists(st.integers(0, 10**14), max_size=30))
def test_of_all_calls_exactly_one_reaches_each_mark(most: int, sizes: list[int]) -> None:
    plan, used, found = Plan("pro", tokens=most), 0, list[int]()
    for size in sizes:
        used += size
        found += [step.percent for step in steps(plan, meter(tokens=used), outcome(tokens=size))]
    assert found == sorted(set(found))
    last = reached(used, most)
    assert (found[-1] if found else 0) == last


def test_each_limit_counts_what_it_limits_and_only_what_is_posted() -> None:
    plan = Plan("pro", calls=10, tokens=100, credit_usd="0.000001")
    held = meter(5, 60, 700)._replace(held_calls=9, held_tokens=90, held_nanodollars=900)
    found = [(one.limit, one.used, one.most, one.percent) for one in used_of(plan, held, 2_000)]
    assert found == [
        ("calls", 5, 10, 50), ("tokens", 60, 100, 50), ("credit", 700, 1000, 50), ("spend_cap", 700, 2_000, 0)
    ]  # fmt: skip


def test_a_cap_counts_only_where_the_plan_charges_by_use() -> None:
    assert used_of(Plan("pro", calls=10), meter(), 5) == [("calls", 0, 10)]
    assert [one.limit for one in used_of(Plan("pro", calls=10, overage_usd=1), meter(), 5)] == ["calls", "spend_cap"]


def test_a_call_matters_that_may_have_reached_a_mark() -> None:
    plan = Plan("pro", calls=10)
    assert may_matter(HOLD, outcome(), plan, meter(5))
    assert not may_matter(HOLD, outcome(), plan, meter(6))
    assert may_matter(HOLD, outcome(charge=1), plan, meter(6)), "the customer's own cap is not known here"
    assert may_matter(HOLD, outcome(), None, None), "nor is anything after a lost answer"
    assert not may_matter(HOLD._replace(mode="test"), outcome(charge=1), plan, meter(5))
    assert may_matter(HOLD, outcome(tokens=1), Plan("pro", calls=10, tokens=10), meter(1, 5))
    assert not may_matter(HOLD, outcome(tokens=1), Plan("pro", calls=10, tokens=10), meter(1, 4))
