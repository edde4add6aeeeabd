"""Write to an account's owners when a limit comes near: beside the calls, once a period for each mark of each limit.

A call that may have reached a mark has its account looked at a moment later. That look compares what is used with what
was told, so it does not matter which call it was, who else looks, or what was missed: see docs/decisions/0015.
"""

import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from farebox.account.rounds import Rounds
from farebox.domain.admission import Standing
from farebox.domain.errors import stops_all
from farebox.domain.ledger import Hold, Outcome
from farebox.domain.limits import PERCENTS, Limit, Used, marks_up_to, may_matter, used_of
from farebox.domain.money import format_usd
from farebox.domain.period import iso
from farebox.domain.plan import Plan, plan_in_force
from farebox.ports.team import AccountUse, LimitMarks

log = logging.getLogger("farebox.limits")

GATHER_SECONDS: Final = 1.0
LOOK_AT_ALL_SECONDS: Final = 3600.0
AT_ONCE: Final = 500
WORDS: Final[Mapping[Limit, str]] = {
    "calls": "calls", "tokens": "tokens", "credit": "model credit", "spend_cap": "spend cap"
}  # fmt: skip


class LimitWatch:
    """The watch of one process over the accounts that call here; now and then, and at first, over all of them."""

    def __init__(self, marks: LimitMarks, plans: Mapping[str, Plan], mail_written: Callable[[], None]) -> None:
        self._marks = marks
        self._plans = plans
        self._mail_written = mail_written
        self._rounds = Rounds(log, GATHER_SECONDS)
        self._all_at = time.monotonic()

    def recorded(self, hold: Hold, outcome: Outcome, standing: Standing | None) -> None:
        """Mark the account of a recorded call if it may have reached a mark; this costs next to nothing."""
        plan, meter = (standing.plan, standing.meter) if standing is not None else (None, None)
        if may_matter(hold, outcome, plan, meter):
            self._rounds.mark(hold.account_id)

    def soon(self, account_id: str) -> None:
        """Have an account looked at whose limits were changed; may be called from any thread."""
        self._rounds.soon(account_id)

    async def run(self) -> None:
        """Watch for ever."""
        await self._rounds.run(self._look, lambda: self._all_at - time.monotonic(), "a look at limits")

    def _look(self, met: set[str]) -> None:
        if time.monotonic() >= self._all_at:
            self.look_at_all()
            self._all_at = time.monotonic() + LOOK_AT_ALL_SECONDS
        self.look_at(met)

    def look_at(self, account_ids: Iterable[str]) -> int:
        """Write what is due to the owners of some accounts; how many mails."""
        ids = sorted(account_ids)
        pages = (self._marks.use(ids[first : first + AT_ONCE]) for first in range(0, len(ids), AT_ONCE))
        return self._tell_each(use for page in pages for use in page)

    def look_at_all(self) -> int:
        """The same for every account: this finds what a process that died did not get to."""
        return self._tell_each(self._everybody())

    def _everybody(self) -> Iterator[AccountUse]:
        after = ""
        while page := self._marks.use_of_all(after):
            yield from page
            after = page[-1].account_id

    def _tell_each(self, uses: Iterable[AccountUse]) -> int:
        """Tell each account. An error with one is raised at the end, so that those after it do not wait for ever."""
        count, failed = 0, None
        for use in uses:
            try:
                count += self._tell(use)
            except Exception as error:
                if stops_all(error):
                    raise
                failed = error
        if failed is not None:
            raise failed
        return count

    def _tell(self, use: AccountUse) -> int:
        plan = plan_in_force(use, self._plans, use.now_us)
        reached = [one for one in used_of(plan, use.meter, use.spend_cap_nanodollars) if one.percent] if plan else []
        if plan is None or not reached:
            return 0
        noted = self._marks.noted(use.account_id, use.meter.period_start_us)
        count = 0
        for one in reached:
            if (one.limit, one.percent) not in noted:
                told = json.dumps(words(use, one, plan))
                count += self._marks.note(use, one.limit, marks_up_to(one.percent), told)
        if count:
            self._mail_written()
        return count


def words(use: AccountUse, one: Used, plan: Plan) -> dict[str, object]:
    """The values that the mail's template needs."""
    is_money = one.limit in {"credit", "spend_cap"}
    used, most = (format_usd(each) if is_money else f"{each:,}" for each in (one.used, one.most))
    return {
        "account": use.email,
        "what": WORDS[one.limit],
        "percent": one.percent,
        "used": used,
        "most": most if is_money else f"{most} {WORDS[one.limit]}",
        "then": _then(one, plan, is_over=one.percent == PERCENTS[-1]),
        "ends": f"{iso(use.meter.period_end_us)[:16].replace('T', ' ')} UTC",
    }


def _goes_on(limit: Limit, plan: Plan, *, is_over: bool) -> str:
    """The price beyond a limit, in a sentence; empty where the limit stops calls."""
    if limit == "calls" and plan.overage_nanodollars is not None:
        price = format_usd(plan.overage_nanodollars)
        return f"Each further call costs {price}." if is_over else f"Each call beyond these costs {price}."
    if limit == "tokens" and plan.overage_per_mtok is not None:
        price = format_usd(plan.overage_per_mtok // 1000)
        return f"A {'further ' if is_over else ''}thousand tokens{'' if is_over else ' beyond these'} cost {price}."
    if limit == "credit" and plan.credit_overage:
        return f"{'Further model use' if is_over else 'Model use beyond it'} is charged as it comes."
    return ""


def _then(one: Used, plan: Plan, *, is_over: bool) -> str:
    goes_on = _goes_on(one.limit, plan, is_over=is_over)
    if goes_on:
        return f"{goes_on} Your credit pays it; without credit, calls are refused." if plan.prepaid else goes_on
    if one.limit == "spend_cap":
        refused = "calls that cost something are refused until then, or until an owner sets another cap."
    else:
        refused = "calls are refused until then."
    return f"Further {refused}" if is_over else f"At the limit, {refused}"
