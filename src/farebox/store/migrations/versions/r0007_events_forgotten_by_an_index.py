"""Stripe's events that came long ago are found by an index, because they are deleted a few at a time."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE INDEX webhook_event_received ON webhook_event (received_us)")
