"""Whose image it is, which view, and by which device: for people to see."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema here."""
    for name, length in (("patient_name", 194), ("view_position", 16), ("device", 129)):
        op.add_column(
            "instances", sa.Column(name, sa.String(length=length), nullable=False, server_default="")
        )
