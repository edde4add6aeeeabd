"""An account with a subscription, and with invoices whose calls are the ones it has."""

from typing import Final

from sqlalchemy import Connection, text

from farebox.domain.billing import InvoiceLine, lines_to_json
from farebox.domain.period import DAY_US
from farebox.store.tables import usage_record
from tests.services.many_calls import Customer

STATES: Final = ("paid", "paid", "open", "void", "uncollectible")
BASE_CENTS: Final = 2_900


def add_invoices(connection: Connection, customer: Customer, now_us: int, *, off_by: int = 0) -> list[str]:
    """Put all charges of the last 30 days onto an invoice, and a few invoices before it; their ids, the oldest first.

    Args:
        connection: of a transaction that writes.
        customer: whose calls they are.
        now_us: when the period ends.
        off_by: by how much the last invoice's line is not what its calls come to.
    """
    mine = {"account": customer.account.id, "customer": f"cus_{customer.account.id}", "start": now_us - 30 * DAY_US}

    def run(sql: str, **more: object) -> int:
        done = connection.execute(text(sql), {**mine, **more})
        return int(done.scalar() or 0) if done.returns_rows else 0

    run("UPDATE account SET customer_id = :customer, is_subscribed = 1, anchor_us = :start WHERE id = :account")
    run(
        "INSERT INTO subscription (account_id, id, status, plan, next_plan, period_start_us, period_end_us,"
        " trial_end_us, ends_at_period_end, invoiced_until_us, synced_us, told)"
        " VALUES (:account, 'sub_' || :account, 'active', 'pro', '', :now, :end, NULL, 0, :now, :now, '')",
        now=now_us, end=now_us + 30 * DAY_US,
    )  # fmt: skip
    names = [column.name for column in usage_record.c]
    others = {
        "call_id": "substr(call_id, 1, 16) || 'eeee' || substr(call_id, 21)", "customer": ":customer",
        "invoiced_nanodollars": "charge_nanodollars",
    }  # fmt: skip
    # A record is never changed: these are calls beside those that there are.
    run(
        f"INSERT INTO usage_record ({', '.join(names)}) SELECT {', '.join(others.get(name, name) for name in names)}"
        " FROM usage_record WHERE account_id = :account AND mode = 'live' AND admitted_us >= :start"
    )
    run(
        "INSERT INTO usage_outbox"
        " (account_id, call_id, customer, period_start_us, admitted_us, nanodollars, event_id)"
        " SELECT account_id, call_id, customer, period_start_us, admitted_us, invoiced_nanodollars,"
        " 'usage_' || :account"
        " FROM usage_record WHERE account_id = :account AND invoiced_nanodollars > 0"
    )
    used = run("SELECT CAST(sum(nanodollars) AS bigint) FROM usage_outbox WHERE account_id = :account")
    run(
        "INSERT INTO usage_event (id, account_id, customer, period_start_us, nanodollars, calls, timestamp_us, state,"
        " first_sent_us, sent_us, tries, next_us, failed)"
        " SELECT 'usage_' || :account, :account, :customer, :start, sum(nanodollars), count(*), max(admitted_us),"
        " 'sent', max(admitted_us), max(admitted_us), 1, NULL, '' FROM usage_outbox WHERE account_id = :account"
    )
    for number, status in enumerate(STATES):
        _add(connection, customer, number, status, now_us - (len(STATES) - number) * 30 * DAY_US, 0)
    _add(connection, customer, len(STATES), "paid", now_us, used + off_by)
    return [f"in_{number}_{customer.account.id}" for number in range(len(STATES) + 1)]


def _add(connection: Connection, customer: Customer, number: int, status: str, end_us: int, used: int) -> None:
    period = (end_us - 30 * DAY_US, end_us)
    lines = [InvoiceLine("1 × Pro (at $29.00 / month)", 1, BASE_CENTS, end_us, end_us + 30 * DAY_US, is_usage=False)]  # noqa: RUF001  # as Stripe writes it
    if used:
        lines.append(InvoiceLine("Usage", used, (used + 5_000_000) // 10_000_000, *period, is_usage=True))
    total = sum(line.amount_cents for line in lines)
    row = {
        "account_id": customer.account.id, "id": f"in_{number}_{customer.account.id}", "number": f"ABCD-{number:04}",
        "status": status, "currency": "usd", "total_cents": total, "paid_cents": total if status == "paid" else 0,
        "period_start_us": period[0], "period_end_us": end_us, "created_us": end_us, "lines": lines_to_json(lines),
        "url": "https://invoice.stripe.com/i/acct_1/test", "synced_us": end_us,
    }  # fmt: skip
    names = ", ".join(row)
    connection.execute(text(f"INSERT INTO invoice ({names}) VALUES ({', '.join(f':{name}' for name in row)})"), row)
