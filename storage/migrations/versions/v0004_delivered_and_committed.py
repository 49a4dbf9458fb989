"""Delivered is not yet committed; whose films these are; what was sent again corrected."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema here."""
    op.create_table(
        "commitment_requests",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("transaction_uid", sa.String(length=64), nullable=False),
        sa.Column("destination", sa.String(length=64), nullable=False),
        sa.Column("asked_at", sa.Float(), nullable=False),
        sa.Column("answered_at", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_commitment_requests")),
        sa.UniqueConstraint("transaction_uid", name=op.f("uq_commitment_requests_transaction_uid")),
    )
    for name, kind, default in (
        ("patient_id", sa.String(length=64), ""),
        ("issuer_of_patient_id", sa.String(length=64), ""),
        ("patient_birth_date", sa.String(length=8), ""),
        ("study_date", sa.String(length=8), ""),
        ("is_prior", sa.Boolean(), sa.false()),
    ):
        op.add_column("instances", sa.Column(name, kind, nullable=False, server_default=default))
    op.create_index(
        op.f("ix_instances_patient_id_issuer_of_patient_id"),
        "instances",
        ["patient_id", "issuer_of_patient_id"],
    )
    op.create_index(op.f("ix_results_created_at"), "results", ["created_at"])
    for table in ("instances", "results"):
        op.create_index(
            op.f(f"ix_{table}_object_removed_at_study_instance_uid"),
            table,
            ["object_removed_at", "study_instance_uid"],
        )
    op.create_index(op.f("ix_instances_received_at"), "instances", ["received_at"])
    op.add_column("conflicting_objects", sa.Column("corrected_at", sa.Float(), nullable=True))
    op.add_column(
        "conflicting_objects",
        sa.Column("study_instance_uid", sa.String(length=64), nullable=False, server_default=""),
    )
    op.create_index(
        op.f("ix_conflicting_objects_study_instance_uid"), "conflicting_objects", ["study_instance_uid"]
    )
    op.execute(
        "UPDATE conflicting_objects SET study_instance_uid ="
        " (SELECT study_instance_uid FROM instances WHERE instances.id = conflicting_objects.instance_id)"
    )
    states = (
        "state IN ('queued', 'running', 'delivered', 'committed', 'done', 'rejected', 'failed', 'dismissed')"
    )
    with op.batch_alter_table("deliveries", recreate="always") as deliveries:
        deliveries.add_column(sa.Column("delivered_at", sa.Float(), nullable=True))
        deliveries.drop_constraint(op.f("ck_deliveries_state"), type_="check")
        deliveries.create_check_constraint(op.f("ck_deliveries_state"), states)
    op.create_index(op.f("ix_deliveries_delivered_at"), "deliveries", ["delivered_at"])
    # until here delivered was done
    op.execute("UPDATE deliveries SET delivered_at = ended_at WHERE state = 'done'")
