"""The ledger's sums, checked by the database itself in one statement, and so in one state of it."""

import atexit
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any, Final

import psycopg

from farebox.domain.plan import Plan

METER: Final = ("account_id", "name", "period_start_us")
ROLLUP: Final = ("account_id", "mode", "day", "key_id", "endpoint", "model")
POSTED: Final = ("calls", "tokens", "charge_nanodollars")
UNITS: Final = ("calls", "tokens", "nanodollars")
SUMMED: Final = (
    "calls", "tokens", "input_tokens", "output_tokens", "charge_nanodollars", "cost_nanodollars",
)  # fmt: skip
STATES: Final = ("posted", "voided", "expired")
DAY_SQLITE: Final = "strftime('%Y-%m-%d', admitted_us / 1000000, 'unixepoch')"
DAY_POSTGRES: Final = "to_char(to_timestamp(admitted_us / 1000000) AT TIME ZONE 'UTC', 'YYYY-MM-DD')"


def _listed(parts: tuple[str, ...], template: str = "{}") -> str:
    return ", ".join(template.format(part) for part in parts)


def _text(key: tuple[str, ...], prefix: str = "") -> str:
    return " || ' ' || ".join(f"{prefix}{name}" for name in key)


def _differences(what: str, key: tuple[str, ...], names: tuple[str, ...], sources: list[str]) -> str:
    """Groups of one key whose sources, each with its sign, do not come to zero; `n` counts the rows of the first."""
    wrong = " OR ".join(f"SUM({name}) <> 0" for name in names)
    sums = " || ' ' || ".join(f"'{name} off by ' || SUM({name})" for name in names)
    union = " UNION ALL ".join(f"SELECT {_listed(key)}, {source}" for source in sources)
    return (
        f"SELECT '{what} ' || {_text(key)} || ': rows ' || SUM(n) || ' ' || {sums} FROM ({union}) AS sides"
        f" GROUP BY {_listed(key)} HAVING SUM(n) <> 1 OR {wrong}"
    )


def _meters() -> str:
    """A row counts on the meter of its mode, and on that of its key's cap, where there is one."""
    names = tuple(f"{state}_{unit}" for state in ("posted", "held") for unit in UNITS)
    counted = "(SELECT r.*, mode AS name FROM {0} r UNION ALL SELECT r.*, cap_id FROM {0} r WHERE cap_id <> '') AS {0}s"
    return _differences(
        "meter", METER, names,
        [
            f"1 AS n, {_listed(names)} FROM meter",
            f"0, {_listed(POSTED, '-{}')}, 0, 0, 0 FROM {counted.format('usage_record')}",
            f"0, 0, 0, 0, {_listed(UNITS, '-held_{}')} FROM {counted.format('hold')}",
        ],
    )  # fmt: skip


def _rollups(day: str) -> str:
    counts = _listed(STATES, "CASE WHEN state = '{}' THEN -1 ELSE 0 END")
    usage = f"(SELECT {_listed(ROLLUP).replace('day', f'{day} AS day')}, state, {_listed(SUMMED)} FROM usage_record)"
    return _differences(
        "rollup", ROLLUP, STATES + SUMMED,
        [
            f"1 AS n, {_listed(STATES + SUMMED)} FROM rollup_daily",
            f"0, {counts}, {_listed(SUMMED, '-{}')} FROM {usage} AS used",
        ],
    )  # fmt: skip


def _rows(what: str, source: str) -> str:
    return f"SELECT '{what}: ' || {_text(('account_id', 'call_id'), 'r.')} FROM {source}"


def _statement(day: str) -> str:
    outside = "m.period_start_us IS NULL OR r.admitted_us < m.period_start_us OR r.admitted_us >= m.period_end_us"
    on_meter = "m.account_id = r.account_id AND m.name = r.mode AND m.period_start_us = r.period_start_us"
    held = " OR ".join(f"r.{posted} > r.held_{unit}" for posted, unit in zip(POSTED, UNITS, strict=True))
    same = "r.account_id = o.account_id"
    overlap = (
        f"{same} AND r.name = o.name AND r.period_start_us < o.period_start_us AND r.period_end_us > o.period_start_us"
    )
    free = "state <> 'posted' AND (calls <> 0 OR tokens <> 0 OR charge_nanodollars <> 0)"
    checks = [
        _meters(),
        _rollups(day),
        _rows("both held and recorded", f"hold r JOIN usage_record o ON {same} AND r.call_id = o.call_id"),
        _rows("posted above its hold", f"usage_record r WHERE {held}"),
        _rows("not posted, and charged", f"usage_record r WHERE {free}"),
        _rows("recorded before it was admitted", "usage_record r WHERE recorded_us < admitted_us"),
        _rows("hold outside its period", f"hold r LEFT JOIN meter m ON {on_meter} WHERE {outside}"),
        _rows("row outside its period", f"usage_record r LEFT JOIN meter m ON {on_meter} WHERE {outside}"),
        f"SELECT 'meters overlap: ' || {_text(METER, 'r.')} FROM meter r JOIN meter o ON {overlap}",
    ]
    return " UNION ALL ".join(checks)


ON_SQLITE: Final = _statement(DAY_SQLITE)
ON_POSTGRES: Final = _statement(DAY_POSTGRES)


def check_sums(connection: Any) -> list[str]:  # noqa: ANN401  # either driver's connection
    """What does not add up, a sentence each: meters = rows + holds, rollups = rows, one outcome for each hold."""
    sql = ON_SQLITE if isinstance(connection, sqlite3.Connection) else ON_POSTGRES
    return [row[0] for row in connection.execute(sql).fetchall()]


def check_credit(connection: Any) -> list[str]:  # noqa: ANN401
    """What does not add up of credit and invoices: grants = what rows spent + what holds hold, charges = their parts.

    And what waits for the invoice is what the rows say comes onto it, each once.
    """
    counted: Counter[tuple[str, str, str]] = Counter()
    for kind, table, column in (("spent", "usage_record", "spent_credit"), ("held", "hold", "credit")):
        for account_id, text in connection.execute(f"SELECT account_id, {column} FROM {table} WHERE {column} <> ''"):
            for part in text.split():
                grant_id, _, nanodollars = part.partition(":")
                counted[account_id, grant_id, kind] += int(nanodollars)
    kept = Counter({
        (account_id, grant_id, kind): sum_
        for account_id, grant_id, *sums in connection.execute(GRANTS)
        for kind, sum_ in zip(("spent", "held"), sums, strict=True)
    })  # fmt: skip
    apart = (counted - kept) + (kept - counted)
    found = [f"grant {' '.join(key)}: {counted[key]} counted, {kept[key]} kept" for key in sorted(apart)]
    return found + [row[0] for row in connection.execute(CREDIT).fetchall()]


GRANTS: Final = "SELECT account_id, id, spent_nanodollars, held_nanodollars FROM credit_grant"
OF_THE_OUTBOX: Final = "account_id, call_id, customer, period_start_us, admitted_us"
CREDIT: Final = f"""
SELECT 'for the invoice, only in one of two: ' || call_id FROM (
    SELECT call_id, sum(sign) AS n FROM (
        SELECT {OF_THE_OUTBOX}, nanodollars, 1 AS sign FROM usage_outbox UNION ALL
        SELECT {OF_THE_OUTBOX}, invoiced_nanodollars, -1 FROM usage_record WHERE invoiced_nanodollars <> 0
    ) AS both_sides GROUP BY {OF_THE_OUTBOX}, nanodollars
) AS rows_of_both WHERE n <> 0
UNION ALL SELECT 'credit for a test key: ' || call_id FROM usage_record
    WHERE mode <> 'live' AND (prepaid_nanodollars <> 0 OR invoiced_nanodollars <> 0)
UNION ALL SELECT 'more paid than charged: ' || call_id FROM usage_record
    WHERE prepaid_nanodollars + invoiced_nanodollars > charge_nanodollars"""


def check_limits(connection: Any, plans: Mapping[str, Plan]) -> list[str]:  # noqa: ANN401
    """The meters that have more posted and held than their account's plan, or a cap of the customer's own, allows."""
    units = _listed(UNITS, "m.posted_{0} + m.held_{0}")
    sql = (
        f"SELECT a.plan, {_text(METER, 'm.')}, {units} FROM meter m JOIN account a ON a.id = m.account_id"
        " WHERE m.name IN ('live', 'test')"
    )
    of_plans = [
        f"over the plan {name}: {meter} has {used} {unit}, and the limit is {limit}"
        for name, meter, *sums in connection.execute(sql).fetchall()
        for unit, limit, used in zip(UNITS, _limits(plans[name]), sums, strict=True)
        if limit is not None and used > limit
    ]
    return of_plans + [f"over the customer's own cap: {meter}" for (meter,) in connection.execute(OVER_CAPS).fetchall()]


OVER_CAPS: Final = (
    f"SELECT {_text(METER, 'm.')} FROM meter m JOIN api_key k ON k.account_id = m.account_id AND k.cap_id = m.name"
    " WHERE m.posted_calls + m.held_calls > k.cap_calls"
    f" UNION SELECT {_text(METER, 'm.')} FROM meter m JOIN account a ON a.id = m.account_id"
    " WHERE m.name = 'live' AND m.posted_nanodollars + m.held_nanodollars > a.spend_cap_nanodollars"
)


def _limits(plan: Plan) -> tuple[int | None, int | None, int | None]:
    return (
        None if plan.overage_nanodollars is not None else plan.calls,
        None if plan.overage_per_mtok is not None else plan.tokens,
        None if plan.credit_overage else plan.credit_nanodollars,
    )


def held(connection: Any) -> int:  # noqa: ANN401
    """Holds that are open, and meters that hold something; zero when nothing is under way."""
    meters = "SELECT count(*) FROM meter WHERE held_calls <> 0 OR held_tokens <> 0 OR held_nanodollars <> 0"
    holds: int = connection.execute("SELECT count(*) FROM hold").fetchone()[0]
    return holds + int(connection.execute(meters).fetchone()[0])


def connect(url: str) -> Any:  # noqa: ANN401
    """The driver's own connection to a database by its Farebox URL; each statement sees what is committed then."""
    if url.startswith("sqlite"):
        return sqlite3.connect(url.removeprefix("sqlite:///"), timeout=30, isolation_level=None)
    return psycopg.connect(url, autocommit=True)


class _Kept:
    """The connection to PostgreSQL that was used last: there, to connect costs more than to ask."""

    def __init__(self) -> None:
        self._url = ""
        self._connection: Any = None
        atexit.register(self._close)

    def to(self, url: str) -> Any:  # noqa: ANN401
        if url != self._url or not self._answers():
            self._close()
            self._connection, self._url = connect(url), url
        return self._connection

    def _answers(self) -> bool:
        """Not when the server was stopped meanwhile, or the database deleted."""
        try:
            self._connection.execute("SELECT 1")
        except psycopg.Error:
            return False
        return True

    def _close(self) -> None:
        self._url = ""
        if self._connection is not None:
            self._connection.close()


_kept = _Kept()


@contextmanager
def connected(url: str) -> Iterator[Any]:
    """A connection for statements that commit by themselves."""
    if not url.startswith("sqlite"):
        yield _kept.to(url)
        return
    with closing(connect(url)) as connection:
        yield connection


def check_sums_at(url: str) -> list[str]:
    """`check_sums` of a database by its Farebox URL."""
    with connected(url) as connection:
        return check_sums(connection)
