"""An account's invoices, and the calls behind them: those reported to Stripe with a time in a line's period."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import Column, ColumnElement, Connection, Select, and_, exists, false, func, or_, select, tuple_

from farebox.domain.billing import lines_from_json
from farebox.domain.period import DAY_US, Period
from farebox.domain.reading import ABOVE_ALL, place_of
from farebox.domain.report import OLDEST_US, InvoiceTimes, closed_until_us
from farebox.domain.upcoming import Subscribed
from farebox.ports.calls import CallRow, KeyRow
from farebox.ports.money import Ahead, Behind, KeptInvoice
from farebox.store.database import Database
from farebox.store.ledger.call_rows import call_of
from farebox.store.readings import BY_INDEX
from farebox.store.search import whole
from farebox.store.tables import account, api_key, usage_record
from farebox.store.tables_money import invoice, subscription, usage_event, usage_outbox

PAGE_INVOICES: Final = 24
PAGE_CALLS: Final = 50
EXPORT_CALLS: Final = 2_000
OLDER_US: Final = OLDEST_US + 31 * DAY_US
"""How much older than its period a call on an invoice can be."""
COLUMNS: Final = tuple(invoice.c[name] for name in KeptInvoice._fields)
CALL: Final = and_(
    usage_record.c.account_id == usage_outbox.c.account_id, usage_record.c.call_id == usage_outbox.c.call_id
)


class StoredInvoices:
    """The port `Invoices` over one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        with self._database.read() as connection:
            if not self._database.is_sqlite:
                connection.exec_driver_sql(BY_INDEX)
            yield connection

    def some(self, account_id: str, before: str) -> tuple[Sequence[KeptInvoice], str]:
        place = invoice.c.created_us, invoice.c.id
        found = select(*COLUMNS).where(invoice.c.account_id == account_id)
        if before:
            last = select(*place).where(invoice.c.account_id == account_id, invoice.c.id == before).subquery()
            found = found.where(tuple_(*place) < select(last).scalar_subquery())
        newest = found.order_by(*(column.desc() for column in place)).limit(PAGE_INVOICES + 1)
        with self._read() as connection:
            rows = [_kept(row) for row in connection.execute(newest)]
        return rows[:PAGE_INVOICES], rows[PAGE_INVOICES - 1].id if len(rows) > PAGE_INVOICES else ""

    def one(self, account_id: str, invoice_id: str) -> KeptInvoice | None:
        wanted = select(*COLUMNS).where(invoice.c.account_id == account_id, invoice.c.id == invoice_id)
        with self._read() as connection:
            row = connection.execute(wanted).first()
        return None if row is None else _kept(row)

    def ahead(self, account_id: str) -> Ahead | None:
        with self._read() as connection:
            now_us = self._database.now_us(connection)
            anchor = select(account.c.anchor_us).where(account.c.id == account_id).scalar_subquery()
            row = connection.execute(
                select(subscription, anchor).where(subscription.c.account_id == account_id)
            ).first()
            if row is None:
                return None
            period = Period(row.period_start_us, row.period_end_us)
            closed_us = closed_until_us(InvoiceTimes(row[-1], *period, row.invoiced_until_us), now_us)
            used, calls, held = _not_invoiced(connection, account_id, period, closed_us, now_us)
            ends, price = bool(row.ends_at_period_end), row.next_price_nanodollars
            subscribed = Subscribed(row.id, row.status, row[-1], period, ends, price, row.has_usage_line)
            return Ahead(now_us, subscribed, row.plan, row.next_plan or row.plan, used, calls, held)

    def behind(self, account_id: str, span: Period, before: str) -> Behind:
        e = usage_event.c
        sums = select(whole(func.coalesce(func.sum(e.nanodollars), 0)), whole(func.coalesce(func.sum(e.calls), 0)))
        counted = sums.where(e.account_id == account_id, e.state == "sent", _within(span))
        low, high = _ids(span)
        newest = _reported(account_id, span, low, min(before or ABOVE_ALL, high))
        with self._read() as connection:
            nanodollars, count = connection.execute(counted).one()
            rows = connection.execute(newest.order_by(usage_outbox.c.call_id.desc()).limit(PAGE_CALLS + 1)).all()
            calls = [call_of(row) for row in rows[:PAGE_CALLS]]
            keys = _keys(connection, account_id, calls)
        older = calls[-1].hold.call_id if len(rows) > PAGE_CALLS else ""
        return Behind(calls, older, keys, nanodollars, count)

    def all_behind(self, account_id: str, span: Period) -> Iterator[Sequence[CallRow]]:
        after, high = _ids(span)
        while True:
            page = _reported(account_id, span, after, high).where(usage_outbox.c.call_id > after)
            with self._read() as connection:
                rows = connection.execute(page.order_by(usage_outbox.c.call_id).limit(EXPORT_CALLS)).all()
            calls = [call_of(row) for row in rows]
            yield calls
            if len(calls) < EXPORT_CALLS:
                return
            after = calls[-1].hold.call_id


def _kept(row: Any) -> KeptInvoice:  # noqa: ANN401  # a row of the columns above
    found = KeptInvoice(*row)
    return found._replace(lines=lines_from_json(row.lines))


def _within(span: Period) -> Any:  # noqa: ANN401  # a condition
    return and_(usage_event.c.timestamp_us >= span.start_us, usage_event.c.timestamp_us < span.end_us)


def _ids(span: Period) -> tuple[str, str]:
    """The bounds of the ids of a span's calls, and of those that came too late for the span before."""
    return place_of(span.start_us - OLDER_US), place_of(span.end_us + DAY_US)


def _reported(account_id: str, span: Period, low: str, high: str) -> Select[Any]:
    o = usage_outbox.c
    is_in_span = exists().where(usage_event.c.id == o.event_id, usage_event.c.state == "sent", _within(span))
    mine = o.account_id == account_id, o.call_id >= low, o.call_id < high, is_in_span
    return select(usage_record).join(usage_outbox, CALL).where(*mine)


def _not_invoiced(
    connection: Connection, account_id: str, period: Period, closed_us: int, now_us: int
) -> tuple[int, int, int]:
    """What comes onto the invoice of this period: its amount, its calls, and the part of it that is in doubt.

    Use of the period before, whose invoice is still a draft, comes onto that invoice instead.
    """
    o, e = usage_outbox.c, usage_event.c

    def comes(at_us: Column[int], is_sent: ColumnElement[bool]) -> ColumnElement[bool]:
        if now_us < period.end_us:
            return or_(at_us >= period.start_us, and_(~is_sent, at_us < closed_us))
        # It is over, and Stripe's word about the next one has not come: what is told from now on is for that one.
        return and_(at_us >= period.start_us, at_us < period.end_us, or_(is_sent, at_us >= closed_us))

    mine = o.account_id == account_id, o.event_id.is_(None), comes(o.admitted_us, false())
    # Waiting rows are found by the customer's id: they are few, however many rows there are in all.
    customer = select(account.c.customer_id).where(account.c.id == account_id).scalar_subquery()
    waiting = select(func.coalesce(func.sum(o.nanodollars), 0), func.count()).where(o.customer == customer, *mine)
    lately = e.timestamp_us >= period.start_us - OLDER_US
    reported = (
        select(e.state, func.sum(e.nanodollars), func.sum(e.calls))
        .where(e.account_id == account_id, e.state != "dropped", lately, comes(e.timestamp_us, e.state == "sent"))
        .group_by(e.state)
    )
    used, calls = map(int, connection.execute(waiting).one())
    held = 0
    for state, nanodollars, count in connection.execute(reported):
        used, calls = used + int(nanodollars), calls + int(count)
        held += int(nanodollars) if state == "held" else 0
    return used, calls, held


def _keys(connection: Connection, account_id: str, calls: Sequence[CallRow]) -> Mapping[str, KeyRow]:
    ids = sorted({call.hold.key_id for call in calls})
    found = select(api_key).where(api_key.c.account_id == account_id, api_key.c.id.in_(ids))
    return {row.id: KeyRow(*row) for row in connection.execute(found)} if ids else {}
