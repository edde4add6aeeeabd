"""Sums of money as pages show them: rounded, and never to more than is left or to less than was used."""

import pytest

from farebox.domain.money import usd_to_nanodollars
from farebox.web.pages.sums import left_sum, used_sum
from farebox.web.pages.use_words import Limit, _left
from farebox.web.pages.words import money, number


@pytest.mark.parametrize(
    ("nanodollars", "used", "left"),
    [
        (12_345_678_912, "$12.35", "$12.34"),
        (999_990_001, "$1", "$0.9999"),
        (123_456, "$0.0001235", "$0.0001234"),
        (-1_234_567_890, "-$1.23", "-$1.24"),
    ],
)
def test_a_sum_is_rounded_to_what_people_read_and_has_the_exact_one_as_its_title(
    nanodollars: int, used: str, left: str
) -> None:
    exact = money(nanodollars)
    assert used_sum(nanodollars) == f'<span title="{exact}">{used}</span>'
    assert left_sum(nanodollars) == f'<span title="{exact}">{left}</span>'


@pytest.mark.parametrize("nanodollars", [0, 1, 1234, 40 * 10**9, 1_010_000_000, -(10**9)])
def test_a_sum_that_is_short_stays_as_it_is(nanodollars: int) -> None:
    assert used_sum(nanodollars) == left_sum(nanodollars) == money(nanodollars)


@pytest.mark.parametrize("most", [40 * 10**9, 123_456, 50_000_000, 1_005_000_000, 10**9 - 1, 1])
@pytest.mark.parametrize("share", [0, 0.000001, 0.3086419728, 0.999999, 1])
def test_what_is_used_and_left_of_a_limit_comes_to_it_as_it_is_shown(most: int, share: float) -> None:
    spent = int(most * share)
    used, _, limit, _, left, _ = _left(spent, most, money).removeprefix("less than ").split()
    shown = [usd_to_nanodollars(word.removeprefix("$").rstrip(",")) for word in (used, left, limit)]
    assert shown[0] + shown[1] == shown[2] == most
    assert shown[0] >= spent


def test_what_is_beyond_a_limit_is_read_as_finely_as_the_sum_that_stands_beside_it() -> None:
    spent, most = 5_001_234_567, 5 * 10**9
    assert _left(spent, most, money) == "$5.001235 of $5 used, $0 left"
    assert ">$0.001235<" in used_sum(spent - most)
    assert _left(12_345_678_912, most, money) == "$12.35 of $5 used, $0 left"


def test_a_gauge_has_its_exact_sums_where_it_rounds_them() -> None:
    spent, most = 12_345_678_912, 40 * 10**9
    rounded = Limit("credit", "Model use", spent, most, _left(spent, most, money))
    assert rounded.words == "$12.35 of $40 used, $27.65 left"
    assert rounded.titled == f'<span title="$12.345678912 of $40 used, $27.654321088 left">{rounded.words}</span>'
    assert _left(45_720, most, money) == "less than $0.01 of $40 used, $39.99 left"
    for exact in (
        Limit("cap", "Your spend cap", most, most, _left(most, most, money)),
        Limit("calls", "Calls", 9, 1_001, _left(9, 1_001, number)),
    ):
        assert exact.titled is exact.words
