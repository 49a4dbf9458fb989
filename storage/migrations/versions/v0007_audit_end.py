"""The audit trail knows its own end, and the database itself refuses to change or delete a record."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

START = "0" * 64


def upgrade() -> None:
    """Bring the schema here."""
    op.create_table(
        "audit_end",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("last_id", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("sent_id", sa.Integer(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_audit_end_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_end")),
    )
    connection = op.get_bind()
    last = connection.execute(sa.text("SELECT id, digest FROM audit ORDER BY id DESC LIMIT 1")).first()
    last_id, digest = last or (0, START)
    connection.execute(
        sa.text("INSERT INTO audit_end (id, last_id, digest, sent_id) VALUES (1, :last_id, :digest, 0)"),
        {"last_id": last_id, "digest": digest},
    )
    for change in ("UPDATE", "DELETE"):  # as SQLite writes it, the one database so far
        op.execute(
            f"CREATE TRIGGER audit_no_{change.lower()} BEFORE {change} ON audit "
            "BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END"
        )
