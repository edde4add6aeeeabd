"""Whether what was reported to Stripe is what calls put onto invoices: events against the rows of the outbox.

A part of `reconcile`, in the same state of the database. `money` compares those rows with the calls.
"""

from collections.abc import Iterator
from typing import Final

from sqlalchemy import Connection, exists, func, select

from farebox.domain.money import format_usd
from farebox.domain.period import iso
from farebox.domain.report import HOUR_US
from farebox.store.database import Database
from farebox.store.reconcile.findings import Finding, period_name
from farebox.store.tables import account
from farebox.store.tables_money import usage_check, usage_event, usage_outbox

LATE_US: Final = HOUR_US
"""What waits for longer is worth a look: a process reports every few seconds."""
TOLD_MAX: Final = 20


def events(connection: Connection) -> Iterator[Finding]:
    """Check that each event is the sum of its rows, and that no row is part of a missing or dropped event."""
    e, o = usage_event.c, usage_outbox.c
    sums = (
        select(o.event_id, func.sum(o.nanodollars).label("nanodollars"), func.count().label("calls"))
        .where(o.event_id.is_not(None))
        .group_by(o.event_id)
        .subquery()
    )
    found = select(
        e.id, e.account_id, e.period_start_us, e.state, e.nanodollars, e.calls,
        func.coalesce(sums.c.nanodollars, 0), func.coalesce(sums.c.calls, 0),
    ).outerjoin(sums, sums.c.event_id == e.id)  # fmt: skip
    for event_id, owner, start_us, state, *figures in connection.execute(found):
        nanodollars, calls, rows_nanodollars, rows = map(int, figures)
        period = period_name(start_us, "live")
        if state == "dropped":
            if rows:
                yield Finding(owner, period, f"usage event {event_id}: rows, as it is dropped", 0, rows)
            continue
        for name, right, wrong in (("calls", rows, calls), ("nanodollars", rows_nanodollars, nanodollars)):
            if right != wrong:
                yield Finding(owner, period, f"usage event {event_id}: {name}", right, wrong)
    is_lost = o.event_id.is_not(None), ~exists().where(e.id == o.event_id)
    for owner, start_us, call_id, event_id in connection.execute(
        select(o.account_id, o.period_start_us, o.call_id, o.event_id).where(*is_lost)
    ):
        yield Finding(owner, period_name(start_us, "live"), f"call {call_id}: usage event", event_id, "none")


def notes(connection: Connection, now_us: int) -> Iterator[str]:
    """What waits to be reported, what is in doubt, and where Stripe has counted another sum."""
    yield from _waiting(connection, now_us)
    yield from _held(connection)
    yield from _differences(connection)


def notes_of(database: Database) -> list[str]:
    """The notes alone, for `farebox doctor`.

    Raises:
        LedgerUnavailable: the database cannot be asked.
    """
    with database.read() as connection:
        return list(notes(connection, database.now_us(connection)))


def _waiting(connection: Connection, now_us: int) -> Iterator[str]:
    e, o = usage_event.c, usage_outbox.c
    loose = connection.execute(
        select(func.count(), func.coalesce(func.sum(o.nanodollars), 0), func.min(o.admitted_us)).where(
            o.event_id.is_(None)
        )
    ).one()
    made = connection.execute(
        select(func.coalesce(func.sum(e.calls), 0), func.coalesce(func.sum(e.nanodollars), 0), func.max(e.failed))
        .where(e.state == "waiting")
    ).one()  # fmt: skip
    calls, nanodollars = int(loose[0]) + int(made[0]), int(loose[1]) + int(made[1])
    if calls:
        since = f", the oldest since {iso(loose[2])[:16]}Z" if loose[2] and loose[2] < now_us - LATE_US else ""
        reason = f" ({made[2]})" if made[2] else ""
        yield f"{calls:,} calls of {format_usd(nanodollars)} wait to be reported to Stripe{since}{reason}."


def _held(connection: Connection) -> Iterator[str]:
    e = usage_event.c
    found = (
        select(account.c.email, e.id, e.calls, e.nanodollars, e.failed)
        .outerjoin(account, account.c.id == e.account_id)
        .where(e.state == "held")
        .order_by(e.id)
    )
    for email, event_id, calls, nanodollars, failed in connection.execute(found.limit(TOLD_MAX)):
        yield (
            f"{email}: {event_id}, {calls:,} calls of {format_usd(nanodollars)}, is held: {failed}. A serving process "
            "looks at Stripe's sums within some hours, and settles it by them."
        )


def _differences(connection: Connection) -> Iterator[str]:
    c = usage_check.c
    found = (
        select(account.c.email, c.start_us, c.end_us, c.counted_nanodollars, c.reported_nanodollars, c.checked_us)
        .outerjoin(account, account.c.id == c.account_id)
        .where(c.counted_nanodollars != c.reported_nanodollars)
        .order_by(c.account_id, c.start_us)
    )
    for email, start_us, end_us, counted, reported, checked_us in connection.execute(found.limit(TOLD_MAX)):
        yield (
            f"{email}: Stripe has counted {format_usd(counted)} from {iso(start_us)[:16]}Z to {iso(end_us)[:16]}Z, and "
            f"{format_usd(reported)} was reported (looked at {iso(checked_us)[:16]}Z). Nothing was changed: see "
            "docs/money.md."
        )
