"""Where a session was begun: whoever has it open sees whether it is theirs."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema here."""
    op.add_column("sessions", sa.Column("address", sa.String(length=64), server_default="", nullable=False))
