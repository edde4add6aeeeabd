"""Sums of money as people read them: rounded to the safe side, with the exact one as the title."""

from typing import Final

from markupsafe import Markup

from farebox.domain.money import NANODOLLARS_PER_CENT, NANODOLLARS_PER_USD, divide_up
from farebox.web.pages.words import money

DIGITS_READ: Final = 4  # of a sum below a dollar


def used_sum(nanodollars: int) -> str:
    """A sum of what was used, as people read it: never less than it is. The exact one is its title."""
    return titled(money(rounded_up(nanodollars, step_of(nanodollars))), money(nanodollars))


def left_sum(nanodollars: int) -> str:
    """A sum of what is left, as people read it: never more than it is. The exact one is its title."""
    return titled(money(rounded_down(nanodollars, step_of(nanodollars))), money(nanodollars))


def titled(shown: str, exact: str) -> str:
    """What is shown, with what is exact as its title if that is another."""
    return shown if shown == exact else Markup('<span title="{}">{}</span>').format(exact, shown)


def step_of(nanodollars: int) -> int:
    """How finely a sum is read: from a dollar on in cents, below that in four digits."""
    if abs(nanodollars) >= NANODOLLARS_PER_USD:
        return NANODOLLARS_PER_CENT
    return int(10 ** max(len(str(abs(nanodollars))) - DIGITS_READ, 0))


def rounded_up(amount: int, step: int) -> int:
    return divide_up(amount, step) * step


def rounded_down(amount: int, step: int) -> int:
    return amount // step * step
