"""What a subscription that was fetched from Stripe changes for its account: pure, so that order does not matter."""

from typing import Final, Literal, NamedTuple

from farebox.domain.billing import LIVE, Subscription
from farebox.domain.ledger import Meter
from farebox.domain.period import Period, period_at

News = Literal["failed", "lapsed", "restored"]
NOT_BEGUN: Final = frozenset({"incomplete", "incomplete_expired"})


class Paying(NamedTuple):
    """An account's plan, and how it is paid for."""

    plan: str
    anchor_us: int
    is_subscribed: bool
    grace_until_us: int | None
    trial_end_us: int | None = None


class Known(NamedTuple):
    """A subscription as it is stored: what Stripe said when it was asked at `synced_us`.

    `plan` is the one in force. `next_plan` is the one that is wanted at the period's end: Stripe gets its price
    already, and our ledger goes on with `plan` until then. `told` is what its owners were written to last.

    `price_nanodollars` is what `plan` costs each period, though the founder's file may say another price by now;
    `next_price_nanodollars` is what Stripe charges for the next one. None means not known: the file's price holds. With
    a `next_plan` it is None until Stripe has that plan. `has_usage_line` says whether use comes onto its invoices.
    """

    account_id: str
    id: str
    status: str
    plan: str
    next_plan: str
    period_start_us: int
    period_end_us: int
    trial_end_us: int | None
    ends_at_period_end: int
    invoiced_until_us: int
    synced_us: int
    told: str = ""
    price_nanodollars: int | None = None
    next_price_nanodollars: int | None = None
    has_usage_line: int | None = None

    @property
    def is_live(self) -> bool:
        return self.status in LIVE


class Rules(NamedTuple):
    """What the founder has decided. `fallback` is the first plan; where it costs something, it gives nothing."""

    fallback: str
    is_fallback_free: bool
    grace_us: int


class Followed(NamedTuple):
    """The state after a fetch. With `is_new_period`, the ledger begins a new period at once."""

    known: Known
    paying: Paying
    is_new_period: bool
    news: tuple[News, ...]


def follow(
    paying: Paying, known: Known | None, fetched: Subscription, fetched_us: int, now_us: int, rules: Rules
) -> Followed | None:
    """What is to be stored; None where a newer state is stored already, or another subscription counts.

    Args:
        paying: the account as it is.
        known: the subscription that is stored for it, which may be another one.
        fetched: the subscription, as Stripe has just told it.
        fetched_us: the database's clock, from before Stripe was asked.
        now_us: the database's clock.
        rules: what the founder has decided.
    """
    same = known if known is not None and known.id == fetched.id else None
    fetched = at_own_price(known, fetched)
    if not fetched.plan or not _prevails(known, fetched, fetched_us, now_us):
        return None
    plan, next_plan = _plans(same, fetched)
    is_live = fetched.status in LIVE
    after = _paying(paying, same, fetched, plan, now_us, rules)
    has_begun = same is not None and same.status not in NOT_BEGUN
    told, news = _news(same.told if same is not None else "", fetched, after.grace_until_us, now_us)
    # Once Stripe has the price of the plan that is wanted next, it no longer tells what the one in force costs.
    price = same.price_nanodollars if same is not None and fetched.plan != plan else fetched.price_nanodollars
    row = Known(
        fetched.account_id, fetched.id, fetched.status, plan, next_plan, fetched.period_start_us, fetched.period_end_us,
        fetched.trial_end_us, int(fetched.ends_at_period_end), same.invoiced_until_us if same else 0, fetched_us, told,
        price, fetched.price_nanodollars if next_plan in {"", fetched.plan} else None, int(fetched.has_usage_line),
    )  # fmt: skip
    return Followed(row, after, is_live and (not has_begun or after.anchor_us != paying.anchor_us), news)


def at_own_price(known: Known | None, fetched: Subscription) -> Subscription:
    """Fill in the plan, if the founder has put the known subscription onto a price of their own.

    That price replaces what Stripe had: the plan in force, or already the one that is wanted next.
    """
    if known is None or known.id != fetched.id or fetched.plan:
        return fetched
    has_next = known.next_plan and known.next_price_nanodollars is not None
    return fetched._replace(plan=known.next_plan if has_next else known.plan)


def rival_of(known: Known | None, fetched: Subscription) -> str:
    """If an account has two live subscriptions, the id of the one that does not count; else empty."""
    if known is None or known.id == fetched.id or not known.is_live or fetched.status not in LIVE:
        return ""
    if not fetched.plan:  # something else that the founder sells
        return ""
    return known.id if _is_later(fetched, known) else fetched.id


def _prevails(known: Known | None, fetched: Subscription, fetched_us: int, now_us: int) -> bool:
    if known is None:
        return True
    if known.id == fetched.id:
        return fetched_us > known.synced_us or known.synced_us > now_us  # the clock was ahead then
    if fetched.status in NOT_BEGUN and known.status not in NOT_BEGUN:
        return False  # nothing was paid for it: the one before stays known
    is_live = fetched.status in LIVE
    return _is_later(fetched, known) if is_live == known.is_live else is_live


def _is_later(fetched: Subscription, known: Known) -> bool:
    return (fetched.period_start_us, fetched.id) > (known.period_start_us, known.id)


def _plans(same: Known | None, fetched: Subscription) -> tuple[str, str]:
    """The plan in force, and the one wanted at the period's end, which stays wanted until Stripe charges it."""
    if same is None or not same.next_plan or _is_moved_up(same, fetched):
        return fetched.plan, ""
    if fetched.period_start_us >= same.period_end_us:
        return fetched.plan, "" if fetched.plan == same.next_plan else same.next_plan
    is_back = same.next_plan == same.plan == fetched.plan  # the wish was taken back, also at Stripe
    return same.plan, "" if is_back else same.next_plan


def is_charged_again(before: Known | None, after: Known) -> bool:
    """Whether a period was begun without the plan that was wanted for it."""
    if before is None or before.id != after.id or not before.next_plan or not after.next_plan:
        return False
    return after.period_start_us >= before.period_end_us


def _is_moved_up(same: Known, fetched: Subscription) -> bool:
    """Whether Stripe has a third plan that is dearer, or began a period anew: it counts, whatever was wished."""
    if fetched.plan in {same.plan, same.next_plan}:
        return False
    paid, pays = same.price_nanodollars, fetched.price_nanodollars
    is_dearer = paid is not None and pays is not None and pays > paid
    return is_dearer or same.period_start_us < fetched.period_start_us < same.period_end_us


def _paying(paying: Paying, same: Known | None, fetched: Subscription, plan: str, now_us: int, rules: Rules) -> Paying:
    if fetched.status in LIVE:
        # A cancelled subscription ends with its period, whether or not a webhook has come by then.
        grace = fetched.period_end_us if fetched.ends_at_period_end else None
        if fetched.status == "past_due":
            # A subscription that was unpaid has no grace left; if Stripe tries again, a new grace begins.
            is_noted = same is not None and same.told and paying.grace_until_us is not None
            grace = paying.grace_until_us if is_noted else now_us + rules.grace_us
        trial_end_us = fetched.trial_end_us if fetched.status == "trialing" else None
        return Paying(plan, fetched.anchor_us, is_subscribed=True, grace_until_us=grace, trial_end_us=trial_end_us)
    if fetched.status in NOT_BEGUN or (same is None and not paying.is_subscribed):
        return paying
    grace = None if rules.is_fallback_free else now_us
    return Paying(rules.fallback, paying.anchor_us, is_subscribed=False, grace_until_us=grace)


def _news(told: str, fetched: Subscription, grace_until_us: int | None, now_us: int) -> tuple[str, tuple[News, ...]]:
    news: list[News] = []
    if fetched.status in {"past_due", "unpaid"}:
        if not told:
            news.append("failed")
        is_over = fetched.status == "unpaid" or (grace_until_us is not None and now_us >= grace_until_us)
        if is_over and told != "lapsed":
            news.append("lapsed")
        return ("lapsed" if is_over else "failed"), tuple(news)
    if fetched.status in LIVE:
        return "", ("restored",) if told else ()
    return ("lapsed", ("lapsed",)) if told == "failed" else (told, ())


def cut(last: Meter, anchor_us: int, now_us: int) -> list[Meter]:
    """What a meter becomes when a new period begins now, with the end that the new anchor gives.

    What was used stays on the old meter, and calls under way are recorded there. The new meter takes over its burst.
    An old meter that has ended is left alone; one that began at this very moment only gets another end.
    """
    end_us = period_at(anchor_us, now_us).end_us
    if last.period_start_us >= now_us:
        return [last._replace(period_end_us=end_us)]
    begun = Meter(last.account_id, last.name, now_us, end_us, burst_tat_us=last.burst_tat_us)
    return [begun] if last.period_end_us <= now_us else [last._replace(period_end_us=now_us), begun]


def period_under_way(meter: Meter | None, anchor_us: int, now_us: int) -> Period:
    """The ledger's period: that of its meter, which a new subscription may have cut, or else that of the anchor."""
    if meter is not None and meter.period_start_us <= now_us < meter.period_end_us:
        return Period(meter.period_start_us, meter.period_end_us)
    return period_at(anchor_us, now_us)
