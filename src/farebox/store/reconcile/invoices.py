"""Whether what was reported to Stripe is on its invoices: events against the lines of the invoices that are kept.

A part of `reconcile`, in the same state of the database. What is off is told in notes: the invoices are Stripe's.
"""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from sqlalchemy import Connection, func, select

from farebox.domain.billing import LIVE, InvoiceLine, lines_from_json
from farebox.domain.money import format_usd
from farebox.domain.period import Period, iso
from farebox.domain.report import HOUR_US, OLDEST_US
from farebox.store.tables import account
from farebox.store.tables_money import invoice, subscription, usage_event

HEARD_US: Final = 3 * HOUR_US
"""By then Stripe's event about an invoice has come."""
NOT_FINAL: Final = frozenset({"draft", "void"})


class Stray(NamedTuple):
    """Calls that Stripe has counted for a time that no invoice covers."""

    email: str
    nanodollars: int
    calls: int
    first_us: int


class Misled(NamedTuple):
    """A line of an invoice that is not the sum of what was reported for its time."""

    email: str
    invoice_id: str
    quantity: int
    nanodollars: int


def notes(connection: Connection, now_us: int) -> Iterator[str]:
    """Use that is on no invoice, and invoices with another sum than was reported."""
    for one in strays(connection, now_us):
        yield (
            f"{one.email}: {one.calls:,} calls of {format_usd(one.nanodollars)}, the first of "
            f"{iso(one.first_us)[:16]}Z, are on no invoice, as their subscription had ended without one. You may bill "
            "them by hand."
        )
    for wrong in misled(connection, now_us):
        yield (
            f"{wrong.email}: invoice {wrong.invoice_id} says {format_usd(wrong.quantity)} of use, and "
            f"{format_usd(wrong.nanodollars)} was reported for its time. Look at it at Stripe."
        )


def strays(connection: Connection, now_us: int) -> Iterator[Stray]:
    """Use that was reported and comes onto no invoice: as a rule of a subscription that was ended at once."""
    for account_id, email, live_us in _subscribed(connection):
        spans = [_span(line) for _, _, lines in _invoices(connection, account_id) for line in lines]
        # Stripe's latest events, about an end or an invoice, may not have come yet.
        heard_us = now_us - HEARD_US
        spans.append(Period(heard_us if live_us is None else min(live_us, heard_us), now_us))
        sums = [_reported(connection, account_id, gap) for gap in _gaps(spans)]
        calls = sum(one[1] for one in sums)
        if calls:
            yield Stray(email, sum(one[0] for one in sums), calls, min(one[2] for one in sums if one[1]))


def misled(connection: Connection, now_us: int) -> Iterator[Misled]:
    """The lines of the last weeks' final invoices whose quantity differs from what was reported."""
    for account_id, email, _ in _subscribed(connection):
        for invoice_id, status, lines in _invoices(connection, account_id):
            for line in lines:
                if status not in NOT_FINAL and now_us - OLDEST_US < line.period_end_us < now_us - HEARD_US:
                    nanodollars = _reported(connection, account_id, _span(line))[0]
                    if nanodollars != line.quantity:
                        yield Misled(email, invoice_id, line.quantity, nanodollars)


def _subscribed(connection: Connection) -> Sequence[tuple[str, str, int | None]]:
    """The accounts that have or had a subscription, and the start of its current period, if it is live."""
    s = subscription.c
    found = select(s.account_id, account.c.email, s.period_start_us, s.status, account.c.closed_us)
    rows = connection.execute(found.outerjoin(account, account.c.id == s.account_id).order_by(s.account_id)).all()
    # The subscription of a deleted account was ended with it, though its row stays as it was.
    return [(row[0], row[1] or row[0], row[2] if row[3] in LIVE and row[4] is None else None) for row in rows]


def _invoices(connection: Connection, account_id: str) -> Iterator[tuple[str, str, list[InvoiceLine]]]:
    kept = select(invoice.c.id, invoice.c.status, invoice.c.lines).where(invoice.c.account_id == account_id)
    for invoice_id, status, lines in connection.execute(kept.order_by(invoice.c.id)).all():
        yield invoice_id, status, [line for line in lines_from_json(lines) if line.is_usage]


def _span(line: InvoiceLine) -> Period:
    return Period(line.period_start_us, line.period_end_us)


def _gaps(spans: list[Period]) -> Iterator[Period]:
    """The times before the last span's end that are in none of them."""
    until_us = 0
    for span in sorted(spans):
        if span.start_us > until_us:
            yield Period(until_us, span.start_us)
        until_us = max(until_us, span.end_us)


def _reported(connection: Connection, account_id: str, span: Period) -> tuple[int, int, int]:
    """What Stripe has taken with a time in this span: the sum, the number of calls, and the first such time."""
    e = usage_event.c
    sums = func.coalesce(func.sum(e.nanodollars), 0), func.coalesce(func.sum(e.calls), 0), func.min(e.timestamp_us)
    mine = e.account_id == account_id, e.state == "sent", e.timestamp_us >= span.start_us, e.timestamp_us < span.end_us
    nanodollars, calls, first_us = connection.execute(select(*sums).where(*mine)).one()
    return int(nanodollars), int(calls), int(first_us or 0)
