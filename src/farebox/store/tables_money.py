"""Every table of the money: credit grants, subscriptions, invoices, webhooks, and what is reported to Stripe."""

from typing import Any

from sqlalchemy import CheckConstraint, ColumnElement, Index, Table

from farebox.store.tables import account, int_column, metadata, text_column


def _only(which: ColumnElement[bool]) -> dict[str, Any]:
    """The arguments of an index that has only these rows."""
    return {"sqlite_where": which, "postgresql_where": which}


credit_grant = Table(
    "credit_grant", metadata,
    # Prepaid credit, with the sums of what calls spend and hold of it, kept beside their rows as a meter is.
    text_column("account_id", primary_key=True),
    text_column("id", primary_key=True),
    text_column("source", unique=True),  # the payment it was bought with: credit is granted once for each
    text_column("pack"),
    int_column("amount_nanodollars"),
    int_column("spent_nanodollars"),
    int_column("held_nanodollars"),
    int_column("taken_back_nanodollars"),
    int_column("due_back_nanodollars"),  # refunded or disputed, though it may be spent or held
    int_column("expires_us"),
    int_column("created_us"),
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
    text_column("account_id", primary_key=True),
    text_column("id", unique=True),
    text_column("status"),
    text_column("plan"),
    text_column("next_plan"),  # the one that a downgrade leads to at the period's end, or ''
    int_column("period_start_us"),
    int_column("period_end_us"),
    int_column("trial_end_us", nullable=True),
    int_column("ends_at_period_end"),
    int_column("invoiced_until_us"),  # usage before this belongs to an invoice that is closed
    int_column("synced_us"),
    text_column("told"),  # what its owners were last told: '', 'failed' or 'lapsed'
    int_column("price_nanodollars", nullable=True),  # what `plan` costs each period
    int_column("next_price_nanodollars", nullable=True),  # what the next period costs, as Stripe has it
    int_column("has_usage_line", nullable=True),  # whether use comes onto its invoices
    sqlite_with_rowid=False,
)  # fmt: skip

FAILED = subscription.c.told == "failed"
Index("subscription_failed", subscription.c.account_id, sqlite_where=FAILED, postgresql_where=FAILED)

top_up = Table(
    "top_up", metadata,
    # A wish that a pack is bought automatically when credit runs low; `attempt` is the payment under way, or ''.
    text_column("account_id", primary_key=True),
    text_column("pack"),
    int_column("below_nanodollars"),
    text_column("attempt"),
    text_column("failed"),
    int_column("next_us", nullable=True),
    sqlite_with_rowid=False,
)  # fmt: skip

invoice = Table(
    "invoice", metadata,
    # What Stripe said last. `lines` is JSON.
    text_column("account_id", primary_key=True),
    text_column("id", primary_key=True),
    text_column("number"),
    text_column("status"),
    text_column("currency"),
    int_column("total_cents"),
    int_column("paid_cents"),
    int_column("period_start_us"),
    int_column("period_end_us"),
    int_column("created_us"),
    text_column("lines"),
    text_column("url"),
    int_column("synced_us"),
    sqlite_with_rowid=False,
)  # fmt: skip

webhook_event = Table(
    "webhook_event", metadata,
    # Stripe's events, once by their id: that something happened to an object. What happened is fetched anew.
    text_column("id", primary_key=True),
    text_column("type"),
    text_column("object_id"),
    int_column("created_us"),
    int_column("received_us"),
    int_column("applied_us", nullable=True),
    int_column("tries"),
    int_column("next_us", nullable=True),
    text_column("failed"),
    sqlite_with_rowid=False,
)  # fmt: skip
Index("webhook_event_due", webhook_event.c.next_us, **_only(webhook_event.c.next_us.is_not(None)))
Index("webhook_event_received", webhook_event.c.received_us)

usage_outbox = Table(
    "usage_outbox", metadata,
    # What a call adds to an invoice, written with its usage record, until it is part of an event for Stripe.
    text_column("account_id", primary_key=True),
    text_column("call_id", primary_key=True),
    text_column("customer"),
    int_column("period_start_us"),
    int_column("admitted_us"),
    int_column("nanodollars"),
    text_column("event_id", nullable=True),
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
    text_column("id", primary_key=True),
    text_column("account_id"),
    text_column("customer"),
    int_column("period_start_us"),
    int_column("nanodollars"),
    int_column("calls"),
    int_column("timestamp_us"),
    text_column("state"),
    int_column("first_sent_us", nullable=True),
    int_column("sent_us", nullable=True),  # when it was taken, or held
    int_column("tries"),
    int_column("next_us", nullable=True),
    text_column("failed"),
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
    text_column("account_id", primary_key=True),
    int_column("start_us", primary_key=True),
    int_column("end_us"),
    int_column("counted_nanodollars"),
    int_column("reported_nanodollars"),
    int_column("checked_us"),
    sqlite_with_rowid=False,
)  # fmt: skip

Index("account_customer", account.c.customer_id, unique=True, **_only(account.c.customer_id != ""))
