"""What a subscription costs each period, as Stripe has it. Rows of before have none until they are fetched again."""

from typing import Final

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

COLUMNS: Final = ("price_nanodollars", "next_price_nanodollars")


def upgrade() -> None:
    kind = "INTEGER" if op.get_bind().dialect.name == "sqlite" else "BIGINT"
    for column in COLUMNS:
        op.execute(f"ALTER TABLE subscription ADD COLUMN {column} {kind}")
