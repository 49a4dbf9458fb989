"""Which rows need an object is asked for each that is to be removed."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema here."""
    for table in ("instances", "conflicting_objects", "results"):
        op.create_index(op.f(f"ix_{table}_object_key"), table, ["object_key"])
