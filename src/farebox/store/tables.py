"""Every table. Times are microseconds since the epoch, and money is nanodollars.

`account_id` leads each hot primary key: every write touches one account, so accounts are the shards.

The hot tables' columns are in the order of the rows in `domain.ledger`. In the database, what a later revision added
stands at a table's end: no statement goes by a column's place.
"""

from sqlalchemy import BigInteger, CheckConstraint, Column, Index, LargeBinary, MetaData, Table, Text, text

metadata = MetaData()


def _text(name: str, *, default: str | None = None, **more: bool) -> Column[str]:
    nullable, in_sql = more.pop("nullable", False), text(default) if default else None
    return Column(name, Text, nullable=nullable, server_default=in_sql, **more)  # type: ignore[arg-type]  # bools only


def _int(name: str, *, default: str | None = None, **more: bool) -> Column[int]:
    nullable, in_sql = more.pop("nullable", False), text(default) if default else None
    return Column(name, BigInteger, nullable=nullable, server_default=in_sql, **more)  # type: ignore[arg-type]


account = Table(
    "account", metadata,
    _text("id", primary_key=True),
    _text("email", unique=True),
    _text("plan"),
    _text("state"),
    _int("anchor_us"),
    _int("created_us"),
    _int("spend_cap_nanodollars", nullable=True),
    _int("closed_us", nullable=True),
    _text("customer_id", default="''"),  # Stripe's name for the account, or ''
    _int("is_subscribed", default="0"),
    _int("has_credit", default="0"),  # whether there is a grant to look for
    _int("grace_until_us", nullable=True),  # a payment has failed: from then on the free plan is in force
    _int("trial_end_us", nullable=True),
    CheckConstraint("state IN ('active', 'past_due', 'suspended')", name="account_state"),
    sqlite_with_rowid=False,
)  # fmt: skip

api_key = Table(
    "api_key", metadata,
    _text("account_id", primary_key=True),
    _text("id", primary_key=True),
    _text("digest", unique=True),
    _text("name"),
    _text("mode"),
    _text("prefix"),
    _text("last4"),
    _int("created_us"),
    _int("expires_us", nullable=True),
    _int("revoked_us", nullable=True),
    _text("scopes", default="''"),  # the endpoints it may call; '' is all of them
    _int("cap_calls", nullable=True),
    _text("cap_id", default="''"),
    CheckConstraint("mode IN ('live', 'test')", name="api_key_mode"),
    CheckConstraint("(cap_calls IS NULL) = (cap_id = '')", name="api_key_cap"),  # a cap is counted somewhere
    sqlite_with_rowid=False,
)  # fmt: skip

meter = Table(
    "meter", metadata,
    _text("account_id", primary_key=True),
    _text("name", primary_key=True),
    _int("period_start_us", primary_key=True),
    _int("period_end_us"),
    _int("posted_calls"),
    _int("held_calls"),
    _int("posted_tokens"),
    _int("held_tokens"),
    _int("posted_nanodollars"),
    _int("held_nanodollars"),
    _int("burst_tat_us"),
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
        _text("account_id", primary_key=True),
        _text("call_id", primary_key=True),
        _text("key_id"),
        _text("mode"),
        _text("plan"),
        _text("endpoint"),
        _text("model"),
        _int("period_start_us"),
        _int("admitted_us"),
        _int("expires_us"),
        _int("held_calls"),
        _int("held_tokens"),
        _int("held_nanodollars"),
        _int("input_tokens_max"),
        _int("output_tokens_max"),
        _int("price_input_per_mtok", nullable=True),
        _int("price_cached_per_mtok", nullable=True),
        _int("price_output_per_mtok", nullable=True),
        _int("charge_fixed_nanodollars"),
        _int("charge_markup_basis_points", nullable=True),
        _text("cap_id", default="''"),
        _int("cap_calls", nullable=True),
        _text("customer", default="''"),
        _text("credit", default="''"),
        _int("included_tokens", nullable=True),
        _int("overage_per_mtok", nullable=True),
        _int("included_nanodollars", default="0"),
    ]


# No index by expiry: the table holds only the calls under way, and the sweep reads it whole.
hold = Table("hold", metadata, *_hold_columns(), sqlite_with_rowid=False)

usage_record = Table(
    "usage_record", metadata,
    *_hold_columns(),
    _text("state"),
    _int("calls"),
    _int("tokens"),
    _int("input_tokens"),
    _int("cached_tokens"),
    _int("output_tokens"),
    _int("charge_nanodollars"),
    _int("cost_nanodollars"),
    _text("marks"),
    _text("attempts"),
    _text("error"),
    _int("recorded_us"),
    _int("prepaid_nanodollars", default="0"),
    _int("invoiced_nanodollars", default="0"),
    _text("spent_credit", default="''"),
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
    _text("account_id", primary_key=True),
    _text("mode", primary_key=True),
    _text("day", primary_key=True),
    _text("key_id", primary_key=True),
    _text("endpoint", primary_key=True),
    _text("model", primary_key=True),
    _int("posted"),
    _int("voided"),
    _int("expired"),
    _int("calls"),
    _int("tokens"),
    _int("input_tokens"),
    _int("output_tokens"),
    _int("charge_nanodollars"),
    _int("cost_nanodollars"),
    sqlite_with_rowid=False,
)  # fmt: skip

idempotency = Table(
    "idempotency", metadata,
    # An answer kept for its Idempotency-Key. `id` is the key's digest; without a body the call gave no answer to keep.
    _text("account_id", primary_key=True),
    _text("id", primary_key=True),
    _text("fingerprint"),
    _text("call_id"),
    _int("is_stream"),
    _int("expires_us"),
    _text("content_type"),
    Column("body", LargeBinary),
    sqlite_with_rowid=False,
)  # fmt: skip
Index("idempotency_expires", idempotency.c.expires_us)

note = Table(
    "note", metadata,
    # Facts about the database itself, such as the fingerprint of the secret that its keys were made with.
    _text("name", primary_key=True),
    _text("value"),
    sqlite_with_rowid=False,
)  # fmt: skip
