"""Random lives of accounts on the real store: what comes in, what fails, what the clock does. Every sum holds always.

Hypothesis writes the lives, `ledger_model` says what must become of each call, and after each step the database is
compared with it row by row.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from farebox.domain.admission import Admitted, Ask
from farebox.domain.audit import audit_row
from farebox.domain.ledger import Ending, Hold, Mark, Spent
from farebox.domain.period import period_at
from farebox.domain.wallet import Grant
from farebox.ports.calls import Recorded
from farebox.store.ledger.batch import Finish, Item, Look
from tests.property.ledger_lives import (
    ACCOUNTS,
    BOUGHT,
    CALLERS,
    DAY,
    ENDPOINTS,
    HOUR,
    KEYS,
    PLANS,
    SECOND,
    START_US,
    STEPS,
    WANTS,
    Want,
    asks,
    ends,
    few_ends,
    few_wants,
    looks,
    names,
    numbers,
    payers,
)
from tests.property.ledger_model import Model
from tests.property.ledger_rows import Account, Bought, Key, limits
from tests.property.ledger_world import PostgresWorld, SqliteWorld, World


class LedgerMachine(RuleBasedStateMachine):
    """A few accounts, their keys, and all that can happen to them."""

    def __init__(self) -> None:
        super().__init__()
        self.world = self.new_world()
        self.model = Model(PLANS, START_US)
        self.world.now_us = START_US
        self.calls = 0
        self.bought = 0
        self.known: list[Hold] = []  # admitted some time, or in a batch that failed: the latest first
        self.names: dict[tuple[str, int], list[str]] = {}  # the ids of a key and of those that replaced it
        self.checked = -1

    def new_world(self) -> World:
        raise NotImplementedError

    @initialize()
    def sign_up(self) -> None:
        prefix = self.world.prefix
        accounts: list[dict[str, Any]] = []
        keys: list[dict[str, Any]] = []
        for name, plan, ends_after_us, customer in ACCOUNTS:
            owner = prefix + name
            # A month and a day before its period ends, so that it has been renewed already.
            anchor_us = period_at(START_US + ends_after_us, START_US - DAY).start_us
            billed = customer and prefix + customer
            self.model.accounts[owner] = Account(plan, anchor_us, customer=billed)
            accounts.append({
                "id": owner, "email": f"{owner}@example.com", "plan": plan, "state": "active",
                "anchor_us": anchor_us, "created_us": anchor_us, "customer_id": billed, "is_subscribed": 1,
            })  # fmt: skip
            for number, (mode, scopes, cap_calls) in enumerate(KEYS):
                key_id = f"{owner}/{number}"
                cap_id = "" if cap_calls is None else key_id
                key = Key(owner, key_id, mode, scopes=scopes, cap_calls=cap_calls, cap_id=cap_id)
                keys.append(self._add_key(name, number, key))
        self.world.add("account", accounts)
        self.world.add("api_key", keys)

    def _add_key(self, name: str, number: int, key: Key) -> dict[str, Any]:
        """Have a key in the model; its row."""
        self.model.keys[f"digest of {key.key_id}"] = key
        self.names.setdefault((name, number), []).append(key.key_id)
        return {
            "account_id": key.account, "id": key.key_id, "digest": f"digest of {key.key_id}", "mode": key.mode,
            "name": "", "prefix": "", "last4": "", "created_us": START_US,
            "expires_us": key.expires_us, "revoked_us": key.revoked_us,
            "scopes": ",".join(sorted(key.scopes)), "cap_calls": key.cap_calls, "cap_id": key.cap_id,
        }  # fmt: skip

    # -- Batches

    @rule(items=st.lists(asks, min_size=1, max_size=8))
    def admit(self, items: Sequence[Any]) -> None:
        self._batch(self._items(items))

    @rule(items=st.lists(ends, min_size=1, max_size=6))
    def record(self, items: Sequence[Any]) -> None:
        self._batch(self._items(items))

    @rule(items=st.lists(asks | ends | looks, min_size=2, max_size=8))
    def admit_record_and_look(self, items: Sequence[Any]) -> None:
        self._batch(self._items(items))

    @rule(
        items=st.lists(asks | ends, min_size=1, max_size=4),
        fail_at=st.integers(1, 18),
        done_first=st.booleans(),
    )
    def fail(self, items: Sequence[Any], fail_at: int, *, done_first: bool) -> None:
        """A statement of the batch fails, or its commit; the model is told nothing, so nothing may change."""
        results = self.world.run_and_fail(self._items(items), PLANS, fail_at, done_first=done_first)
        self._know(result.hold for result in results if isinstance(result, Admitted))

    @rule()
    def sweep(self) -> None:
        due = self.world.due()
        late = {call_id for call_id, call in self.model.open.items() if call.row[9] <= self.world.now_us}
        assert {hold.call_id for hold in due} == late
        if due:
            self._batch([Finish(hold, "expire", Spent()) for hold in due])
        assert not self.world.due()

    # -- Time, and what the founder does

    @rule(step=st.sampled_from(STEPS))
    def clock(self, step: int) -> None:
        self._step(step)

    @rule(name=names, early_us=st.sampled_from([0, 1]), late_us=st.sampled_from([0, 1]), items=few_wants)
    def period_ends(self, name: str, early_us: int, late_us: int, items: Sequence[Any]) -> None:
        """An account calls to the last microsecond of its period, and goes on in the next one."""
        anchor_us = self.model.accounts[self.world.prefix + name].anchor_us
        end_us = period_at(anchor_us, self.world.now_us).end_us
        self._step(end_us - 1 - early_us - self.world.now_us)
        self._batch([self._ask((name, 0), want) for want in items])
        self._step(end_us + late_us - self.world.now_us)
        self._batch([self._ask((name, 0), want) for want in items])

    @rule(name=st.sampled_from(["burst", "every"]), items=few_wants)
    def wait_as_told(self, name: str, items: Sequence[Any]) -> None:
        """Who was refused by the burst comes back when told; the model knows that this has to be enough."""
        passed = self.model.bursts.get((self.world.prefix + name, KEYS[0].mode))
        if passed is not None and passed.told is not None:
            self._step(max(passed.told.until_us - self.model.forward_us, 0))
            self._batch([self._ask((name, 0), want) for want in items])

    @rule(name=names, number=numbers, expires_after=st.sampled_from([None, 0, 5 * SECOND, HOUR]))
    def end_key(self, name: str, number: int, expires_after: int | None) -> None:
        """Revoke a key at once, or let it expire some time after."""
        key = self.model.keys[f"digest of {self.names[name, number][-1]}"]
        if expires_after is None:
            key.revoked_us = self.world.now_us
            self.world.change("api_key", key.key_id, "revoked_us", key.revoked_us)
        else:
            key.expires_us = self.world.now_us + expires_after
            self.world.change("api_key", key.key_id, "expires_us", key.expires_us)

    @rule(name=names, number=numbers, grace=st.sampled_from([0, 5 * SECOND, HOUR]))
    def rotate_key(self, name: str, number: int, grace: int) -> None:
        """Its successor is for the same, and counts on the same cap; for a while both work."""
        old = self.model.keys[f"digest of {self.names[name, number][-1]}"]
        key_id = f"{old.key_id}+"
        self.world.add("api_key", [self._add_key(name, number, replace(old, key_id=key_id, expires_us=None))])
        old.expires_us = self.world.now_us + grace
        self.world.change("api_key", old.key_id, "expires_us", old.expires_us)

    @rule(name=names, more=st.sampled_from([0, 100_000, 10_000_000, None]))
    def set_spend_cap(self, name: str, more: int | None) -> None:
        """The customer allows so much more than was spent in any period so far, or anything."""
        owner = self.world.prefix + name
        spent = [sums[4] + sums[5] for meter, sums in self.model.meters().items() if meter[:2] == (owner, "live")]
        cap = None if more is None else max(spent, default=0) + more
        self.model.accounts[owner].spend_cap = cap
        self.world.change("account", owner, "spend_cap_nanodollars", cap)

    @rule(name=names, state=st.sampled_from(["active", "suspended", "past_due", "active"]))
    def set_state(self, name: str, state: str) -> None:
        self.model.accounts[self.world.prefix + name].state = state
        self.world.change("account", self.world.prefix + name, "state", state)

    # -- Credit, and payments

    @rule(name=payers, bought=st.sampled_from(BOUGHT), want=st.sampled_from(WANTS), ended=few_ends)
    def buy(self, name: str, bought: tuple[int, int], want: Want, ended: Sequence[Any]) -> None:
        """Credit, and use it at once."""
        amount, ends_after = bought
        owner = self.world.prefix + name
        self.bought += 1
        grant_id = f"{self.world.prefix}grant_{self.bought}"
        ends_us = self.world.now_us + ends_after
        self.model.accounts[owner].grants.append(Bought(grant_id, amount, ends_us, self.world.now_us))
        self.world.buy(Grant(owner, grant_id, amount, 0, 0, 0, 0, ends_us, self.world.now_us))
        self._batch([self._ask((name, 0), want) for _ in range(3)])
        self._batch([self._finish(number, end) for number, end in enumerate(ended)])

    @rule(name=payers, which=st.integers(0, 9), percent=st.sampled_from([0, 50, 100, 100]))
    def take_back(self, name: str, which: int, percent: int) -> None:
        """A payment is refunded, or disputed, by a share; or the dispute is won."""
        grants = self.model.accounts[self.world.prefix + name].grants
        if grants:
            grant = grants[which % len(grants)]
            grant.due = grant.amount * percent // 100
            self.world.take_back(grant.name, grant.due)

    @rule(name=payers, after=st.sampled_from([None, 0, 5 * SECOND, None]))
    def payment_fails(self, name: str, after: int | None) -> None:
        """And its grace begins; or it is paid after all."""
        account = self.model.accounts[self.world.prefix + name]
        account.has_lapsed_from_us = None if after is None else self.world.now_us + after
        self.world.change("account", self.world.prefix + name, "grace_until_us", account.has_lapsed_from_us)

    @rule(name=payers, after=st.sampled_from([None, 5 * SECOND, DAY]))
    def tries(self, name: str, after: int | None) -> None:
        """A trial begins; or it is over, as it was bought."""
        account = self.model.accounts[self.world.prefix + name]
        account.is_trying_until_us = self.world.now_us + after if after else 0
        self.world.change("account", self.world.prefix + name, "trial_end_us", account.is_trying_until_us or None)

    # -- After every step

    @invariant()
    def database_is_as_the_model_says(self) -> None:
        if self.world.batches == self.checked:
            return  # nobody has written since
        self.checked = self.world.batches
        model = self.model
        meters = self.world.rows("meter")
        assert {row[:4]: row[4:10] for row in meters} == model.meters()
        assert sorted(self.world.rows("hold")) == sorted(call.row for call in model.open.values())
        usage = self.world.rows("usage_record")
        assert {row[1]: row for row in usage} == model.ended
        assert len(usage) == len(model.ended)
        assert not model.open.keys() & model.ended.keys()
        assert {row[1]: row for row in self.world.rows("credit_grant")} == model.grants()
        assert {row[1]: row for row in self.world.rows("usage_outbox")} == model.outbox
        assert self.world.sums_off() == []

    @invariant()
    def no_limit_is_passed_and_nothing_is_negative(self) -> None:
        caps = {(key.account, key.cap_id): key.cap_calls for key in self.model.keys.values() if key.cap_calls}
        for meter, sums in self.model.meters().items():
            assert min(sums) >= 0
            account = self.model.accounts[meter[0]]
            if meter[1] not in {"live", "test"}:
                assert sums[0] + sums[1] <= caps[meter[:2]]
                continue
            for limit, posted, held in zip(limits(PLANS[account.plan]), sums[::2], sums[1::2], strict=True):
                assert limit is None or posted + held <= limit
            if account.spend_cap is not None and meter[1] == "live":
                assert sums[4] + sums[5] <= account.spend_cap

    def teardown(self) -> None:
        self.world.close()

    # -- In the words of the store

    def _items(self, chosen: Sequence[Any]) -> list[Item]:
        return [self._item(*item) for item in chosen]

    def _item(self, which: Any, *more: Any) -> Item:  # noqa: ANN401  # as the strategies draw them
        if isinstance(which, int):
            return self._finish(which, *more)
        return self._ask(which, *more) if more else Look(self._digest(*which))

    def _digest(self, name: str, number: int) -> str:
        """Of the key, or of one that replaced it, in turn."""
        ids = self.names[name, number]
        return f"digest of {ids[self.calls % len(ids)]}"

    def _ask(self, caller: tuple[str, int], want: Want) -> Ask:
        price, (read_max, wanted), (calls, ttl_us, place) = want
        self.calls += 1
        call_id = f"{self.world.prefix}req_{self.calls:04d}"
        return Ask(call_id, self._digest(*caller), ENDPOINTS[place], "m", price, read_max, wanted, ttl_us, calls)

    def _finish(self, number: int, end: tuple[Ending, Spent]) -> Item:
        if not self.known:
            return self._ask(CALLERS[0], WANTS[0])
        ending, spent = end
        if ending == "post_free":
            spent = spent._replace(marks=(*spent.marks, Mark.NO_MESSAGE))
        return Finish(self.known[number % len(self.known)], ending, spent)

    def _batch(self, items: list[Item]) -> None:
        results = self.world.run(items, PLANS)
        assert len(results) == len(items)
        pairs = list(zip(items, results, strict=True))
        seen: set[str] = set()
        # What records give back can be admitted at once, so they come first.
        for item, result in pairs:
            if isinstance(item, Finish):
                self.model.recorded(item, result, again_in_one_batch=item.hold.call_id in seen)
                seen.add(item.hold.call_id)
                assert not isinstance(result, Recorded) or audit_row(item.hold, result.outcome) == []
        for item, result in pairs:
            if isinstance(item, Ask):
                self.model.admitted_or_refused(item, result)
            elif isinstance(item, Look):
                self.model.looked(item.key_digest, result)
        self._know(result.hold for result in results if isinstance(result, Admitted))

    def _know(self, holds: Any) -> None:  # noqa: ANN401
        self.known = [*holds, *self.known]

    def _step(self, us: int) -> None:
        self.model.step(us)
        self.world.now_us += us


def run_machine(make_world: Callable[[], World], sequences: int, steps: int) -> None:
    class Machine(LedgerMachine):
        def new_world(self) -> World:
            return make_world()

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=sequences,
            stateful_step_count=steps,
            deadline=None,
            print_blob=True,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )


# In four parts, so that several processes can share them.
@pytest.mark.parametrize("part", [pytest.param(n, marks=pytest.mark.xdist_group(f"lives {n}")) for n in range(4)])
def test_every_sum_holds_after_every_step_of_2000_lives_on_sqlite(part: int) -> None:
    del part  # nothing differs: each begins at another random place
    run_machine(SqliteWorld, sequences=500, steps=30)


@pytest.mark.chaos
@pytest.mark.parametrize("part", range(4))
def test_every_sum_holds_after_every_step_of_2000_longer_lives_on_sqlite(part: int) -> None:
    del part
    run_machine(SqliteWorld, sequences=500, steps=60)


def test_every_sum_holds_after_every_step_on_postgresql(migrated_pg_url: str) -> None:
    run_machine(lambda: PostgresWorld(migrated_pg_url), sequences=80, steps=30)


# Each part on a database of its own: the sums are made of all that is in it, after each step.
@pytest.mark.chaos
@pytest.mark.parametrize("part", range(20))
def test_every_sum_holds_after_every_step_of_2000_lives_on_postgresql(part: int, migrated_pg_url: str) -> None:
    del part
    run_machine(lambda: PostgresWorld(migrated_pg_url), sequences=100, steps=50)
