"""What an account has bought, as the database remembers it. Loaded for buying, and for Stripe's events."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, and_, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from farebox.domain.apikey import MODES
from farebox.domain.billing import Invoice, lines_to_json
from farebox.domain.ledger import Meter
from farebox.domain.period import period_at
from farebox.domain.subscribing import Followed, Known, Paying, cut
from farebox.ports.billing import Decide, TopUp
from farebox.ports.calls import AccountRow
from farebox.store.cursor import Cursor
from farebox.store.database import Database
from farebox.store.money.owners import write_to_owners
from farebox.store.tables import account, meter
from farebox.store.tables_money import invoice, subscription, top_up


class StoredBilling:
    """The port `Billing` over one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def now_us(self) -> int:
        with self._database.read() as connection:
            return self._database.now_us(connection)

    def account(self, account_id: str) -> AccountRow | None:
        return self._account(account.c.id == account_id)

    def account_of(self, customer: str) -> AccountRow | None:
        return self._account(account.c.customer_id == customer) if customer else None

    def _account(self, which: Any) -> AccountRow | None:  # noqa: ANN401  # a condition of SQLAlchemy's
        with self._database.read() as connection:
            row = connection.execute(select(account).where(which)).first()
        return AccountRow(*row) if row is not None else None

    def set_customer(self, account_id: str, customer: str, instead_of: str = "") -> str:
        with self._database.write() as connection:
            found = _lock(connection, account_id)
            if found is None or found.customer_id != instead_of:
                return found.customer_id if found is not None else customer
            connection.execute(update(account).where(account.c.id == account_id).values(customer_id=customer))
            return customer

    def subscription(self, account_id: str) -> Known | None:
        with self._database.read() as connection:
            return _subscription(connection, account_id)

    def follow(self, account_id: str, decide: Decide, words: Callable[[Followed], str]) -> Followed | None:
        with self._database.write() as connection:
            before = _lock(connection, account_id)
            if before is None:
                return None
            now_us = self._database.now_us(connection)
            is_subscribed, grace, trial_end = bool(before.is_subscribed), before.grace_until_us, before.trial_end_us
            paying = Paying(before.plan, before.anchor_us, is_subscribed, grace, trial_end)
            known = _subscription(connection, account_id)
            followed = decide(paying, known, now_us)
            if followed is None:
                return None
            row = followed.known._replace(account_id=account_id)._asdict()
            if known is None:
                connection.execute(insert(subscription).values(row))
            else:
                connection.execute(update(subscription).where(subscription.c.account_id == account_id).values(row))
            _pay(connection, account_id, followed, now_us)
            for news in followed.news:
                self._write_to_owners(connection, account_id, f"payment_{news}", words(followed), now_us)
            return followed

    def _write_to_owners(self, connection: Connection, account_id: str, template: str, data: str, now_us: int) -> None:
        def run(cursor: Cursor, statement: str, *values: object) -> None:
            cursor.execute(statement if self._database.is_sqlite else statement.replace("?", "%s"), values)

        # The driver's cursor of this very transaction.
        cursor = connection.connection.cursor()
        try:
            write_to_owners(run, cursor, account_id, template, data, now_us)
        finally:
            cursor.close()

    def want_next(self, known: Known, plan: str) -> None:
        mine = and_(
            subscription.c.account_id == known.account_id, subscription.c.id == known.id,
            subscription.c.plan == known.plan,
        )  # fmt: skip
        with self._database.write() as connection:
            _lock(connection, known.account_id)
            wish = {"next_plan": plan, "next_price_nanodollars": None}  # what Stripe charges is not known yet
            connection.execute(update(subscription).where(mine).values(wish))

    def keep_invoice(self, account_id: str, invoice_: Invoice, fetched_us: int) -> bool:
        row = {
            "account_id": account_id, "id": invoice_.id, "number": invoice_.number, "status": invoice_.status,
            "currency": invoice_.currency, "total_cents": invoice_.total_cents, "paid_cents": invoice_.paid_cents,
            "period_start_us": invoice_.period_start_us, "period_end_us": invoice_.period_end_us,
            "created_us": invoice_.created_us, "lines": lines_to_json(invoice_.lines), "url": invoice_.url,
            "synced_us": fetched_us,
        }  # fmt: skip
        dialect = sqlite if self._database.is_sqlite else postgresql
        statement = dialect.insert(invoice).values(row)
        newer = {name: statement.excluded[name] for name in row if name not in {"account_id", "id"}}
        with self._database.write() as connection:
            _lock(connection, account_id)
            # The stored one was fetched earlier, or by a clock that was ahead then.
            is_newer = or_(invoice.c.synced_us < fetched_us, invoice.c.synced_us > self._database.now_us(connection))
            is_kept = connection.execute(
                statement.on_conflict_do_update(
                    index_elements=["account_id", "id"], set_=newer, where=is_newer
                ).execution_options(preserve_rowcount=True)
            ).rowcount
            _close_usage(connection, account_id, invoice_)
            return is_kept > 0

    def top_up(self, account_id: str) -> TopUp | None:
        with self._database.read() as connection:
            row = connection.execute(select(top_up).where(top_up.c.account_id == account_id)).first()
        return TopUp(*row) if row is not None else None

    def wish_top_up(self, account_id: str, pack: str, below_nanodollars: int) -> None:
        wish = {"pack": pack, "below_nanodollars": below_nanodollars, "failed": ""}
        dialect = sqlite if self._database.is_sqlite else postgresql
        new = dialect.insert(top_up).values(account_id=account_id, attempt="", next_us=None, **wish)
        with self._database.write() as connection:
            _lock(connection, account_id)
            connection.execute(new.on_conflict_do_update(index_elements=["account_id"], set_=wish))


def _lock(connection: Connection, account_id: str) -> AccountRow | None:
    """Lock the account: neither the ledger nor anybody else changes it until the transaction's end."""
    row = connection.execute(select(account).where(account.c.id == account_id).with_for_update()).first()
    return AccountRow(*row) if row is not None else None


def _subscription(connection: Connection, account_id: str) -> Known | None:
    row = connection.execute(select(subscription).where(subscription.c.account_id == account_id)).first()
    return Known(*row) if row is not None else None


def _pay(connection: Connection, account_id: str, followed: Followed, now_us: int) -> None:
    after = followed.paying
    values = {
        "plan": after.plan, "anchor_us": after.anchor_us, "is_subscribed": int(after.is_subscribed),
        "grace_until_us": after.grace_until_us, "trial_end_us": after.trial_end_us,
    }  # fmt: skip
    connection.execute(update(account).where(account.c.id == account_id).values(values))
    if followed.is_new_period:
        _cut(connection, account_id, after.anchor_us, now_us)


def _cut(connection: Connection, account_id: str, anchor_us: int, now_us: int) -> None:
    """End the ledger's period now, and begin the next one, on the account's meters and those of its keys' own caps.

    A meter that ends before the new anchor's period under way begins is left alone. Where there is another one, both
    modes begin now: the first call of a mode without a meter would begin it at the anchor, beside that of the other.
    """
    since_us = period_at(anchor_us, now_us).start_us
    mine = and_(meter.c.account_id == account_id, meter.c.period_end_us > since_us)
    rows = connection.execute(select(meter).where(mine).order_by(meter.c.period_start_us)).all()
    unused = {mode: Meter(account_id, mode, 0, 0) for mode in MODES} if rows else {}
    last = unused | {row.name: Meter(*row) for row in rows}
    for after in (one for each in last.values() for one in cut(each, anchor_us, now_us)):
        this = and_(
            meter.c.account_id == account_id,
            meter.c.name == after.name,
            meter.c.period_start_us == after.period_start_us,
        )
        changed = connection.execute(update(meter).where(this).values(period_end_us=after.period_end_us))
        if not changed.rowcount:
            connection.execute(insert(meter).values(after._asdict()))


def _close_usage(connection: Connection, account_id: str, of: Invoice) -> None:
    """Note until when a closed invoice has usage: older usage that is not on it belongs to the next one."""
    ends = [line.period_end_us for line in of.lines if line.is_usage]
    if of.status == "draft" or not ends or not of.subscription_id:
        return
    mine = and_(
        subscription.c.account_id == account_id,
        subscription.c.id == of.subscription_id,
        subscription.c.invoiced_until_us < max(ends),
    )
    connection.execute(update(subscription).where(mine).values(invoiced_until_us=max(ends)))
