"""What is paused; and a job that failed may be given up by a person.

Another CHECK changes nothing of what is on the disk, so the text of the tables is changed where SQLite keeps it, as
"Making Other Kinds Of Table Schema Changes" of sqlite.org/lang_altertable.html has it: to copy millions of jobs, which
others refer to, would take minutes and more than a transaction.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

WITHOUT = "state IN ('queued', 'running', 'done', 'rejected', 'failed')"
WITH = "state IN ('queued', 'running', 'done', 'rejected', 'failed', 'dismissed')"


def upgrade() -> None:
    """Bring the schema here."""
    op.create_table(
        "pauses",
        sa.Column("scope", sa.String(length=16), nullable=False),
        sa.Column("destination", sa.String(length=64), nullable=False),
        sa.Column("since", sa.Float(), nullable=False),
        sa.Column("user", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.String(length=256), nullable=False),
        sa.PrimaryKeyConstraint("scope", "destination", name=op.f("pk_pauses")),
    )
    version = op.get_bind().exec_driver_sql("PRAGMA schema_version").scalar_one()
    op.execute("PRAGMA writable_schema = ON")
    op.get_bind().exec_driver_sql(
        "UPDATE sqlite_master SET sql = replace(sql, ?, ?) WHERE type = 'table' AND name IN ('jobs', 'fetches')",
        (WITHOUT, WITH),
    )
    # every connection reads the tables' texts again, this one too
    op.execute(f"PRAGMA schema_version = {version + 1}")
    op.execute("PRAGMA writable_schema = RESET")
