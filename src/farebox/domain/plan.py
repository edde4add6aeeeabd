"""A plan: what a customer gets for a month's price."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, Literal, Protocol

from farebox.domain.errors import FounderError
from farebox.domain.ledger import TOKENS_MAX
from farebox.domain.money import BASIS_POINTS, NANODOLLARS_PER_CENT, NANODOLLARS_PER_USD, Usd, usd_to_nanodollars
from farebox.domain.rate import Burst, parse_burst

LIMIT_MAX: Final = 10**15  # far above any plan, far below a 64-bit column
MARKUP_MAX: Final = 1_000  # a thousand times the cost
OUTPUT_TOKENS_DEFAULT: Final = 400
USD_PER_1K_TOKENS_MAX: Final = 1_000  # far above any, and low enough that a call's charge fits a 64-bit column
TRIAL_DAYS_MAX: Final = 730  # as Stripe has it
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Plan:
    """One plan of a product.

    Args:
        name: lower-case, as in 'pro'; written into every row, so it stays the same once sold.
        usd: the price, in US dollars.
        every: what the price is for, "month" or "year"; what is included is a month's in any case.
        trial_days: how long a new subscription costs nothing.
        calls: calls included a month.
        tokens: tokens (input and output together) included a month.
        credit_usd: model use included a month, in US dollars of charge (the model's cost plus `markup`).
        burst: a bucket of calls, as '5/10s': 5 at once, refilled evenly by 5 in 10 seconds; None is no burst limit.
        overage_usd: the price of each call beyond `calls`; None stops at the limit.
        overage_usd_per_1k_tokens: the price of a thousand tokens beyond `tokens`; None stops at the limit.
        credit_overage: whether model use goes on beyond `credit_usd`, at the model's cost plus `markup`.
        prepaid: whether what is beyond the plan is paid only with credit that was bought before.
        markup: what is added to the model's cost before it is charged; 0.2 is 20 %.
        max_output_tokens: the longest answer; a caller may ask for less, never for more.

    A month has every limit that is given; the first one reached stops the caller.

    Raises:
        FounderError: a value makes no sense.
    """

    name: str
    usd: Usd = 0
    every: Literal["month", "year"] = "month"
    trial_days: int = 0
    calls: int | None = None
    tokens: int | None = None
    credit_usd: Usd | None = None
    burst: str | None = None
    overage_usd: Usd | None = None
    overage_usd_per_1k_tokens: Usd | None = None
    credit_overage: bool = False
    prepaid: bool = False
    markup: float | Decimal = 0
    max_output_tokens: int = OUTPUT_TOKENS_DEFAULT
    burst_limit: Burst | None = field(init=False, repr=False, default=None)
    price_nanodollars: int = field(init=False, repr=False, default=0)
    credit_nanodollars: int | None = field(init=False, repr=False, default=None)
    overage_nanodollars: int | None = field(init=False, repr=False, default=None)
    overage_per_mtok: int | None = field(init=False, repr=False, default=None)
    markup_basis_points: int = field(init=False, repr=False, default=0)
    is_metered_in_money: bool = field(init=False, repr=False, default=False)
    """Whether a call is charged by the model's cost, so that the price must be known."""
    has_overage: bool = field(init=False, repr=False, default=False)
    """Whether calls go on beyond what is included, for money."""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise FounderError(
                f"Plan({self.name!r}): a plan's name has to be lower-case letters, digits, '-' and '_', a letter "
                "first, and no more than 40 characters, as in 'pro'."
            )
        self._whole("calls", self.calls)
        self._whole("tokens", self.tokens)
        self._whole("max_output_tokens", self.max_output_tokens, least=1, most=TOKENS_MAX)
        self._switch("credit_overage", self.credit_overage)
        self._switch("prepaid", self.prepaid)
        self._set("price_nanodollars", self._nanodollars("usd", self.usd))
        self._set("credit_nanodollars", self._if_given("credit_usd", self.credit_usd))
        self._set("overage_nanodollars", self._if_given("overage_usd", self.overage_usd))
        per_1k = self._if_given("overage_usd_per_1k_tokens", self.overage_usd_per_1k_tokens)
        self._set("overage_per_mtok", None if per_1k is None else per_1k * 1000)
        try:
            self._set("burst_limit", None if self.burst is None else parse_burst(self.burst))
        except (ValueError, TypeError) as error:
            raise FounderError(f"Plan({self.name!r}): {error}.") from None
        self._set("is_metered_in_money", self.credit_nanodollars is not None)
        by_use = self.overage_nanodollars is not None or self.overage_per_mtok is not None
        self._set("has_overage", by_use or self.credit_overage)
        self._set("markup_basis_points", self._basis_points())
        self._check_beyond()
        self._check_price()

    @property
    def charges_by_use(self) -> bool:
        """Whether a month costs more the more is called, on top of the plan's price or out of its credit."""
        return self.has_overage or self.credit_nanodollars is not None

    @property
    def is_invoiced(self) -> bool:
        """Whether what is beyond the plan comes onto an invoice."""
        return self.has_overage and not self.prepaid

    def _check_beyond(self) -> None:
        wrong = (
            (
                self.overage_usd is not None and self.calls is None,
                "overage_usd needs calls=…, the number that is included",
            ),
            (
                self.overage_usd_per_1k_tokens is not None and self.tokens is None,
                "overage_usd_per_1k_tokens needs tokens=…, the number that is included",
            ),
            (
                self.credit_overage and self.credit_usd is None,
                "credit_overage needs credit_usd=…, the money that is included",
            ),
            (
                (self.overage_per_mtok or 0) > USD_PER_1K_TOKENS_MAX * 1000 * NANODOLLARS_PER_USD,
                f"overage_usd_per_1k_tokens is the price of a thousand tokens, at most {USD_PER_1K_TOKENS_MAX:,}",
            ),
            (
                self.overage_usd is not None and self.credit_usd is not None,
                "a plan can have overage_usd or credit_usd, not both",
            ),
            (
                self.overage_usd_per_1k_tokens is not None
                and (self.overage_usd is not None or self.credit_usd is not None),
                "a plan can have only one kind of overage: for each call, for tokens, or beyond credit_usd",
            ),
            (self.prepaid and not self.has_overage, "prepaid needs a price beyond the plan, as overage_usd=0.01"),
            (bool(self.markup) and self.credit_usd is None, "markup needs credit_usd=…, the money it is charged to"),
        )
        for is_wrong, told in wrong:
            if is_wrong:
                raise FounderError(f"Plan({self.name!r}): {told}.")

    def _check_price(self) -> None:
        if self.every not in {"month", "year"}:
            raise FounderError(f'Plan({self.name!r}): every has to be "month" or "year", not {self.every!r}.')
        self._whole("trial_days", self.trial_days, most=TRIAL_DAYS_MAX)
        if self.price_nanodollars % NANODOLLARS_PER_CENT:
            raise FounderError(
                f"Plan({self.name!r}): usd has to be whole cents, as a card is charged, not {self.usd!r}."
            )
        if (self.trial_days or self.every == "year") and not self.price_nanodollars:
            raise FounderError(f"Plan({self.name!r}): a trial or a year needs a price, as in usd=29.")

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def _nanodollars(self, name: str, usd: Usd) -> int:
        try:
            return usd_to_nanodollars(usd)
        except (ValueError, TypeError) as error:
            raise FounderError(f"Plan({self.name!r}): {name}={error}.") from None

    def _if_given(self, name: str, usd: Usd | None) -> int | None:
        return None if usd is None else self._nanodollars(name, usd)

    def _whole(self, name: str, value: int | None, least: int = 0, most: int = LIMIT_MAX) -> None:
        if value is None and name != "max_output_tokens":
            return
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise FounderError(
                f"Plan({self.name!r}): {name} has to be a whole number from {least} to {most:,}, not {value!r}."
            )

    def _switch(self, name: str, value: object) -> None:
        if not isinstance(value, bool):  # any text would count as True, "False" too
            raise FounderError(f"Plan({self.name!r}): {name} has to be True or False, not {value!r}.")

    def _basis_points(self) -> int:
        points = Decimal(-1)
        try:
            points = Decimal(str(self.markup)) * BASIS_POINTS
            whole = int(points) if points.is_finite() else -1
        except ArithmeticError:
            whole = -1
        if whole != points or not 0 <= whole <= MARKUP_MAX * BASIS_POINTS:
            raise FounderError(
                f"Plan({self.name!r}): markup is a share such as 0.2 for 20 %, to 0.01 %, not {self.markup!r}."
            )
        return whole


class HasPlan(Protocol):
    """Somebody on a plan, whose payment may have failed."""

    @property
    def plan(self) -> str: ...
    @property
    def grace_until_us(self) -> int | None: ...


def has_lapsed(who: HasPlan, now_us: int) -> bool:
    """Whether a payment failed, and the time to mend that is over."""
    return who.grace_until_us is not None and who.grace_until_us <= now_us


def plan_in_force(who: HasPlan, plans: Mapping[str, Plan], now_us: int) -> Plan | None:
    """The plan that counts now: the account's own, or the first one, if it is free, where the account has lapsed.

    None where there is none: then nothing passes, see `decide.no_plan`.
    """
    if not has_lapsed(who, now_us):
        return plans.get(who.plan)
    first = next(iter(plans.values()), None)
    return first if first is not None and first.price_nanodollars == 0 else None
