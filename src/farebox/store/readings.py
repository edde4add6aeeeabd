"""What customers read of their calls: meters, daily sums, and the calls themselves a page at a time."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import Column, Connection, cast, exists, func, literal, null, select, union_all

from farebox.domain.apikey import MODES, Mode
from farebox.domain.ledger import Meter, State
from farebox.domain.period import DAY_US, Period, day
from farebox.domain.reading import Search, Sums, days_between, periods_of, place_of, starting_at, under_way
from farebox.domain.subscribing import period_under_way
from farebox.ports.calls import CallRow, DayUse, Found, KeyRow, PeriodUse, Summary
from farebox.store.database import Database
from farebox.store.ledger.call_rows import HOLD_SIZE, call_of
from farebox.store.search import find, whole
from farebox.store.tables import api_key, hold, meter, rollup_daily, usage_record

SUMMARY_DAYS: Final = 30
SUMMARY_CALLS: Final = 10
PAGE_CALLS: Final = 50
EXPORT_CALLS: Final = 2_000
PARTS_MAX: Final = 50
"""How many endpoints, keys or models a page lists; the CSV has all."""
CHOICES_MAX: Final = 100
PERIODS_MAX: Final = 120
"""Ten years of months."""
BY_INDEX: Final = "SELECT set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true)"
# Made once: putting them together takes as long as the database takes to answer.
SUMS: Final = tuple(whole(func.sum(rollup_daily.c[name])).label(name) for name in Sums._fields[1:])
LARGEST_FIRST: Final = (SUMS[3].desc(), SUMS[0].desc())


class StoredReadings:
    """The port `Readings` over one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        """A transaction that reads calls in the order of the primary key, and no table whole in order to sort it.

        PostgreSQL would do the latter where it takes an account for an average one with few calls.
        """
        with self._database.read() as connection:
            if not self._database.is_sqlite:
                connection.exec_driver_sql(BY_INDEX)
            yield connection

    def summary(self, account_id: str, anchor_us: int) -> Summary:
        with self._read() as connection:
            now_us = self._database.now_us(connection)
            meters = _meters(connection, account_id)
            current = {mode: under_way(meters, mode, now_us) for mode in MODES}
            last_days = day(max(now_us - (SUMMARY_DAYS - 1) * DAY_US, 0)), day(now_us)
            calls = find(connection, account_id, Search(), now_us, SUMMARY_CALLS).calls
            return Summary(
                now_us=now_us,
                period=period_under_way(current["live"], anchor_us, now_us),
                meters={mode: one for mode, one in current.items() if one is not None},
                days=_by_day(connection, account_id, "live", last_days),
                calls=calls,
                keys=_keys(connection, account_id, _key_ids(calls)),
                has_key=_has_key(connection, account_id),
            )

    def period(self, account_id: str, anchor_us: int, mode: Mode, start_us: int | None) -> PeriodUse | None:
        with self._read() as connection:
            now_us = self._database.now_us(connection)
            meters = _meters(connection, account_id)
            current = period_under_way(under_way(meters, mode, now_us), anchor_us, now_us)
            periods = periods_of(meters, current)
            period = current if start_us is None else starting_at(periods, start_us)
            if period is None:
                return None
            days = day(period.start_us), day(period.end_us - 1)
            keys = _parts(connection, account_id, mode, days, rollup_daily.c.key_id)
            of_mode = [one for one in meters if one.name == mode and one.period_start_us == period.start_us]
            return PeriodUse(
                now_us=now_us,
                periods=periods,
                current=current,
                period=period,
                meter=of_mode[0] if of_mode else None,
                days=_by_day(connection, account_id, mode, days),
                endpoints=_parts(connection, account_id, mode, days, rollup_daily.c.endpoint),
                keys=keys,
                models=_parts(connection, account_id, mode, days, rollup_daily.c.model),
                key_rows=_keys(connection, account_id, [one.name for one in keys]),
            )

    def find(self, account_id: str, search: Search) -> Found:
        with self._read() as connection:
            now_us = self._database.now_us(connection)
            hits = find(connection, account_id, search, now_us, PAGE_CALLS)
            keys = _newest_keys(connection, account_id)
            missing = {*_key_ids(hits.calls), *([search.key_id] if search.key_id else [])} - keys.keys()
            keys |= _keys(connection, account_id, sorted(missing))
            return Found(*hits, now_us, keys, _endpoints(connection, account_id, now_us))

    def call(self, account_id: str, call_id: str) -> tuple[CallRow, KeyRow | None] | None:
        with self._read() as connection:
            for table in (usage_record, hold):
                one = select(table).where(table.c.account_id == account_id, table.c.call_id == call_id)
                row = connection.execute(one).first()
                if row is not None:
                    found = call_of(row)
                    key_id = found.hold.key_id
                    return found, _keys(connection, account_id, [key_id]).get(key_id)
        return None

    def keys(self, account_id: str, key_ids: Sequence[str]) -> Mapping[str, KeyRow]:
        with self._read() as connection:
            return _keys(connection, account_id, key_ids)

    def has_calls(self, account_id: str) -> bool:
        with self._read() as connection:
            some = (exists().where(table.c.account_id == account_id) for table in (usage_record, hold))
            return any(connection.execute(select(one)).scalar() for one in some)

    def all_use(self, account_id: str, period: Period) -> Iterator[Sequence[DayUse]]:
        c = rollup_daily.c
        names = (c.mode, c.endpoint, c.key_id)
        for name in days_between(period.start_us, period.end_us - 1):
            of_day = select(*names, c.day, *SUMS).where(c.account_id == account_id, c.mode.in_(MODES), c.day == name)
            grouped = of_day.group_by(*names, c.day).order_by(*names)
            with self._read() as connection:
                rows = connection.execute(grouped).all()
            yield [DayUse(row.mode, row.endpoint, row.key_id, Sums(*row[3:])) for row in rows]

    def all_calls(self, account_id: str, period: Period) -> Iterator[Sequence[CallRow]]:
        # A call's period is in its row. Its id only says where to look: clocks may be off by a day.
        after, below = place_of(period.start_us - DAY_US), place_of(period.end_us + DAY_US)
        while True:
            with self._read() as connection:
                page = _page(connection, account_id, period, after, below)
            yield page
            if len(page) < EXPORT_CALLS:
                return
            after = page[-1].hold.call_id


def _meters(connection: Connection, account_id: str) -> list[Meter]:
    """The meters of the account's last periods, of both modes."""
    of_account = select(meter).where(meter.c.account_id == account_id, meter.c.name.in_(MODES))
    last = of_account.order_by(meter.c.period_start_us.desc()).limit(PERIODS_MAX * len(MODES))
    return [Meter(*row) for row in connection.execute(last)]


def _by(
    connection: Connection, account_id: str, mode: Mode, days: tuple[str, str], name: Column[str], order: Sequence[Any]
) -> list[Sums]:
    c = rollup_daily.c
    within = select(name, *SUMS).where(c.account_id == account_id, c.mode == mode, c.day.between(*days))
    grouped = within.group_by(name).order_by(*order, name).limit(max(PARTS_MAX, SUMMARY_DAYS) + 1)
    rows: Sequence[Any] = connection.execute(grouped).all()
    return [Sums(*row) for row in rows]


def _by_day(connection: Connection, account_id: str, mode: Mode, days: tuple[str, str]) -> list[Sums]:
    return _by(connection, account_id, mode, days, rollup_daily.c.day, ())


def _parts(connection: Connection, account_id: str, mode: Mode, days: tuple[str, str], name: Column[str]) -> list[Sums]:
    """The use by part, the largest first; one part more than a page lists, if there are as many."""
    return _by(connection, account_id, mode, days, name, LARGEST_FIRST)


def _key_ids(calls: Sequence[CallRow]) -> list[str]:
    return sorted({call.hold.key_id for call in calls})


def _keys(connection: Connection, account_id: str, key_ids: Sequence[str]) -> dict[str, KeyRow]:
    if not key_ids:
        return {}
    found = select(api_key).where(api_key.c.account_id == account_id, api_key.c.id.in_(key_ids))
    return {row.id: KeyRow(*row) for row in connection.execute(found)}


def _newest_keys(connection: Connection, account_id: str) -> dict[str, KeyRow]:
    of_account = select(api_key).where(api_key.c.account_id == account_id)
    newest = of_account.order_by(api_key.c.created_us.desc(), api_key.c.id).limit(CHOICES_MAX)
    return {row.id: KeyRow(*row) for row in connection.execute(newest)}


def _has_key(connection: Connection, account_id: str) -> bool:
    works = exists().where(api_key.c.account_id == account_id, api_key.c.revoked_us.is_(None))
    return bool(connection.execute(select(works)).scalar())


def _endpoints(connection: Connection, account_id: str, now_us: int) -> list[str]:
    """The endpoints that were called in the last days."""
    c = rollup_daily.c
    lately = select(c.endpoint).distinct().where(
        c.account_id == account_id, c.mode.in_(MODES), c.day >= day(max(now_us - SUMMARY_DAYS * DAY_US, 0))
    )  # fmt: skip
    return sorted(connection.execute(lately.limit(CHOICES_MAX)).scalars())


def _page(connection: Connection, account_id: str, period: Period, after: str, below: str) -> list[CallRow]:
    """The next calls of a period, in the order of their ids, ended or under way."""
    no_outcome = [cast(null(), c.type).label(c.name) for c in list(usage_record.c)[HOLD_SIZE + 1 :]]
    parts = []
    for table, columns in (
        (usage_record, select(usage_record)),
        (hold, select(*hold.c, literal(State.HELD.value).label("state"), *no_outcome)),
    ):
        of_period = columns.where(
            table.c.account_id == account_id, table.c.call_id > after, table.c.call_id < below,
            table.c.period_start_us == period.start_us,
        )  # fmt: skip
        parts.append(select(of_period.order_by(table.c.call_id).limit(EXPORT_CALLS).subquery()))
    calls = union_all(*parts).subquery()
    rows = connection.execute(select(calls).order_by(calls.c.call_id).limit(EXPORT_CALLS))
    return [call_of(row) for row in rows]
