"""What the ledger must do, said a second time and in another way: plain sums over calls, in fractions and sets.

It is given what the real ledger answered, and asserts that this was the one right answer (or, for a burst limit, one
of the right ones).
"""

from collections.abc import Mapping
from fractions import Fraction
from math import ceil
from typing import Any

from farebox.domain.admission import Admitted, Ask, Refused, Standing
from farebox.domain.errors import (
    AccountSuspended,
    BurstExceeded,
    CallError,
    HoldLost,
    InsufficientPermissions,
    InvalidApiKey,
    PaymentRequired,
    PriceUnknown,
    QuotaExceeded,
)
from farebox.domain.period import period_at
from farebox.domain.plan import Plan
from farebox.domain.prices import Price
from farebox.ports.calls import Recorded
from farebox.store.ledger.batch import Finish, Result
from tests.property.ledger_rows import (
    CAP_CALLS,
    HOLD_COLUMNS,
    NONE,
    STATES,
    Account,
    Bought,
    Call,
    Key,
    Owner,
    Passed,
    Row,
    Sums,
    Told,
    limits,
)


class Model:
    """One example: the world as a bookkeeper would write it down."""

    def __init__(self, plans: Mapping[str, Plan], now_us: int) -> None:
        self.plans = plans
        self.now_us = now_us
        self.forward_us = 0
        self.steps_back = 0
        self.accounts: dict[str, Account] = {}
        self.keys: dict[str, Key] = {}
        self.open: dict[str, Call] = {}
        self.ended: dict[str, Row] = {}
        self.posted: dict[Row, Sums] = {}
        self.held: dict[Row, Sums] = {}
        self.bursts: dict[Owner, Passed] = {}
        self.outbox: dict[str, Row] = {}

    def step(self, us: int) -> None:
        self.now_us += us
        if us > 0:
            self.forward_us += us
        else:
            self.steps_back += 1

    # -- Admission

    def admitted_or_refused(self, ask: Ask, result: Result) -> None:
        """Assert that this is what had to become of the call, and write it down."""
        expected = self._refusal(ask)
        if expected is not None:
            assert isinstance(result, Refused), (expected, result)
            assert type(result.error) is expected, (expected, result.error)
            return
        key = self.keys[ask.key_digest]
        plan = self._plan(key)
        assert plan is not None
        owner = (key.account, key.mode)
        call = self._call(ask, key, plan)
        if isinstance(result, Refused):
            self._refused_by_burst(owner, plan, call.meter, result.error)
            return
        assert isinstance(result, Admitted), result
        if plan.burst_limit is not None:
            self._passed_by_burst(owner, plan, call.meter)
        assert result.hold == call.row, (result.hold, call.row)
        assert ask.call_id not in self.ended, "an ended call was revived"
        self.open[ask.call_id] = call
        self._count(self.held, call, call.most)
        for grant, part in call.credit:
            grant.held += part
        self._assert_standing(call, result.standing)
        self._assert_balance(key, result.standing)

    def looked(self, digest: str, result: Result) -> None:
        """Assert that a caller who asks where it stands is told the sums as they are."""
        expected = self._stranger(digest)
        if expected is not None:
            assert type(result) is expected, (expected, result)
            return
        assert isinstance(result, Standing), result
        key = self.keys[digest]
        period = period_at(self.accounts[key.account].anchor_us, self.now_us)
        self._assert_meter((key.account, key.mode, *period), result.meter)
        assert (result.cap is None) == (key.cap_calls is None)
        if result.cap is not None:
            self._assert_meter((key.account, key.cap_id, *period), result.cap.meter)
        assert (result.plan, result.now_us) == (self._plan(key), self.now_us)
        self._assert_balance(key, result)

    def _assert_balance(self, key: Key, told: Standing) -> None:
        has_any = key.mode == "live" and self.accounts[key.account].grants
        assert told.prepaid_nanodollars == (self._left(key.account) if has_any else None)

    def _left(self, account: str) -> int:
        return sum(grant.left for grant in self.accounts[account].grants if grant.expires_us > self.now_us)

    def _has_lapsed(self, account: Account) -> bool:
        return account.has_lapsed_from_us is not None and account.has_lapsed_from_us <= self.now_us

    def _plan(self, key: Key) -> Plan | None:
        account = self.accounts[key.account]
        return next(iter(self.plans.values())) if self._has_lapsed(account) else self.plans.get(account.plan)

    def _stranger(self, digest: str) -> type[CallError] | None:
        """Why a caller is not even told where it stands."""
        key = self.keys.get(digest)
        if key is None or key.revoked_us is not None:
            return InvalidApiKey
        if key.expires_us is not None and key.expires_us <= self.now_us:
            return InvalidApiKey
        if self.accounts[key.account].state == "suspended":
            return AccountSuspended
        return None if self._plan(key) is not None else PaymentRequired

    def _refusal(self, ask: Ask) -> type[CallError] | None:
        stranger = self._stranger(ask.key_digest)
        key = self.keys.get(ask.key_digest)
        if key is None or stranger not in {None, PaymentRequired}:
            return stranger
        if key.scopes and ask.endpoint not in key.scopes:
            return InsufficientPermissions
        if stranger is not None or self.accounts[key.account].state == "past_due":
            return PaymentRequired
        plan = self._plan(key)
        assert plan is not None
        if plan.credit_nanodollars is not None and ask.price is None:
            return PriceUnknown
        call = self._call(ask, key, plan)
        used = zip(self.posted.get(call.meter, NONE), self.held.get(call.meter, NONE), call.most, strict=True)
        if any(limit is not None and sum(sums) > limit for limit, sums in zip(limits(plan), used, strict=True)):
            return QuotaExceeded
        if self._is_over_own(call, key):
            return QuotaExceeded
        # Whoever pays beforehand has to have all of it, and so has one whose last invoice was not paid, or that tries.
        account = self.accounts[key.account]
        beyond = call.most[2] - call.row[HOLD_COLUMNS - 1] if key.mode == "live" else 0
        is_strict = plan.prepaid or self._has_lapsed(account) or self.now_us < account.is_trying_until_us
        return PaymentRequired if is_strict and sum(part for _, part in call.credit) < beyond else None

    def _is_over_own(self, call: Call, key: Key) -> bool:
        """Whether a call is more than its customer allowed the account, or the key."""
        spend_cap = self.accounts[key.account].spend_cap
        if spend_cap is not None and key.mode == "live" and call.most[2] > 0:
            spent = self.posted.get(call.meter, NONE)[2] + self.held.get(call.meter, NONE)[2]
            if spent + call.most[2] > spend_cap:
                return True
        if key.cap_calls is None or call.of_key is None:
            return False
        before = self.posted.get(call.of_key, NONE)[0] + self.held.get(call.of_key, NONE)[0]
        return before + call.most[0] > key.cap_calls

    def _call(self, ask: Ask, key: Key, plan: Plan) -> Call:
        account = self.accounts[key.account]
        period = period_at(account.anchor_us, self.now_us)
        meter = (key.account, key.mode, period.start_us, period.end_us)
        longest = min(
            [plan.max_output_tokens, *([] if ask.output_tokens_wanted is None else [ask.output_tokens_wanted])]
        )
        fixed = 0
        free = None
        if plan.overage_per_mtok is not None and key.mode == "live":
            free = max((plan.tokens or 0) - sum(sums.get(meter, NONE)[1] for sums in (self.posted, self.held)), 0)
        if plan.overage_nanodollars is not None and key.mode == "live":
            before = self.posted.get(meter, NONE)[0] + self.held.get(meter, NONE)[0]
            beyond = sum(place >= (plan.calls or 0) for place in range(before, before + ask.calls))
            fixed = beyond * plan.overage_nanodollars
        in_money = plan.credit_nanodollars is not None
        money = fixed
        if in_money and ask.price is not None:
            money += charge(worst_cost(ask.price, ask.input_tokens_max, longest), plan)
        money += for_tokens(plan, free, ask.input_tokens_max + longest)
        included = 0
        if in_money:
            used = sum(sums.get(meter, NONE)[2] for sums in (self.posted, self.held))
            included = min(max((plan.credit_nanodollars or 0) - used, 0), money)
        credit = self._allocated(account, money - included) if key.mode == "live" else ()
        rest = money - included - sum(part for _, part in credit)
        is_invoiced = plan.has_overage and not plan.prepaid and key.mode == "live" and rest > 0
        most = (ask.calls, ask.input_tokens_max + longest, money)
        row = (
            key.account, ask.call_id, key.key_id, key.mode, plan.name, ask.endpoint, ask.model, period.start_us,
            self.now_us, self.now_us + ask.hold_ttl_us, *most, ask.input_tokens_max, longest,
            *(ask.price or (None, None, None))[:3], fixed, plan.markup_basis_points if in_money else None,
            key.cap_id, key.cap_calls, account.customer if is_invoiced else "", as_text(credit),
            free, None if free is None else plan.overage_per_mtok, included,
        )  # fmt: skip
        of_key = None if key.cap_calls is None else (key.account, key.cap_id, *period)
        return Call(row, meter, of_key, most, ask, plan, longest, fixed, credit)

    def _allocated(self, account: Account, money: int) -> tuple[tuple[Bought, int], ...]:
        """Nanodollar by nanodollar, so to say: from the grant that ends first, as long as it has any."""
        found = []
        for grant in sorted(account.grants, key=lambda grant: (grant.expires_us, grant.created_us, grant.name)):
            part = min(grant.left, money) if grant.expires_us > self.now_us else 0
            if part > 0:
                found.append((grant, part))
                money -= part
        return tuple(found)

    # -- The burst: not predicted to the microsecond, but held to what it promises

    def _passed_by_burst(self, owner: Owner, plan: Plan, meter: Row) -> None:
        """In any span of time no more passes than a bucket and what flowed in, and a bucket for each step back."""
        passed = self.bursts.setdefault(owner, Passed())
        passed.told = None
        passed.admitted.append((self.forward_us, self.steps_back, meter))
        of_meter = 0
        for number, (then_us, steps_back, other) in enumerate(reversed(passed.admitted), 1):
            self._assert_burst(plan, number, then_us, self.steps_back)
            # A step back may lead into an earlier period, with a bucket of its own; within one period it may not.
            of_meter += other == meter
            if other == meter:
                self._assert_burst(plan, of_meter, then_us, self.steps_back - steps_back)

    def _assert_burst(self, plan: Plan, number: int, since_us: int, steps_back: int) -> None:
        assert plan.burst_limit is not None
        calls, window_us = plan.burst_limit
        most = calls * (1 + steps_back) + Fraction((self.forward_us - since_us) * calls, window_us)
        assert number <= most, f"{number} calls passed a burst of {plan.burst} where {float(most)} may"

    def _refused_by_burst(self, owner: Owner, plan: Plan, meter: Row, error: CallError) -> None:
        assert type(error) is BurstExceeded, error
        assert plan.burst_limit is not None
        calls, window_us = plan.burst_limit
        wait_seconds = error.retry_after_seconds
        assert wait_seconds is not None
        assert 1 <= wait_seconds <= ceil(Fraction(window_us, calls * 10**6)), "locked out for longer than one call"
        passed = self.bursts.setdefault(owner, Passed())
        assert passed.admitted, "refused by a bucket that nobody has taken from"
        # After a step back, a later period's meter may remember calls that are still to come by the clock.
        rested_us = self.forward_us - passed.admitted[-1][0]
        assert self.steps_back or rested_us < window_us + calls, "refused by a bucket that has had the time to fill"
        told = passed.told
        if told is not None and told.steps_back == self.steps_back and (told.meter == meter or not self.steps_back):
            assert self.forward_us < told.until_us, "refused after the wait that it was told"
        else:
            passed.told = Told(self.forward_us + wait_seconds * 10**6, self.steps_back, meter)

    # -- Recording

    def recorded(self, finish: Finish, result: Result, *, again_in_one_batch: bool = False) -> None:
        """Assert that this is what had to become of the record, and write it down."""
        call_id = finish.hold.call_id
        if call_id in self.open:
            self._ended(finish, result)
            return
        row = self.ended.get(call_id)
        if again_in_one_batch and isinstance(result, HoldLost):
            return  # two at once: the one that is not the outcome may be told so
        if row is not None and row[HOLD_COLUMNS] == STATES[finish.ending]:
            assert isinstance(result, Recorded), result
            assert result.outcome == row[HOLD_COLUMNS:]
        else:
            assert isinstance(result, HoldLost), result

    def _ended(self, finish: Finish, result: Result) -> None:
        call = self.open.pop(finish.hold.call_id)
        outcome = self._outcome(call, finish)
        assert isinstance(result, Recorded), result
        assert result.outcome == outcome, (result.outcome, outcome)
        assert finish.hold.call_id not in self.ended, "a call ended twice"
        self.ended[finish.hold.call_id] = call.row + outcome
        self._count(self.held, call, call.most, -1)
        self._count(self.posted, call, (outcome[1], outcome[2], outcome[6]))
        spent = outcome[12]
        for grant, part in call.credit:
            grant.held -= part
            grant.spent += min(part, spent)
            spent -= min(part, spent)
        assert spent == 0
        if outcome[13]:
            self.outbox[call.row[1]] = (*call.row[:2], call.row[22], *call.row[7:9], outcome[13], None)
        assert result.standing is not None
        self._assert_standing(call, result.standing)
        left = self._left(call.row[0]) if call.credit else None
        assert result.standing.prepaid_nanodollars == left

    def _outcome(self, call: Call, finish: Finish) -> Row:
        ending, spent, price = finish.ending, finish.spent, call.ask.price
        marks = [*spent.marks, *([] if price else ["unpriced"])]
        calls, tokens, money = NONE
        if ending == "expire":
            marks.append("unknown_cost")
            cost = worst_cost(price, call.ask.input_tokens_max, call.longest) if price else 0
        else:
            cost = exact_cost(price, *spent[:3]) if price else 0
        if ending == "post":
            calls = call.ask.calls
            tokens = spent.input_tokens + spent.output_tokens
            money = call.fixed + (charge(cost, call.plan) if call.plan.credit_nanodollars is not None else 0)
            money += for_tokens(call.plan, call.row[24], tokens)
            if tokens > call.most[1] or money > call.most[2]:
                marks.append("over_hold")
                tokens, money = min(tokens, call.most[1]), min(money, call.most[2])
        return (
            STATES[ending], calls, tokens, *spent[:3], money, cost, " ".join(marks), spent.attempts, spent.error,
            max(self.now_us, call.row[8]), *self._paid(call, money),
        )  # fmt: skip

    def _paid(self, call: Call, money: int) -> Row:
        """What credit and the invoice have of a charge, and which grants."""
        beyond = max(money - call.row[HOLD_COLUMNS - 1], 0)
        spent = []
        left = beyond
        for grant, part in call.credit:
            if left:
                spent.append((grant, min(part, left)))
                left -= min(part, left)
        return beyond - left, left if call.row[22] else 0, as_text(spent)

    def grants(self) -> dict[str, Row]:
        return {
            grant.name: (name, grant.name, grant.amount, grant.spent, grant.held, grant.taken, grant.due,
                         grant.expires_us, grant.created_us)
            for name, account in self.accounts.items()
            for grant in account.grants
        }  # fmt: skip

    # -- Sums

    def _count(self, sums: dict[Row, Sums], call: Call, more: Sums, sign: int = 1) -> None:
        for meter in (call.meter, call.of_key):
            if meter is not None:
                # A meter's row comes to be with its first hold, and then has both halves.
                self.posted.setdefault(meter, NONE)
                old = sums.get(meter, NONE)
                sums[meter] = (old[0] + sign * more[0], old[1] + sign * more[1], old[2] + sign * more[2])

    def meters(self) -> dict[Row, Row]:
        """The meters' rows, without the state of the bucket."""
        return {meter: self._interleaved(meter) for meter in self.posted}

    def _interleaved(self, meter: Row) -> Row:
        posted, held = self.posted.get(meter, NONE), self.held.get(meter, NONE)
        return (posted[0], held[0], posted[1], held[1], posted[2], held[2])

    def _assert_standing(self, call: Call, told: Standing) -> None:
        self._assert_meter(call.meter, told.meter)
        assert (told.cap is None) == (call.of_key is None)
        if told.cap is not None and call.of_key is not None:
            self._assert_meter(call.of_key, told.cap.meter)
            assert told.cap.calls == call.row[CAP_CALLS]

    def _assert_meter(self, meter: Row, told: Row) -> None:
        """A caller is told where it stands: at the sums after its own call."""
        assert told[:10] == meter + self._interleaved(meter)


def as_text(credit: Any) -> str:  # noqa: ANN401  # pairs of a grant and a part
    return " ".join(f"{grant.name}:{part}" for grant, part in credit)


def for_tokens(plan: Plan, free: int | None, tokens: int) -> int:
    """The price of the tokens that are not free, where they have any."""
    if free is None or plan.overage_per_mtok is None:
        return 0
    return ceil(Fraction(max(tokens - free, 0) * plan.overage_per_mtok, 10**6))


def exact_cost(price: Price, read: int, cached: int, written: int) -> int:
    fresh = Fraction((read - cached) * price.input_per_mtok, 10**6)
    known = Fraction(cached * price.cached_per_mtok, 10**6)
    return ceil(fresh + known + Fraction(written * price.output_per_mtok, 10**6))


def worst_cost(price: Price, read: int, written: int) -> int:
    return max(exact_cost(price, read, cached, written) for cached in (0, read))


def charge(cost: int, plan: Plan) -> int:
    return ceil(cost * (1 + Fraction(plan.markup_basis_points, 10_000)))
