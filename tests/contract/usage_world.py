"""Calls that have to reach an invoice, and a meter that counts as Stripe's does; time is moved by moving the past."""

import secrets
from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import text

from farebox.account.check_usage import UsageCheck
from farebox.account.report_usage import UsageReport
from farebox.domain.period import DAY_US, MICROSECONDS
from farebox.domain.report import HOUR_US, MINUTE_US
from farebox.ports.money import PaymentsUnavailable, UsageEvent
from farebox.store.database import Database
from farebox.store.money.usage_checks import StoredUsageChecks
from farebox.store.money.usage_outbox import StoredUsageOutbox

CENT: Final = 10_000_000
EVENT_TIMES: Final = ("timestamp_us", "first_sent_us", "sent_us", "next_us")


class Meter:
    """What counts at Stripe: an identifier once in a day. `faults` come first, before or after the counting."""

    def __init__(self) -> None:
        self.counted: list[tuple[str, str, int, int]] = []
        """Identifier, customer, timestamp, amount."""
        self.known: set[str] = set()
        """The identifiers of the last day."""
        self.sent: list[UsageEvent] = []
        self.before: list[Exception] = []
        self.after: list[Exception] = []

    def send_usage(self, event: UsageEvent) -> None:
        self.sent.append(event)
        if self.before:
            raise self.before.pop(0)
        if event.id not in self.known:
            self.known.add(event.id)
            self.counted.append((event.id, event.customer, event.timestamp_us, event.nanodollars))
        if self.after:
            raise self.after.pop(0)

    def usage_sum(self, customer: str, start_us: int, end_us: int) -> int:
        assert start_us % MINUTE_US == end_us % MINUTE_US == 0
        return sum(each[3] for each in self.counted if each[1] == customer and start_us <= each[2] < end_us)

    def total(self, customer: str) -> int:
        return sum(each[3] for each in self.counted if each[1] == customer)


class UsageWorld:
    """Accounts with a subscription and calls, and the sender of one process."""

    def __init__(self, database: Database, customers: Mapping[str, str] | None = None) -> None:
        self.database = database
        self.customers = customers or {}
        """Stripe's names for accounts, where they are others than ours."""
        self.meter = Meter()
        self.outbox = StoredUsageOutbox(database)
        self.checks = StoredUsageChecks(database)
        self._open: list[StoredUsageOutbox | StoredUsageChecks] = [self.outbox, self.checks]
        self.check = UsageCheck(self.checks, lambda: self.meter)
        self.report = UsageReport(self.outbox, self.check, lambda: self.meter)
        with database.read() as connection:
            self.now_us = database.now_us(connection) // MICROSECONDS * MICROSECONDS

    def another(self) -> UsageReport:
        """The sender of another process."""
        outbox, checks = StoredUsageOutbox(self.database), StoredUsageChecks(self.database)
        self._open += [outbox, checks]
        return UsageReport(outbox, UsageCheck(checks, lambda: self.meter), lambda: self.meter)

    def subscribe(self, name: str, *, start_us: int, end_us: int, invoiced_until_us: int = 0) -> None:
        self.rows(
            "INSERT INTO account (id, email, plan, state, anchor_us, created_us, customer_id)"
            " VALUES (:id, :id, 'pro', 'active', 0, 0, :customer)",
            id=name, customer=self.customers.get(name, f"cus_{name}"),
        )  # fmt: skip
        self.rows(
            "INSERT INTO subscription VALUES"
            " (:id, :sub, 'active', 'pro', '', :start, :end, NULL, 0, :until, 0, '', NULL, NULL, NULL)",
            id=name, sub=f"sub_{name}", start=start_us, end=end_us, until=invoiced_until_us,
        )  # fmt: skip

    def renew(self, name: str, *, invoiced: bool = True) -> None:
        """The period ends now."""
        self.rows(
            "UPDATE subscription SET period_start_us = period_end_us, period_end_us = period_end_us + :month,"
            " invoiced_until_us = CASE WHEN :invoiced = 1 THEN period_end_us ELSE invoiced_until_us END"
            " WHERE account_id = :id",
            id=name, month=30 * DAY_US, invoiced=int(invoiced),
        )  # fmt: skip

    def call(self, name: str, *amounts: int, at_us: int | None = None, period_us: int | None = None) -> None:
        """Calls that come to so much each."""
        at_us = self.now_us - HOUR_US if at_us is None else at_us
        period_us = self.now_us - 10 * DAY_US if period_us is None else period_us
        for number, amount in enumerate(amounts):
            self.rows(
                "INSERT INTO usage_outbox VALUES (:account, :call, :customer, :period, :at, :amount, NULL)",
                account=name, call=f"req_{secrets.token_hex(16)}", customer=self.customers.get(name, f"cus_{name}"),
                period=period_us, at=at_us + number, amount=amount,
            )  # fmt: skip

    def pass_time(self, us: int) -> None:
        """Let time go by, for us: everything happened so much earlier."""
        for name in EVENT_TIMES:
            self.rows(f"UPDATE usage_event SET {name} = {name} - :us", us=us)
        for name in ("admitted_us", "period_start_us"):
            self.rows(f"UPDATE usage_outbox SET {name} = {name} - :us", us=us)
        self.rows("UPDATE usage_event SET period_start_us = period_start_us - :us", us=us)
        for name in ("period_start_us", "period_end_us", "invoiced_until_us"):
            self.rows(f"UPDATE subscription SET {name} = {name} - :us", us=us)
        self.rows("UPDATE note SET value = '0' WHERE name = 'usage_check_next_us'")
        self.meter.counted = [(i, c, at_us - us, amount) for i, c, at_us, amount in self.meter.counted]
        if us >= DAY_US:
            self.meter.known.clear()

    def grow_old(self, us: int) -> None:
        """Let time go by for what is in doubt alone, as Stripe's own time is moved by itself."""
        self.rows("UPDATE usage_event SET next_us = next_us - :us, first_sent_us = first_sent_us - :us", us=us)
        self.rows("UPDATE usage_event SET sent_us = sent_us - :us", us=us)

    def due_again(self) -> None:
        """A lease, or a wait, is over."""
        self.rows("UPDATE usage_event SET next_us = 1 WHERE state = 'waiting'")

    def states(self) -> dict[str, int]:
        return dict(self.rows("SELECT state, count(*) FROM usage_event GROUP BY state"))

    def ledger(self, name: str) -> int:
        [(total,)] = self.rows("SELECT sum(nanodollars) FROM usage_outbox WHERE account_id = :id", id=name)
        return int(total or 0)

    def rows(self, sql: str, **values: Any) -> list[Any]:  # noqa: ANN401  # any parameter
        with self.database.write() as connection:
            done = connection.execute(text(sql), values)
            return [tuple(row) for row in done] if done.returns_rows else []

    def close(self) -> None:
        for one in self._open:
            one.close()


def lost_answer() -> PaymentsUnavailable:
    return PaymentsUnavailable("Stripe: the connection was lost")


def lose(world: UsageWorld, *, counted: bool) -> None:
    """An event that is held, as nobody knows what became of it."""
    (world.meter.after if counted else world.meter.before).append(lost_answer())
    assert world.report.send_all() == 0
