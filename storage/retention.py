"""Removing what has served: the objects of studies that are finished, delivered and old enough, or in the way.

Rows stay: they are the proof of where a radiograph ended. What is not yet delivered, failed and waiting for a
person, or still in work is never removed, however old it is or however full the disk.
"""

from collections.abc import Callable

from sqlalchemy import Connection, exists, select, union_all, update
from sqlalchemy.sql import func

from storage.engine import Database
from storage.needed import is_needed, needed
from storage.objects import ObjectStore
from storage.schema import deliveries, instances, jobs, results
from storage.states import DELIVERY_FINISHED, State
from storage.steps import Step

STUDIES_AT_ONCE = 50
JOB_FINISHED = (State.DONE, State.REJECTED)


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
            studies = _finished(connection, received_before)
        if not studies:
            return total
        for study in studies:
            if is_enough():
                return total
            with database.write(Step.STUDIES_REMOVED) as connection:
                # what has come since it was looked for makes it one that is not finished
                of_study = _finished(connection, received_before, study)
                keys = _mark_removed(connection, study, now) if of_study else []
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
            every = needed(received_before).subquery()
            kept = set(
                connection.execute(select(every.c.object_key).where(every.c.object_key.in_(keys))).scalars()
            )
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


def _finished(connection: Connection, received_before: float, study_instance_uid: str = "") -> list[str]:
    """Return the oldest studies that may go, or this one if it may."""
    # a study may have results and no image any more: they were moved to another one
    kept = union_all(
        *(
            select(table.c.study_instance_uid, at.label("at")).where(
                table.c.object_removed_at.is_(None),
                *([table.c.study_instance_uid == study_instance_uid] if study_instance_uid else []),
            )
            for table, at in ((instances, instances.c.received_at), (results, results.c.created_at))
        )
    ).subquery()
    study = kept.c.study_instance_uid
    unfinished_job = exists().where(jobs.c.study_instance_uid == study, jobs.c.state.not_in(JOB_FINISHED))
    undelivered = exists().where(
        results.c.study_instance_uid == study,
        deliveries.c.result_id == results.c.id,
        deliveries.c.state.not_in(DELIVERY_FINISHED),
    )
    received_later = exists().where(
        instances.c.study_instance_uid == study, instances.c.received_at >= received_before
    )
    made_later = exists().where(
        results.c.study_instance_uid == study, results.c.created_at >= received_before
    )
    return list(
        connection.execute(
            select(study)
            .where(~received_later, ~made_later, ~unfinished_job, ~undelivered)
            .group_by(study)
            .order_by(func.max(kept.c.at))
            .limit(STUDIES_AT_ONCE)
        ).scalars()
    )


def _mark_removed(connection: Connection, study_instance_uid: str, now: float) -> list[str]:
    of_study = instances.c.study_instance_uid == study_instance_uid
    keys: list[str] = []
    for table, condition in (
        (instances, of_study),
        (results, results.c.study_instance_uid == study_instance_uid),
    ):
        keys += connection.execute(
            update(table)
            .where(condition, table.c.object_removed_at.is_(None))
            .values(object_removed_at=now)
            .returning(table.c.object_key)
        ).scalars()
    return keys
