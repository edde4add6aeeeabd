"""A search in the calls of one account that looks at a bounded number of them, however many there are.

The primary key is the only index that it needs: calls are gone through in the order of their ids. Where only some are
wanted, the daily sums say on which days there are such, and nothing else is looked at (docs/decisions/0014).
"""

from typing import Final, NamedTuple

from sqlalchemy import BigInteger, ColumnElement, Connection, Table, and_, case, cast, exists, func, select, true

from farebox.domain.apikey import MODES
from farebox.domain.ledger import State
from farebox.domain.period import DAY_US
from farebox.domain.reading import (
    DayCount,
    Search,
    Span,
    day_start_us,
    days_looked_at,
    moment_us,
    place_before,
    route,
)
from farebox.ports.calls import CallRow
from farebox.store.ledger.call_rows import call_of
from farebox.store.tables import hold, rollup_daily, usage_record

LOOKED_AT_MAX: Final = 10_000
DAYS_MAX: Final = 92


class Hits(NamedTuple):
    """The calls found, the newest first, and where to go on; empty at the end."""

    calls: list[CallRow]
    older: str
    searched_to_us: int | None


def find(connection: Connection, account_id: str, search: Search, now_us: int, most: int) -> Hits:
    """The newest of the calls that fit, under way or ended."""
    recorded, stopped = _recorded(connection, account_id, search, now_us, most)
    held = _held(connection, account_id, search, stopped, most)
    calls = sorted(recorded + held, key=lambda call: call.hold.call_id, reverse=True)
    if len(calls) > most:
        return Hits(calls[:most], calls[most - 1].hold.call_id, None)
    return Hits(calls, stopped, moment_us(stopped) if stopped else None)


def _recorded(
    connection: Connection, account_id: str, search: Search, now_us: int, most: int
) -> tuple[list[CallRow], str]:
    """Ended calls that fit, up to one more than wanted; and where the search stopped, if there may be more."""
    if search.state is State.HELD:
        return [], ""
    if not search.is_narrow:
        return _fitting(connection, account_id, Span("", search.below), search, most + 1), ""
    first, last = days_looked_at(search, now_us, DAYS_MAX)
    way = route(_days(connection, account_id, search, first, last), search.below, most + 1, LOOKED_AT_MAX)
    found: list[CallRow] = []
    stopped = way.spans[-1].low if way.spans else search.below
    for span in way.spans:
        found += _fitting(connection, account_id, span, search, most + 1)
    if way.rest is not None and len(found) <= most:
        stopped = _reach(connection, account_id, way.rest, way.rest_max)
        found += _fitting(connection, account_id, Span(stopped, way.rest.high), search, most + 1)
    if way.is_whole:
        is_end = bool(search.day) or not _has_older(connection, account_id, first)
        stopped = "" if is_end else place_before(first)
        # The first day's calls below are found once more from there, beside those of the day before.
        found = [call for call in found if call.hold.call_id >= stopped]
    return found, stopped


def _reach(connection: Connection, account_id: str, span: Span, most: int) -> str:
    """The lowest id of the newest `most` calls of a span; the lower end of the span if there are fewer."""
    ids = select(usage_record.c.call_id).where(_within(usage_record, account_id, span))
    looked_at = ids.order_by(usage_record.c.call_id.desc()).limit(most).subquery()
    row = connection.execute(select(func.count(), func.min(looked_at.c.call_id)).select_from(looked_at)).one()
    return str(row[1]) if row[0] == most else span.low


def _fitting(connection: Connection, account_id: str, span: Span, search: Search, most: int) -> list[CallRow]:
    fits = _fits(usage_record, search)
    if search.state is not None:
        fits.append(usage_record.c.state == search.state.value)
    found = select(usage_record).where(_within(usage_record, account_id, span), *fits)
    rows = connection.execute(found.order_by(usage_record.c.call_id.desc()).limit(most))
    return [call_of(row) for row in rows]


def _held(connection: Connection, account_id: str, search: Search, above: str, most: int) -> list[CallRow]:
    """The calls under way that fit. Only so many can be under way at once, so all of them may be looked at."""
    if search.state not in {None, State.HELD} or search.is_invoiced:
        return []
    within = _within(hold, account_id, Span(above, search.below))
    found = select(hold).where(within, *_fits(hold, search))
    return [call_of(row) for row in connection.execute(found.order_by(hold.c.call_id.desc()).limit(most + 1))]


def _within(table: Table, account_id: str, span: Span) -> ColumnElement[bool]:
    return and_(table.c.account_id == account_id, table.c.call_id >= span.low, table.c.call_id < span.high)


def _of_search(search: Search) -> tuple[tuple[str, str | None], ...]:
    return ("endpoint", search.endpoint), ("key_id", search.key_id), ("mode", search.mode)


def _fits(table: Table, search: Search) -> list[ColumnElement[bool]]:
    """Every condition but the state, for which a call under way has no column."""
    fits = [table.c[name] == value for name, value in _of_search(search) if value]
    if search.is_invoiced and table is usage_record:
        fits.append(usage_record.c.invoiced_nanodollars > 0)
    if search.day:
        start_us = day_start_us(search.day)
        fits += [table.c.admitted_us >= start_us, table.c.admitted_us < start_us + DAY_US]
    return fits


def _days(connection: Connection, account_id: str, search: Search, first: str, last: str) -> list[DayCount]:
    """The days on which calls were admitted that have ended, and how many of them fit."""
    c = rollup_daily.c
    ended = c.posted + c.voided + c.expired
    fits = [c[name] == value for name, value in _of_search(search) if value]
    if search.is_invoiced:  # where nothing was charged, nothing is invoiced; on the other days there may be some
        fits.append(c.charge_nanodollars > 0)
    of_state = ended if search.state is None else c[search.state.value]
    fitting = func.sum(case((and_(true(), *fits), of_state), else_=0))
    of_account = and_(c.account_id == account_id, c.mode.in_(MODES), c.day.between(first, last))
    counted = select(c.day, whole(fitting), whole(func.sum(ended))).where(of_account).group_by(c.day)
    return [DayCount(*row) for row in connection.execute(counted)]


def whole(summed: ColumnElement[int]) -> ColumnElement[int]:
    """A sum as a whole number: PostgreSQL would give a numeric."""
    return cast(summed, BigInteger)


def _has_older(connection: Connection, account_id: str, first: str) -> bool:
    c = rollup_daily.c
    older = exists().where(c.account_id == account_id, c.mode.in_(MODES), c.day < first)
    return bool(connection.execute(select(older)).scalar())
