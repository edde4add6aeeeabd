"""Every table of the money: credit grants, subscriptions, invoices, webhooks, and what is reported to Stripe."""

from typing import Any

from sqlalchemy import CheckConstraint, ColumnElement, Index, Table

from farebox.store.tables import _int, _text, account, metadata


def _only(which: ColumnElement[bool]) -> dict[str, Any]:
    """The rows that an index has."""
    return {"sqlite_where": which, "postgresql_where": which}


credit_grant = Table(
    "credit_grant", metadata,
    # Money that was paid beforehand. The sum of its rows' spending, kept beside them as a meter is.
    _text("account_id", primary_key=True),
    _text("id", primary_key=True),
    _text("source", unique=True),  # the payment it was bought with: credit is granted once for each
    _text("pack"),
    _int("amount_nanodollars"),
    _int("spent_nanodollars"),
    _int("held_nanodollars"),
    _int("taken_back_nanodollars"),
    _int("due_back_nanodollars"),  # refunded or disputed, though it may be spent or held
    _int("expires_us"),
    _int("created_us"),
    CheckConstraint(
        "amount_nanodollars > 0 AND spent_nanodollars >= 0 AND held_nanodollars >= 0 AND taken_back_nanodollars >= 0"
        " AND spent_nanodollars + held_nanodollars + taken_back_nanodollars <= amount_nanodollars"
        " AND due_back_nanodollars BETWEEN taken_back_nanodollars AND amount_nanodollars",
        name="credit_grant_not_negative",
    ),
    sqlite_with_rowid=False,
)  # fmt: skip

subscription = Table(
    "subscription", metadata,
    # What Stripe said last, as it was fetched at `synced_us`.
    _text("account_id", primary_key=True),
    _text("id", unique=True),
    _text("status"),
    _text("plan"),
    _text("next_plan"),  # the one that a downgrade leads to at the period's end, or ''
    _int("period_start_us"),
    _int("period_end_us"),
    _int("trial_end_us", nullable=True),
    _int("ends_at_period_end"),
    _int("invoiced_until_us"),  # usage before this belongs to an invoice that is closed
    _int("synced_us"),
    _text("told"),  # what its owners were written to last: '', 'failed' or 'lapsed'
    sqlite_with_rowid=False,
)  # fmt: skip

FAILED = subscription.c.told == "failed"
Index("subscription_failed", subscription.c.account_id, sqlite_where=FAILED, postgresql_where=FAILED)

top_up = Table(
    "top_up", metadata,
    # A customer's wish to buy a pack by itself when credit runs low; `attempt` is the payment under way, or ''.
    _text("account_id", primary_key=True),
    _text("pack"),
    _int("below_nanodollars"),
    _text("attempt"),
    _text("failed"),
    _int("next_us", nullable=True),
    sqlite_with_rowid=False,
)  # fmt: skip

invoice = Table(
    "invoice", metadata,
    # What Stripe said last. `lines` is JSON.
    _text("account_id", primary_key=True),
    _text("id", primary_key=True),
    _text("number"),
    _text("status"),
    _text("currency"),
    _int("total_cents"),
    _int("paid_cents"),
    _int("period_start_us"),
    _int("period_end_us"),
    _int("created_us"),
    _text("lines"),
    _text("url"),
    _int("synced_us"),
    sqlite_with_rowid=False,
)  # fmt: skip

webhook_event = Table(
    "webhook_event", metadata,
    # That something happened to an object at Stripe, once by the event's id. What happened is fetched anew.
    _text("id", primary_key=True),
    _text("type"),
    _text("object_id"),
    _int("created_us"),
    _int("received_us"),
    _int("applied_us", nullable=True),
    _int("tries"),
    _int("next_us", nullable=True),
    _text("failed"),
    sqlite_with_rowid=False,
)  # fmt: skip
Index("webhook_event_due", webhook_event.c.next_us, **_only(webhook_event.c.next_us.is_not(None)))

usage_outbox = Table(
    "usage_outbox", metadata,
    # What a call adds to an invoice, written with its usage record, until it is part of an event for Stripe.
    _text("account_id", primary_key=True),
    _text("call_id", primary_key=True),
    _text("customer"),
    _int("period_start_us"),
    _int("admitted_us"),
    _int("nanodollars"),
    _text("event_id", nullable=True),
    sqlite_with_rowid=False,
)  # fmt: skip
Index(
    "usage_outbox_waiting", usage_outbox.c.customer, usage_outbox.c.period_start_us,
    **_only(usage_outbox.c.event_id.is_(None)),
)  # fmt: skip
Index("usage_outbox_event", usage_outbox.c.event_id, **_only(usage_outbox.c.event_id.is_not(None)))

usage_event = Table(
    "usage_event", metadata,
    # A meter event for Stripe; its id is the identifier that Stripe counts once. One that is dropped was never counted,
    # and what it reported is part of another one.
    _text("id", primary_key=True),
    _text("account_id"),
    _text("customer"),
    _int("period_start_us"),
    _int("nanodollars"),
    _int("calls"),
    _int("timestamp_us"),
    _text("state"),
    _int("first_sent_us", nullable=True),
    _int("sent_us", nullable=True),  # when it was taken, or held
    _int("tries"),
    _int("next_us", nullable=True),
    _text("failed"),
    CheckConstraint("state IN ('waiting', 'sent', 'held', 'dropped')", name="usage_event_state"),
    sqlite_with_rowid=False,
)  # fmt: skip
Index("usage_event_due", usage_event.c.next_us, **_only(usage_event.c.next_us.is_not(None)))
Index("usage_event_of_account", usage_event.c.account_id, usage_event.c.timestamp_us)
# Stripe takes one event of a customer at a time.
Index("usage_event_in_hand", usage_event.c.customer, unique=True, **_only(usage_event.c.state == "waiting"))

usage_check = Table(
    "usage_check", metadata,
    # What Stripe's meter had counted of a span of time when it was looked at last, beside what we had reported.
    _text("account_id", primary_key=True),
    _int("start_us", primary_key=True),
    _int("end_us"),
    _int("counted_nanodollars"),
    _int("reported_nanodollars"),
    _int("checked_us"),
    sqlite_with_rowid=False,
)  # fmt: skip

Index("account_customer", account.c.customer_id, unique=True, **_only(account.c.customer_id != ""))
