"""What people, and final reports, say of the node's answers."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema here."""
    op.create_table(
        "verdicts",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("study_instance_uid", sa.String(length=64), nullable=False),
        sa.Column("received_at", sa.Float(), nullable=False),
        sa.Column("answer", sa.String(length=16), nullable=False),
        sa.Column("score", sa.Float(), nullable=False),
        sa.Column("model_sha256", sa.String(length=64), nullable=False),
        sa.Column("verdict", sa.String(length=16), nullable=False),
        sa.Column("is_positive", sa.Boolean(), nullable=True),
        sa.Column("region_sop_instance_uid", sa.String(length=64), nullable=True),
        sa.Column("region", sa.JSON(), nullable=True),
        sa.Column("comment", sa.String(length=2000), nullable=False),
        sa.Column("person", sa.String(length=64), nullable=False),
        sa.Column("address", sa.String(length=64), nullable=False),
        sa.Column("message_id", sa.String(length=199), nullable=True),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("replaced_at", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_verdicts")),
    )
    op.create_index(
        op.f("ix_verdicts_study_instance_uid_person"), "verdicts", ["study_instance_uid", "person"]
    )
    op.create_index(
        "ix_verdicts_counting_received_at",
        "verdicts",
        ["received_at"],
        sqlite_where=sa.text("replaced_at IS NULL"),
    )
