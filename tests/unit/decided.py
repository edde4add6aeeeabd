"""An admission decided, and what was expected of it."""

from farebox.domain.admission import Admitted, Ask, Caller, Cap, Refused
from farebox.domain.decide import decide
from farebox.domain.ledger import Meter
from farebox.domain.plan import Plan
from farebox.domain.prices import price_of_usd

START_US = 1_795_424_878_000_000
END_US = 1_798_016_878_500_000
NOW_US = START_US + 86_400_000_000
MINI = price_of_usd(0.15, 0.6, 0.075)
CALLER = Caller("key_1", "acct_1", "live", None, None, "pro", "active", START_US)
METER = Meter("acct_1", "live", START_US, END_US)
ASK = Ask("req_1", "digest", "/v1/generate", "gpt-4o-mini", MINI, 100, None, 180_000_000)


def refused(
    plan: Plan | None, meter: Meter = METER, ask: Ask = ASK, caller: Caller | None = CALLER, now_us: int = NOW_US,
    cap: Cap | None = None,
) -> Refused:  # fmt: skip
    decision = decide(caller, plan, meter, cap, ask, now_us)
    assert isinstance(decision, Refused)
    return decision


def admitted(
    plan: Plan, meter: Meter = METER, ask: Ask = ASK, caller: Caller = CALLER, now_us: int = NOW_US,
    cap: Cap | None = None,
) -> Admitted:  # fmt: skip
    decision = decide(caller, plan, meter, cap, ask, now_us)
    assert isinstance(decision, Admitted)
    return decision
