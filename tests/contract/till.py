"""A ledger on a real database, with accounts to call it, and ways to trouble it."""

import asyncio
import secrets
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from typing import Any, Final, NamedTuple

from farebox.account.keys import PLAIN, KeyTerms, NewKey, create_key
from farebox.account.sign_up import sign_up
from farebox.domain.admission import Admitted, Ask
from farebox.domain.ledger import Ending, Hold, Spent
from farebox.domain.plan import Plan
from farebox.domain.prices import Price
from farebox.domain.product import Product
from farebox.ports.calls import Recorded
from farebox.store.accounts import StoredAccounts
from farebox.store.database import Database
from farebox.store.ledger.group_commit import GroupCommitLedger
from farebox.store.ledger.statements import USAGE_RECORD
from tests.services.sums import check_credit, check_sums, connect, connected, held
from tests.services.sums import check_limits as limits_passed

SECRET: Final = b"a secret of the tests, long enough"
PRICE: Final = Price(150_000_000, 75_000_000, 600_000_000)
PRODUCT: Final = Product(
    "Till",
    plans=(
        Plan("open"),
        Plan("fifty", calls=50),
        Plan("tokens", tokens=20_000),
        Plan("credit", credit_usd="0.01", markup=0.2),
        Plan("burst", burst="5/24h"),
        Plan("over", calls=1, overage_usd="0.01"),
        Plan("words", tokens=100, overage_usd_per_1k_tokens="0.1"),
        Plan("money", credit_usd="0.00001", credit_overage=True, markup=0.2),
        Plan("prepaid", calls=1, overage_usd="0.01", prepaid=True),
    ),
)
TTL_US: Final = 180 * 10**6
SPENT: Final = Spent(12, 2, 7, (), '[{"model": "m"}]')
SECONDS_MAX: Final = 30  # no measure: only a test that hangs waits as long


class Stall(NamedTuple):
    """A thread of a ledger, held where a test wants it. `reached` tells that it is there; `go_on` frees it."""

    reached: threading.Event
    go_on: threading.Event


class Till:
    """One database with its accounts, seen from outside of the ledger."""

    def __init__(self, url: str, database: Database) -> None:
        self.url = url
        self.database = database
        self.is_sqlite = database.is_sqlite

    def new_key(self, plan: str = "open", terms: KeyTerms = PLAIN) -> NewKey:
        """A key of a new account."""
        accounts = StoredAccounts(self.database)
        email = f"{secrets.token_hex(8)}@example.com"
        sign_up(accounts, PRODUCT, email, plan)
        return create_key(accounts, SECRET, "till", email, terms)

    @contextmanager
    def connected(self) -> Iterator[Any]:
        with connected(self.url) as connection:
            yield connection

    def query(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Rows of a statement, which has %s for its parameters; none where it is no query."""
        with self.connected() as connection:
            cursor = connection.execute(sql.replace("%s", "?") if self.is_sqlite else sql, parameters)
            return cursor.fetchall() if cursor.description else []

    def row(self, call_id: str) -> tuple[Any, ...] | None:
        """A call's usage record."""
        rows = self.query(f"SELECT {', '.join(USAGE_RECORD.columns)} FROM usage_record WHERE call_id = %s", call_id)
        return rows[0] if rows else None

    def state(self, call_id: str) -> str:
        """What has become of a call: held, posted, voided, expired, or nothing."""
        found = self.query("SELECT state FROM usage_record WHERE call_id = %s", call_id)
        found += self.query("SELECT 'held' FROM hold WHERE call_id = %s", call_id)
        assert len(found) <= 1, found
        return str(found[0][0]) if found else "nothing"

    def ended(self, call_id: str) -> tuple[str, int, int, int]:
        """How a call ended: its state, the calls and nanodollars charged for it, and the tokens that it read."""
        sql = "SELECT state, calls, charge_nanodollars, input_tokens FROM usage_record WHERE call_id = %s"
        [(state, calls, charge, tokens)] = self.query(sql, call_id)
        return state, calls, charge, tokens

    def held(self) -> int:
        with self.connected() as connection:
            return held(connection)

    def findings(self) -> list[str]:
        """What is wrong with the database as it is now: a sum, or a limit that was passed."""
        with self.connected() as connection:
            return check_sums(connection) + check_credit(connection) + limits_passed(connection, PRODUCT.by_name)

    @contextmanager
    def writes_locked(self) -> Iterator[None]:
        """While it is open, every transaction that writes has to wait."""
        with closing(connect(self.url)) as connection:
            connection.execute("BEGIN IMMEDIATE" if self.is_sqlite else "BEGIN")
            if not self.is_sqlite:
                connection.execute("LOCK TABLE account IN EXCLUSIVE MODE")
            yield
            connection.execute("ROLLBACK")


@asynccontextmanager
async def running(database: Database, product: Product = PRODUCT) -> AsyncIterator[GroupCommitLedger]:
    ledger = GroupCommitLedger(database, product.by_name)
    ledger.start()
    try:
        yield ledger
    finally:
        await asyncio.wait_for(ledger.close(), SECONDS_MAX)


def no_inline(ledger: GroupCommitLedger) -> None:
    """Have the ledger's thread decide lone calls as well."""
    if ledger._inline is not None:
        ledger._inline.close()
        ledger._inline = None


def ask(key: NewKey, **more: Any) -> Ask:  # noqa: ANN401  # any field of an Ask
    call_id = f"req_{time.time_ns():016x}{secrets.token_hex(4)}"
    return Ask(call_id, key.row.digest, "/v1/generate", "m", PRICE, 40, 60, TTL_US)._replace(**more)


async def admit(ledger: GroupCommitLedger, key: NewKey, **more: Any) -> Hold:  # noqa: ANN401
    """A call that must pass."""
    decision = await ledger.admit(ask(key, **more))
    assert isinstance(decision, Admitted), decision
    return decision.hold


async def record(
    ledger: GroupCommitLedger, hold: Hold, ending: Ending = "post", spent: Spent = SPENT, seconds_max: float = 10
) -> Recorded:
    return await ledger.record(hold, ending, spent, time.monotonic() + seconds_max)


async def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for something that has to come."""
    for _ in range(SECONDS_MAX * 100):
        if await asyncio.to_thread(condition):
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{what} did not come in {SECONDS_MAX} s")


@contextmanager
def stalled(ledger: GroupCommitLedger, verb: str) -> Iterator[Stall]:
    """Hold the ledger's thread the next time it comes to a verb of its statements; nothing is done past it."""
    stall = Stall(threading.Event(), threading.Event())
    statements = ledger._statements
    real: Callable[..., object] = getattr(statements, verb)

    def wait(*arguments: object) -> object:
        stall.reached.set()
        assert stall.go_on.wait(SECONDS_MAX)
        return real(*arguments)

    setattr(statements, verb, wait)
    inline, ledger._inline = ledger._inline, None
    try:
        yield stall
    finally:
        ledger._inline = inline
        stall.go_on.set()
        setattr(statements, verb, real)


class Faults:
    """Counts what the ledger asks of its driver, and makes the chosen ones fail.

    Args:
        kind: the error; `None` fails nothing and only counts.
        first: the operation that fails, counted from one.
        times: how many fail from there on.
        done_first: whether the database has done it all the same, as when its answer is lost.
    """

    def __init__(
        self, kind: Callable[[], Exception] | None = None, first: int = 1, times: int = 1, *, done_first: bool = False
    ) -> None:
        self._kind = kind
        self._failing = range(first, first + times)
        self._done_first = done_first
        self.count = 0

    def run(self, operation: Callable[[], Any], *, connects: bool = False) -> Any:  # noqa: ANN401  # the driver's answer
        self.count += 1
        if self._kind is None or self.count not in self._failing:
            return operation()
        if self._done_first and not connects:
            operation()
        raise self._kind()


class FaultyDatabase(Database):
    """A database whose driver fails as it is told."""

    faults = Faults()

    def connect(self, **how: float) -> Any:  # noqa: ANN401  # as the real one
        return _FaultyConnection(
            self.faults.run(lambda: super(FaultyDatabase, self).connect(**how), connects=True), self
        )


class _FaultyConnection:
    def __init__(self, real: Any, database: FaultyDatabase) -> None:  # noqa: ANN401
        self._real = real
        self._database = database

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._real, name)

    def cursor(self) -> "_FaultyCursor":
        return _FaultyCursor(self._real.cursor(), self._database)

    def commit(self) -> None:
        self._database.faults.run(self._real.commit)


class _FaultyCursor:
    def __init__(self, real: Any, database: FaultyDatabase) -> None:  # noqa: ANN401
        self._real = real
        self._database = database

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._real, name)

    def execute(self, statement: Any, parameters: Any = (), /) -> Any:  # noqa: ANN401
        return self._database.faults.run(lambda: self._real.execute(statement, parameters))

    def executescript(self, script: str, /) -> Any:  # noqa: ANN401
        return self._database.faults.run(lambda: self._real.executescript(script))

    def executemany(self, statement: Any, rows: Any, /) -> Any:  # noqa: ANN401
        return self._database.faults.run(lambda: self._real.executemany(statement, rows))
