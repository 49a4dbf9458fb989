"""What is finished costs nothing: rows are counted as they change, and what is open has indexes of its own."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

OPEN = "('queued', 'running')"
# table: (whose counts, what of a row is counted further: its name, its column, its number)
COUNTED = {
    "jobs": ("''", None),
    "fetches": ("''", None),
    "deliveries": ("{row}.destination", None),
    "instances": ("''", ("times_received", "times_received - 1")),
    "conflicting_objects": ("''", ("corrected_at", "corrected_at IS NOT NULL")),
}
BLOCKED = (
    "EXISTS (SELECT 1 FROM jobs AS other WHERE other.study_instance_uid = jobs.study_instance_uid"
    f" AND other.kind IN ('analyse', 'report') AND other.state IN {OPEN}"
    " AND (other.kind = 'analyse' OR other.revision < jobs.revision))"
)


def upgrade() -> None:
    """Bring the schema here."""
    for name in ("is_retry", "is_blocked"):
        op.add_column("jobs", sa.Column(name, sa.Boolean(), nullable=False, server_default=sa.false()))
    _change_indexes()
    op.create_table(
        "counts",
        sa.Column("subject", sa.String(length=32), nullable=False),
        sa.Column("destination", sa.String(length=64), nullable=False),
        sa.Column("what", sa.String(length=32), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("subject", "destination", "what", name=op.f("pk_counts")),
    )
    for table, (destination, further) in COUNTED.items():
        _count(table, destination, further)
    _block()
    op.execute("UPDATE jobs SET is_retry = 1 WHERE attempts > 0")
    op.execute(
        "CREATE TRIGGER jobs_retried_update AFTER UPDATE OF attempts ON jobs"
        " WHEN NEW.is_retry IS NOT (NEW.attempts > 0)"
        " BEGIN UPDATE jobs SET is_retry = NEW.attempts > 0 WHERE id = NEW.id; END"
    )


def _change_indexes() -> None:
    for table, columns in (
        ("instances", ["object_removed_at", "study_instance_uid"]),
        ("results", ["object_removed_at", "study_instance_uid"]),
        ("jobs", ["state", "kind", "priority", "not_before"]),
        ("deliveries", ["state", "destination", "priority", "not_before"]),
    ):
        op.drop_index(_name(table, columns), table)
    for table, column in (("instances", "received_at"), ("results", "created_at")):
        kept = sa.text("object_removed_at IS NULL")
        op.create_index(_name(table, ["kept", column]), table, [column], sqlite_where=kept)
    for table, columns, only in (
        ("jobs", ["kind", "is_retry", "is_blocked", "priority", "not_before"], "state = 'queued'"),
        ("jobs", ["queued_at"], f"+state IN {OPEN}"),
        ("jobs", ["state"], None),
        ("deliveries", ["destination", "priority", "not_before"], "state = 'queued'"),
        ("deliveries", ["queued_at"], f"+state IN {OPEN}"),
        ("deliveries", ["destination", "not_before"], "state = 'delivered'"),
        ("deliveries", ["state"], None),
        ("audit", ["event", "at"], None),
    ):
        where = None if only is None else sa.text(only)
        op.create_index(_name(table, columns), table, columns, sqlite_where=where)


def _name(table: str, columns: list[str]) -> str:
    return op.f("_".join(("ix", table, *columns)))


def _count(table: str, destination: str, further: tuple[str, str] | None) -> None:
    """Count what is there, and from now on what changes."""
    if further is None:
        whose = destination.format(row=table)
        op.execute(
            f"INSERT INTO counts SELECT '{table}', {whose}, state, count(*) FROM {table} GROUP BY {whose}, state"
        )
        come = _counting(table, destination.format(row="NEW"), "NEW.state", "1")
        gone = _counting(table, destination.format(row="OLD"), "OLD.state", "-1")
        column, changed = "state", f"{gone} {come}"
    else:
        column, number = further
        op.execute(
            f"INSERT INTO counts SELECT '{table}', '', 'rows', count(*) FROM {table} UNION ALL"
            f" SELECT '{table}', '', '{column}', coalesce(sum({number}), 0) FROM {table}"
        )
        one, one_less = (_counting(table, "''", "'rows'", each) for each in ("1", "-1"))
        more = _counting(table, "''", f"'{column}'", f"+ (NEW.{number})")
        less = _counting(table, "''", f"'{column}'", f"- (OLD.{number})")
        come, gone, changed = f"{one} {more}", f"{one_less} {less}", f"{less} {more}"
    for name, happening, then in (
        ("insert", "AFTER INSERT", come),
        ("update", f"AFTER UPDATE OF {column}", changed),
        ("delete", "AFTER DELETE", gone),
    ):
        op.execute(f"CREATE TRIGGER {table}_counted_{name} {happening} ON {table} BEGIN {then} END")


def _counting(table: str, destination: str, what: str, number: str) -> str:
    return (
        f"INSERT INTO counts VALUES ('{table}', {destination}, {what}, {number})"
        " ON CONFLICT DO UPDATE SET number = number + excluded.number;"
    )


def _block() -> None:
    """Block what is to be, and from now on what comes to be."""
    op.execute(f"UPDATE jobs SET is_blocked = {BLOCKED} WHERE kind = 'report' AND state IN {OPEN}")
    for name, happening, studies in (
        ("insert", "AFTER INSERT ON jobs", "NEW.study_instance_uid"),
        (
            "update",
            f"AFTER UPDATE OF state, study_instance_uid ON jobs WHEN (OLD.state IN {OPEN}) IS NOT (NEW.state IN {OPEN})"
            " OR OLD.study_instance_uid IS NOT NEW.study_instance_uid",
            "OLD.study_instance_uid, NEW.study_instance_uid",
        ),
    ):
        op.execute(
            f"CREATE TRIGGER jobs_blocked_{name} {happening}"
            f" BEGIN UPDATE jobs SET is_blocked = {BLOCKED} WHERE study_instance_uid IN ({studies})"
            f" AND kind = 'report' AND state IN {OPEN} AND is_blocked IS NOT {BLOCKED}; END"
        )
