"""What the random lives of accounts are made of: plans, accounts, keys, and what comes in."""

from collections.abc import Iterable
from itertools import product
from typing import Final, NamedTuple, TypeVar

from hypothesis import strategies as st

from farebox.domain.ledger import Ending, Mark, Spent
from farebox.domain.plan import Plan
from farebox.domain.prices import Price

SECOND: Final = 10**6
HOUR: Final = 3_600 * SECOND
DAY: Final = 24 * HOUR
START_US: Final = 1_801_357_200_000_000 + 123_456  # 2027-01-31, shortly before several periods end

PLANS: Final = {
    plan.name: plan
    for plan in (
        Plan("calls", calls=4),
        Plan("tokens", tokens=1_500, max_output_tokens=300),
        Plan("credit", credit_usd="0.0005", markup=0.2, max_output_tokens=300),
        Plan("burst", calls=12, burst="2/10s"),
        Plan("overage", calls=1, overage_usd=0.01),
        Plan("words", tokens=400, overage_usd_per_1k_tokens="0.0013", max_output_tokens=300),
        Plan("money", credit_usd="0.0001", credit_overage=True, markup=0.2, max_output_tokens=300),
        Plan("prepaid", calls=1, overage_usd=0.01, prepaid=True),
        Plan("every", calls=9, tokens=6_000, credit_usd="0.003", markup=0.015, burst="3/m"),
    )
}
# Name, plan, how long after the start its period ends, and its customer at Stripe.
ACCOUNTS: Final = (
    ("calls", "calls", 3 * SECOND, ""),
    ("tokens", "tokens", 10 * DAY, ""),
    ("credit", "credit", HOUR // 2, "cus_credit"),
    ("burst", "burst", 7 * SECOND, ""),
    ("overage", "overage", 2 * HOUR, "cus_overage"),
    ("words", "words", HOUR, "cus_words"),
    ("money", "money", DAY, "cus_money"),
    ("prepaid", "prepaid", 3 * HOUR, "cus_prepaid"),
    ("every", "every", 20 * SECOND, ""),
    ("gone", "a plan of last year", DAY, ""),
)
ENDPOINTS: Final = ("/v1/generate", "/v1/tagline")

Part = TypeVar("Part")


class KeyKind(NamedTuple):
    mode: str
    scopes: frozenset[str] = frozenset()
    cap_calls: int | None = None


# Each account has one of each; a key that is rotated has its successor beside it.
KEYS: Final = (
    KeyKind("live"),
    KeyKind("live", frozenset(ENDPOINTS[:1])),
    KeyKind("test", cap_calls=5),
    KeyKind("live", cap_calls=3),
    KeyKind("live", frozenset(ENDPOINTS), cap_calls=2),
)
NUMBERS: Final = range(len(KEYS))
PRICES: Final = (Price(150_000_000, 75_000_000, 600_000_000), Price(7, 1_000_000_001, 333), None)

# A few callers come most of the time, so that they reach their limits.
OFTEN: Final = [(name, 0) for name in ("calls", "tokens", "credit", "burst", "overage", "every")]
PAYING: Final = [(name, 0) for name in ("overage", "words", "money", "prepaid")]
CAPPED: Final = [("burst", 3), ("overage", 3), ("credit", 4)]
CALLERS: Final = [
    *OFTEN, *OFTEN, *PAYING, *PAYING, *PAYING, *CAPPED, *CAPPED,
    *product([name for name, *_ in ACCOUNTS[:-1]], NUMBERS[1:]), ("gone", 0)
]  # fmt: skip
SIZES: Final = [(20, None), (100, 50), (1, 1), (700, 1_000), (0, 300)]
MORE: Final = [(1, 180 * SECOND, 0), (1, 5 * SECOND, 1), (2, 180 * SECOND, 0)]
WANTS: Final = list(product((PRICES[0], *PRICES, PRICES[0], PRICES[1]), SIZES, MORE))
SPENTS: Final = [
    Spent(), Spent(20, 0, 30), Spent(1, 1, 1), Spent(20, 7, 0, (Mark.ESTIMATED,)), Spent(100, 100, 50),
    Spent(1_500, 0, 0, (), '[{"model": "m"}]'), Spent(0, 0, 5_000), Spent(10**9, 5, 10**9, (), "[]", "upstream_failed"),
]  # fmt: skip
ENDINGS: Final[list[Ending]] = ["post", "post", "post_free", "void", "expire"]
ENDS: Final = list(product(ENDINGS, SPENTS))
BOUGHT: Final = list(product([1, 400_000, 10_000_000, 35_000_001], [5 * SECOND, HOUR, DAY, 31 * DAY]))
STEPS: Final = [
    1, SECOND, 2 * SECOND, 5 * SECOND, 10 * SECOND, 60 * SECOND, 200 * SECOND, HOUR, DAY, 31 * DAY,
    -1, -SECOND, -30 * SECOND, -HOUR, -DAY,
]  # fmt: skip


def one_of(parts: Iterable[Part]) -> st.SearchStrategy[Part]:
    """One of many, drawn at once: by its parts it would take Hypothesis twice as long."""
    all_ = list(parts)
    return st.integers(0, len(all_) - 1).map(lambda place: all_[place])


asks = one_of(product(CALLERS, WANTS))
looks = one_of(product(CALLERS))
ends = one_of(product(range(41), ENDS))
few_wants = st.lists(st.sampled_from(WANTS), min_size=1, max_size=4)
few_ends = st.lists(st.sampled_from(ENDS), min_size=1, max_size=3)
names = st.sampled_from([name for name, *_ in ACCOUNTS])
payers = st.sampled_from([name for name, _ in PAYING] + ["calls", "credit"])
numbers = st.sampled_from(NUMBERS)


Want = tuple[Price | None, tuple[int, int | None], tuple[int, int, int]]
