"""Whether credit and what goes onto invoices are what the calls say: grants and outbox against the rows.

A part of `reconcile`, in the same state of the database.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import Connection, Table, and_, exists, select

from farebox.domain.wallet import Grant, parts_of
from farebox.store.reconcile.findings import Finding, period_name
from farebox.store.tables import account, hold, usage_record
from farebox.store.tables_money import credit_grant, usage_outbox

ROWS_AT_ONCE: Final = 5000
CREDIT: Final = "credit"
GRANT_FIGURES: Final = ("spent_nanodollars", "held_nanodollars")
OUTBOX_FIGURES: Final = ("customer", "period_start_us", "admitted_us", "nanodollars")

Sums = Counter[tuple[str, str]]
"""By account and grant."""


def grants(connection: Connection) -> Iterator[Finding]:
    """Grants whose amount is not what is spent, held, taken back and left of it; and grants that only rows name."""
    spent, held = (_named(connection, table, column) for table, column in _CREDIT_OF.items())
    known: set[tuple[str, str]] = set()
    columns = [credit_grant.c[name] for name in Grant._fields]
    for row in connection.execute(select(*columns).order_by(*columns[:2])):
        grant = Grant(*row)
        known.add((grant.account_id, grant.id))
        yield from _of_grant(grant, spent[grant.account_id, grant.id], held[grant.account_id, grant.id])
    for account_id, grant_id in sorted((spent.keys() | held.keys()) - known):
        yield Finding(account_id, CREDIT, f"grant {grant_id}", "one, as calls take of it", "none")


_CREDIT_OF: Final[dict[Table, str]] = {usage_record: "spent_credit", hold: "credit"}


def _named(connection: Connection, table: Table, column: str) -> Sums:
    """What the rows of a table take of each grant; a row that cannot be read is a finding of its own."""
    sums: Sums = Counter()
    text = table.c[column]
    rows = select(table.c.account_id, text).where(text != "")
    for account_id, credit in connection.execute(rows, execution_options={"yield_per": ROWS_AT_ONCE}):
        try:
            for grant_id, nanodollars in parts_of(credit):
                sums[account_id, grant_id] += nanodollars
        except ValueError:
            continue
    return sums


def _of_grant(grant: Grant, spent: int, held: int) -> Iterator[Finding]:
    what = f"grant {grant.id}"
    for name, right in zip(GRANT_FIGURES, (spent, held), strict=True):
        if getattr(grant, name) != right:
            yield Finding(grant.account_id, CREDIT, f"{what}: {name}", right, getattr(grant, name))
    left = grant.amount_nanodollars - spent - held - grant.taken_back_nanodollars
    if left < 0:
        yield Finding(grant.account_id, CREDIT, f"{what}: left", "0 or more", left)
    elif left and grant.due_back_nanodollars > grant.taken_back_nanodollars:
        due = grant.due_back_nanodollars
        yield Finding(grant.account_id, CREDIT, f"{what}: taken_back_nanodollars", due, grant.taken_back_nanodollars)


def unread(connection: Connection) -> Iterator[Finding]:
    """Accounts whose calls are decided without a look at their credit."""
    has_any = exists().where(credit_grant.c.account_id == account.c.id)
    for (account_id,) in connection.execute(select(account.c.id).where(has_any, account.c.has_credit == 0)):
        yield Finding(account_id, CREDIT, "account: has_credit", 1, 0)


def outbox(connection: Connection) -> Iterator[Finding]:
    """Calls with an invoiced part must have one row for the invoice, of the same figures; others must have none."""
    used, waiting = usage_record.c, usage_outbox.c
    same = and_(used.account_id == waiting.account_id, used.call_id == waiting.call_id)
    figures = (used.customer, used.period_start_us, used.admitted_us, used.invoiced_nanodollars)
    kept = tuple(waiting[name] for name in OUTBOX_FIGURES)
    key = (used.account_id, used.call_id, used.period_start_us)
    invoiced = used.invoiced_nanodollars != 0
    lost = select(*key, used.invoiced_nanodollars).where(invoiced, ~exists().where(same))
    for account_id, call_id, start_us, nanodollars in connection.execute(lost):
        yield _of_call(account_id, start_us, call_id, "row for the invoice", f"one of {nanodollars}", "none")
    others = (waiting.account_id, waiting.call_id, waiting.period_start_us, waiting.nanodollars)
    strange = select(*others).where(~exists().where(same, invoiced))
    for account_id, call_id, start_us, nanodollars in connection.execute(strange):
        yield _of_call(account_id, start_us, call_id, "row for the invoice", "none", f"one of {nanodollars}")
    for name, right, wrong in zip(OUTBOX_FIGURES, figures, kept, strict=True):
        altered = select(*key, right, wrong).join(usage_outbox, same).where(invoiced, right.is_distinct_from(wrong))
        for account_id, call_id, start_us, expected, found in connection.execute(altered):
            yield _of_call(account_id, start_us, call_id, f"row for the invoice, {name}", expected, found)


def _of_call(account_id: str, start_us: int, call_id: str, what: str, expected: Any, found: Any) -> Finding:  # noqa: ANN401
    return Finding(account_id, period_name(start_us, "live"), f"call {call_id}: {what}", expected, found)
