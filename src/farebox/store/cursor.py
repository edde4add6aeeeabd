"""The part of a DB-API cursor that the store uses, and the ledger's clock read on one."""

import time
from typing import Any, Final, Protocol

NOW: Final = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"

Row = tuple[Any, ...]


class Cursor(Protocol):
    """The part of a DB-API cursor that the store uses."""

    @property
    def rowcount(self) -> int: ...
    def execute(self, statement: Any, parameters: Any = (), /) -> Any: ...  # noqa: ANN401  # as the drivers have it
    def executemany(self, statement: Any, rows: Any, /) -> Any: ...  # noqa: ANN401
    def fetchone(self) -> Any: ...  # noqa: ANN401
    def fetchall(self) -> Any: ...  # noqa: ANN401


def clock_us(cursor: Cursor, *, is_sqlite: bool) -> int:
    """The ledger's clock, read on a driver's cursor."""
    if is_sqlite:
        return time.time_ns() // 1000
    cursor.execute(NOW)
    return int(cursor.fetchone()[0])
