"""What an account is on after its subscription was fetched, and where the ledger's periods begin and end."""

import itertools
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox.domain.billing import Subscription
from farebox.domain.ledger import Meter
from farebox.domain.people import DAY_US
from farebox.domain.period import Period, period_at
from farebox.domain.subscribing import (
    Followed,
    Known,
    Paying,
    Rules,
    cut,
    follow,
    is_charged_again,
    period_under_way,
    rival_of,
)

MONTH_US = 30 * DAY_US
RULES = Rules("free", is_fallback_free=True, grace_us=7 * DAY_US)
FREE = Paying("free", 5 * DAY_US, is_subscribed=False, grace_until_us=None)
NOW_US = 1_000 * DAY_US


def fetched(status: Any = "active", plan: str = "pro", **more: Any) -> Subscription:  # noqa: ANN401  # any field
    found = Subscription(
        "sub_1", "cus_1", "acct_1", "active", plan, NOW_US, NOW_US, NOW_US + MONTH_US, None, ends_at_period_end=False
    )
    return found._replace(status=status, **more)


def after(one: Subscription, paying: Paying = FREE, known: Known | None = None, now_us: int = NOW_US,
          rules: Rules = RULES) -> Followed:  # fmt: skip
    fetched_us = now_us if known is None else max(now_us, known.synced_us + 1)
    found = follow(paying, known, one, fetched_us, now_us, rules)
    assert found is not None
    return found


def test_a_new_subscription_gives_its_plan_and_begins_a_period() -> None:
    found = after(fetched())
    assert found.paying == Paying("pro", NOW_US, is_subscribed=True, grace_until_us=None)
    assert (found.is_new_period, found.news) == (True, ())
    again = after(fetched(), found.paying, found.known)
    assert (again.paying, again.is_new_period) == (found.paying, False)


def test_the_ledger_knows_until_when_a_trial_goes() -> None:
    first = after(fetched("trialing", trial_end_us=NOW_US + MONTH_US))
    assert first.paying.trial_end_us == NOW_US + MONTH_US
    over = after(fetched(trial_end_us=NOW_US + MONTH_US), first.paying, first.known, NOW_US + MONTH_US)
    assert over.paying.trial_end_us is None


def test_what_is_cancelled_is_over_with_its_period_though_nobody_has_told_of_it_by_then() -> None:
    first = after(fetched())
    ending = after(fetched(ends_at_period_end=True), first.paying, first.known)
    assert ending.paying.grace_until_us == NOW_US + MONTH_US
    assert (ending.known.told, ending.news) == ("", ())
    resumed = after(fetched(), ending.paying, ending.known)
    assert resumed.paying.grace_until_us is None
    # Its payment fails: there is time to mend that, and it is told as before.
    failed = after(fetched("past_due", ends_at_period_end=True), ending.paying, ending.known)
    assert (failed.paying.grace_until_us, failed.news) == (NOW_US + RULES.grace_us, ("failed",))


def test_what_was_unpaid_and_is_tried_again_has_a_grace_with_an_end() -> None:
    first = after(fetched())
    failed = after(fetched("past_due"), first.paying, first.known)
    unpaid = after(fetched("unpaid"), failed.paying, failed.known, NOW_US + DAY_US)
    assert (unpaid.paying.is_subscribed, unpaid.paying.grace_until_us) == (False, None)
    again = after(fetched("past_due"), unpaid.paying, unpaid.known, NOW_US + 2 * DAY_US)
    assert (again.paying.plan, again.paying.grace_until_us) == ("pro", NOW_US + 2 * DAY_US + RULES.grace_us)


def test_one_that_never_began_does_not_make_the_one_before_forgotten() -> None:
    """Else a trial could be had again, and one that is paid at last would begin a new month."""
    first = after(fetched("trialing", trial_end_us=NOW_US + MONTH_US))
    ended = after(fetched("canceled"), first.paying, first.known, NOW_US + DAY_US)
    unpaid = after(fetched("unpaid"), first.paying, first.known, NOW_US + DAY_US)
    for status in ("incomplete", "incomplete_expired"):
        tried = fetched(status, id="sub_2", period_start_us=NOW_US + 2 * DAY_US)
        for before in (ended, unpaid):
            assert follow(before.paying, before.known, tried, NOW_US + 2 * DAY_US, NOW_US + 2 * DAY_US, RULES) is None
    other = after(fetched(id="sub_2", period_start_us=NOW_US + 2 * DAY_US), ended.paying, ended.known)
    assert (other.known.id, other.is_new_period) == ("sub_2", True)


def test_what_was_fetched_before_changes_nothing() -> None:
    first = after(fetched())
    assert follow(first.paying, first.known, fetched(plan="team"), NOW_US, NOW_US, RULES) is None
    assert follow(first.paying, first.known, fetched(plan="team"), NOW_US - 1, NOW_US, RULES) is None


def test_what_was_fetched_by_a_clock_that_was_ahead_is_no_better_known() -> None:
    ahead = after(fetched(), now_us=NOW_US + DAY_US)
    found = follow(ahead.paying, ahead.known, fetched("canceled"), NOW_US - 1, NOW_US, RULES)
    assert found is not None
    assert (found.paying.plan, found.known.synced_us) == ("free", NOW_US - 1)


def test_an_upgrade_changes_the_plan_alone() -> None:
    first = after(fetched())
    found = after(fetched(plan="team"), first.paying, first.known)
    assert (found.paying, found.is_new_period) == (first.paying._replace(plan="team"), False)


def test_another_anchor_begins_a_period() -> None:
    first = after(fetched())
    found = after(fetched(plan="year", anchor_us=NOW_US + 5), first.paying, first.known)
    assert (found.paying.anchor_us, found.is_new_period) == (NOW_US + 5, True)


def test_a_cheaper_plan_is_in_force_from_the_next_period_on() -> None:
    first = after(fetched())
    wished = first.known._replace(next_plan="basic")
    for plan in ("pro", "basic"):  # before Stripe was told, and after
        found = after(fetched(plan=plan), first.paying, wished)
        assert (found.known.plan, found.known.next_plan, found.paying.plan) == ("pro", "basic", "pro")
    renewed = fetched(plan="basic", period_start_us=NOW_US + MONTH_US, period_end_us=NOW_US + 2 * MONTH_US)
    found = after(renewed, first.paying, wished)
    assert (found.known.plan, found.known.next_plan, found.paying.plan) == ("basic", "", "basic")
    assert not found.is_new_period


def test_a_wish_stays_until_stripe_charges_it_or_something_dearer_was_had_after_it() -> None:
    pro = after(fetched(price_nanodollars=29))
    wished = pro.known._replace(next_plan="lite")

    def found(plan: str, usd: int, **more: Any) -> tuple[str, str, int | None]:  # noqa: ANN401  # any field
        known = after(fetched(plan=plan, price_nanodollars=usd, **more), pro.paying, wished).known
        return known.plan, known.next_plan, known.next_price_nanodollars

    assert found("pro", 29) == ("pro", "lite", None), "Stripe is to be told"
    assert found("basic", 9) == ("pro", "lite", None), "it has another wish, from before"
    assert found("lite", 11) == ("pro", "lite", 11)
    assert found("team", 99) == ("team", "", 99), "that was asked for after it, though nobody heard the answer"
    anew: dict[str, Any] = {"period_start_us": NOW_US + 5, "period_end_us": NOW_US + 5 + 12 * MONTH_US}
    assert found("year", 20, **anew) == ("year", "", 20)
    renewed: dict[str, Any] = {"period_start_us": NOW_US + MONTH_US, "period_end_us": NOW_US + 2 * MONTH_US}
    assert found("pro", 29, **renewed) == ("pro", "lite", None), "it was charged once more"
    assert found("lite", 11, **renewed) == ("lite", "", 11)
    again = after(fetched(**renewed), pro.paying, wished).known
    assert (is_charged_again(wished, again), is_charged_again(wished, wished)) == (True, False)


def test_what_the_plan_in_force_costs_is_known_while_stripe_has_the_price_of_the_next_one() -> None:
    first = after(fetched(price_nanodollars=29))
    assert (first.known.price_nanodollars, first.known.next_price_nanodollars) == (29, 29)
    wished = first.known._replace(next_plan="basic")
    told = after(fetched(plan="basic", price_nanodollars=9), first.paying, wished)
    assert (told.known.price_nanodollars, told.known.next_price_nanodollars) == (29, 9)
    back = told.known._replace(next_plan="pro")
    kept = after(fetched(price_nanodollars=39), told.paying, back)
    assert (kept.known.price_nanodollars, kept.known.next_price_nanodollars) == (39, 39)
    renewed = fetched(
        plan="basic", price_nanodollars=9, period_start_us=NOW_US + MONTH_US, period_end_us=NOW_US + 2 * MONTH_US
    )
    found = after(renewed, told.paying, told.known)
    assert (found.known.plan, found.known.price_nanodollars, found.known.next_price_nanodollars) == ("basic", 9, 9)
    of_before = after(fetched(plan="basic", price_nanodollars=9), first.paying, wished._replace(price_nanodollars=None))
    assert (of_before.known.price_nanodollars, of_before.known.next_price_nanodollars) == (None, 9)


def test_a_subscription_at_a_price_of_the_founders_own_is_followed_with_the_plan_that_it_had() -> None:
    first = after(fetched())
    own = after(fetched(plan="", price_nanodollars=19), first.paying, first.known)
    assert (own.paying, own.known.plan, own.known.price_nanodollars) == (first.paying, "pro", 19)
    failed = after(fetched("past_due", plan=""), own.paying, own.known)
    assert (failed.paying.grace_until_us, failed.news) == (NOW_US + RULES.grace_us, ("failed",))
    assert after(fetched("canceled", plan=""), own.paying, own.known).paying.plan == "free"
    stranger = fetched(id="sub_2", plan="")
    assert follow(own.paying, own.known, stranger, NOW_US + 1, NOW_US + 1, RULES) is None


def test_grace_is_given_once_and_ends_when_it_is_paid() -> None:
    first = after(fetched())
    failed = after(fetched("past_due"), first.paying, first.known, NOW_US + 1)
    assert (failed.paying.grace_until_us, failed.news) == (NOW_US + 1 + 7 * DAY_US, ("failed",))
    later = after(fetched("past_due"), failed.paying, failed.known, NOW_US + DAY_US)
    assert (later.paying, later.news) == (failed.paying, ())
    over = after(fetched("past_due"), later.paying, later.known, NOW_US + 8 * DAY_US)
    assert (over.paying, over.news) == (failed.paying, ("lapsed",))
    assert after(fetched("past_due"), over.paying, over.known, NOW_US + 9 * DAY_US).news == ()
    paid = after(fetched(), over.paying, over.known, NOW_US + 9 * DAY_US)
    assert (paid.paying, paid.news, paid.is_new_period) == (first.paying, ("restored",), False)


@pytest.mark.parametrize("status", ["canceled", "unpaid", "paused"])
def test_a_subscription_that_is_over_leaves_the_first_plan(status: str) -> None:
    first = after(fetched())
    found = after(fetched(status), first.paying, first.known, NOW_US + 5)
    assert found.paying == Paying("free", NOW_US, is_subscribed=False, grace_until_us=None)
    assert not found.is_new_period
    dear = Rules("pro", is_fallback_free=False, grace_us=0)
    assert after(fetched(status), first.paying, first.known, NOW_US + 5, dear).paying.grace_until_us == NOW_US + 5


def test_one_that_never_began_changes_nothing() -> None:
    for status in ("incomplete", "incomplete_expired"):
        found = after(fetched(status))
        assert (found.paying, found.is_new_period) == (FREE, False)
    begun = after(fetched(), FREE, after(fetched("incomplete")).known)
    assert begun.is_new_period


def test_of_two_that_live_the_later_one_holds_in_either_order() -> None:
    one, two = fetched(), fetched(id="sub_2", plan="team", period_start_us=NOW_US + 1)
    ends = set()
    for first, second in itertools.permutations((one, two)):
        stored = after(first)
        found = follow(stored.paying, stored.known, second, NOW_US + 9, NOW_US + 9, RULES)
        ends.add((found or stored).paying.plan)
        assert rival_of(stored.known, second) == "sub_1"
    assert ends == {"team"}
    # One that is over never takes the place of one that lives.
    living = after(one)
    over = fetched("canceled", id="sub_0", period_start_us=NOW_US + 9)
    assert follow(living.paying, living.known, over, NOW_US + 9, NOW_US + 9, RULES) is None


# -- Periods: anchors 1 to 31 over four years


def us(moment: datetime) -> int:
    return int(moment.timestamp()) * 10**6


def moments(day: int) -> list[int]:
    """An anchor on each month's such day in a leap year and the one before, where there is one."""
    found = []
    for year, month in itertools.product((2023, 2024), range(1, 13)):
        first = datetime(year, month, 1, 23, 59, 58, tzinfo=UTC)
        moment = first + timedelta(days=day - 1)
        if moment.month == month:
            found.append(us(moment))
    return found


def stripes_periods(anchor_us: int, months: int) -> list[Period]:
    """As Stripe has them: the anchor's day, or a shorter month's last one."""
    anchor = datetime.fromtimestamp(anchor_us // 10**6, UTC)
    starts = []
    for number in range(months + 1):
        year, month = divmod(anchor.month - 1 + number, 12)
        for day in range(anchor.day, 27, -1) if anchor.day > 28 else (anchor.day,):
            try:
                starts.append(us(anchor.replace(year=anchor.year + year, month=month + 1, day=day)))
                break
            except ValueError:
                continue
    return [Period(*pair) for pair in itertools.pairwise(starts)]


@pytest.mark.parametrize("day", range(1, 32))
def test_the_ledgers_periods_are_stripes_for_four_years_and_tile(day: int) -> None:
    for anchor_us in moments(day):
        periods = stripes_periods(anchor_us, 48)
        assert len(periods) == 48
        for period in periods:
            for moment in (period.start_us, (period.start_us + period.end_us) // 2, period.end_us - 1):
                assert period_at(anchor_us, moment) == period


class Books:
    """The ledger's meters of one account, as a batch and a new subscription treat them."""

    def __init__(self, anchor_us: int) -> None:
        self.meters: list[Meter] = []
        self.paying = FREE._replace(anchor_us=anchor_us)
        self.known: Known | None = None
        self.charged: list[tuple[int, int]] = []
        """Each call: when, and the start of the period that admitted it."""

    def call(self, now_us: int) -> None:
        current = next((one for one in self.meters if one.period_start_us <= now_us < one.period_end_us), None)
        if current is None:
            current = Meter("acct_1", "live", *period_at(self.paying.anchor_us, now_us))
            self.meters.append(current)
        self.meters[self.meters.index(current)] = current._replace(posted_calls=current.posted_calls + 1)
        self.charged.append((now_us, current.period_start_us))
        assert period_under_way(current, self.paying.anchor_us, now_us) == Period(*current[2:4])

    def follow(self, one: Subscription, now_us: int) -> None:
        found = follow(self.paying, self.known, one, now_us, now_us, RULES)
        if found is None:
            return
        self.known, self.paying = found.known, found.paying
        if found.is_new_period:
            since_us = period_at(self.paying.anchor_us, now_us).start_us
            last = max(self.meters, key=lambda one: one.period_start_us, default=None)
            if last is not None and last.period_end_us > since_us:
                if last.period_end_us > now_us:
                    self.meters.remove(last)
                self.meters += cut(last, self.paying.anchor_us, now_us)

    def check(self) -> None:
        ordered = sorted(self.meters, key=lambda meter: meter.period_start_us)
        for before, behind in itertools.pairwise(ordered):
            assert before.period_end_us <= behind.period_start_us, "a moment belongs to two periods"
        assert all(meter.period_start_us < meter.period_end_us for meter in ordered)
        for meter in ordered:
            mine = [at for at, start in self.charged if start == meter.period_start_us]
            assert meter.posted_calls == len(mine), "a call is lost, or counted twice"
            assert all(meter.period_start_us <= at < meter.period_end_us for at in mine), "on another period"
        assert sum(meter.posted_calls for meter in ordered) == len(self.charged)


STEPS = st.lists(
    st.tuples(st.sampled_from(["call", "subscribe", "upgrade", "year", "downgrade", "cancel", "trial", "fail", "pay"]),
              st.sampled_from([1, 3_600, 86_400, 9 * 86_400, 27 * 86_400, 31 * 86_400, 45 * 86_400, 0])),
    min_size=4, max_size=40,
)  # fmt: skip


@given(day=st.integers(1, 31), seed=st.integers(0, 10**6), steps=STEPS)
def test_whatever_is_bought_when_no_call_is_lost_or_counted_twice(
    day: int, seed: int, steps: list[tuple[str, int]]
) -> None:
    made = random.Random(seed)
    now_us = made.choice(moments(day))
    books = Books(now_us - made.randrange(40) * DAY_US)
    theirs: Subscription | None = None
    for number, (what, seconds) in enumerate(steps):
        if seconds or theirs is None:
            now_us += max(seconds, 1) * 10**6
        else:  # the boundary itself
            now_us = max(now_us + 1, theirs.period_end_us)
        if theirs is not None and now_us >= theirs.period_end_us:
            start_us, end_us = period_at(theirs.anchor_us, now_us)
            theirs = theirs._replace(period_start_us=start_us, period_end_us=end_us)
        theirs = _stepped(what, theirs, number, now_us)
        if theirs is not None:
            books.follow(theirs, now_us)
        for _ in range(made.randrange(3)):
            books.call(now_us)
            now_us += 1
        books.check()


def _stepped(what: str, theirs: Subscription | None, number: int, now_us: int) -> Subscription | None:
    """What Stripe has after a step."""
    whole_us = now_us // 10**6 * 10**6
    lives = theirs is not None and theirs.status in {"active", "trialing", "past_due"}
    if what == "subscribe" and not lives:
        return _new(number, whole_us, "active", whole_us)
    if what == "trial" and not lives:
        return _new(number, whole_us, "trialing", whole_us + 14 * DAY_US)
    if theirs is None or not lives:
        return theirs
    changes: dict[str, dict[str, Any]] = {
        "upgrade": {"plan": "team"},
        "downgrade": {"plan": "basic"},
        "cancel": {"status": "canceled"},
        "fail": {"status": "past_due"},
        "pay": {"status": "active"},
        "year": {"plan": "year", "anchor_us": whole_us, "period_start_us": whole_us,
                 "period_end_us": period_at(whole_us, whole_us).end_us},
    }  # fmt: skip
    return theirs._replace(**changes.get(what, {}))


def _new(number: int, now_us: int, status: Any, anchor_us: int) -> Subscription:  # noqa: ANN401
    return Subscription(
        f"sub_{number}", "cus_1", "acct_1", status, "pro", anchor_us, now_us,
        anchor_us if status == "trialing" else period_at(anchor_us, now_us).end_us,
        anchor_us if status == "trialing" else None, ends_at_period_end=False,
    )  # fmt: skip
