"""The tables. One schema for every dialect; times are seconds since 1970 (UTC), kept as floats.

    instances ─┬─ conflicting_objects        same UID, other bytes: kept aside
               ├─ jobs (analyse) ── predictions
               └─ shadow_answers              of a candidate, never reported
    jobs (report, one a study and revision) ── results ── deliveries
    commitment_requests                       what archives were asked to promise
    fetches                                   whose earlier films are to be got from an archive
    audit                                     append-only (by triggers), hash-chained
    audit_end                                 one row: how far the trail goes, and what of it was sent
    counts                                    how many rows there are, and in which states (by triggers)
    pauses                                    what a person has stopped for a while
    tallies                                   what came and went in each hour, and how soon (by triggers)
    devices ── score_counts                   how often each device's films got which score (by triggers)
    echoes                                    whether the destinations answer
    people, invitations, sessions             who may look at the pages
    verdicts                                  what people and final reports say of the answers

Rows stay when the objects they name are removed by retention: they are the proof of where a radiograph ended. So there
are millions of them in the end, and nothing that a running node asks may look through what is finished: it goes by an
index, and what is still to be done has indexes of its own (`IS_QUEUED` and the like).
"""

from collections.abc import Iterable

from sqlalchemy import (
    JSON,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy.schema import SchemaItem

from storage.records import Priority
from storage.states import JOB_STATES, OPEN, State

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite takes an index of some rows only where a query names them in the index's own words, and not by a parameter.
# What is queued is all that can be claimed.
IS_QUEUED = text(f"state = '{State.QUEUED}'")
# by the plus, which changes nothing else, it does not take the index of all states for it
IS_OPEN = text("+state IN (" + ", ".join(f"'{state}'" for state in OPEN) + ")")
IS_DELIVERED = text(f"state = '{State.DELIVERED}'")
IS_KEPT = text("object_removed_at IS NULL")
IS_COUNTING = text("replaced_at IS NULL")

UID = String(64)
OBJECT_KEY = String(64)


def _state_columns(states: Iterable[State]) -> list[SchemaItem]:
    """Return the columns that the state machine needs, alike for jobs and deliveries."""
    return [
        Column("state", String(16), nullable=False),
        Column("attempts", Integer, nullable=False),
        Column("not_before", Float, nullable=False),
        Column("owner", String(128)),
        Column("lease_until", Float),
        Column("reason", String(256)),
        # since when it is waited for; starts again when an operator retries
        Column("queued_at", Float, nullable=False),
        # the one time that everything made by this row carries, so that making it twice gives the same bytes
        Column("first_claimed_at", Float),
        Column("ended_at", Float),
        CheckConstraint("state IN (" + ", ".join(f"'{state}'" for state in states) + ")", name="state"),
    ]


def _priority_column() -> Column[int]:
    return Column("priority", Integer, nullable=False, server_default=str(int(Priority.ROUTINE)))


instances = Table(
    "instances",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("sop_instance_uid", UID, nullable=False, unique=True),
    Column("sop_class_uid", UID, nullable=False),
    Column("transfer_syntax_uid", UID, nullable=False),
    Column("study_instance_uid", UID, nullable=False),
    Column("series_instance_uid", UID, nullable=False),
    Column("accession_number", String(64), nullable=False),
    # whose earlier films are these: an ID says nothing without who issued it
    Column("patient_id", String(64), nullable=False, server_default=""),
    Column("issuer_of_patient_id", String(64), nullable=False, server_default=""),
    Column("patient_birth_date", String(8), nullable=False, server_default=""),
    # for people to see, as long as the image is kept
    Column("patient_name", String(194), nullable=False, server_default=""),
    Column("study_date", String(8), nullable=False, server_default=""),
    Column("view_position", String(16), nullable=False, server_default=""),
    # its manufacturer and model
    Column("device", String(129), nullable=False, server_default=""),
    # fetched as an earlier film of a patient: analysed, and not reported
    Column("is_prior", Boolean, nullable=False, server_default=false()),
    Column("object_key", OBJECT_KEY, nullable=False, index=True),
    Column("size", Integer, nullable=False),
    Column("source", String(64), nullable=False),
    # null: it is analysed; else why it is only stored
    Column("stored_only", String(32)),
    Column("received_at", Float, nullable=False),
    Column("times_received", Integer, nullable=False),
    Column("object_removed_at", Float),
    Index(None, "study_instance_uid"),
    Index(None, "accession_number"),
    Index(None, "patient_id", "issuer_of_patient_id"),
    Index("ix_instances_kept_received_at", "received_at", sqlite_where=IS_KEPT),
    Index(None, "received_at"),
)

conflicting_objects = Table(
    "conflicting_objects",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("instance_id", ForeignKey(instances.c.id), nullable=False),
    # that these bytes name: a corrected image may count in another one
    Column("study_instance_uid", UID, nullable=False, server_default="", index=True),
    Column("object_key", OBJECT_KEY, nullable=False, index=True),
    Column("source", String(64), nullable=False),
    Column("received_at", Float, nullable=False),
    # null: its pixels are others; else since when another header with the same pixels counts instead
    Column("corrected_at", Float),
    UniqueConstraint("instance_id", "object_key"),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("study_instance_uid", UID, nullable=False),
    Column("instance_id", ForeignKey(instances.c.id)),
    Column("revision", Integer),
    _priority_column(),
    *_state_columns(JOB_STATES),
    # by a trigger: SQLite 3.40 does not copy a table with a generated column (VACUUM INTO)
    Column("is_retry", Boolean, nullable=False, server_default=false()),
    # a report's, while an image of its study is being analysed or an earlier report of it is to be made
    Column("is_blocked", Boolean, nullable=False, server_default=false()),
    UniqueConstraint("instance_id"),
    UniqueConstraint("study_instance_uid", "revision"),
    # a claim takes the first row of a range of this index
    Index(None, "kind", "is_retry", "is_blocked", "priority", "not_before", sqlite_where=IS_QUEUED),
    Index(None, "queued_at", sqlite_where=IS_OPEN),
    Index(None, "state"),
    Index(None, "study_instance_uid", "kind", "state"),
)

predictions = Table(
    "predictions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("instance_id", ForeignKey(instances.c.id), nullable=False, unique=True),
    Column("model_sha256", String(64), nullable=False),
    Column("score", Float, nullable=False),
    # the band of uncertain scores that was in force, and what was answered by it
    Column("uncertain_from", Float, nullable=False),
    Column("likely_from", Float, nullable=False),
    Column("answer", String(16), nullable=False),
    Column("side", String(16)),
    Column("attention", JSON, nullable=False),
    Column("regions", JSON, nullable=False),
    Column("created_at", Float, nullable=False),
)

shadow_answers = Table(
    "shadow_answers",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("instance_id", ForeignKey(instances.c.id), nullable=False, unique=True),
    Column("model_name", String(256), nullable=False),
    Column("model_version", String(256), nullable=False),
    Column("model_sha256", String(64), nullable=False),
    # either score and answer, or the reason why there is none
    Column("score", Float),
    Column("answer", String(16)),
    Column("reason", String(256)),
    Column("created_at", Float, nullable=False),
)

results = Table(
    "results",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("job_id", ForeignKey(jobs.c.id), nullable=False),
    Column("study_instance_uid", UID, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("kind", String(32), nullable=False),
    Column("sop_class_uid", UID, nullable=False),
    Column("sop_instance_uid", UID, nullable=False, unique=True),
    Column("series_instance_uid", UID, nullable=False),
    Column("object_key", OBJECT_KEY, nullable=False, index=True),
    Column("created_at", Float, nullable=False),
    Column("object_removed_at", Float),
    Index(None, "study_instance_uid"),
    Index(None, "created_at"),
    Index("ix_results_kept_created_at", "created_at", sqlite_where=IS_KEPT),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("result_id", ForeignKey(results.c.id), nullable=False),
    Column("destination", String(64), nullable=False),
    # the last DIMSE status that the destination answered, warnings included
    Column("status", Integer),
    # set where another form of the result was sent, because the destination refused the first one
    Column("sent_sop_instance_uid", UID, index=True),
    # when the destination first said that it has the object
    Column("delivered_at", Float),
    _priority_column(),
    *_state_columns(State),
    UniqueConstraint("result_id", "destination"),
    Index(None, "destination", "priority", "not_before", sqlite_where=IS_QUEUED),
    Index(None, "queued_at", sqlite_where=IS_OPEN),
    Index(None, "destination", "not_before", sqlite_where=IS_DELIVERED),
    Index(None, "state"),
    Index(None, "delivered_at"),
)

commitment_requests = Table(
    "commitment_requests",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("transaction_uid", UID, nullable=False, unique=True),
    Column("destination", String(64), nullable=False),
    Column("asked_at", Float, nullable=False),
    Column("answered_at", Float),
)

fetches = Table(
    "fetches",
    metadata,
    Column("id", Integer, primary_key=True),
    # the study that is to be compared, and whose it is: corrected, it is another patient's
    Column("study_instance_uid", UID, nullable=False),
    Column("patient_id", String(64), nullable=False),
    Column("issuer_of_patient_id", String(64), nullable=False),
    Column("patient_birth_date", String(8), nullable=False),
    Column("study_date", String(8), nullable=False),
    # SOP Instance UIDs with their studies': nothing else is taken; and how many of them came
    Column("asked", JSON, nullable=False),
    Column("fetched", Integer),
    *_state_columns(JOB_STATES),
    UniqueConstraint("study_instance_uid", "patient_id", "issuer_of_patient_id", "patient_birth_date"),
    Index(None, "state", "not_before"),
)

audit = Table(
    "audit",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", Float, nullable=False),
    Column("event", String(64), nullable=False),
    Column("detail", JSON, nullable=False),
    Column("digest", String(64), nullable=False),
    Index(None, "event", "at"),
)

audit_end = Table(
    "audit_end",
    metadata,
    Column("id", Integer, CheckConstraint("id = 1", name="one_row"), primary_key=True),
    Column("last_id", Integer, nullable=False),
    Column("digest", String(64), nullable=False),
    # the last record that was sent to the syslog server
    Column("sent_id", Integer, nullable=False),
)

counts = Table(
    "counts",
    metadata,
    # a table's name; the destination, of deliveries; and the state, or what else is counted of its rows
    Column("subject", String(32), primary_key=True),
    Column("destination", String(64), primary_key=True),
    Column("what", String(32), primary_key=True),
    Column("number", Integer, nullable=False),
)

pauses = Table(
    "pauses",
    metadata,
    Column("scope", String(16), primary_key=True),
    # empty unless it is of one
    Column("destination", String(64), primary_key=True),
    Column("since", Float, nullable=False),
    Column("user", String(64), nullable=False),
    Column("reason", String(256), nullable=False),
)

tallies = Table(
    "tallies",
    metadata,
    # since 1970 (UTC); 0: in all hours together
    Column("hour", Integer, primary_key=True, autoincrement=False),
    # a word of `storage.triggers`; the destination, of deliveries
    Column("what", String(32), primary_key=True),
    Column("destination", String(64), primary_key=True),
    # which of `LATENCY_BOUNDS` it took no longer than, by number from 0
    Column("bucket", Integer, primary_key=True, autoincrement=False),
    Column("number", Integer, nullable=False),
    # bytes of images, seconds of all else
    Column("amount", Float, nullable=False),
)

devices = Table(
    "devices",
    metadata,
    Column("id", Integer, primary_key=True),
    # manufacturer and model, or the source of a film that names neither
    Column("name", String(129), nullable=False, unique=True),
)

score_counts = Table(
    "score_counts",
    metadata,
    Column("model_sha256", String(64), primary_key=True),
    # since 1970 (UTC), from Monday on; 0: the first films of the device, which the others are compared with
    Column("week", Integer, primary_key=True, autoincrement=False),
    # 0: devices that came when there were `MOST_DEVICES`
    Column("device_id", Integer, primary_key=True, autoincrement=False),
    # which of `SCORE_BINS` equal parts of 0 to 1
    Column("bin", Integer, primary_key=True, autoincrement=False),
    Column("number", Integer, nullable=False),
)

echoes = Table(
    "echoes",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("destination", String(64), nullable=False),
    Column("at", Float, nullable=False, index=True),
    # either how long it took, or why it did not come to anything
    Column("milliseconds", Float),
    Column("reason", String(256)),
    Index(None, "destination", "at"),
)

people = Table(
    "people",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("role", String(16), nullable=False),
    Column("password_hash", String(256), nullable=False),
    Column("made_at", Float, nullable=False),
)

invitations = Table(
    "invitations",
    metadata,
    Column("secret_sha256", String(64), primary_key=True),
    # null: who comes by it chooses one
    Column("name", String(64)),
    Column("role", String(16), nullable=False),
    Column("expires_at", Float, nullable=False),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("secret_sha256", String(64), nullable=False, unique=True),
    # of somebody in `people`, or of the hospital's single sign-on
    Column("name", String(64), nullable=False, index=True),
    Column("role", String(16), nullable=False),
    Column("begun_at", Float, nullable=False),
    Column("seen_at", Float, nullable=False, index=True),
    # where it was begun
    Column("address", String(64), nullable=False, server_default=""),
)

verdicts = Table(
    "verdicts",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("study_instance_uid", UID, nullable=False),
    # the study's first image: the month that it counts in
    Column("received_at", Float, nullable=False),
    # what was said of the study when it was judged, and by which model
    Column("answer", String(16), nullable=False),
    Column("score", Float, nullable=False),
    Column("model_sha256", String(64), nullable=False),
    Column("verdict", String(16), nullable=False),
    # whether there is pneumonia by this verdict; null: nobody can tell
    Column("is_positive", Boolean),
    # where, in pixels of this film: left, top, right, bottom
    Column("region_sop_instance_uid", UID),
    Column("region", JSON),
    Column("comment", String(2000), nullable=False),
    Column("person", String(64), nullable=False),
    # where it came from; of a final report also its message's control ID
    Column("address", String(64), nullable=False),
    Column("message_id", String(199)),
    Column("at", Float, nullable=False),
    # null: it counts; else since when the same person says something else
    Column("replaced_at", Float),
    Index(None, "study_instance_uid", "person"),
    Index("ix_verdicts_counting_received_at", "received_at", sqlite_where=IS_COUNTING),
)
