"""The ledger's statements, set-based: their number does not grow with the batch.

They are built once from the rows of the domain and run on the driver's own cursor, because a statement's way through
SQLAlchemy costs more than the statement itself. A test holds their columns to `tables.py`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol, get_type_hints

from farebox.domain.admission import Earlier
from farebox.domain.ledger import Hold, Meter, Outcome
from farebox.domain.wallet import Grant
from farebox.store.cursor import Cursor, Row, clock_us
from farebox.store.database import POSTGRES_BEGIN, read_revision
from farebox.store.ledger.call_rows import HOLD_COLUMNS, OUTCOME_COLUMNS
from farebox.store.ledger.shared_statements import SharedStatements

STATEMENT_SECONDS_MAX: Final = 10
LOCK_SECONDS_MAX: Final = 1.5  # many times what batches of other processes take; well below when the ledger gives up
PREPARE_AFTER: Final = 5  # uses of a statement on one connection
# All in one round trip. An answer is sent only for what is on the disk.
POSTGRES_BEGIN_BATCH: Final = (
    f"{POSTGRES_BEGIN}; SET LOCAL synchronous_commit = on; SET LOCAL statement_timeout = '{STATEMENT_SECONDS_MAX}s'"
    f"; SET LOCAL lock_timeout = {round(LOCK_SECONDS_MAX * 1000)}"
)

CALLER_COLUMNS: Final = (
    "k.digest, k.id, k.account_id, k.mode, k.expires_us, k.revoked_us, a.plan, a.state, a.anchor_us, "
    "k.scopes, k.cap_calls, k.cap_id, a.spend_cap_nanodollars, "
    "CASE WHEN a.is_subscribed = 1 THEN a.customer_id ELSE '' END, a.has_credit, a.grace_until_us, "
    "a.trial_end_us"
)
METER_COLUMNS: Final = ", ".join(Meter._fields)
SQLITE_CALLER: Final = (
    f"SELECT {CALLER_COLUMNS} FROM api_key k JOIN account a ON a.id = k.account_id AND a.closed_us IS NULL"
    " WHERE k.digest = ?"
)
SQLITE_METERS: Final = f"SELECT {METER_COLUMNS} FROM meter WHERE account_id = ? AND name = ? AND period_end_us > ?"
SQLITE_OUTCOME: Final = f"SELECT call_id, {OUTCOME_COLUMNS} FROM usage_record WHERE account_id = ? AND call_id = ?"
DUE_MAX: Final = 500
GRANT_COLUMNS: Final = ", ".join(Grant._fields)
CAN_PAY: Final = "expires_us > ? AND spent_nanodollars + held_nanodollars + taken_back_nanodollars < amount_nanodollars"
SQLITE_GRANTS: Final = f"SELECT {GRANT_COLUMNS} FROM credit_grant WHERE account_id = ? AND {CAN_PAY}"
SQLITE_GRANT: Final = f"SELECT {GRANT_COLUMNS} FROM credit_grant WHERE account_id = ? AND id = ?"
SQLITE_SAVE_GRANT: Final = (
    "UPDATE credit_grant SET spent_nanodollars = ?, held_nanodollars = ?, taken_back_nanodollars = ?"
    " WHERE account_id = ? AND id = ?"
)
POSTGRES_GRANTS: Final = (
    f"SELECT {GRANT_COLUMNS} FROM credit_grant WHERE account_id = ANY(%s::text[]) AND {CAN_PAY.replace('?', '%s')}"
    f" UNION SELECT {GRANT_COLUMNS} FROM credit_grant JOIN unnest(%s::text[], %s::text[]) AS named (account_id, id)"
    " USING (account_id, id)"
)
POSTGRES_SAVE_GRANTS: Final = (
    "UPDATE credit_grant SET spent_nanodollars = changed.spent, held_nanodollars = changed.held,"
    " taken_back_nanodollars = changed.taken_back"
    " FROM unnest(%s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::bigint[])"
    " AS changed (account_id, id, spent, held, taken_back)"
    " WHERE credit_grant.account_id = changed.account_id AND credit_grant.id = changed.id"
)


class Written(NamedTuple):
    """A table as a batch writes it: its columns in the order of the rows, with the types that an array needs."""

    name: str
    columns: Mapping[str, str]
    key: tuple[str, ...] = ()
    adds_up: bool = False

    @property
    def on_conflict(self) -> str:
        """The rest of an upsert: the new row replaces the old one, or is added to it."""
        if not self.key:
            return ""
        old = f"{self.name}.{{0}} + " if self.adds_up else ""
        change = (f"{{0}} = {old}excluded.{{0}}".format(name) for name in self.columns if name not in self.key)
        return f" ON CONFLICT ({', '.join(self.key)}) DO UPDATE SET {', '.join(change)}"


def _types(row: type) -> dict[str, str]:
    """The column types of a row of the domain: whole numbers and words are all there is."""
    return {name: "bigint" if kind in {int, int | None} else "text" for name, kind in get_type_hints(row).items()}


METER: Final = Written("meter", _types(Meter), ("account_id", "name", "period_start_us"))
HOLD: Final = Written("hold", _types(Hold))
USAGE_RECORD: Final = Written("usage_record", _types(Hold) | _types(Outcome))
ROLLUP_KEY: Final = ("account_id", "mode", "day", "key_id", "endpoint", "model")
ROLLUP_SUMS: Final = (
    "posted", "voided", "expired", "calls", "tokens", "input_tokens", "output_tokens",
    "charge_nanodollars", "cost_nanodollars",
)  # fmt: skip
ROLLUP_DAILY: Final = Written(
    "rollup_daily",
    dict.fromkeys(ROLLUP_KEY, "text") | dict.fromkeys(ROLLUP_SUMS, "bigint"),
    ROLLUP_KEY,
    adds_up=True,
)


USAGE_OUTBOX: Final = Written(
    "usage_outbox",
    {"account_id": "text", "call_id": "text", "customer": "text"}
    | dict.fromkeys(("period_start_us", "admitted_us", "nanodollars"), "bigint"),
)


class Statements(Protocol):
    """What a batch does to the database, in the words of one dialect. All run inside one transaction."""

    def prepare(self, cursor: Cursor) -> None:
        """Once for a connection that is going to run batches; it fails where a part of them could not be written."""
        ...

    def begin(self, cursor: Cursor) -> None: ...
    def hurry(self, cursor: Cursor, seconds: float) -> None:
        """Wait for a locked row for a moment only, in this transaction."""

    def last_owner(self, cursor: Cursor, account_id: str) -> str | None:
        """The transaction that locked the account's row last, whether it has ended or not."""

    def keys(self, cursor: Cursor, digests: Sequence[str], account_ids: Sequence[str]) -> list[Row]:
        """All keys, by digest and account, of the accounts that are named by one of their keys or by their id."""

    def lock(self, cursor: Cursor, digests: Sequence[str], account_ids: Sequence[str]) -> int:
        """Lock every account that the batch touches, in one order, and read the ledger's clock after it."""
        ...

    def callers(self, cursor: Cursor, digests: Sequence[str]) -> list[Row]: ...
    def meters(self, cursor: Cursor, owners: Sequence[tuple[str, str]], end_after_us: int) -> list[Row]:
        """Meters by account and name: however many capped keys an account has, a call reads its own."""
        ...

    def grants(
        self, cursor: Cursor, account_ids: Sequence[str], named: Sequence[tuple[str, str]], now_us: int
    ) -> list[Row]:
        """The credit of accounts that can be used now, and grants by account and id; one may come twice."""
        ...

    def delete_holds(self, cursor: Cursor, pairs: Sequence[tuple[str, str]]) -> set[str]:
        """Delete holds by (account_id, call_id); the call ids of those that were there."""
        ...

    def outcomes(self, cursor: Cursor, pairs: Sequence[tuple[str, str]]) -> list[Row]: ...
    def due(self, cursor: Cursor, now_us: int, without: Sequence[str]) -> list[Row]:
        """Holds whose time to live is over, at most `DUE_MAX` of them, and none of the accounts `without`."""
        ...

    def revision(self, cursor: Cursor) -> str | None: ...
    def insert_holds(self, cursor: Cursor, rows: Sequence[Row]) -> None: ...
    def insert_usage(self, cursor: Cursor, rows: Sequence[Row]) -> None: ...
    def save_meters(self, cursor: Cursor, rows: Sequence[Row]) -> None: ...
    def add_rollups(self, cursor: Cursor, rows: Sequence[Row]) -> None: ...
    def save_grants(self, cursor: Cursor, grants: Sequence[Grant]) -> None: ...
    def insert_usage_outbox(self, cursor: Cursor, rows: Sequence[Row]) -> None: ...
    def earlier(self, cursor: Cursor, account_id: str, once_id: str) -> Earlier | None: ...
    def open_once(self, cursor: Cursor, row: Row) -> None: ...
    def keep_answer(self, cursor: Cursor, row: Row) -> None: ...
    def purge(self, cursor: Cursor, now_us: int) -> bool: ...
    def call(self, cursor: Cursor, account_id: str, mode: str, call_id: str) -> Row | None: ...


class SqliteStatements(SharedStatements):
    """In the process: a statement for each row is a function call, so rows go one by one."""

    def __init__(self) -> None:
        self._holds, self._usage = _sqlite_insert(HOLD), _sqlite_insert(USAGE_RECORD)
        self._meters, self._rollups = _sqlite_insert(METER), _sqlite_insert(ROLLUP_DAILY)
        self._outbox = _sqlite_insert(USAGE_OUTBOX)

    def prepare(self, cursor: Cursor) -> None:
        """SQLite's connections are prepared when they are made."""

    def begin(self, cursor: Cursor) -> None:
        cursor.execute("BEGIN IMMEDIATE")

    def hurry(self, cursor: Cursor, seconds: float) -> None:
        """It has no lock of a row."""

    def last_owner(self, cursor: Cursor, account_id: str) -> str | None:
        """Nobody: it has no lock of a row."""

    def keys(self, cursor: Cursor, digests: Sequence[str], account_ids: Sequence[str]) -> list[Row]:
        either = "account_id = ? OR account_id IN (SELECT account_id FROM api_key WHERE digest = ?)"
        names = [(name, name) for name in (*account_ids, *digests)]
        return _each(cursor, f"SELECT digest, account_id FROM api_key WHERE {either}", names)

    def lock(self, cursor: Cursor, digests: Sequence[str], account_ids: Sequence[str]) -> int:
        del digests, account_ids  # BEGIN IMMEDIATE has locked the whole database
        return clock_us(cursor, is_sqlite=True)

    def callers(self, cursor: Cursor, digests: Sequence[str]) -> list[Row]:
        return _each(cursor, SQLITE_CALLER, zip(digests, strict=True))

    def meters(self, cursor: Cursor, owners: Sequence[tuple[str, str]], end_after_us: int) -> list[Row]:
        found: list[Row] = []
        for account_id, name in owners:
            cursor.execute(SQLITE_METERS, (account_id, name, end_after_us))
            found += cursor.fetchall()
        return found

    def grants(
        self, cursor: Cursor, account_ids: Sequence[str], named: Sequence[tuple[str, str]], now_us: int
    ) -> list[Row]:
        found = _each(cursor, SQLITE_GRANTS, ((account_id, now_us) for account_id in account_ids))
        return found + _each(cursor, SQLITE_GRANT, named)

    def delete_holds(self, cursor: Cursor, pairs: Sequence[tuple[str, str]]) -> set[str]:
        gone: set[str] = set()
        for pair in pairs:
            cursor.execute("DELETE FROM hold WHERE account_id = ? AND call_id = ?", pair)
            if cursor.rowcount:
                gone.add(pair[1])
        return gone

    def outcomes(self, cursor: Cursor, pairs: Sequence[tuple[str, str]]) -> list[Row]:
        return _each(cursor, SQLITE_OUTCOME, pairs)

    def due(self, cursor: Cursor, now_us: int, without: Sequence[str]) -> list[Row]:
        del without  # here no account is locked by itself
        return _each(cursor, f"SELECT {HOLD_COLUMNS} FROM hold WHERE expires_us <= ? LIMIT {DUE_MAX}", [(now_us,)])

    def revision(self, cursor: Cursor) -> str | None:
        return read_revision(cursor, is_sqlite=True)

    def insert_holds(self, cursor: Cursor, rows: Sequence[Row]) -> None:
        cursor.executemany(self._holds, rows)

    def insert_usage(self, cursor: Cursor, rows: Sequence[Row]) -> None:
        cursor.executemany(self._usage, rows)

    def save_meters(self, cursor: Cursor, rows: Sequence[Row]) -> None:
        cursor.executemany(self._meters, rows)

    def add_rollups(self, cursor: Cursor, rows: Sequence[Row]) -> None:
        cursor.executemany(self._rollups, rows)

    def save_grants(self, cursor: Cursor, grants: Sequence[Grant]) -> None:
        cursor.executemany(SQLITE_SAVE_GRANT, [(*grant[3:6], *grant[:2]) for grant in grants])

    def insert_usage_outbox(self, cursor: Cursor, rows: Sequence[Row]) -> None:
        cursor.executemany(self._outbox, rows)


def _each(cursor: Cursor, statement: str, parameters: Iterable[Row]) -> list[Row]:
    found: list[Row] = []
    for row in parameters:
        cursor.execute(statement, row)
        found += cursor.fetchall()
    return found


def _sqlite_insert(table: Written) -> str:
    marks = ", ".join("?" * len(table.columns))
    return f"INSERT INTO {table.name} ({', '.join(table.columns)}) VALUES ({marks}){table.on_conflict}"


class PostgresStatements(SharedStatements):
    """Over the network: a statement is a round trip, so each takes all rows at once, as one array a column."""

    mark = "%s"
    skip_locked = " FOR UPDATE SKIP LOCKED"

    def __init__(self) -> None:
        self._holds, self._usage = _postgres_insert(HOLD), _postgres_insert(USAGE_RECORD)
        self._meters, self._rollups = _postgres_insert(METER), _postgres_insert(ROLLUP_DAILY)
        self._outbox = _postgres_insert(USAGE_OUTBOX)
        self._trial = _postgres_trial()

    def prepare(self, cursor: Any) -> None:  # noqa: ANN401  # the driver's own
        """Have statements prepared, but not behind a pooler, where the next one may meet another connection's.

        PgBouncer and its like tell a process ID of their own making. Prepared, a lone call waits a third less.
        """
        cursor.execute("SELECT pg_backend_pid()")
        if cursor.fetchone()[0] == cursor.connection.info.backend_pid:
            cursor.connection.prepare_threshold = PREPARE_AFTER
        self.begin(cursor)
        cursor.execute(self._trial)
        cursor.execute("COMMIT")

    def begin(self, cursor: Cursor) -> None:
        cursor.execute(POSTGRES_BEGIN_BATCH)
        self.has_accounts = False

    def hurry(self, cursor: Cursor, seconds: float) -> None:
        cursor.execute(f"SET LOCAL lock_timeout = {round(seconds * 1000)}")

    def last_owner(self, cursor: Cursor, account_id: str) -> str | None:
        cursor.execute("SELECT xmax::text FROM account WHERE id = %s", (account_id,))
        row = cursor.fetchone()
        return None if row is None else str(row[0])

    def keys(self, cursor: Cursor, digests: Sequence[str], account_ids: Sequence[str]) -> list[Row]:
        cursor.execute(
            "SELECT digest, account_id FROM api_key WHERE account_id IN"
            " (SELECT account_id FROM api_key WHERE digest = ANY(%s::text[]) UNION SELECT unnest(%s::text[]))",
            (digests, account_ids),
        )
        return list(cursor.fetchall())

    def lock(self, cursor: Cursor, digests: Sequence[str], account_ids: Sequence[str]) -> int:
        # What is read must be read by a later statement than this one: a statement that waits for a lock
        # still sees other tables as they were when it began.
        cursor.execute(
            "SELECT id FROM account WHERE id IN"
            " (SELECT account_id FROM api_key WHERE digest = ANY(%s::text[]) UNION SELECT unnest(%s::text[]))"
            " ORDER BY id FOR NO KEY UPDATE",
            (digests, account_ids),
        )
        self.has_accounts = True
        return clock_us(cursor, is_sqlite=False)

    def callers(self, cursor: Cursor, digests: Sequence[str]) -> list[Row]:
        cursor.execute(
            f"SELECT {CALLER_COLUMNS} FROM api_key k JOIN account a ON a.id = k.account_id AND a.closed_us IS NULL"
            " WHERE k.digest = ANY(%s::text[])",
            (digests,),
        )
        return list(cursor.fetchall())

    def meters(self, cursor: Cursor, owners: Sequence[tuple[str, str]], end_after_us: int) -> list[Row]:
        cursor.execute(
            f"SELECT {METER_COLUMNS} FROM meter JOIN unnest(%s::text[], %s::text[]) AS sought (account_id, name)"
            " USING (account_id, name) WHERE period_end_us > %s",
            (*_arrays(owners), end_after_us),
        )
        return list(cursor.fetchall())

    def grants(
        self, cursor: Cursor, account_ids: Sequence[str], named: Sequence[tuple[str, str]], now_us: int
    ) -> list[Row]:
        cursor.execute(POSTGRES_GRANTS, (account_ids, now_us, *(_arrays(named) or ([], []))))
        return list(cursor.fetchall())

    def delete_holds(self, cursor: Cursor, pairs: Sequence[tuple[str, str]]) -> set[str]:
        cursor.execute(
            "DELETE FROM hold USING unnest(%s::text[], %s::text[]) AS gone (account_id, call_id)"
            " WHERE hold.account_id = gone.account_id AND hold.call_id = gone.call_id RETURNING hold.call_id",
            _arrays(pairs),
        )
        return {row[0] for row in cursor.fetchall()}

    def outcomes(self, cursor: Cursor, pairs: Sequence[tuple[str, str]]) -> list[Row]:
        cursor.execute(
            f"SELECT u.call_id, {OUTCOME_COLUMNS} FROM usage_record u"
            " JOIN unnest(%s::text[], %s::text[]) AS sought (account_id, call_id)"
            " ON u.account_id = sought.account_id AND u.call_id = sought.call_id",
            _arrays(pairs),
        )
        return list(cursor.fetchall())

    def due(self, cursor: Cursor, now_us: int, without: Sequence[str]) -> list[Row]:
        others = "account_id <> ALL(%s::text[])"  # somebody else keeps theirs locked, and they may be many
        due = f"SELECT {HOLD_COLUMNS} FROM hold WHERE expires_us <= %s AND {others} LIMIT {DUE_MAX}"
        return _each(cursor, due, [(now_us, list(without))])

    def revision(self, cursor: Cursor) -> str | None:
        return read_revision(cursor, is_sqlite=False)

    def insert_holds(self, cursor: Cursor, rows: Sequence[Row]) -> None:
        cursor.execute(self._holds, _arrays(rows))

    def insert_usage(self, cursor: Cursor, rows: Sequence[Row]) -> None:
        cursor.execute(self._usage, _arrays(rows))

    def save_meters(self, cursor: Cursor, rows: Sequence[Row]) -> None:
        cursor.execute(self._meters, _arrays(rows))

    def add_rollups(self, cursor: Cursor, rows: Sequence[Row]) -> None:
        cursor.execute(self._rollups, _arrays(rows))

    def save_grants(self, cursor: Cursor, grants: Sequence[Grant]) -> None:
        cursor.execute(POSTGRES_SAVE_GRANTS, _arrays([(*grant[:2], *grant[3:6]) for grant in grants]))

    def insert_usage_outbox(self, cursor: Cursor, rows: Sequence[Row]) -> None:
        cursor.execute(self._outbox, _arrays(rows))


def _postgres_insert(table: Written) -> str:
    arrays = ", ".join(f"%s::{kind}[]" for kind in table.columns.values())
    return f"INSERT INTO {table.name} ({', '.join(table.columns)}) SELECT * FROM unnest({arrays}){table.on_conflict}"


def _postgres_trial() -> str:
    """All that a call may write, of no row: no call may begin where its end could not be written."""
    writes = ["DELETE FROM hold WHERE false", "UPDATE idempotency SET body = NULL WHERE false"]
    writes.append("UPDATE credit_grant SET spent_nanodollars = 0, held_nanodollars = 0 WHERE false")
    for table in (HOLD, METER, USAGE_RECORD, ROLLUP_DAILY, USAGE_OUTBOX):
        columns = ", ".join(table.columns)
        writes.append(
            f"INSERT INTO {table.name} ({columns}) SELECT {columns} FROM {table.name} WHERE false{table.on_conflict}"
        )
    return f"WITH {', '.join(f'w{n} AS ({write})' for n, write in enumerate(writes))} SELECT 1"


def _arrays(rows: Iterable[Sequence[Any]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
