"""Every table. Times are microseconds since the epoch, and money is nanodollars.

`account_id` leads each hot primary key: every write touches one account, so accounts are the shards.

The hot tables' columns are in the order of the rows in `domain.ledger`. In the database, what a later revision added
stands at a table's end: no statement goes by a column's place.
"""

from sqlalchemy import BigInteger, CheckConstraint, Column, Index, LargeBinary, MetaData, Table, Text, text

metadata = MetaData()


def text_column(
    name: str,
    *,
    default: str | None = None,
    nullable: bool = False,
    primary_key: bool = False,
    unique: bool | None = None,
) -> Column[str]:
    in_sql = text(default) if default else None
    return Column(name, Text, nullable=nullable, server_default=in_sql, primary_key=primary_key, unique=unique)


def int_column(
    name: str,
    *,
    default: str | None = None,
    nullable: bool = False,
    primary_key: bool = False,
    unique: bool | None = None,
) -> Column[int]:
    in_sql = text(default) if default else None
    return Column(name, BigInteger, nullable=nullable, server_default=in_sql, primary_key=primary_key, unique=unique)


account = Table(
    "account", metadata,
    text_column("id", primary_key=True),
    text_column("email", unique=True),
    text_column("plan"),
    text_column("state"),
    int_column("anchor_us"),
    int_column("created_us"),
    int_column("spend_cap_nanodollars", nullable=True),
    int_column("closed_us", nullable=True),
    text_column("customer_id", default="''"),  # Stripe's name for the account, or ''
    int_column("is_subscribed", default="0"),
    int_column("has_credit", default="0"),  # whether there is a grant to look for
    int_column("grace_until_us", nullable=True),  # a payment has failed: from then on the free plan is in force
    int_column("trial_end_us", nullable=True),
    CheckConstraint("state IN ('active', 'past_due', 'suspended')", name="account_state"),
    sqlite_with_rowid=False,
)  # fmt: skip

api_key = Table(
    "api_key", metadata,
    text_column("account_id", primary_key=True),
    text_column("id", primary_key=True),
    text_column("digest", unique=True),
    text_column("name"),
    text_column("mode"),
    text_column("prefix"),
    text_column("last4"),
    int_column("created_us"),
    int_column("expires_us", nullable=True),
    int_column("revoked_us", nullable=True),
    text_column("scopes", default="''"),  # the endpoints it may call; '' is all of them
    int_column("cap_calls", nullable=True),
    text_column("cap_id", default="''"),
    CheckConstraint("mode IN ('live', 'test')", name="api_key_mode"),
    CheckConstraint("(cap_calls IS NULL) = (cap_id = '')", name="api_key_cap"),  # a cap is counted somewhere
    sqlite_with_rowid=False,
)  # fmt: skip

meter = Table(
    "meter", metadata,
    text_column("account_id", primary_key=True),
    text_column("name", primary_key=True),
    int_column("period_start_us", primary_key=True),
    int_column("period_end_us"),
    int_column("posted_calls"),
    int_column("held_calls"),
    int_column("posted_tokens"),
    int_column("held_tokens"),
    int_column("posted_nanodollars"),
    int_column("held_nanodollars"),
    int_column("burst_tat_us"),
    # A sum below zero is a fault of ours: better no answer than a wrong one.
    CheckConstraint(
        "posted_calls >= 0 AND held_calls >= 0 AND posted_tokens >= 0 AND held_tokens >= 0"
        " AND posted_nanodollars >= 0 AND held_nanodollars >= 0",
        name="meter_not_negative",
    ),
    sqlite_with_rowid=False,
)  # fmt: skip


def _hold_columns() -> list[Column[str] | Column[int]]:
    return [
        text_column("account_id", primary_key=True),
        text_column("call_id", primary_key=True),
        text_column("key_id"),
        text_column("mode"),
        text_column("plan"),
        text_column("endpoint"),
        text_column("model"),
        int_column("period_start_us"),
        int_column("admitted_us"),
        int_column("expires_us"),
        int_column("held_calls"),
        int_column("held_tokens"),
        int_column("held_nanodollars"),
        int_column("input_tokens_max"),
        int_column("output_tokens_max"),
        int_column("price_input_per_mtok", nullable=True),
        int_column("price_cached_per_mtok", nullable=True),
        int_column("price_output_per_mtok", nullable=True),
        int_column("charge_fixed_nanodollars"),
        int_column("charge_markup_basis_points", nullable=True),
        text_column("cap_id", default="''"),
        int_column("cap_calls", nullable=True),
        text_column("customer", default="''"),
        text_column("credit", default="''"),
        int_column("included_tokens", nullable=True),
        int_column("overage_per_mtok", nullable=True),
        int_column("included_nanodollars", default="0"),
    ]


# No index by expiry: the table holds only the calls under way, and the sweep reads it whole.
hold = Table("hold", metadata, *_hold_columns(), sqlite_with_rowid=False)

usage_record = Table(
    "usage_record", metadata,
    *_hold_columns(),
    text_column("state"),
    int_column("calls"),
    int_column("tokens"),
    int_column("input_tokens"),
    int_column("cached_tokens"),
    int_column("output_tokens"),
    int_column("charge_nanodollars"),
    int_column("cost_nanodollars"),
    text_column("marks"),
    text_column("attempts"),
    text_column("error"),
    int_column("recorded_us"),
    int_column("prepaid_nanodollars", default="0"),
    int_column("invoiced_nanodollars", default="0"),
    text_column("spent_credit", default="''"),
    CheckConstraint("state IN ('posted', 'voided', 'expired')", name="usage_record_state"),
    CheckConstraint(
        "calls BETWEEN 0 AND held_calls AND tokens BETWEEN 0 AND held_tokens"
        " AND charge_nanodollars BETWEEN 0 AND held_nanodollars",
        name="usage_record_within_hold",
    ),
    sqlite_with_rowid=False,
)  # fmt: skip

rollup_daily = Table(
    "rollup_daily", metadata,
    text_column("account_id", primary_key=True),
    text_column("mode", primary_key=True),
    text_column("day", primary_key=True),
    text_column("key_id", primary_key=True),
    text_column("endpoint", primary_key=True),
    text_column("model", primary_key=True),
    int_column("posted"),
    int_column("voided"),
    int_column("expired"),
    int_column("calls"),
    int_column("tokens"),
    int_column("input_tokens"),
    int_column("output_tokens"),
    int_column("charge_nanodollars"),
    int_column("cost_nanodollars"),
    sqlite_with_rowid=False,
)  # fmt: skip

idempotency = Table(
    "idempotency", metadata,
    # An answer kept for its Idempotency-Key. `id` is the key's digest; without a body the call gave no answer to keep.
    text_column("account_id", primary_key=True),
    text_column("id", primary_key=True),
    text_column("fingerprint"),
    text_column("call_id"),
    int_column("is_stream"),
    int_column("expires_us"),
    text_column("content_type"),
    Column("body", LargeBinary),
    sqlite_with_rowid=False,
)  # fmt: skip
Index("idempotency_expires", idempotency.c.expires_us)

note = Table(
    "note", metadata,
    # Facts about the database itself, such as the fingerprint of the secret that its keys were made with.
    text_column("name", primary_key=True),
    text_column("value"),
    sqlite_with_rowid=False,
)  # fmt: skip
