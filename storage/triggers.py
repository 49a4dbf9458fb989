"""What SQLite does by itself at each change of a row, whoever makes it. Migrations make these: SQLAlchemy knows none.

The audit trail is append-only. How many rows of a table are in which state is counted as they change: to count millions
would take a second each time that somebody asks. So are images, studies, reports and deliveries by the hour, with how
long they took, and scores by device and week. And a report knows whether it is blocked: to find that out of ten
thousand, each time that one is claimed, took longer than an analysis.
"""

from collections.abc import Iterator

from storage.records import JobKind
from storage.states import OPEN, State

LATENCY_BOUNDS = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0)
"""Seconds; what takes longer than the last is in a bucket of its own."""
SCORE_BINS = 20
REFERENCE_FILMS = 500
"""So many of a device's first films are what its later ones are compared with."""
MOST_DEVICES = 100
"""Whatever somebody sends as a device's name: so many are told apart."""
_HOUR_SECONDS = 3600
WEEK_SECONDS = 604800
MONDAY_SECONDS = 259200  # the first of January 1970 was a Thursday

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


def _tallied() -> Iterator[tuple[str, str]]:
    """Tally what comes and goes by the hour: images with their bytes, all else with how long it took."""
    is_first = (
        "NOT EXISTS (SELECT 1 FROM instances WHERE study_instance_uid = NEW.study_instance_uid"
        " AND is_prior = 0 AND id <> NEW.id)"
    )
    nobody, at = "''", "NEW.received_at"
    images = _tally("images", nobody, at, "0", "NEW.size")
    studies = _tally("studies", nobody, at, "0", "0", is_first)
    yield (
        "instances_tallied_insert",
        "CREATE TRIGGER instances_tallied_insert AFTER INSERT ON instances WHEN NEW.is_prior = 0"
        f" BEGIN {images} {studies} END",
    )
    took = "NEW.ended_at - NEW.queued_at"
    reports = _tally("reports", nobody, "NEW.ended_at", _bucket(took), took)
    yield (
        "jobs_tallied_update",
        "CREATE TRIGGER jobs_tallied_update AFTER UPDATE OF state ON jobs"
        f" WHEN NEW.kind = '{JobKind.REPORT}' AND NEW.state = '{State.DONE}' AND OLD.state <> '{State.DONE}'"
        f" BEGIN {reports} END",
    )
    took, at = "NEW.delivered_at - NEW.queued_at", "NEW.delivered_at"
    arrivals = _tally("deliveries", "NEW.destination", at, _bucket(took), took)
    yield (
        "deliveries_tallied_update",
        "CREATE TRIGGER deliveries_tallied_update AFTER UPDATE OF delivered_at ON deliveries"
        f" WHEN OLD.delivered_at IS NULL AND NEW.delivered_at IS NOT NULL BEGIN {arrivals} END",
    )


def _tally(what: str, destination: str, at: str, bucket: str, amount: str, condition: str = "1") -> str:
    return (
        f"INSERT INTO tallies SELECT column1, '{what}', {destination}, {bucket}, 1, {amount}"
        f" FROM (VALUES (0), (CAST({at} / {_HOUR_SECONDS} AS INTEGER))) WHERE {condition}"
        " ON CONFLICT DO UPDATE SET number = number + 1, amount = amount + excluded.amount;"
    )


def _bucket(seconds: str) -> str:
    cases = " ".join(f"WHEN {seconds} <= {bound} THEN {place}" for place, bound in enumerate(LATENCY_BOUNDS))
    return f"CASE {cases} ELSE {len(LATENCY_BOUNDS)} END"


def _scored() -> Iterator[tuple[str, str]]:
    """Count scores by model, device and week; what was answered counts also where another answer took its place."""
    name = "SELECT coalesce(nullif(device, ''), source) FROM instances WHERE id = NEW.instance_id"
    device = f"coalesce((SELECT id FROM devices WHERE name = ({name})), 0)"
    kept = (
        "SELECT coalesce(sum(number), 0) FROM score_counts"
        " WHERE model_sha256 = NEW.model_sha256 AND week = 0 AND device_id = found"
    )
    week = f"CAST((NEW.created_at + {MONDAY_SECONDS}) / {WEEK_SECONDS} AS INTEGER)"
    yield (
        "predictions_scored_insert",
        "CREATE TRIGGER predictions_scored_insert AFTER INSERT ON predictions"
        " WHEN (SELECT is_prior FROM instances WHERE id = NEW.instance_id) = 0 BEGIN"
        f" INSERT OR IGNORE INTO devices (name) SELECT ({name})"
        f" WHERE (SELECT count(*) FROM devices) < {MOST_DEVICES};"
        " INSERT INTO score_counts SELECT NEW.model_sha256,"
        f" CASE WHEN ({kept}) < {REFERENCE_FILMS} THEN 0 ELSE {week} END, found,"
        f" min({SCORE_BINS - 1}, CAST(NEW.score * {SCORE_BINS} AS INTEGER)), 1 FROM (SELECT {device} AS found)"
        " WHERE 1 ON CONFLICT DO UPDATE SET number = number + 1; END",
    )


TRIGGERS = dict((*_append_only(), *_counted(), *_blocked(), *_retried(), *_tallied(), *_scored()))
"""By name, as they stand in the database."""
