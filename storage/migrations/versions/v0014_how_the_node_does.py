"""How the node does: what came and went by the hour, scores by device and week, and whether destinations answer."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

BUCKET = (
    "CASE WHEN {took} <= 0.5 THEN 0 WHEN {took} <= 1.0 THEN 1 WHEN {took} <= 2.0 THEN 2 WHEN {took} <= 5.0 THEN 3"
    " WHEN {took} <= 10.0 THEN 4 WHEN {took} <= 30.0 THEN 5 WHEN {took} <= 60.0 THEN 6 WHEN {took} <= 300.0 THEN 7"
    " WHEN {took} <= 1800.0 THEN 8 WHEN {took} <= 7200.0 THEN 9 ELSE 10 END"
)
IS_FIRST = (
    "NOT EXISTS (SELECT 1 FROM instances WHERE study_instance_uid = NEW.study_instance_uid"
    " AND is_prior = 0 AND id <> NEW.id)"
)
NAME = "SELECT coalesce(nullif(device, ''), source) FROM instances WHERE id = NEW.instance_id"


def upgrade() -> None:
    """Bring the schema here."""
    op.create_table(
        "tallies",
        sa.Column("hour", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("what", sa.String(length=32), nullable=False),
        sa.Column("destination", sa.String(length=64), nullable=False),
        sa.Column("bucket", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("amount", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("hour", "what", "destination", "bucket", name=op.f("pk_tallies")),
    )
    op.create_table(
        "devices",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=129), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_devices")),
        sa.UniqueConstraint("name", name=op.f("uq_devices_name")),
    )
    op.create_table(
        "score_counts",
        sa.Column("model_sha256", sa.String(length=64), nullable=False),
        sa.Column("week", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("device_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("bin", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("model_sha256", "week", "device_id", "bin", name=op.f("pk_score_counts")),
    )
    op.create_table(
        "echoes",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("destination", sa.String(length=64), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("milliseconds", sa.Float(), nullable=True),
        sa.Column("reason", sa.String(length=256), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_echoes")),
    )
    op.create_index(op.f("ix_echoes_at"), "echoes", ["at"])
    op.create_index(op.f("ix_echoes_destination_at"), "echoes", ["destination", "at"])
    _tally()
    _score()


def _tally() -> None:
    """Tally what is there, and from now on what comes and goes."""
    took = {
        "jobs": BUCKET.format(took="(ended_at - queued_at)"),
        "deliveries": BUCKET.format(took="(delivered_at - queued_at)"),
    }
    for rows in (
        "SELECT received_at AS at, 'images' AS what, '' AS destination, 0 AS bucket, size AS amount"
        " FROM instances WHERE is_prior = 0",
        "SELECT min(received_at) AS at, 'studies' AS what, '' AS destination, 0 AS bucket, 0 AS amount"
        " FROM instances WHERE is_prior = 0 GROUP BY study_instance_uid",
        f"SELECT ended_at AS at, 'reports' AS what, '' AS destination, {took['jobs']} AS bucket,"
        " ended_at - queued_at AS amount FROM jobs WHERE kind = 'report' AND state = 'done'",
        # one that was sent again was queued again
        f"SELECT delivered_at AS at, 'deliveries' AS what, destination, {took['deliveries']} AS bucket,"
        " delivered_at - queued_at AS amount FROM deliveries WHERE delivered_at >= queued_at",
    ):
        op.execute(
            "INSERT INTO tallies SELECT CAST(at / 3600 AS INTEGER), what, destination, bucket, count(*), sum(amount)"
            f" FROM ({rows}) WHERE at >= 3600 GROUP BY 1, 2, 3, 4"  # the hour 0 is all of them
        )
    op.execute(
        "INSERT INTO tallies SELECT 0, what, destination, bucket, sum(number), sum(amount)"
        " FROM tallies GROUP BY what, destination, bucket"
    )
    images, studies = (
        _tallying(what, "''", "NEW.received_at", "0", amount, condition)
        for what, amount, condition in (("images", "NEW.size", "1"), ("studies", "0", IS_FIRST))
    )
    op.execute(
        "CREATE TRIGGER instances_tallied_insert AFTER INSERT ON instances WHEN NEW.is_prior = 0"
        f" BEGIN {images} {studies} END"
    )
    took["jobs"] = "NEW.ended_at - NEW.queued_at"
    took["deliveries"] = "NEW.delivered_at - NEW.queued_at"
    reports, arrivals = (
        _tallying(what, destination, at, BUCKET.format(took=amount), amount)
        for what, destination, at, amount in (
            ("reports", "''", "NEW.ended_at", took["jobs"]),
            ("deliveries", "NEW.destination", "NEW.delivered_at", took["deliveries"]),
        )
    )
    op.execute(
        "CREATE TRIGGER jobs_tallied_update AFTER UPDATE OF state ON jobs"
        f" WHEN NEW.kind = 'report' AND NEW.state = 'done' AND OLD.state <> 'done' BEGIN {reports} END"
    )
    op.execute(
        "CREATE TRIGGER deliveries_tallied_update AFTER UPDATE OF delivered_at ON deliveries"
        f" WHEN OLD.delivered_at IS NULL AND NEW.delivered_at IS NOT NULL BEGIN {arrivals} END"
    )


def _tallying(what: str, destination: str, at: str, bucket: str, amount: str, condition: str = "1") -> str:
    return (
        f"INSERT INTO tallies SELECT column1, '{what}', {destination}, {bucket}, 1, {amount}"
        f" FROM (VALUES (0), (CAST({at} / 3600 AS INTEGER))) WHERE {condition}"
        " ON CONFLICT DO UPDATE SET number = number + 1, amount = amount + excluded.amount;"
    )


def _score() -> None:
    """Count the scores that there are, and from now on those that come; the first 500 of a device are in week 0."""
    op.execute(
        "INSERT INTO devices (name) SELECT coalesce(nullif(device, ''), source) FROM instances"
        " JOIN predictions ON predictions.instance_id = instances.id WHERE is_prior = 0"
        " GROUP BY 1 ORDER BY min(predictions.id) LIMIT 100"
    )
    op.execute(
        "INSERT INTO score_counts SELECT model_sha256,"
        " CASE WHEN place <= 500 THEN 0 ELSE CAST((created_at + 259200) / 604800 AS INTEGER) END, device_id,"
        " min(19, CAST(score * 20 AS INTEGER)), count(*) FROM (SELECT model_sha256, score, created_at,"
        " coalesce(devices.id, 0) AS device_id, row_number() OVER"
        " (PARTITION BY model_sha256, coalesce(devices.id, 0) ORDER BY predictions.id) AS place"
        " FROM predictions JOIN instances ON instances.id = predictions.instance_id"
        " LEFT JOIN devices ON devices.name = coalesce(nullif(instances.device, ''), instances.source)"
        " WHERE is_prior = 0) GROUP BY 1, 2, 3, 4"
    )
    kept = (
        "SELECT coalesce(sum(number), 0) FROM score_counts"
        " WHERE model_sha256 = NEW.model_sha256 AND week = 0 AND device_id = found"
    )
    op.execute(
        "CREATE TRIGGER predictions_scored_insert AFTER INSERT ON predictions"
        " WHEN (SELECT is_prior FROM instances WHERE id = NEW.instance_id) = 0 BEGIN"
        f" INSERT OR IGNORE INTO devices (name) SELECT ({NAME}) WHERE (SELECT count(*) FROM devices) < 100;"
        f" INSERT INTO score_counts SELECT NEW.model_sha256, CASE WHEN ({kept}) < 500 THEN 0"
        " ELSE CAST((NEW.created_at + 259200) / 604800 AS INTEGER) END, found,"
        " min(19, CAST(NEW.score * 20 AS INTEGER)), 1"
        f" FROM (SELECT coalesce((SELECT id FROM devices WHERE name = ({NAME})), 0) AS found)"
        " WHERE 1 ON CONFLICT DO UPDATE SET number = number + 1; END"
    )
