"""What a founder takes out of the database: every call, a page at a time, however many there are."""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Select, Subquery, Table, cast, literal, null, select, tuple_, union_all

from farebox.domain.errors import FounderError
from farebox.domain.ledger import Hold, Outcome, State
from farebox.store.database import Database
from farebox.store.ledger.call_rows import HOLD_SIZE, call_of
from farebox.store.tables import account, hold, usage_record

PAGE_ROWS: Final = 2000


class Used(NamedTuple):
    """A call with the address of its account; one that is still under way has no outcome."""

    email: str
    hold: Hold
    outcome: Outcome | None


def usage(database: Database, email: str | None = None) -> Iterator[Used]:
    """Every call, of every account or of one, in the order of account and call id.

    A page is one short transaction: nothing stays open while the reader is slow, and a call that ends meanwhile is
    seen once, as held or as ended.

    Raises:
        FounderError: there is no such account.
    """
    account_id = None if email is None else _account_id(database, email)
    after = ("", "")
    while True:
        with database.read() as connection:
            page = _page(connection, after, account_id)
        yield from page
        if len(page) < PAGE_ROWS:
            return
        after = page[-1].hold.account_id, page[-1].hold.call_id


def _account_id(database: Database, email: str) -> str:
    with database.read() as connection:
        found = connection.execute(select(account.c.id).where(account.c.email == email.strip().lower())).scalar()
    if found is None:
        raise FounderError(f"There is no account {email!r}; check the address.")
    return str(found)


def _page(connection: Connection, after: tuple[str, str], account_id: str | None) -> list[Used]:
    no_outcome = [cast(null(), c.type).label(c.name) for c in list(usage_record.c)[HOLD_SIZE + 1 :]]
    calls = union_all(
        _next(usage_record, select(*usage_record.c), after, account_id),
        _next(hold, select(*hold.c, literal(State.HELD.value), *no_outcome), after, account_id),
    ).subquery()
    rows = connection.execute(
        select(account.c.email, *calls.c)
        .select_from(calls.outerjoin(account, account.c.id == calls.c.account_id))
        .order_by(calls.c.account_id, calls.c.call_id)
        .limit(PAGE_ROWS)
    )
    return [_used(row) for row in rows]


def _next(table: Table, columns: Select[Any], after: tuple[str, str], account_id: str | None) -> Select[Any]:
    found = columns.where(tuple_(table.c.account_id, table.c.call_id) > after)
    if account_id is not None:
        found = found.where(table.c.account_id == account_id)
    page: Subquery = found.order_by(table.c.account_id, table.c.call_id).limit(PAGE_ROWS).subquery()
    return select(page)


def _used(row: Any) -> Used:  # noqa: ANN401  # a row of the union above
    email, *columns = row
    held, outcome = call_of(columns)
    return Used(email or held.account_id, held, outcome)
