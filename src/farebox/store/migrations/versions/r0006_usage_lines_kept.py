"""Whether use comes onto a subscription's invoices. Rows of before do not know until they are fetched again."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    kind = "INTEGER" if op.get_bind().dialect.name == "sqlite" else "BIGINT"
    op.execute(f"ALTER TABLE subscription ADD COLUMN has_usage_line {kind}")
