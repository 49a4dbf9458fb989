"""Is everything as it was written: pages, schema, audit trail, the states of the rows, objects, rights?

Nothing is changed here, and a node may run beside it: each look at the database is short, and what retention removes
meanwhile is not missed. Every finding names the fault and the mend.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection

from storage import audit
from storage.engine import Database, newest_revision, revision_of
from storage.errors import ObjectMissing
from storage.invariants import INVARIANTS
from storage.needed import NeededObject, Use, is_needed
from storage.objects import ObjectStore
from storage.schema import metadata
from storage.triggers import TRIGGERS

MOST_OF_A_KIND = 10
"""More faults of one kind tell nothing new."""
RESTORE = "stop the node, move the data folder aside and restore a backup (dicom-node restore)"
_NO_NODE = "no node leaves this behind, so something else wrote here: restore a backup (dicom-node restore)"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something is not as it was written. Study, instance and accession number are those of an object."""

    fault: str
    mend: str
    study_instance_uid: str | None = None
    sop_instance_uid: str | None = None
    accession_number: str | None = None


def check_pages(database: Database) -> list[Finding]:
    """Check what SQLite knows of its own file. With a finding nothing else is worth a look.

    Raises
    ------
    StorageUnavailable
        The database cannot be read at all.
    """
    with database.read() as connection:
        pages = connection.exec_driver_sql(f"PRAGMA integrity_check({MOST_OF_A_KIND})").scalars().all()
    if pages == ["ok"]:
        return []
    lines = [line for text in pages for line in str(text).splitlines()]
    return [Finding(f"{database.path.name}: {line}", RESTORE) for line in lines[:MOST_OF_A_KIND]]


def check_schema(database: Database) -> list[Finding]:
    """Check that tables, columns and triggers are this version's. With a finding the rows are not to be understood."""
    with database.read() as connection:
        revision = revision_of(connection)
        if revision != newest_revision():
            return [
                Finding(
                    f"{database.path.name}: its schema is of migration {revision}, and not of this version",
                    "start the node: it brings the schema up to date",
                )
            ]
        changed = len(compare_metadata(MigrationContext.configure(connection), metadata))
        changed += _triggers(connection) != TRIGGERS
    return [Finding(f"{database.path.name}: {changed} changes in its schema", RESTORE)] if changed else []


def check_rows(database: Database) -> list[Finding]:
    """Check references, audit trail and the states of the rows."""
    with database.read() as connection:
        return [*_references(connection), *_audit(connection), *_breaches(connection)]


def check_object(
    database: Database, objects: ObjectStore, needed: NeededObject, aside_since: float
) -> Finding | None:
    """Check one object against its key; None: it is whole, or nobody needs it any more."""
    try:
        objects.require(needed.key)
    except ObjectMissing:
        with database.read() as connection:
            if not is_needed(connection, needed.key, aside_since):
                return None
    else:
        return None
    return fault_of(objects, needed)


def fault_of(objects: ObjectStore, needed: NeededObject) -> Finding:
    """Tell what is wrong with an object that is not whole, and what mends it."""
    path = objects.path(needed.key)
    fault = "altered" if path.exists() else "missing"
    return Finding(
        f"{needed.use} object is {fault}: {path}",
        _mend_of(needed),
        needed.study_instance_uid,
        needed.sop_instance_uid,
        needed.accession_number,
    )


def count_unneeded(objects: ObjectStore, needed: Iterable[NeededObject]) -> int:
    """Return how many objects no row needs: of a transaction that failed, or of a removal that was cut short."""
    keys = {each.key for each in needed}
    return sum(len(shard - keys) for shard in objects.keys_by_shard(written_before=math.inf))


def check_rights(folder: Path) -> list[Finding]:
    """Check that what lies in the data folder is its owner's, and for nobody else to read."""
    owner = folder.stat().st_uid
    found = []
    for path in sorted(folder.iterdir()):
        try:
            status = path.stat()
        except FileNotFoundError:  # the database's journal comes and goes
            continue
        if status.st_mode & 0o077:
            found.append(Finding(f"{path}: others may read or change it", f"chmod -R go= {path}"))
        if status.st_uid != owner:
            found.append(
                Finding(
                    f"{path}: belongs to another user than its folder", f"chown -R the node's user {path}"
                )
            )
    return found


def _mend_of(needed: NeededObject) -> str:
    if needed.use is Use.RECEIVED:
        return "send the image again from the PACS: it takes its place, and what failed without it is queued again"
    if needed.use is Use.KEPT_ASIDE:
        return "nothing is made of it; restore it from a backup, or send it again from where it came"
    if needed.is_awaited:
        return "none: a further report is made when its delivery finds it missing; then dicom-node dismiss"
    return "none is needed: every destination has it; dicom-node report makes a further report"


def _triggers(connection: Connection) -> dict[str, str]:
    rows = connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
    return {name: statement for name, statement in rows}  # noqa: C416 - a Row is no pair to dict()


def _references(connection: Connection) -> list[Finding]:
    tables = [row[0] for row in connection.exec_driver_sql("PRAGMA foreign_key_check")]
    return [
        Finding(f"table {table}: {tables.count(table)} rows name a row that is not there", RESTORE)
        for table in sorted(set(tables))
    ]


def _audit(connection: Connection) -> list[Finding]:
    mend = "keep this database as it is for those who have to know, and restore a backup (dicom-node restore)"
    return [
        Finding(f"audit trail: record {each.id} {each.sentence}", mend)
        for each in islice(audit.breaks(connection), MOST_OF_A_KIND)
    ]


def _breaches(connection: Connection) -> list[Finding]:
    found = []
    for fault, query in INVARIANTS:
        ids = [str(each) for each in connection.execute(query.limit(MOST_OF_A_KIND + 1)).scalars()]
        if ids:
            more = ", ..." if len(ids) > MOST_OF_A_KIND else ""
            found.append(Finding(f"{fault}: {', '.join(ids[:MOST_OF_A_KIND])}{more}", _NO_NODE))
    return found
