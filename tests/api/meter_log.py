"""Every state that a meter was committed in, written down by the database itself."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.api.shop import Shop

COLUMNS = (
    "account_id", "posted_calls", "held_calls", "posted_tokens", "held_tokens", "posted_nanodollars",
    "held_nanodollars",
)  # fmt: skip
NAMES = ", ".join(COLUMNS)
NEW = ", ".join(f"NEW.{name}" for name in COLUMNS)
WRITE_DOWN = f"INSERT INTO test_meter_log ({NAMES}) VALUES ({NEW});"
# The meter's row is locked from its writing to the commit, so the numbers are in the order of the commits.
NUMBERED = "ALTER TABLE test_meter_log ADD COLUMN rowid bigserial"  # as SQLite has it by itself
TABLE = f"CREATE TABLE test_meter_log AS SELECT {NAMES} FROM meter WHERE 1 = 0"
ON_SQLITE = [
    f"CREATE TRIGGER test_meter_log_{event} AFTER {event} ON meter BEGIN {WRITE_DOWN} END"
    for event in ("INSERT", "UPDATE")
]
ON_POSTGRES = [
    NUMBERED,
    f"CREATE FUNCTION test_meter_log() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {WRITE_DOWN} RETURN NULL; END $$",
    "CREATE TRIGGER test_meter_log AFTER INSERT OR UPDATE ON meter FOR EACH ROW EXECUTE FUNCTION test_meter_log()",
]


@contextmanager
def meter_log(shop: Shop) -> Iterator[None]:
    """While it is open, each write of a meter is kept. A batch writes a meter once, just before its commit."""
    for statement in [TABLE, *(ON_SQLITE if shop.is_sqlite else ON_POSTGRES)]:
        shop.query(statement)
    yield
    shop.query("DROP TABLE test_meter_log")
    for event in ("INSERT", "UPDATE") if shop.is_sqlite else ():
        shop.query(f"DROP TRIGGER test_meter_log_{event}")
    if not shop.is_sqlite:
        shop.query("DROP TRIGGER test_meter_log ON meter")
        shop.query("DROP FUNCTION test_meter_log")


def logged(shop: Shop, key: str) -> list[dict[str, Any]]:
    statement = f"SELECT {NAMES} FROM test_meter_log WHERE account_id = %s ORDER BY rowid"
    rows = shop.query(statement, shop.account_of(key))
    return [dict(zip(COLUMNS, row, strict=True)) for row in rows]
