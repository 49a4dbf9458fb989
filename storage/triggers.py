"""What SQLite does by itself at each change of a row, whoever makes it. Migrations make these: SQLAlchemy knows none.

The audit trail is append-only. How many rows of a table are in which state is counted as they change: to count millions
would take a second each time that somebody asks. And a report knows whether it is blocked: to find that out of ten
thousand, each time that one is claimed, took longer than an analysis.
"""

from collections.abc import Iterator

from storage.records import JobKind
from storage.states import OPEN

_OPEN = "(" + ", ".join(f"'{state}'" for state in OPEN) + ")"


def _trigger(name: str, happening: str, table: str, *statements: str) -> tuple[str, str]:
    return name, f"CREATE TRIGGER {name} {happening} ON {table} BEGIN {' '.join(statements)} END"


def _append_only() -> Iterator[tuple[str, str]]:
    for change in ("UPDATE", "DELETE"):
        refused = "SELECT RAISE(ABORT, 'the audit trail is append-only');"
        yield _trigger(f"audit_no_{change.lower()}", f"BEFORE {change}", "audit", refused)


def _counted() -> Iterator[tuple[str, str]]:
    """Count the rows of each table by what is said of them, deliveries by destination, too."""
    for table, destination in (("jobs", "''"), ("fetches", "''"), ("deliveries", "{row}.destination")):
        come = _count(table, destination.format(row="NEW"), "NEW.state", "1")
        gone = _count(table, destination.format(row="OLD"), "OLD.state", "-1")
        yield _trigger(f"{table}_counted_insert", "AFTER INSERT", table, come)
        yield _trigger(f"{table}_counted_update", "AFTER UPDATE OF state", table, gone, come)
        yield _trigger(f"{table}_counted_delete", "AFTER DELETE", table, gone)
    for table, further, counted in (
        ("instances", "times_received", "times_received - 1"),
        ("conflicting_objects", "corrected_at", "corrected_at IS NOT NULL"),
    ):
        come, gone = (_count(table, "''", "'rows'", number) for number in ("1", "-1"))
        more, less = (
            _count(table, "''", f"'{further}'", f"{sign} ({row}.{counted})")
            for row, sign in (("NEW", "+"), ("OLD", "-"))
        )
        yield _trigger(f"{table}_counted_insert", "AFTER INSERT", table, come, more)
        yield _trigger(f"{table}_counted_update", f"AFTER UPDATE OF {further}", table, less, more)
        yield _trigger(f"{table}_counted_delete", "AFTER DELETE", table, gone, less)


def _count(table: str, destination: str, what: str, number: str) -> str:
    return (
        f"INSERT INTO counts VALUES ('{table}', {destination}, {what}, {number})"
        " ON CONFLICT DO UPDATE SET number = number + excluded.number;"
    )


def _blocked() -> Iterator[tuple[str, str]]:
    """Block a report while an image of its study is being analysed, or an earlier report of it is to be made."""
    blocked = (
        "EXISTS (SELECT 1 FROM jobs AS other WHERE other.study_instance_uid = jobs.study_instance_uid"
        f" AND other.kind IN ('{JobKind.ANALYSE}', '{JobKind.REPORT}') AND other.state IN {_OPEN}"
        f" AND (other.kind = '{JobKind.ANALYSE}' OR other.revision < jobs.revision))"
    )
    look = (
        f"UPDATE jobs SET is_blocked = {blocked} WHERE study_instance_uid IN ({{studies}})"
        f" AND kind = '{JobKind.REPORT}' AND state IN {_OPEN} AND is_blocked IS NOT {blocked};"
    )
    changes = (
        f"(OLD.state IN {_OPEN}) IS NOT (NEW.state IN {_OPEN})"
        " OR OLD.study_instance_uid IS NOT NEW.study_instance_uid"
    )
    both = "OLD.study_instance_uid, NEW.study_instance_uid"
    yield _trigger(
        "jobs_blocked_insert", "AFTER INSERT", "jobs", look.format(studies="NEW.study_instance_uid")
    )
    yield (
        "jobs_blocked_update",
        "CREATE TRIGGER jobs_blocked_update AFTER UPDATE OF state, study_instance_uid ON jobs"
        f" WHEN {changes} BEGIN {look.format(studies=both)} END",
    )


def _retried() -> Iterator[tuple[str, str]]:
    """Tell what was tried before from what was not."""
    yield (
        "jobs_retried_update",
        "CREATE TRIGGER jobs_retried_update AFTER UPDATE OF attempts ON jobs"
        " WHEN NEW.is_retry IS NOT (NEW.attempts > 0)"
        " BEGIN UPDATE jobs SET is_retry = NEW.attempts > 0 WHERE id = NEW.id; END",
    )


TRIGGERS = dict((*_append_only(), *_counted(), *_blocked(), *_retried()))
"""By name, as they stand in the database."""
