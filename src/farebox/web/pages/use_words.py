"""What an account has used, in words and in figures for charts."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from farebox.domain.ledger import Meter
from farebox.domain.period import DAY_US
from farebox.domain.plan import Plan
from farebox.domain.reading import Sums, days_between
from farebox.ports.calls import AccountRow, KeyRow
from farebox.web.pages.call_words import key_name, key_shown
from farebox.web.pages.sums import rounded_down, rounded_up, step_of, titled, used_sum
from farebox.web.pages.words import counted, money, number

IN_MONEY: Final = frozenset({"credit", "cap"})
NOTHING = (0,) * (len(Sums._fields) - 1)


class Limit(NamedTuple):
    """One limit of the plan, or of the customer's own."""

    id: str
    label: str
    used: int
    most: int
    words: str
    """A sum of money is rounded in it."""

    @property
    def titled(self) -> str:
        """The words; where they are rounded, with the sums to the last digit as their title."""
        sums = (self.used, self.most, max(self.most - self.used, 0))
        exact = _told(*map(money, sums)) if self.id in IN_MONEY else ""
        return self.words if self.words.startswith(exact) else titled(self.words, exact)


class Fact(NamedTuple):
    label: str
    value: str
    note: str


def is_in_trial(account: AccountRow, now_us: int) -> bool:
    return account.trial_end_us is not None and now_us < account.trial_end_us


def limits(plan: Plan, meter: Meter, spend_cap_nanodollars: int | None, trial_credit: int | None) -> list[Limit]:
    """Each limit, with what is used of it and left. What is set aside for calls under way counts as used.

    `trial_credit` is the credit that is left in a trial. No invoice comes for that: only credit pays beyond the plan.
    """
    calls, tokens = meter.posted_calls + meter.held_calls, meter.posted_tokens + meter.held_tokens
    spent = meter.posted_nanodollars + meter.held_nanodollars
    found = []
    if plan.calls is not None:
        over = "" if plan.overage_nanodollars is None else f"{money(plan.overage_nanodollars)} each"
        words = _left(calls, plan.calls, number) + _then(over, trial_credit, plan.overage_nanodollars)
        found.append(Limit("calls", "Calls", calls, plan.calls, words))
    if plan.tokens is not None:
        over = "" if plan.overage_per_mtok is None else f"{money(plan.overage_per_mtok // 1000)} a thousand"
        words = _left(tokens, plan.tokens, number) + _then(over, trial_credit, plan.overage_per_mtok and 1)
        found.append(Limit("tokens", "Tokens", tokens, plan.tokens, words))
    credit = plan.credit_nanodollars
    if credit is not None:
        over = "charged as it comes" if plan.credit_overage else ""
        words = _left(spent, credit, money) + _then(over, trial_credit)
        found.append(Limit("credit", "Model use", spent, credit, words))
    cap = spend_cap_nanodollars
    if cap is not None:
        found.append(Limit("cap", "Your spend cap", spent, cap, _left(spent, cap, money)))
    return found


def facts(plan: Plan, meter: Meter, test: Meter | None) -> list[Fact]:
    """What else there is to know of a period."""
    found = []
    if plan.calls is None:
        found.append(Fact("Calls", number(meter.posted_calls), "no limit"))
    if plan.tokens is None:
        found.append(Fact("Tokens", number(meter.posted_tokens), "in and out"))
    if plan.overage_nanodollars is not None and plan.calls is not None:
        over = max(meter.posted_calls - plan.calls, 0)
        note = counted(over, "call") if over else "so far"
        found.append(Fact("Beyond the plan", used_sum(meter.posted_nanodollars), note))
    elif plan.has_overage:
        included = plan.credit_nanodollars or 0
        found.append(Fact("Beyond the plan", used_sum(max(meter.posted_nanodollars - included, 0)), "so far"))
    if meter.held_calls:
        found.append(Fact("Under way", counted(meter.held_calls, "call"), "set aside until they end"))
    if test is not None and test.posted_calls:
        found.append(Fact("With test keys", counted(test.posted_calls, "call"), "never billed"))
    return found


def _left(used: int, most: int, written: Callable[[int], str]) -> str:
    """Money is as fine as its limit: rounded against each other, what is used and what is left still come to it."""
    step = _step_in(most) if written is money else 1
    if used > most:
        step = min(step, step_of(used - most))  # as finely as "Beyond the plan" has it
    shown = f"less than {written(step)}" if 0 < used < step else written(rounded_up(used, step))
    return _told(shown, written(most), written(max(rounded_down(most - used, step), 0)))


def _told(used: str, most: str, left: str) -> str:
    return f"{used} of {most} used, {left} left"


def _step_in(most: int) -> int:
    """How finely a limit is read, or as finely as it is set."""
    step = step_of(most)
    while most % step:
        step //= 10
    return step


def _then(over: str, trial_credit: int | None, least: int | None = 1) -> str:
    """What comes after the limit. Credit pays for a call whole or not at all; `least` is what one comes to there."""
    if not over:
        return ""
    if trial_credit is None or not least:
        return f", then {over}"
    return f", then {over}, from credit" if trial_credit >= least else ", then refused until the trial ends"


def filled(days: Sequence[Sums], first_us: int, last_us: int) -> list[Sums]:
    """Every day from one moment to another, with zeros for a day that is not there."""
    found = {one.name: one for one in days}
    return [found.get(name) or Sums(name, *NOTHING) for name in days_between(first_us, last_us)]


def last_days(days: Sequence[Sums], now_us: int, count: int) -> list[Sums]:
    return filled(days, now_us - (count - 1) * DAY_US, now_us)


class KeySums(NamedTuple):
    """What a key's calls came to."""

    id: str
    name: str
    shown: str
    """As much of the key as may be shown; empty where it is not known any more."""
    sums: Sums


def key_sums(keys: Sequence[Sums], rows: Mapping[str, KeyRow]) -> list[KeySums]:
    found = []
    for sums in keys:
        key = rows.get(sums.name)
        found.append(KeySums(sums.name, key_name(key, sums.name), key_shown(key) if key else "", sums))
    return found
