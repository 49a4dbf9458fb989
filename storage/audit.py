"""The audit trail: who sent, who was refused, what was sent where, who looked. Append-only, each record chained to the
one before.

A record's digest covers its own content and the digest of its predecessor, so that a changed, missing or inserted
record shows in the chain from there on. That the last ones are missing does not: the row of `audit_end`, written in
the same transaction, says how far the trail went, and up to where it was sent to the syslog server. Triggers of the
database refuse to change or delete a record.

Who may write the whole database can take the triggers away and chain everything anew. Against that only the copy
outside helps: every message that is sent carries its record's number and digest.

Details are for machines: no patient data, and UIDs rather than names.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select, update

from storage.prepared import Prepared
from storage.schema import audit, audit_end

START = "0" * 64
"""What stands for the digest before the first record's."""

# a sender waits for its record
_END = Prepared(select(audit_end.c.last_id, audit_end.c.digest, audit_end.c.sent_id))
_APPEND = Prepared(insert(audit).returning(audit.c.id), "at", "event", "detail", "digest")
_MOVE_END = Prepared(update(audit_end), "last_id", "digest")


@dataclass(frozen=True, slots=True)
class Record:
    """One record; `at` in seconds since 1970 (UTC), `digest` in hexadecimal."""

    id: int
    at: float
    event: str
    detail: dict[str, Any]
    digest: str


@dataclass(frozen=True, slots=True)
class End:
    """How far the trail goes: the last record's id and digest, and the last one's that was sent; 0: none."""

    last_id: int
    digest: str
    sent_id: int


@dataclass(frozen=True, slots=True)
class Break:
    """Where the trail is not what was written: the id of the record that shows it, and how."""

    id: int
    sentence: str


def append(connection: Connection, at: float, event: str, **detail: Any) -> None:
    """Append one record inside the caller's write transaction, so that it stands or falls with what it tells."""
    digest = _digest(end(connection).digest, at, event, detail)
    (added,) = _APPEND.rows(
        connection, {"at": at, "event": event, "detail": json.dumps(detail), "digest": digest}
    )
    _MOVE_END.do(connection, {"last_id": added.id, "digest": digest})


def end(connection: Connection) -> End:
    """Return how far the trail goes by what was noted with its last record."""
    (row,) = _END.rows(connection, {})
    return End(*row)


def records(connection: Connection, after_id: int = 0, most: int | None = None) -> Iterator[Record]:
    """Yield the records after this one, oldest first."""
    query = select(audit).where(audit.c.id > after_id).order_by(audit.c.id).limit(most)
    for row in connection.execute(query):
        yield Record(row.id, row.at, row.event, row.detail, row.digest)


def latest(connection: Connection, *events: str) -> Iterator[Record]:
    """Yield the records of these events, newest first."""
    for row in connection.execute(select(audit).where(audit.c.event.in_(events)).order_by(audit.c.id.desc())):
        yield Record(row.id, row.at, row.event, row.detail, row.digest)


def sent(connection: Connection, last_id: int) -> None:
    """Note that everything up to this record has been sent."""
    connection.execute(update(audit_end).values(sent_id=last_id))


def breaks(connection: Connection) -> Iterator[Break]:
    """Yield every place where a record was changed, taken away, put in, or moved."""
    noted = end(connection)
    last = Record(0, 0.0, "", {}, START)
    for record in records(connection):
        if record.digest != _digest(last.digest, record.at, record.event, record.detail):
            yield Break(record.id, "is not what was written, or does not follow on the record before it")
        last = record
    if (last.id, last.digest) != (noted.last_id, noted.digest):
        yield Break(
            last.id, f"is the last one, and record {noted.last_id} was: what came after it is not as written"
        )
    if noted.sent_id > last.id:
        yield Break(
            last.id, f"is the last one, and record {noted.sent_id} has been sent to the syslog server"
        )


def _digest(previous: str, at: float, event: str, detail: dict[str, Any]) -> str:
    content = json.dumps([previous, at, event, detail], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(content.encode()).hexdigest()
