"""The audit trail: who sent, who was refused, what was sent where. Append-only, each record chained to the one before.

A record's digest covers its own content and the digest of its predecessor, so that a changed or missing record
breaks the chain from there on; that the last ones are missing cannot be seen from the chain alone.
Details are for machines: no patient data, and UIDs rather than names.
"""

import hashlib
import json
from typing import Any

from sqlalchemy import Connection, insert, select

from storage.schema import audit

_START = "0" * 64


def append(connection: Connection, at: float, event: str, **detail: Any) -> None:
    """Append one record inside the caller's write transaction, so that it stands or falls with what it tells."""
    previous = connection.execute(select(audit.c.digest).order_by(audit.c.id.desc()).limit(1)).scalar()
    digest = _digest(previous or _START, at, event, detail)
    connection.execute(insert(audit).values(at=at, event=event, detail=detail, digest=digest))


def first_broken(connection: Connection) -> int | None:
    """Return the id of the first record that is not what was written or whose predecessor is gone, or None."""
    previous = _START
    for record in connection.execute(select(audit).order_by(audit.c.id)):
        if record.digest != _digest(previous, record.at, record.event, record.detail):
            return int(record.id)
        previous = record.digest
    return None


def _digest(previous: str, at: float, event: str, detail: dict[str, Any]) -> str:
    content = json.dumps([previous, at, event, detail], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(content.encode()).hexdigest()
