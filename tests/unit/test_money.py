"""Money is exact: whole nanodollars in, whole nanodollars out, and no fraction given away."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox.domain.money import NANODOLLARS_PER_USD, USD_MAX, Usd, divide_up, format_usd, usd_to_nanodollars


@pytest.mark.parametrize(
    ("usd", "nanodollars"),
    [
        (0, 0),
        (-0.0, 0),
        (29, 29_000_000_000),
        (0.01, 10_000_000),
        (0.1, 100_000_000),
        ("0.000000001", 1),
        (Decimal("0.150"), 150_000_000),
        (1e-9, 1),
        (USD_MAX, USD_MAX * NANODOLLARS_PER_USD),
    ],
)
def test_an_amount_is_what_was_written_and_not_its_binary_neighbour(usd: Usd, nanodollars: int) -> None:
    assert usd_to_nanodollars(usd) == nanodollars


@given(st.integers(0, USD_MAX * NANODOLLARS_PER_USD))
def test_every_nanodollar_amount_survives_the_way_through_text_and_decimal(nanodollars: int) -> None:
    whole, rest = divmod(nanodollars, NANODOLLARS_PER_USD)
    assert usd_to_nanodollars(f"{whole}.{rest:09d}") == nanodollars
    assert usd_to_nanodollars(Decimal(nanodollars) / NANODOLLARS_PER_USD) == nanodollars


@pytest.mark.parametrize(
    "usd",
    [
        "0.0000000001",
        0.1 + 0.2,
        "1e-999999",
        # More digits than decimal arithmetic keeps: a product would round the last one away.
        "1.00000000000000000000000000000000001",
    ],
)
def test_an_amount_finer_than_a_nanodollar_is_refused(usd: Usd) -> None:
    with pytest.raises(ValueError, match="finer than a nanodollar"):
        usd_to_nanodollars(usd)


@pytest.mark.parametrize("usd", ["", "ten", "1,50", "$5", True, None, [1], b"1"])
def test_what_is_no_number_is_refused(usd: Usd) -> None:
    with pytest.raises(ValueError, match="not an amount of money"):
        usd_to_nanodollars(usd)


@pytest.mark.parametrize("usd", [-1, "-0.000000001", float("nan"), float("inf"), "-inf", "sNaN"])
def test_less_than_nothing_and_no_number_at_all_are_refused(usd: Usd) -> None:
    with pytest.raises(ValueError, match="of zero or more"):
        usd_to_nanodollars(usd)


@pytest.mark.parametrize("usd", [USD_MAX + 1, "1000000.000000001", "1e300", "1e999999", 1e308])
def test_an_amount_that_no_column_could_hold_is_refused(usd: Usd) -> None:
    with pytest.raises(ValueError, match="more than 1,000,000 US dollars"):
        usd_to_nanodollars(usd)


@pytest.mark.parametrize(
    ("nanodollars", "text"),
    [
        (0, "$0.00"),
        (1, "$0.000000001"),
        (420_000, "$0.00042"),
        (1_500_000_000, "$1.50"),
        (-3_000_000_000, "-$3.00"),
        (-1, "-$0.000000001"),
        (1_234_567_890_000_000_000, "$1,234,567,890.00"),
    ],
)
def test_an_amount_is_shown_with_cents_and_never_rounded(nanodollars: int, text: str) -> None:
    assert format_usd(nanodollars) == text


@given(st.integers(-(10**18), 10**18))
def test_what_is_shown_is_the_amount_to_the_last_nanodollar(nanodollars: int) -> None:
    shown = Decimal(format_usd(nanodollars).replace("$", "").replace(",", ""))
    assert shown * NANODOLLARS_PER_USD == nanodollars


@given(st.integers(0, 10**24), st.integers(1, 10**9))
def test_a_division_rounds_up_by_less_than_one(amount: int, divisor: int) -> None:
    exact = Fraction(amount, divisor)
    assert exact <= divide_up(amount, divisor) < exact + 1
