"""One transaction of the ledger: everything that waits is decided, and written, together.

It only loads rows under a lock, asks the domain, and saves. SQLite and PostgreSQL cannot disagree.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Final, NamedTuple

from farebox.domain import wallet
from farebox.domain.admission import Admitted, Answered, Ask, Caller, Cap, Earlier, Once, Refused, Standing
from farebox.domain.decide import NO_SUCH_KEY, decide, identify, no_plan, repeated
from farebox.domain.errors import CallError, HoldLost, InvalidApiKey
from farebox.domain.ledger import Ending, Hold, Meter, Outcome, Spent, State, end_hold, release
from farebox.domain.period import day, period_at
from farebox.domain.plan import Plan, plan_in_force
from farebox.domain.rate import BURST_SECONDS_MAX
from farebox.domain.remedies import ONLINE, Remedies
from farebox.domain.wallet import Grant
from farebox.ports.calls import CallRow, Kept, Recorded
from farebox.store.cursor import Cursor, Row
from farebox.store.ledger.call_rows import call_of, outcome_of
from farebox.store.ledger.statements import Statements

NOBODY: Final = Meter("", "live", 0, 0)
BURST_US_MAX: Final = BURST_SECONDS_MAX * 10**6
ENDS_AS: Final = {"post": State.POSTED, "post_free": State.POSTED, "void": State.VOIDED, "expire": State.EXPIRED}


class Finish(NamedTuple):
    """A call that has ended and wants to be recorded, with its answer where that is to be kept."""

    hold: Hold
    ending: Ending
    spent: Spent
    kept: Kept | None = None


class Look(NamedTuple):
    """Where does the holder of this key stand?"""

    key_digest: str


class Find(NamedTuple):
    """What became of this call?"""

    key_digest: str
    call_id: str


class Overdue(NamedTuple):
    """Which holds have outlived their process?"""

    without: tuple[str, ...] = ()
    """Accounts whose holds could not be ended a moment ago: somebody else keeps a row of theirs locked."""


class Forget(NamedTuple):
    """Forget a few of the answers that were kept long enough; whether there may be more of them."""


class Alive(NamedTuple):
    """Does the database answer, and with which schema?"""


BY_KEY: Final = (Ask, Look, Find)
Item = Ask | Finish | Look | Find | Overdue | Forget | Alive
Result = Admitted | Refused | Answered | Recorded | Standing | CallRow | list[Hold] | str | bool | None | Exception
MeterKey = tuple[str, str, int]
Owner = tuple[str, str]  # an account, and the name of one of its meters


class Batch:
    """The rows that one transaction has read, and those that it is going to write."""

    def __init__(self, plans: Mapping[str, Plan], now_us: int, remedies: Remedies = ONLINE) -> None:
        self.plans = plans
        self.remedies = remedies
        self.now_us = now_us
        self.callers: dict[str, Caller] = {}
        self.meters: dict[MeterKey, Meter] = {}
        self.current: dict[Owner, MeterKey] = {}
        self.last_tat_us: dict[Owner, int] = {}
        self.changed: set[MeterKey] = set()
        self.holds: list[Row] = []
        self.usage: list[Row] = []
        self.rollups: dict[tuple[str, ...], list[int]] = {}
        self.earlier: dict[tuple[str, str], Earlier | None] = {}
        self.onces: list[Row] = []
        self.kept: list[Row] = []
        self.grants: dict[str, dict[str, Grant]] = {}
        self.spent_from: set[tuple[str, str]] = set()
        self.usage_outbox: list[Row] = []

    def load_meter(self, meter: Meter) -> None:
        key = (meter.account_id, meter.name, meter.period_start_us)
        owner = key[:2]
        self.meters[key] = meter
        self.last_tat_us[owner] = max(self.last_tat_us.get(owner, 0), meter.burst_tat_us)
        if meter.period_start_us <= self.now_us < meter.period_end_us:
            self.current[owner] = key

    def admit(self, ask: Ask) -> Admitted | Refused | Answered:
        caller = self.callers.get(ask.key_digest)
        if caller is None:
            return decide(None, None, NOBODY, None, ask, self.now_us)
        meter, cap = self._standing(caller)
        plan = plan_in_force(caller, self.plans, self.now_us)
        if ask.once is not None and plan is not None and identify(caller, self.now_us, ask.endpoint) is None:
            earlier = self.earlier[caller.account_id, ask.once.id]
            found = repeated(earlier, ask.once, Standing(plan, meter, self.now_us, cap))
            # An ask that is tried again, as its batch failed, finds its own row here: that is no repetition.
            if found is not None and earlier is not None and earlier.call_id != ask.call_id:
                return found
        decision = decide(caller, plan, meter, cap, ask, self.now_us, self._grants(caller), self.remedies)
        if isinstance(decision, Admitted):
            self.holds.append(decision.hold)
            if decision.hold.credit:
                self._hold_credit(decision.hold)
            self._save(decision.standing.meter)
            if decision.standing.cap is not None:
                self._save(decision.standing.cap.meter)
            if ask.once is not None:
                self._open_once(caller.account_id, ask.call_id, ask.once)
        return decision

    def _open_once(self, account_id: str, call_id: str, once: Once) -> None:
        expires_us = self.now_us + once.ttl_us
        self.onces.append((account_id, once.id, once.fingerprint, call_id, int(once.is_stream), expires_us))
        self.earlier[account_id, once.id] = Earlier(
            once.fingerprint, call_id, once.is_stream, expires_us, "", None, is_open=True, state=None
        )

    def look(self, look: Look) -> Standing | CallError:
        caller = self.callers.get(look.key_digest)
        error = identify(caller, self.now_us)
        if error is not None or caller is None:
            return error or InvalidApiKey(NO_SUCH_KEY)
        plan = plan_in_force(caller, self.plans, self.now_us)
        meter, cap = self._standing(caller)
        if plan is None:
            return no_plan(caller, self.now_us, self.remedies)
        grants = self._grants(caller)
        prepaid = None if grants is None else wallet.balance(grants, self.now_us)
        return Standing(plan, meter, self.now_us, cap, prepaid)

    def finish(self, finish: Finish) -> Recorded:
        hold, ending, spent, kept = finish
        outcome = end_hold(hold, ending, spent, self.now_us)
        meter = self._release(hold.mode, hold, outcome)
        cap = None
        if hold.cap_calls is not None:
            cap = Cap(hold.cap_calls, self._release(hold.cap_id, hold, outcome))
        self.usage.append(hold + outcome)
        self._roll_up(hold, outcome)
        prepaid = self._spend(hold, outcome) if hold.credit else None
        if outcome.invoiced_nanodollars:
            self.usage_outbox.append((
                hold.account_id, hold.call_id, hold.customer, hold.period_start_us, hold.admitted_us,
                outcome.invoiced_nanodollars,
            ))  # fmt: skip
        plan = self.plans.get(hold.plan)
        standing = Standing(plan, meter, self.now_us, cap, prepaid) if plan else None
        if kept is not None:
            self.kept.append((*kept.render(outcome, standing), hold.account_id, kept.once_id, hold.call_id))
        return Recorded(outcome, standing)

    # -- Credit

    def load_grant(self, grant: Grant) -> None:
        self.grants.setdefault(grant.account_id, {})[grant.id] = grant

    def _grants(self, caller: Caller) -> Sequence[Grant] | None:
        """What may pay for a caller's calls; None where there never was any."""
        if not caller.has_credit or caller.mode != "live":
            return None
        return list(self.grants.get(caller.account_id, {}).values())

    def _hold_credit(self, hold: Hold) -> None:
        for grant_id, nanodollars in wallet.parts_of(hold.credit):
            self._pay(wallet.hold(self.grants[hold.account_id][grant_id], nanodollars))

    def _spend(self, hold: Hold, outcome: Outcome) -> int:
        """Spend what the outcome says of what was held, and give the rest back; what is left then."""
        spent, grants = dict(wallet.parts_of(outcome.spent_credit)), self.grants[hold.account_id]
        for grant_id, held in wallet.parts_of(hold.credit):
            self._pay(wallet.release(grants[grant_id], held, spent.get(grant_id, 0)))
        return wallet.balance(grants.values(), self.now_us)

    def _pay(self, grant: Grant) -> None:
        self.grants[grant.account_id][grant.id] = grant
        self.spent_from.add((grant.account_id, grant.id))

    def _standing(self, caller: Caller) -> tuple[Meter, Cap | None]:
        """The account's meter in this mode, and the key's own cap, if it has one."""
        meter = self._current(caller.account_id, caller.mode, caller.anchor_us)
        if caller.cap_calls is None:
            return meter, None
        # In the account's own period, which a purchase may have begun: a hold has one, and is released from it.
        fresh = Meter(caller.account_id, caller.cap_id, meter.period_start_us, meter.period_end_us)
        return meter, Cap(caller.cap_calls, self.meters.get(fresh[:3], fresh))

    def _current(self, account_id: str, name: str, anchor_us: int) -> Meter:
        owner = (account_id, name)
        key = self.current.get(owner)
        if key is not None:
            return self.meters[key]
        start_us, end_us = period_at(anchor_us, self.now_us)
        # A new period starts with the burst of the old one, or its first second would be free.
        return Meter(*owner, start_us, end_us, burst_tat_us=self.last_tat_us.get(owner, 0))

    def _release(self, name: str, hold: Hold, outcome: Outcome) -> Meter:
        meter = release(self.meters[hold.account_id, name, hold.period_start_us], hold, outcome)
        self._save(meter)
        return meter

    def _save(self, meter: Meter) -> None:
        key = (meter.account_id, meter.name, meter.period_start_us)
        self.meters[key] = meter
        if meter.period_start_us <= self.now_us < meter.period_end_us:
            self.current[key[:2]] = key
        self.changed.add(key)

    def _roll_up(self, hold: Hold, outcome: Outcome) -> None:
        key = (hold.account_id, hold.mode, day(hold.admitted_us), hold.key_id, hold.endpoint, hold.model)
        more = (
            outcome.state is State.POSTED, outcome.state is State.VOIDED, outcome.state is State.EXPIRED,
            outcome.calls, outcome.tokens, outcome.input_tokens, outcome.output_tokens,
            outcome.charge_nanodollars, outcome.cost_nanodollars,
        )  # fmt: skip
        sums = self.rollups.get(key)
        self.rollups[key] = [a + b for a, b in zip(sums, more, strict=True)] if sums else list(map(int, more))


def run(
    items: Sequence[Item], cursor: Cursor, statements: Statements, plans: Mapping[str, Plan],
    remedies: Remedies = ONLINE,
) -> list[Result]:  # fmt: skip
    """Decide and write the items in the transaction that the cursor is in; the caller commits.

    Plain loops, as each call of a customer comes here twice: a comprehension is a function of its own.

    Raises:
        Exception: whatever the driver raises; then nothing of the batch may be committed.
    """
    digests: set[str] = set()
    account_ids: set[str] = set()
    finishes: list[Finish] = []
    with_once: list[Ask] = []
    for item in items:
        if isinstance(item, Finish):
            finishes.append(item)
            account_ids.add(item.hold.account_id)
        elif isinstance(item, BY_KEY):
            digests.add(item.key_digest)
            if isinstance(item, Ask) and item.once is not None:
                with_once.append(item)
    batch = Batch(plans, statements.lock(cursor, list(digests), list(account_ids)), remedies)
    _load(batch, digests, finishes, cursor, statements)
    for ask in with_once:
        _load_earlier(batch, ask, cursor, statements)
    recorded = iter(_finish_all(batch, finishes, cursor, statements) if finishes else ())
    results: list[Result] = []
    finds: list[tuple[int, Find]] = []
    for item in items:
        if isinstance(item, Finish):
            results.append(next(recorded))
        elif isinstance(item, Find):
            finds.append((len(results), item))
            results.append(None)
        else:
            results.append(_one(batch, item, cursor, statements))
    _write(batch, cursor, statements)
    for place, find in finds:  # only now: a call that ends in this batch has no hold any more, and had no row yet
        results[place] = _find(batch, find, cursor, statements)
    return results


def _load(
    batch: Batch, digests: Collection[str], finishes: Sequence[Finish], cursor: Cursor, statements: Statements
) -> None:
    """Who calls, and the meters and the credit of all that the batch is about."""
    counted: list[Caller | Hold] = []
    since_us = batch.now_us
    for finish in finishes:
        counted.append(finish.hold)
        since_us = min(since_us, finish.hold.period_start_us)
    for row in statements.callers(cursor, list(digests)) if digests else ():
        caller = Caller(*row[1:])
        batch.callers[row[0]] = caller
        counted.append(caller)
    owners: set[Owner] = set()
    for who in counted:
        owners.add((who.account_id, who.mode))
        if who.cap_id:
            owners.add((who.account_id, who.cap_id))
    if owners:
        for row in statements.meters(cursor, list(owners), min(since_us, batch.now_us - BURST_US_MAX)):
            batch.load_meter(Meter(*row))
    _load_grants(batch, finishes, cursor, statements)


def _load_grants(batch: Batch, finishes: Sequence[Finish], cursor: Cursor, statements: Statements) -> None:
    """The credit of those who have any, and that which the calls that end have held: most batches read none."""
    accounts: set[str] = set()
    named: list[tuple[str, str]] = []
    for who in batch.callers.values():
        if who.has_credit and who.mode == "live":
            accounts.add(who.account_id)
    for finish in finishes:
        if finish.hold.credit:
            accounts.add(finish.hold.account_id)
            named += ((finish.hold.account_id, grant_id) for grant_id, _ in wallet.parts_of(finish.hold.credit))
    if accounts:
        for row in statements.grants(cursor, sorted(accounts), named, batch.now_us):
            batch.load_grant(Grant(*row))


def _load_earlier(batch: Batch, ask: Ask, cursor: Cursor, statements: Statements) -> None:
    caller = batch.callers.get(ask.key_digest)
    if caller is not None and ask.once is not None:
        batch.earlier[caller.account_id, ask.once.id] = statements.earlier(cursor, caller.account_id, ask.once.id)


def _one(batch: Batch, item: Ask | Look | Overdue | Forget | Alive, cursor: Cursor, statements: Statements) -> Result:
    match item:
        case Ask():
            try:
                return batch.admit(item)
            except Exception as error:  # noqa: BLE001  # a poisoned item fails alone, not its batch
                return error
        case Look():
            return batch.look(item)
        case Overdue(without):
            return [Hold(*row) for row in statements.due(cursor, batch.now_us, without)]
        case Forget():
            return statements.purge(cursor, batch.now_us)
        case Alive():
            return statements.revision(cursor)


def _find(batch: Batch, find: Find, cursor: Cursor, statements: Statements) -> CallRow | CallError | None:
    caller = batch.callers.get(find.key_digest)
    error = identify(caller, batch.now_us)
    if error is not None or caller is None:
        return error or InvalidApiKey(NO_SUCH_KEY)
    row = statements.call(cursor, caller.account_id, caller.mode, find.call_id)
    return None if row is None else call_of(row)


def _finish_all(batch: Batch, finishes: Sequence[Finish], cursor: Cursor, statements: Statements) -> list[Result]:
    """Records come before admissions: what they give back can be admitted at once."""
    pairs = [(finish.hold.account_id, finish.hold.call_id) for finish in finishes]
    open_ids = statements.delete_holds(cursor, pairs)
    closed = [pair for pair in pairs if pair[1] not in open_ids] if len(open_ids) < len(pairs) else ()
    known = {row[0]: outcome_of(row[1:]) for row in statements.outcomes(cursor, closed)} if closed else {}
    results: list[Result] = []
    for finish in finishes:
        if finish.hold.call_id in open_ids:
            open_ids.discard(finish.hold.call_id)
            results.append(batch.finish(finish))
        else:
            results.append(_already(finish, known.get(finish.hold.call_id)))
    return results


def _already(finish: Finish, outcome: Outcome | None) -> Result:
    """A record that comes again, as after a commit whose answer was lost, finds what it wrote."""
    if outcome is not None and outcome.state is ENDS_AS[finish.ending]:
        return Recorded(outcome, None)
    return HoldLost("The call took too long. Nothing was charged; try again.", retry_after_seconds=1)


def _write(batch: Batch, cursor: Cursor, statements: Statements) -> None:
    if batch.holds:
        statements.insert_holds(cursor, batch.holds)
    if batch.usage:
        statements.insert_usage(cursor, batch.usage)
    for row in batch.onces:
        statements.open_once(cursor, row)
    for row in batch.kept:
        statements.keep_answer(cursor, row)
    if batch.changed:
        # In the order of the key, as the rows of a statement are locked in the order they come.
        statements.save_meters(cursor, list(map(batch.meters.__getitem__, sorted(batch.changed))))
    if batch.spent_from:
        changed = sorted(batch.spent_from)
        statements.save_grants(cursor, [batch.grants[account_id][grant_id] for account_id, grant_id in changed])
    if batch.usage_outbox:
        statements.insert_usage_outbox(cursor, batch.usage_outbox)
    if batch.rollups:
        statements.add_rollups(cursor, [(*key, *sums) for key, sums in sorted(batch.rollups.items())])
