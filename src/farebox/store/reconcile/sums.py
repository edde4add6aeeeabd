"""Whether every sum is right: meters and rollups against the rows that they sum up, and each row against itself.

All of it reads one consistent state of the database. The database compares the sums; the rows are streamed.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Table,
    and_,
    case,
    except_,
    exists,
    func,
    literal,
    literal_column,
    or_,
    select,
    text,
    union_all,
)

from farebox.domain.audit import Misfit, audit_hold, audit_row
from farebox.domain.ledger import Hold, State
from farebox.domain.plan import Plan
from farebox.store.database import Database
from farebox.store.ledger.call_rows import HOLD_SIZE, outcome_of
from farebox.store.reconcile import invoices, money, usage
from farebox.store.reconcile.findings import Finding, period_name
from farebox.store.tables import account, api_key, hold, meter, rollup_daily, usage_record

ROWS_AT_ONCE: Final = 5000
UNITS: Final = ("calls", "tokens", "nanodollars")
METER_KEY: Final = ("account_id", "name", "period_start_us")
METERS_OF_A_ROW: Final = ("mode", "cap_id")
"""A row counts on the account's meter in its mode, and on that of its key's own cap, where there is one."""
METER_SUMS: Final = tuple(f"{side}_{unit}" for side in ("posted", "held") for unit in UNITS)
ROLLUP_KEY: Final = ("account_id", "mode", "day", "key_id", "endpoint", "model")
DAY: Final = {
    "sqlite": "strftime('%Y-%m-%d', admitted_us / 1000000, 'unixepoch')",
    "postgresql": "to_char(timezone('UTC', to_timestamp(admitted_us / 1000000)), 'YYYY-MM-DD')",
}
ROLLUP_STATES: Final = (State.POSTED, State.VOIDED, State.EXPIRED)
ROLLUP_SUMS: Final = ("calls", "tokens", "input_tokens", "output_tokens", "charge_nanodollars", "cost_nanodollars")


class Report(NamedTuple):
    """Findings are wrong; notes may be right, and are worth a look."""

    findings: list[Finding]
    notes: list[str]
    calls: int
    meters: int


def reconcile(database: Database, plans: Mapping[str, Plan]) -> Report:
    """Compute every sum of the ledger again, and compare.

    Raises:
        LedgerUnavailable: the database cannot be asked.
    """
    with database.read() as connection:
        if not database.is_sqlite:
            # A long table takes its time, and nobody waits for what is only read.
            for timeout in ("statement_timeout = 0", "idle_in_transaction_session_timeout = '1h'"):
                connection.execute(text(f"SET LOCAL {timeout}"))
        checks = (
            _meters, _rollups, _over_caps, _held_and_ended, _keyless, _miscounted, _outside_period, _rows, _holds,
            money.grants, money.unread, money.outbox,
            usage.events,
        )  # fmt: skip
        findings = [finding for check in checks for finding in check(connection)]
        now_us = database.now_us(connection)
        notes = [*_over_limits(connection, plans, now_us), *_over_spend_caps(connection, now_us)]
        notes += [*_overdue(connection, now_us), *usage.notes(connection, now_us)]
        notes += invoices.notes(connection, now_us)
        calls = _count(connection, usage_record) + _count(connection, hold)
        return Report(_with_addresses(connection, findings), notes, calls, _count(connection, meter))


def _with_addresses(connection: Connection, findings: list[Finding]) -> list[Finding]:
    ids = {finding.owner for finding in findings}
    address = {i: connection.execute(select(account.c.email).where(account.c.id == i)).scalar() for i in ids}
    named = [finding._replace(owner=address[finding.owner] or finding.owner) for finding in findings]
    return sorted(named, key=lambda finding: finding[:3])


def _count(connection: Connection, table: Table) -> int:
    return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def _columns(table: Any, names: tuple[str, ...]) -> list[ColumnElement[Any]]:  # noqa: ANN401  # a table or subquery
    return [table.c[name] for name in names]


def _is_current(now_us: int) -> ColumnElement[bool]:
    return and_(meter.c.period_start_us <= now_us, meter.c.period_end_us > now_us)


# -- Sums ------------------------------------------------------------------------------------------------------


def _meters(connection: Connection) -> Iterator[Finding]:
    used, nothing = usage_record.c, [literal(0) for _ in UNITS]
    held = _columns(hold, tuple(f"held_{unit}" for unit in UNITS))
    figures_of: dict[Table, list[ColumnElement[Any]]] = {
        usage_record: [used.calls, used.tokens, used.charge_nanodollars, *nothing],
        hold: [*nothing, *held],
    }
    counting = [
        select(table.c.account_id, table.c[name], table.c.period_start_us, *figures).where(table.c[name] != "")
        for table, figures in figures_of.items()
        for name in METERS_OF_A_ROW
    ]
    rows = union_all(*counting).subquery()
    key, figures = list(rows.c)[: len(METER_KEY)], list(rows.c)[len(METER_KEY) :]
    counted = select(*key, *(func.sum(figure) for figure in figures)).group_by(*key)
    kept = select(*_columns(meter, METER_KEY + METER_SUMS))
    for (owner, name, start_us), expected, found in _differences(connection, len(METER_KEY), kept, counted):
        if expected is None and found is not None and not any(found):
            continue  # the meter of a month that a purchase began, without calls: all 0, which is right
        yield from _apart(owner, period_name(start_us, name), "meter", METER_SUMS, expected, found)


def _over_caps(connection: Connection) -> Iterator[Finding]:
    """Meters over a key's cap, which can never be right: a cap does not change."""
    of_key = and_(api_key.c.account_id == meter.c.account_id, api_key.c.cap_id == meter.c.name)
    calls = meter.c.posted_calls + meter.c.held_calls
    figures = [*_columns(meter, METER_KEY), calls, api_key.c.cap_calls]
    over = select(*figures).join(api_key, of_key).where(calls > api_key.c.cap_calls).distinct()
    for owner, name, start_us, count, cap in connection.execute(over):
        yield Finding(owner, period_name(start_us, name), "meter: calls", f"at most {cap}, the key's cap", count)


def _rollups(connection: Connection) -> Iterator[Finding]:
    states = [func.sum(case((usage_record.c.state == state, 1), else_=0)) for state in ROLLUP_STATES]
    sums = [func.sum(figure) for figure in _columns(usage_record, ROLLUP_SUMS)]
    day: ColumnElement[str] = literal_column(DAY[connection.dialect.name])
    key = [day if name == "day" else usage_record.c[name] for name in ROLLUP_KEY]
    counted = select(*key, *states, *sums).group_by(*key)
    names = (*ROLLUP_STATES, *ROLLUP_SUMS)
    kept = select(*_columns(rollup_daily, ROLLUP_KEY + names))
    for (owner, mode, on, *rest), *figures in _differences(connection, len(ROLLUP_KEY), kept, counted):
        yield from _apart(owner, f"{on} {mode}", f"rollup of {' '.join(rest)}", names, *figures)


Sums = tuple[int, ...] | None


def _differences(
    connection: Connection, key_columns: int, kept: Select[Any], counted: Select[Any]
) -> Iterator[tuple[tuple[Any, ...], Sums, Sums]]:
    """The keys whose sums differ, with the sums as counted and as kept; None for a side that has none."""

    def only_in(one: Select[Any], other: Select[Any]) -> dict[tuple[Any, ...], Sums]:
        rows = connection.execute(except_(one, other))
        return {tuple(row[:key_columns]): tuple(map(int, row[key_columns:])) for row in rows}

    expected, found = only_in(counted, kept), only_in(kept, counted)
    for key in sorted(expected.keys() | found.keys()):
        yield key, expected.get(key), found.get(key)


def _apart(
    owner: str, period: str, what: str, names: tuple[str, ...], expected: Sums, found: Sums
) -> Iterator[Finding]:
    if expected is None or found is None:
        one, other = ("none, as it has no calls", "one") if expected is None else ("one for its calls", "none")
        yield Finding(owner, period, what, one, other)
        return
    for name, right, wrong in zip(names, expected, found, strict=True):
        if right != wrong:
            yield Finding(owner, period, f"{what}: {name}", right, wrong)


# -- Rows ------------------------------------------------------------------------------------------------------


def _rows(connection: Connection) -> Iterator[Finding]:
    for row in connection.execute(select(usage_record), execution_options={"yield_per": ROWS_AT_ONCE}):
        held, ended = Hold(*row[:HOLD_SIZE]), outcome_of(row[HOLD_SIZE:])
        yield from _misfits(held, audit_row(held, ended))


def _holds(connection: Connection) -> Iterator[Finding]:
    for row in connection.execute(select(hold), execution_options={"yield_per": ROWS_AT_ONCE}):
        held = Hold(*row)
        yield from _misfits(held, audit_hold(held))


def _misfits(held: Hold, misfits: list[Misfit]) -> list[Finding]:
    return [
        Finding(
            held.account_id, period_name(held.period_start_us, held.mode), f"call {held.call_id}: {name}", expected,
            found,
        )
        for name, expected, found in misfits
    ]  # fmt: skip


def _held_and_ended(connection: Connection) -> Iterator[Finding]:
    same = and_(hold.c.account_id == usage_record.c.account_id, hold.c.call_id == usage_record.c.call_id)
    yield from _calls(connection, hold, exists().where(same), "state", "held or ended", "both")


def _keyless(connection: Connection) -> Iterator[Finding]:
    for table in (usage_record, hold):
        its_own = and_(*(api_key.c[name] == table.c[name] for name in ("account_id", "mode")))
        unknown = ~exists().where(its_own, api_key.c.id == table.c.key_id)
        yield from _calls(connection, table, unknown, "key_id", "a key of the account in this mode", "none")


def _miscounted(connection: Connection) -> Iterator[Finding]:
    for table in (usage_record, hold):
        its_key = and_(api_key.c.account_id == table.c.account_id, api_key.c.id == table.c.key_id)
        another = or_(*(api_key.c[name].is_distinct_from(table.c[name]) for name in ("cap_id", "cap_calls")))
        yield from _calls(connection, table, exists().where(its_key, another), "cap_id", "that of its key", "another")


def _outside_period(connection: Connection) -> Iterator[Finding]:
    for table in (usage_record, hold):
        key = _columns(table, ("account_id", "mode", "period_start_us"))
        same = and_(*(meter.c[name] == column for name, column in zip(METER_KEY, key, strict=True)))
        admitted = table.c.admitted_us
        outside = exists().where(same, or_(admitted < meter.c.period_start_us, admitted >= meter.c.period_end_us))
        yield from _calls(connection, table, outside, "admitted_us", "a moment of its period", "another one")


def _calls(
    connection: Connection, table: Table, which: ColumnElement[bool], name: str, expected: str, found: str
) -> Iterator[Finding]:
    named = select(*_columns(table, ("account_id", "period_start_us", "mode", "call_id"))).where(which)
    for owner, start_us, mode, call_id in connection.execute(named):
        yield Finding(owner, period_name(start_us, mode), f"call {call_id}: {name}", expected, found)


# -- What may be right, and is worth a look --------------------------------------------------------------------


def _over_limits(connection: Connection, plans: Mapping[str, Plan], now_us: int) -> Iterator[str]:
    now = and_(_is_current(now_us), meter.c.name.in_(("live", "test")))
    for plan in plans.values():
        limits = (
            plan.calls if plan.overage_nanodollars is None else None,
            plan.tokens if plan.overage_per_mtok is None else None,
            None if plan.credit_overage else plan.credit_nanodollars,
        )
        for unit, limit in zip(UNITS, limits, strict=True):
            used = meter.c[f"posted_{unit}"] + meter.c[f"held_{unit}"]
            of_plan = select(account.c.email, used).join(meter, meter.c.account_id == account.c.id)
            over = of_plan.where(account.c.plan == plan.name, now, used > limit) if limit is not None else None
            for email, count in connection.execute(over) if over is not None else ():
                yield (
                    f"{email} has used {count:,} {unit}, over the {limit:,} of plan {plan.name!r}: right only if the "
                    "plan was lowered, or changed, after that."
                )


def _over_spend_caps(connection: Connection, now_us: int) -> Iterator[str]:
    spent, cap = meter.c.posted_nanodollars + meter.c.held_nanodollars, account.c.spend_cap_nanodollars
    found = select(account.c.email, spent, cap).join(meter, meter.c.account_id == account.c.id)
    for email, sum_, limit in connection.execute(found.where(_is_current(now_us), meter.c.name == "live", spent > cap)):
        yield (
            f"{email} has spent {sum_:,} nanodollars, over their own cap of {limit:,}: right only if they lowered it "
            "after that."
        )


def _overdue(connection: Connection, now_us: int) -> Iterator[str]:
    due = select(func.count()).select_from(hold).where(hold.c.expires_us <= now_us)
    count = connection.execute(due).scalar_one()
    if count:
        yield f"{count:,} calls are held past their time: they end with the next sweep of a serving process."
