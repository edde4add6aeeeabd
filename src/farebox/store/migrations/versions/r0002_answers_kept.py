"""Answers kept for their Idempotency-Key."""

from typing import Final

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TABLE: Final = """
CREATE TABLE idempotency (
    account_id TEXT NOT NULL,
    id TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    call_id TEXT NOT NULL,
    is_stream BIGINT NOT NULL,
    expires_us BIGINT NOT NULL,
    content_type TEXT NOT NULL,
    body BYTEA,
    PRIMARY KEY (account_id, id)
)"""


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute(TABLE.replace("BIGINT", "INTEGER").replace("BYTEA", "BLOB") + " STRICT, WITHOUT ROWID")
    else:
        op.execute(TABLE)
    op.execute("CREATE INDEX idempotency_expires ON idempotency (expires_us)")
