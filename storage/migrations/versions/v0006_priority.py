"""Urgent studies go first, and earlier films last."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema here."""
    for table, whose in (("jobs", "kind"), ("deliveries", "destination")):
        op.add_column(table, sa.Column("priority", sa.Integer(), nullable=False, server_default="1"))
        op.drop_index(op.f(f"ix_{table}_state_{whose}_not_before"), table)
        op.create_index(
            op.f(f"ix_{table}_state_{whose}_priority_not_before"),
            table,
            ["state", whose, "priority", "not_before"],
        )
    op.execute("UPDATE jobs SET priority = 2 WHERE instance_id IN (SELECT id FROM instances WHERE is_prior)")
