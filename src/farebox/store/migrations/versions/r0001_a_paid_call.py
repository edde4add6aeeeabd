"""Accounts, keys, and the ledger of a paid call.

Written out, not taken from `tables.py`: a revision says what the schema was on its day.
"""

from typing import Final

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

HOLD_COLUMNS: Final = """
    account_id TEXT NOT NULL,
    call_id TEXT NOT NULL,
    key_id TEXT NOT NULL,
    mode TEXT NOT NULL,
    plan TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    model TEXT NOT NULL,
    period_start_us BIGINT NOT NULL,
    admitted_us BIGINT NOT NULL,
    expires_us BIGINT NOT NULL,
    held_calls BIGINT NOT NULL,
    held_tokens BIGINT NOT NULL,
    held_nanodollars BIGINT NOT NULL,
    input_tokens_max BIGINT NOT NULL,
    output_tokens_max BIGINT NOT NULL,
    price_input_per_mtok BIGINT,
    price_cached_per_mtok BIGINT,
    price_output_per_mtok BIGINT,
    charge_fixed_nanodollars BIGINT NOT NULL,
    charge_markup_basis_points BIGINT"""

TABLES: Final = (
    """
CREATE TABLE account (
    id TEXT NOT NULL PRIMARY KEY,
    email TEXT NOT NULL UNIQUE,
    plan TEXT NOT NULL,
    state TEXT NOT NULL,
    anchor_us BIGINT NOT NULL,
    created_us BIGINT NOT NULL,
    CONSTRAINT account_state CHECK (state IN ('active', 'past_due', 'suspended'))
)""",
    """
CREATE TABLE api_key (
    account_id TEXT NOT NULL,
    id TEXT NOT NULL,
    digest TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    mode TEXT NOT NULL,
    prefix TEXT NOT NULL,
    last4 TEXT NOT NULL,
    created_us BIGINT NOT NULL,
    expires_us BIGINT,
    revoked_us BIGINT,
    PRIMARY KEY (account_id, id),
    CONSTRAINT api_key_mode CHECK (mode IN ('live', 'test'))
)""",
    """
CREATE TABLE meter (
    account_id TEXT NOT NULL,
    mode TEXT NOT NULL,
    period_start_us BIGINT NOT NULL,
    period_end_us BIGINT NOT NULL,
    posted_calls BIGINT NOT NULL,
    held_calls BIGINT NOT NULL,
    posted_tokens BIGINT NOT NULL,
    held_tokens BIGINT NOT NULL,
    posted_nanodollars BIGINT NOT NULL,
    held_nanodollars BIGINT NOT NULL,
    burst_tat_us BIGINT NOT NULL,
    PRIMARY KEY (account_id, mode, period_start_us),
    CONSTRAINT meter_not_negative CHECK (
        posted_calls >= 0 AND held_calls >= 0 AND posted_tokens >= 0 AND held_tokens >= 0
        AND posted_nanodollars >= 0 AND held_nanodollars >= 0)
)""",
    f"""
CREATE TABLE hold ({HOLD_COLUMNS},
    PRIMARY KEY (account_id, call_id)
)""",
    f"""
CREATE TABLE usage_record ({HOLD_COLUMNS},
    state TEXT NOT NULL,
    calls BIGINT NOT NULL,
    tokens BIGINT NOT NULL,
    input_tokens BIGINT NOT NULL,
    cached_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    charge_nanodollars BIGINT NOT NULL,
    cost_nanodollars BIGINT NOT NULL,
    marks TEXT NOT NULL,
    attempts TEXT NOT NULL,
    error TEXT NOT NULL,
    recorded_us BIGINT NOT NULL,
    PRIMARY KEY (account_id, call_id),
    CONSTRAINT usage_record_state CHECK (state IN ('posted', 'voided', 'expired')),
    CONSTRAINT usage_record_within_hold CHECK (
        calls BETWEEN 0 AND held_calls AND tokens BETWEEN 0 AND held_tokens
        AND charge_nanodollars BETWEEN 0 AND held_nanodollars)
)""",
    """
CREATE TABLE rollup_daily (
    account_id TEXT NOT NULL,
    mode TEXT NOT NULL,
    day TEXT NOT NULL,
    key_id TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    model TEXT NOT NULL,
    posted BIGINT NOT NULL,
    voided BIGINT NOT NULL,
    expired BIGINT NOT NULL,
    calls BIGINT NOT NULL,
    tokens BIGINT NOT NULL,
    input_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    charge_nanodollars BIGINT NOT NULL,
    cost_nanodollars BIGINT NOT NULL,
    PRIMARY KEY (account_id, mode, day, key_id, endpoint, model)
)""",
    """
CREATE TABLE note (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
)""",
)

APPEND_ONLY_SQLITE: Final = (
    """
CREATE TRIGGER usage_record_no_update BEFORE UPDATE ON usage_record
BEGIN SELECT RAISE(ABORT, 'usage_record is append-only'); END""",
    """
CREATE TRIGGER usage_record_no_delete BEFORE DELETE ON usage_record
BEGIN SELECT RAISE(ABORT, 'usage_record is append-only'); END""",
    # A replace deletes without firing the trigger above, unless recursive_triggers is on.
    """
CREATE TRIGGER usage_record_no_replace BEFORE INSERT ON usage_record
WHEN EXISTS (SELECT 1 FROM usage_record WHERE account_id = NEW.account_id AND call_id = NEW.call_id)
BEGIN SELECT RAISE(ABORT, 'usage_record is append-only'); END""",
)

APPEND_ONLY_POSTGRES: Final = (
    """
CREATE FUNCTION usage_record_append_only() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'usage_record is append-only'; END $$""",
    """
CREATE TRIGGER usage_record_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON usage_record
FOR EACH STATEMENT EXECUTE FUNCTION usage_record_append_only()""",
)


def _for_sqlite(statement: str) -> str:
    # The primary key is how a row is found; a second tree by rowid would only cost writes.
    return statement.replace("BIGINT", "INTEGER") + " STRICT, WITHOUT ROWID"


def upgrade() -> None:
    sqlite = op.get_bind().dialect.name == "sqlite"
    for statement in TABLES:
        op.execute(_for_sqlite(statement) if sqlite else statement)
    for statement in APPEND_ONLY_SQLITE if sqlite else APPEND_ONLY_POSTGRES:
        op.execute(statement)
