"""Removing what has served: the objects of studies that are finished, delivered and old enough, or in the way.

Rows stay: they are the proof of where a radiograph ended; the patient's name goes from them. What is not yet
delivered, failed and waiting for a person, or still in work is never removed, however old it is or however full the
disk.
"""

from collections.abc import Callable

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Table,
    and_,
    exists,
    literal,
    or_,
    select,
    update,
)

from storage.engine import Database
from storage.needed import is_needed, those_needed
from storage.objects import ObjectStore
from storage.schema import deliveries, instances, jobs, results
from storage.states import DELIVERY_FINISHED, State
from storage.steps import Step

STUDIES_AT_ONCE = 50
JOB_FINISHED = (State.DONE, State.REJECTED, State.DISMISSED)


def remove_finished(
    database: Database,
    objects: ObjectStore,
    received_before: float,
    now: float,
    is_enough: Callable[[], bool] = lambda: False,
) -> int:
    """Remove the objects of finished studies of which nothing was received or made since `received_before`.

    The oldest go first, until there are none or it `is_enough`. Each is a transaction of its own, so that the receiver
    never waits for it. The row is marked first: a crash in between leaves a file that nothing needs
    (`remove_orphans`), never a row that promises a file that is gone.

    Returns the number of studies whose objects were removed.
    """
    total = 0
    while True:
        with database.read() as connection:
            studies = finished(connection, received_before)
        if not studies:
            return total
        for study in studies:
            if is_enough():
                return total
            with database.write(Step.STUDIES_REMOVED) as connection:
                # what has come since it was looked for makes it one that is not finished
                is_still = may_go(connection, study, received_before)
                keys = _mark_removed(connection, study, now) if is_still else []
            _remove(database, objects, set(keys), received_before)
            total += bool(keys)


def remove_orphans(
    database: Database, objects: ObjectStore, written_before: float, received_before: float
) -> int:
    """Delete objects that no row needs: of a transaction that failed, of a removal that was cut short, bytes kept
    aside since before `received_before`, or a removed radiograph that was sent again.

    Only files written before `written_before` are looked at: a younger one may still get its row.

    Returns the number of files deleted.
    """
    removed = 0
    for keys in objects.keys_by_shard(written_before):
        with database.read() as connection:
            kept = those_needed(connection, keys, received_before)
        removed += _remove(database, objects, keys - kept, received_before)
    return removed


def take_back(database: Database, objects: ObjectStore, key: str) -> None:
    """Delete an object that was to get a row and got none, unless another one names it meanwhile."""
    _remove(database, objects, {key}, aside_since=0.0)


def _remove(database: Database, objects: ObjectStore, keys: set[str], aside_since: float) -> int:
    """Delete those of these objects that no row needs, and return how many.

    Whoever enters an object looks for its file inside the transaction, as this does: neither comes between.
    """
    removed = 0
    for key in keys:
        with database.write(Step.OBJECTS_LET_GO) as connection:
            if not is_needed(connection, key, aside_since):
                objects.remove(key)
                removed += 1
    return removed


def finished(connection: Connection, received_before: float) -> list[str]:
    """Return studies that may go, those whose last image is the oldest first.

    They are looked for along what is kept, in the order of its age, and no further than some are found: most of what is
    kept for a while is finished.
    """
    return _finished_of(connection, instances, instances.c.received_at, received_before) or _finished_of(
        # a study may have results and no image any more: they were moved to another one
        connection,
        results,
        results.c.created_at,
        received_before,
    )


def may_go(connection: Connection, study_instance_uid: str, received_before: float) -> bool:
    """Tell whether a study is finished, and nothing of it was received or made since then."""
    conditions = _is_finished(literal(study_instance_uid), received_before)
    return bool(connection.execute(select(and_(*conditions))).scalar_one())


def _finished_of(
    connection: Connection, table: Table, at: Column[float], received_before: float
) -> list[str]:
    later = table.alias("later")
    is_last_of_its_study = ~exists().where(
        later.c.study_instance_uid == table.c.study_instance_uid,
        later.c.object_removed_at.is_(None),
        or_(later.c[at.name] > at, and_(later.c[at.name] == at, later.c.id > table.c.id)),
    )
    return list(
        connection.execute(
            select(table.c.study_instance_uid)
            .where(
                table.c.object_removed_at.is_(None),
                at < received_before,
                is_last_of_its_study,
                *_is_finished(table.c.study_instance_uid, received_before),
            )
            .order_by(at)
            .limit(STUDIES_AT_ONCE)
        ).scalars()
    )


def _is_finished(study: ColumnElement[str], received_before: float) -> list[ColumnElement[bool]]:
    image, made, undelivered = instances.alias("image"), results.alias("made"), results.alias("undelivered")
    return [
        ~exists().where(image.c.study_instance_uid == study, image.c.received_at >= received_before),
        ~exists().where(made.c.study_instance_uid == study, made.c.created_at >= received_before),
        ~exists().where(jobs.c.study_instance_uid == study, jobs.c.state.not_in(JOB_FINISHED)),
        ~exists().where(
            undelivered.c.study_instance_uid == study,
            deliveries.c.result_id == undelivered.c.id,
            deliveries.c.state.not_in(DELIVERY_FINISHED),
        ),
    ]


def _mark_removed(connection: Connection, study_instance_uid: str, now: float) -> list[str]:
    of_study = instances.c.study_instance_uid == study_instance_uid
    keys: list[str] = []
    for table, condition, forgotten in (
        (instances, of_study, {"patient_name": ""}),
        (results, results.c.study_instance_uid == study_instance_uid, {}),
    ):
        keys += connection.execute(
            update(table)
            .where(condition, table.c.object_removed_at.is_(None))
            .values(object_removed_at=now, **forgotten)
            .returning(table.c.object_key)
        ).scalars()
    return keys
