"""Calls and limits, as customers read them."""

import pytest

from farebox.domain.ledger import Hold, Mark, Meter, Outcome, State
from farebox.domain.plan import Plan
from farebox.domain.reading import Sums
from farebox.ports.calls import CallRow, KeyRow
from farebox.web.pages.call_words import MARKS, charge_of, key_name, line_of, state_of, told_of, took
from farebox.web.pages.use_words import facts, filled, last_days, limits

NOON_US = 1_795_608_000_000_000  # 2026-11-25
KEY = KeyRow("a", "k", "d", "", "live", "till_live_abcd", "wxyz", 0, None, None)


def call(state: State | None, *marks: Mark, charge: int = 0, mode: str = "live") -> CallRow:
    hold = Hold(
        "a", "req_1", "k", "test" if mode == "test" else "live", "p", "/v1/x", "m", 0, NOON_US, 9, 1, 9, 9, 4, 5, None,
        None, None, 0, None,
    )  # fmt: skip
    if state is None:
        return CallRow(hold, None)
    return CallRow(hold, Outcome(state, 1, 7, 3, 0, 4, charge, 999, " ".join(marks), "[]", "", NOON_US + 1))


@pytest.mark.parametrize(
    ("row", "state", "charge"),
    [
        (call(State.POSTED), "Done", "included"),
        (call(State.POSTED, charge=10_000_000), "Done", "$0.01"),
        (call(State.POSTED, mode="test"), "Done", "free"),
        (call(State.POSTED, Mark.CUT), "Cut short", "included"),
        (call(State.POSTED, Mark.NO_MESSAGE), "No answer", "free"),
        (call(State.VOIDED, Mark.CUT), "Failed", "free"),
        (call(State.EXPIRED, Mark.UNKNOWN_COST), "Lost", "free"),
        (call(None), "Under way", "open"),
    ],
)
def test_a_call_is_told_in_a_word_and_an_amount(row: CallRow, state: str, charge: str) -> None:
    line = line_of(row, {"k": KEY})
    assert (state_of(row)[0], charge_of(row)) == (state, charge) == (line.state, line.charge)
    assert line.tokens == ((3, 4) if row.outcome else None)
    assert line.key == "till_live_abcd…wxyz"


def test_what_a_call_costs_the_founder_is_no_words_for_its_customer() -> None:
    assert set(Mark) - MARKS.keys() == {Mark.UNKNOWN_COST, Mark.UNPRICED}
    assert told_of(call(State.POSTED, Mark.UNPRICED)) == []
    assert len(told_of(call(State.POSTED, Mark.CUT, Mark.ESTIMATED))) == 2
    assert told_of(call(State.EXPIRED, Mark.UNKNOWN_COST)) == ["We lost it before it ended, so nothing was charged."]


def test_a_key_has_its_name_or_as_much_of_it_as_may_be_shown() -> None:
    assert key_name(KEY._replace(name="Website"), "k") == "Website"
    assert key_name(KEY, "k") == "till_live_abcd…wxyz"
    assert key_name(None, "k") == "k"


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [(0, "0 ms"), (999, "999 ms"), (1_000, "1.0 s"), (59_940, "59.9 s"), (125_000, "2 min 5 s")],
)
def test_time_is_told_as_finely_as_it_matters(milliseconds: int, text: str) -> None:
    assert took(milliseconds) == text


def test_what_is_set_aside_is_used_and_what_is_left_is_never_below_nothing() -> None:
    meter = Meter("a", "live", 0, 1, 8, 1, 900, 90, 30_000_000, 10_000_000)
    plan = Plan("pro", calls=10, tokens=1_000, overage_usd="0.01")
    found = limits(plan, meter, 20_000_000, None)
    assert [(one.id, one.used, one.most, one.words) for one in found] == [
        ("calls", 9, 10, "9 of 10 used, 1 left, then $0.01 each"),
        ("tokens", 990, 1_000, "990 of 1,000 used, 10 left"),
        ("cap", 40_000_000, 20_000_000, "$0.04 of $0.02 used, $0 left"),
    ]
    [credit] = limits(Plan("credit", credit_usd=1), meter, None, None)
    assert credit.words == "$0.04 of $1 used, $0.96 left"
    assert limits(Plan("open"), meter, None, None) == []


@pytest.mark.parametrize(
    ("plan", "least"),
    [
        (Plan("calls", calls=1, overage_usd="0.01"), 10_000_000),
        (Plan("tokens", tokens=1, overage_usd_per_1k_tokens="0.01"), 1),
        (Plan("money", credit_usd=1, credit_overage=True), 1),
    ],
)
def test_what_goes_on_an_invoice_later_is_refused_in_a_trial_unless_credit_pays(plan: Plan, least: int) -> None:
    """As `decide` does it. That there once was credit pays nothing."""
    meter = Meter("a", "live", 0, 1)
    [[without], [short], [paid], [after]] = [
        limits(plan, meter, None, credit) for credit in (0, least - 1, least, None)
    ]
    assert without == short
    assert without.words.endswith(" left, then refused until the trial ends")
    assert paid.words == f"{after.words}, from credit"
    assert "trial" not in after.words


def test_what_is_free_beyond_the_plan_is_not_refused_in_a_trial() -> None:
    [free] = limits(Plan("calls", calls=1, overage_usd=0), Meter("a", "live", 0, 1), None, 0)
    assert free.words.endswith("1 left, then $0 each")


def test_what_has_no_limit_is_told_all_the_same() -> None:
    meter = Meter("a", "live", 0, 1, 12, 1, 900, 90, 20_000_000, 0)
    test = Meter("a", "test", 0, 1, 1)
    assert facts(Plan("open"), meter, test) == [
        ("Calls", "12", "no limit"),
        ("Tokens", "900", "in and out"),
        ("Under way", "1 call", "set aside until they end"),
        ("With test keys", "1 call", "never billed"),
    ]
    over = Plan("over", calls=10, tokens=10**6, overage_usd="0.01")
    assert facts(over, meter._replace(held_calls=0), None) == [("Beyond the plan", "$0.02", "2 calls")]
    assert facts(over, Meter("a", "live", 0, 1, 3), None) == [("Beyond the plan", "$0", "so far")]


def test_a_day_without_calls_is_a_day_of_nothing() -> None:
    some = Sums("2026-11-24", 1, 0, 0, 1, 7, 3, 4, 0)
    days = last_days([some], NOON_US, 3)
    assert [(one.name, one.calls) for one in days] == [("2026-11-23", 0), ("2026-11-24", 1), ("2026-11-25", 0)]
    assert filled([], NOON_US, NOON_US) == [Sums("2026-11-25", 0, 0, 0, 0, 0, 0, 0, 0)]
