"""Credit grants: the soonest to end is used first, no nanodollar comes or goes, and what is due back is taken."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox.domain.wallet import (
    Grant,
    allocate,
    balance,
    hold,
    parts_of,
    release,
    spend,
    take_back,
    text_of,
    total,
    usable,
)

NOW_US = 1_800_000_000_000_000


def grant(name: str, amount: int, *, ends_after: int = 1, age: int = 0) -> Grant:
    return Grant("acct", name, amount, 0, 0, 0, 0, NOW_US + ends_after, NOW_US - age)


def test_the_grant_that_ends_soonest_pays_first_then_the_older_one() -> None:
    grants = [
        grant("late", 100, ends_after=9),
        grant("soon", 20, ends_after=2),
        grant("older", 30, ends_after=9, age=5),
    ]
    assert [each.id for each in usable(grants, NOW_US)] == ["soon", "older", "late"]
    assert allocate(grants, 20, NOW_US) == "soon:20"
    assert allocate(grants, 60, NOW_US) == "soon:20 older:30 late:10"
    assert allocate(grants, 1_000, NOW_US) == "soon:20 older:30 late:100"
    assert (allocate(grants, 0, NOW_US), balance(grants, NOW_US)) == ("", 150)


def test_a_grant_pays_until_the_microsecond_of_its_end() -> None:
    assert balance([grant("a", 5, ends_after=1)], NOW_US) == 5
    assert balance([grant("a", 5, ends_after=0)], NOW_US) == 0
    assert allocate([grant("a", 5, ends_after=0)], 5, NOW_US) == ""


def test_what_is_spent_is_taken_of_what_was_held_first_and_the_rest_is_given_back() -> None:
    assert spend("a:20 b:30", 25) == "a:20 b:5"
    assert spend("a:20 b:30", 20) == "a:20"
    assert spend("a:20 b:30", 0) == ""
    assert spend("a:20 b:30", 99) == "a:20 b:30"
    held = hold(grant("b", 100), 30)
    assert (held.held_nanodollars, held.left_nanodollars) == (30, 70)
    after = release(held, 30, 5)
    assert (after.held_nanodollars, after.spent_nanodollars, after.left_nanodollars) == (0, 5, 95)


def test_what_calls_hold_is_taken_back_when_it_comes_free() -> None:
    held = hold(grant("a", 100), 60)
    taken = take_back(held, 100)
    assert (taken.taken_back_nanodollars, taken.due_back_nanodollars, taken.left_nanodollars) == (40, 100, 0)
    after = release(taken, 60, 10)
    assert (after.spent_nanodollars, after.taken_back_nanodollars, after.left_nanodollars) == (10, 90, 0)
    assert take_back(after, 100) == after


def test_a_share_is_taken_once_and_given_again_where_it_is_no_longer_due() -> None:
    once = take_back(grant("a", 100), 30)
    assert take_back(once, 30) == once
    assert take_back(once, 50).left_nanodollars == 50
    assert take_back(once, 0) == grant("a", 100)
    assert take_back(once, 1_000).due_back_nanodollars == 100


@pytest.mark.parametrize("text", ["a", ":5", "a:", "a:0", "a:-1", "a:x", "a:1:2"])
def test_what_is_no_credit_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parts_of(text)


amounts = st.lists(st.integers(1, 50), min_size=1, max_size=5)


@given(amounts, st.lists(st.tuples(st.integers(0, 120), st.integers(0, 120), st.integers(-1, 200)), max_size=12))
def test_no_nanodollar_comes_or_goes(sizes: list[int], steps: list[tuple[int, int, int]]) -> None:
    """Whatever is held, charged and taken back: each grant is spent + held + left + taken back, none below zero."""
    grants = {f"g{n}": grant(f"g{n}", size, ends_after=1 + n % 3, age=n) for n, size in enumerate(sizes)}
    open_holds: list[str] = []
    for wanted, charge, back in steps:
        credit = allocate(list(grants.values()), wanted, NOW_US)
        assert total(credit) == min(wanted, balance(grants.values(), NOW_US))
        assert text_of(parts_of(credit)) == credit
        for grant_id, part in parts_of(credit):
            grants[grant_id] = hold(grants[grant_id], part)
        open_holds.append(credit)
        if back >= 0:
            grants["g0"] = take_back(grants["g0"], back)
        if len(open_holds) > 2:
            ended = open_holds.pop(0)
            spent = spend(ended, charge)
            assert total(spent) == min(charge, total(ended))
            for grant_id, part in parts_of(ended):
                grants[grant_id] = release(grants[grant_id], part, dict(parts_of(spent)).get(grant_id, 0))
        for each in grants.values():
            held = sum(dict(parts_of(text)).get(each.id, 0) for text in open_holds)
            assert each.held_nanodollars == held
            assert min(each.left_nanodollars, each.spent_nanodollars, each.taken_back_nanodollars) >= 0
            assert each.taken_back_nanodollars == each.due_back_nanodollars or each.left_nanodollars == 0
