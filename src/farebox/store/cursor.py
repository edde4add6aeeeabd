"""As much of a DB-API cursor as a batch uses."""

from typing import Any, Protocol

Row = tuple[Any, ...]


class Cursor(Protocol):
    """As much of a DB-API cursor as a batch uses."""

    @property
    def rowcount(self) -> int: ...
    def execute(self, statement: Any, parameters: Any = (), /) -> Any: ...  # noqa: ANN401  # as the drivers have it
    def executemany(self, statement: Any, rows: Any, /) -> Any: ...  # noqa: ANN401
    def fetchone(self) -> Any: ...  # noqa: ANN401
    def fetchall(self) -> Any: ...  # noqa: ANN401
