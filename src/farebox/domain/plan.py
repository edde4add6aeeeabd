"""What the founder sells: a product, and the plans it comes in."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from farebox.domain.apikey import brand_of
from farebox.domain.errors import FounderError
from farebox.domain.ledger import TOKENS_MAX
from farebox.domain.money import BASIS_POINTS, Usd, usd_to_nanodollars
from farebox.domain.prices import Price, price_of_usd
from farebox.domain.rate import Burst, parse_burst

LIMIT_MAX: Final = 10**15  # far above any plan, far below a 64-bit column
MARKUP_MAX: Final = 1_000  # a thousand times the cost
OUTPUT_TOKENS_DEFAULT: Final = 400
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Plan:
    """One plan of a product.

    Args:
        name: lower-case, as in 'pro'; written into every row, so it stays the same once sold.
        usd: the price a month, in US dollars.
        calls: calls included a month.
        tokens: tokens (input and output together) included a month.
        credit_usd: model use included a month, in US dollars of charge (the model's cost plus `markup`).
        burst: a bucket of calls, as '5/10s': 5 at once, refilled evenly by 5 in 10 seconds; None is no burst limit.
        overage_usd: the price of each call beyond `calls`; None stops at the limit.
        markup: what is added to the model's cost before it is charged to `credit_usd`; 0.2 is 20 %.
        max_output_tokens: the longest answer; a caller may ask for less, never for more.

    A month has every limit that is given; the first one reached stops the caller.

    Raises:
        FounderError: a value that cannot be meant.
    """

    name: str
    usd: Usd = 0
    calls: int | None = None
    tokens: int | None = None
    credit_usd: Usd | None = None
    burst: str | None = None
    overage_usd: Usd | None = None
    markup: float | Decimal = 0
    max_output_tokens: int = OUTPUT_TOKENS_DEFAULT
    burst_limit: Burst | None = field(init=False, repr=False, default=None)
    price_nanodollars: int = field(init=False, repr=False, default=0)
    credit_nanodollars: int | None = field(init=False, repr=False, default=None)
    overage_nanodollars: int | None = field(init=False, repr=False, default=None)
    markup_basis_points: int = field(init=False, repr=False, default=0)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise FounderError(
                f"Plan({self.name!r}): a plan's name is lower-case letters, digits, '-' and '_', as in 'pro'."
            )
        self._whole("calls", self.calls)
        self._whole("tokens", self.tokens)
        self._whole("max_output_tokens", self.max_output_tokens, least=1, most=TOKENS_MAX)
        try:
            self._set("price_nanodollars", usd_to_nanodollars(self.usd))
            self._set("credit_nanodollars", _nanodollars(self.credit_usd))
            self._set("overage_nanodollars", _nanodollars(self.overage_usd))
            self._set("burst_limit", None if self.burst is None else parse_burst(self.burst))
        except (ValueError, TypeError) as error:
            raise FounderError(f"Plan({self.name!r}): {error}.") from None
        self._set("markup_basis_points", self._basis_points())
        if self.overage_usd is not None and self.calls is None:
            raise FounderError(f"Plan({self.name!r}): overage_usd needs calls=…, the number that is included.")
        if self.overage_usd is not None and self.credit_usd is not None:
            raise FounderError(f"Plan({self.name!r}): a plan has overage_usd or credit_usd, not both.")
        if self.markup and self.credit_usd is None:
            raise FounderError(f"Plan({self.name!r}): markup needs credit_usd=…, the money it is charged to.")

    @property
    def is_metered_in_money(self) -> bool:
        """Whether a call is charged by the model's cost, so that the price must be known."""
        return self.credit_nanodollars is not None

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def _whole(self, name: str, value: int | None, least: int = 0, most: int = LIMIT_MAX) -> None:
        if value is None and name != "max_output_tokens":
            return
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise FounderError(
                f"Plan({self.name!r}): {name} is a whole number from {least} to {most:,}, not {value!r}."
            )

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


def _nanodollars(usd: Usd | None) -> int | None:
    return None if usd is None else usd_to_nanodollars(usd)


DEMO_PLANS: Final = (Plan("free", calls=20), Plan("pro", usd=29, calls=5_000))
DEMO_NAME: Final = "Farebox demo"


@dataclass(frozen=True, slots=True)
class Product:
    """What is sold: a name, the model behind it, its plans, and prices that the founder knows better.

    Raises:
        FounderError: no plan, two plans of one name, or a price that cannot be read.
    """

    name: str = DEMO_NAME
    model: str = "openai:gpt-4o-mini"
    plans: Sequence[Plan] = DEMO_PLANS
    prices: Mapping[str, tuple[Usd, ...]] = field(default_factory=dict)
    by_name: Mapping[str, Plan] = field(init=False, repr=False, default_factory=dict)
    founder_prices: Mapping[str, Price] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip():
            raise FounderError('Farebox needs the name of your product, as in Farebox("Tagliner", …).')
        if not isinstance(self.model, str) or not self.model_name:
            raise FounderError(f'model={self.model!r}: write it as "openai:gpt-4o-mini".')
        if self.provider != "openai":
            raise FounderError(
                f'model={self.model!r}: the provider {self.provider!r} is not known. Write "openai:{self.model_name}" '
                "and set OPENAI_BASE_URL to your provider's OpenAI-compatible address."
            )
        if not self.plans:
            raise FounderError('A product needs at least one plan, as in plans=[Plan("free", calls=20)].')
        if not isinstance(self.plans, list | tuple):
            raise FounderError(f"plans is a list, as in plans=[{self.plans!r}].")
        for plan in self.plans:
            if not isinstance(plan, Plan):
                raise FounderError(f"plans is a list of Plan(…), and {plan!r} is none.")
        by_name = {plan.name: plan for plan in self.plans}
        if len(by_name) < len(self.plans):
            raise FounderError("Two plans have the same name; a plan's name is how an account remembers it.")
        if not isinstance(self.prices, Mapping):
            raise FounderError('prices is a dict, as in prices={"gpt-4o-mini": (0.15, 0.60)}.')
        object.__setattr__(self, "plans", tuple(self.plans))
        object.__setattr__(self, "by_name", by_name)
        object.__setattr__(self, "founder_prices", self._prices())

    def _prices(self) -> dict[str, Price]:
        prices = {str(name).removeprefix(f"{self.provider}:"): _price(name, usd) for name, usd in self.prices.items()}
        for name in prices:
            if name != self.model_name:
                raise FounderError(f"prices has {name!r}, and the model is {self.model_name!r}; write it the same way.")
        return prices

    @property
    def provider(self) -> str:
        return self.model.partition(":")[0] if ":" in self.model else "openai"

    @property
    def model_name(self) -> str:
        """The model's name as its provider writes it."""
        return self.model.partition(":")[2] if ":" in self.model else self.model

    @property
    def brand(self) -> str:
        """The prefix of this product's API keys."""
        return brand_of(self.name)


def _price(model: str, usd: tuple[Usd, ...]) -> Price:
    try:
        return price_of_usd(*usd)
    except (TypeError, ValueError) as error:
        raise FounderError(
            f"prices[{model!r}] is (input, output) or (input, output, cached input), in US dollars for a million "
            f"tokens: {error}."
        ) from None
