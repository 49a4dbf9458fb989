"""Three answers: a band of uncertain scores instead of one threshold, the answer itself, and the side."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema here: what was answered by one threshold had a band without any score in it."""
    with op.batch_alter_table("predictions") as batch_op:
        batch_op.alter_column("threshold", new_column_name="likely_from")
        batch_op.add_column(sa.Column("uncertain_from", sa.Float()))
        batch_op.add_column(sa.Column("answer", sa.String(length=16)))
        batch_op.add_column(sa.Column("side", sa.String(length=16)))
    predictions = sa.table(
        "predictions",
        sa.column("score", sa.Float()),
        sa.column("uncertain_from", sa.Float()),
        sa.column("likely_from", sa.Float()),
        sa.column("answer", sa.String()),
    )
    flagged = predictions.c.score >= predictions.c.likely_from
    op.execute(
        predictions.update().values(
            uncertain_from=predictions.c.likely_from, answer=sa.case((flagged, "likely"), else_="unlikely")
        )
    )
    with op.batch_alter_table("predictions") as batch_op:
        batch_op.alter_column("uncertain_from", nullable=False)
        batch_op.alter_column("answer", nullable=False)
