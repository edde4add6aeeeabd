"""Rows that have had their time are deleted a few at a time: on SQLite every call waits for whoever writes."""

from typing import Final, NamedTuple

from farebox.store.own_connection import OwnConnection

ROWS_MAX: Final = 250
"""How many rows one portion has: deleting them takes 10 or 30 ms, and calls wait no longer than that."""


class Forgotten(NamedTuple):
    """The rows of a table that are deleted so long after a time that each of them has, and that has an index."""

    table: str
    key: str
    time: str
    kept_us: int
    only: str = ""
    """Which rows, where it is not all of them."""


def forget_some(own: OwnConnection, *those: Forgotten) -> bool:
    """Delete the rows of the first table that has a whole portion, and of those before it; whether there may be more.

    Each portion is a transaction of its own, and a turn of its own among those who write.
    """
    with own.cursor() as cursor:
        now_us = own.now_us(cursor)
        return any(own.write(cursor, _portion(own, each), now_us - each.kept_us) == ROWS_MAX for each in those)


def _portion(own: OwnConnection, each: Forgotten) -> str:
    # What another process is deleting, or changing, is not waited for.
    old = f"{each.time} <= ?{each.only} ORDER BY {each.time} LIMIT {ROWS_MAX}{own.skip_locked}"
    return f"DELETE FROM {each.table} WHERE ({each.key}) IN (SELECT {each.key} FROM {each.table} WHERE {old})"  # noqa: S608  # our own names
