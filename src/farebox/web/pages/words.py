"""Plans, money and numbers in words, and the filters that templates have for them."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any, Final, NamedTuple

from markupsafe import Markup, escape

from farebox.domain.money import BASIS_POINTS, format_usd
from farebox.domain.pack import DAYS_DEFAULT as DAYS_OF_A_YEAR
from farebox.domain.pack import Pack
from farebox.domain.period import MICROSECONDS, iso
from farebox.domain.plan import Plan
from farebox.domain.rate import Burst

PLACE: Final = re.compile(r"(?<![\w./-])/(?:calls|credit|docs|errors|invoices|keys|plan|usage)(?![\w/-])")


class Terms(NamedTuple):
    """A plan as its card says it."""

    id: str
    name: str
    price: str
    every: str
    """The period that the price is for: "month" or "year"."""
    is_free: bool
    is_featured: bool
    lines: tuple[str, ...]
    """What is included, and what happens at the limit, each in a few words."""
    trial: str = ""
    """The one of the lines that promises a trial; empty without one."""

    def without_trial(self) -> "Terms":
        """The same to somebody who gets no trial, as they had it."""
        return self._replace(lines=tuple(line for line in self.lines if line != self.trial), trial="")


def all_terms(plans: Sequence[Plan], *, has_length: bool = True) -> list[Terms]:
    """The plans in words; the first one that costs something is featured.

    With `has_length`, a plan's longest answer gets a line: no endpoint has a length of its own.
    """
    featured = next((plan for plan in plans if plan.price_nanodollars), None)
    return [_terms(plan, is_featured=plan is featured, has_length=has_length) for plan in plans]


def _terms(plan: Plan, *, is_featured: bool, has_length: bool) -> Terms:
    lines = [*_included(plan), *_beyond(plan)]
    trial = f"{counted(plan.trial_days, 'day')} free to try" if plan.trial_days else ""
    if trial:
        lines.insert(0, trial)
    if plan.burst_limit is not None:
        lines.append(burst(plan.burst_limit))
    if has_length:
        lines.append(f"answers of up to {counted(plan.max_output_tokens, 'token')}")
    return Terms(
        plan.name,
        plan_name(plan.name),
        money(plan.price_nanodollars),
        plan.every,
        plan.price_nanodollars == 0,
        is_featured,
        tuple(line[0].upper() + line[1:] for line in lines),
        trial,
    )


class Credit(NamedTuple):
    """A pack as its card says it."""

    id: str
    name: str
    price: str
    lines: tuple[str, ...]


def all_packs(packs: Sequence[Pack]) -> list[Credit]:
    """The packs in words."""
    return [
        Credit(
            pack.name,
            plan_name(pack.name),
            money(pack.price_nanodollars),
            (f"{money(pack.credit_nanodollars)} of credit", f"Good for {_length(pack.days)}"),
        )
        for pack in packs
    ]


def _length(days: int) -> str:
    return "a year" if days == DAYS_OF_A_YEAR else counted(days, "day")


def plan_name(name: str) -> str:
    """'Big team', of a plan such as big_team."""
    return name.replace("-", " ").replace("_", " ").capitalize()


def burst(limit: Burst) -> str:
    """'5 calls at once, then 1 every 2 seconds'."""
    at_once = f"{counted(limit.calls, 'call')} at once"
    if limit.interval_us <= MICROSECONDS:
        return f"{at_once}, then {limit.calls * MICROSECONDS / limit.window_us:,.4g} a second"
    return f"{at_once}, then 1 every {_seconds(limit.interval_us)}"


def money(nanodollars: int) -> str:
    """An amount as people write it: '$29', '$0.01'."""
    return format_usd(nanodollars).removesuffix(".00")


def counted(number: int, what: str) -> str:
    """'1 call', '5,000 calls'."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def number(value: float) -> str:
    """'1,234'; a whole one without a point."""
    return f"{int(value) if value == int(value) else value:,}"


def share(part: float, whole: float) -> int:
    """Per cent, rounded down, so that 100 means all of it; a share of nothing is 100."""
    return min(100, int(100 * part / whole)) if whole > 0 else 100


def utc(us: int) -> str:
    """A moment as HTML has it, to the second."""
    return f"{iso(us)[:19]}Z"


def day_label(name: str) -> str:
    """'5 Nov', of a day such as 2026-11-05."""
    found = date.fromisoformat(name)
    return f"{found.day} {found:%b}"


def _included(plan: Plan) -> list[str]:
    found = []
    if plan.calls is not None:
        found.append(f"{counted(plan.calls, 'call')} a month")
    if plan.tokens is not None:
        found.append(f"{counted(plan.tokens, 'token')} a month, asked and answered")
    if plan.credit_nanodollars is not None:
        found.append(f"{money(plan.credit_nanodollars)} of model use a month, {_markup(plan)}")
    return found or ["no monthly limit"]


def _markup(plan: Plan) -> str:
    percent = 100 * plan.markup_basis_points / BASIS_POINTS
    return f"at the model's price plus {percent:g} %" if percent else "at the model's price"


def _beyond(plan: Plan) -> list[str]:
    has_limit = plan.calls is not None or plan.tokens is not None or plan.is_metered_in_money
    if not plan.has_overage:
        return ["stops at the limit, so it never costs more"] if has_limit else []
    return [beyond(plan), "paid from credit that you buy beforehand"] if plan.prepaid else [beyond(plan)]


def beyond(plan: Plan) -> str:
    """What can be used beyond what is included, and for how much; empty where nothing can."""
    if plan.overage_nanodollars is not None:
        return f"{money(plan.overage_nanodollars)} for each call beyond"
    if plan.overage_per_mtok is not None:
        return f"{money(plan.overage_per_mtok // 1000)} for each 1,000 tokens beyond"
    return f"model use beyond, {_markup(plan)}" if plan.credit_overage else ""


def _seconds(microseconds: int) -> str:
    seconds = microseconds / MICROSECONDS
    for size, unit in ((3600, "hour"), (60, "minute")):
        if seconds >= size:
            whole = seconds / size
            return unit if whole == 1 else f"{whole:.3g} {unit}s"
    return f"{seconds:.3g} seconds"


def places(text: str) -> Markup:
    """A sentence in which the pages that it names are links."""
    return Markup(PLACE.sub(r'<a href="\g<0>">\g<0></a>', str(escape(text))))  # noqa: S704  # it is escaped


FILTERS: Final[Mapping[str, Callable[..., Any]]] = {
    "money": money, "number": number, "counted": counted, "share": share, "utc": utc, "day_label": day_label,
    "places": places, "burst": burst, "iso": iso, "plan_name": plan_name,
}  # fmt: skip
