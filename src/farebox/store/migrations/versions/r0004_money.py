"""The money: who pays for a call, credit grants, subscriptions, invoices, webhooks, and what is reported to Stripe."""

from typing import Final

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TABLES: Final = (
    """
CREATE TABLE credit_grant (
    account_id TEXT NOT NULL,
    id TEXT NOT NULL,
    source TEXT NOT NULL UNIQUE,
    pack TEXT NOT NULL,
    amount_nanodollars BIGINT NOT NULL,
    spent_nanodollars BIGINT NOT NULL,
    held_nanodollars BIGINT NOT NULL,
    taken_back_nanodollars BIGINT NOT NULL,
    due_back_nanodollars BIGINT NOT NULL,
    expires_us BIGINT NOT NULL,
    created_us BIGINT NOT NULL,
    PRIMARY KEY (account_id, id),
    CONSTRAINT credit_grant_not_negative CHECK (
        amount_nanodollars > 0 AND spent_nanodollars >= 0 AND held_nanodollars >= 0 AND taken_back_nanodollars >= 0
        AND spent_nanodollars + held_nanodollars + taken_back_nanodollars <= amount_nanodollars
        AND due_back_nanodollars BETWEEN taken_back_nanodollars AND amount_nanodollars
    )
)""",
    """
CREATE TABLE subscription (
    account_id TEXT NOT NULL PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    status TEXT NOT NULL,
    plan TEXT NOT NULL,
    next_plan TEXT NOT NULL,
    period_start_us BIGINT NOT NULL,
    period_end_us BIGINT NOT NULL,
    trial_end_us BIGINT,
    ends_at_period_end BIGINT NOT NULL,
    invoiced_until_us BIGINT NOT NULL,
    synced_us BIGINT NOT NULL,
    told TEXT NOT NULL
)""",
    """
CREATE TABLE top_up (
    account_id TEXT NOT NULL PRIMARY KEY,
    pack TEXT NOT NULL,
    below_nanodollars BIGINT NOT NULL,
    attempt TEXT NOT NULL,
    failed TEXT NOT NULL,
    next_us BIGINT
)""",
    """
CREATE TABLE invoice (
    account_id TEXT NOT NULL,
    id TEXT NOT NULL,
    number TEXT NOT NULL,
    status TEXT NOT NULL,
    currency TEXT NOT NULL,
    total_cents BIGINT NOT NULL,
    paid_cents BIGINT NOT NULL,
    period_start_us BIGINT NOT NULL,
    period_end_us BIGINT NOT NULL,
    created_us BIGINT NOT NULL,
    lines TEXT NOT NULL,
    url TEXT NOT NULL,
    synced_us BIGINT NOT NULL,
    PRIMARY KEY (account_id, id)
)""",
    """
CREATE TABLE webhook_event (
    id TEXT NOT NULL PRIMARY KEY,
    type TEXT NOT NULL,
    object_id TEXT NOT NULL,
    created_us BIGINT NOT NULL,
    received_us BIGINT NOT NULL,
    applied_us BIGINT,
    tries BIGINT NOT NULL,
    next_us BIGINT,
    failed TEXT NOT NULL
)""",
    """
CREATE TABLE usage_outbox (
    account_id TEXT NOT NULL,
    call_id TEXT NOT NULL,
    customer TEXT NOT NULL,
    period_start_us BIGINT NOT NULL,
    admitted_us BIGINT NOT NULL,
    nanodollars BIGINT NOT NULL,
    event_id TEXT,
    PRIMARY KEY (account_id, call_id)
)""",
    """
CREATE TABLE usage_event (
    id TEXT NOT NULL PRIMARY KEY,
    account_id TEXT NOT NULL,
    customer TEXT NOT NULL,
    period_start_us BIGINT NOT NULL,
    nanodollars BIGINT NOT NULL,
    calls BIGINT NOT NULL,
    timestamp_us BIGINT NOT NULL,
    state TEXT NOT NULL,
    first_sent_us BIGINT,
    sent_us BIGINT,
    tries BIGINT NOT NULL,
    next_us BIGINT,
    failed TEXT NOT NULL,
    CONSTRAINT usage_event_state CHECK (state IN ('waiting', 'sent', 'held', 'dropped'))
)""",
    """
CREATE TABLE usage_check (
    account_id TEXT NOT NULL,
    start_us BIGINT NOT NULL,
    end_us BIGINT NOT NULL,
    counted_nanodollars BIGINT NOT NULL,
    reported_nanodollars BIGINT NOT NULL,
    checked_us BIGINT NOT NULL,
    PRIMARY KEY (account_id, start_us)
)""",
)

INDEXES: Final = (
    "CREATE INDEX subscription_failed ON subscription (account_id) WHERE told = 'failed'",
    "CREATE INDEX webhook_event_due ON webhook_event (next_us) WHERE next_us IS NOT NULL",
    "CREATE INDEX usage_outbox_waiting ON usage_outbox (customer, period_start_us) WHERE event_id IS NULL",
    "CREATE INDEX usage_outbox_event ON usage_outbox (event_id) WHERE event_id IS NOT NULL",
    "CREATE INDEX usage_event_due ON usage_event (next_us) WHERE next_us IS NOT NULL",
    "CREATE INDEX usage_event_of_account ON usage_event (account_id, timestamp_us)",
    "CREATE UNIQUE INDEX usage_event_in_hand ON usage_event (customer) WHERE state = 'waiting'",
    "CREATE UNIQUE INDEX account_customer ON account (customer_id) WHERE customer_id <> ''",
)

HELD: Final = (
    "customer TEXT NOT NULL DEFAULT ''",
    "credit TEXT NOT NULL DEFAULT ''",
    "included_tokens BIGINT",
    "overage_per_mtok BIGINT",
    "included_nanodollars BIGINT NOT NULL DEFAULT 0",
)
COLUMNS: Final = (
    *(f"ALTER TABLE {table} ADD COLUMN {column}" for table in ("hold", "usage_record") for column in HELD),
    "ALTER TABLE usage_record ADD COLUMN prepaid_nanodollars BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE usage_record ADD COLUMN invoiced_nanodollars BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE usage_record ADD COLUMN spent_credit TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE account ADD COLUMN customer_id TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE account ADD COLUMN is_subscribed BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE account ADD COLUMN has_credit BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE account ADD COLUMN grace_until_us BIGINT",
    "ALTER TABLE account ADD COLUMN trial_end_us BIGINT",
)


def upgrade() -> None:
    sqlite = op.get_bind().dialect.name == "sqlite"
    for statement in TABLES:
        op.execute(statement.replace("BIGINT", "INTEGER") + " STRICT, WITHOUT ROWID" if sqlite else statement)
    for statement in (*COLUMNS, *INDEXES):
        op.execute(statement.replace("BIGINT", "INTEGER") if sqlite else statement)
