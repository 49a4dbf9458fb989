"""Removing what has served: the objects of studies that are finished, delivered and old enough.

Rows stay: they are the proof of where a radiograph ended. What is not yet delivered, failed and waiting for a
person, or still in work is never removed, however old it is or however full the disk.
"""

from sqlalchemy import Connection, exists, select, update

from storage.engine import Database
from storage.objects import ObjectStore
from storage.schema import conflicting_objects, deliveries, instances, jobs, results
from storage.states import State

STUDIES_AT_ONCE = 20
FINISHED = (State.DONE, State.REJECTED)


def remove_finished(database: Database, objects: ObjectStore, received_before: float, now: float) -> int:
    """Remove the objects of finished studies whose every instance was received before `received_before`.

    Works in small transactions, so that the receiver never waits for it. The row is marked first: a crash in
    between leaves a file that nothing needs, never a row that promises a file that is gone.

    Returns the number of studies whose objects were removed.
    """
    total = 0
    while True:
        with database.write() as connection:
            studies = _finished(connection, received_before)
            keys = [key for study in studies for key in _mark_removed(connection, study, now)]
        if not studies:
            return total
        for key in keys:
            objects.remove(key)
        total += len(studies)


def _finished(connection: Connection, received_before: float) -> list[str]:
    younger = instances.alias("younger")
    unfinished_job = exists().where(
        jobs.c.study_instance_uid == instances.c.study_instance_uid, jobs.c.state.not_in(FINISHED)
    )
    undelivered = exists().where(
        results.c.study_instance_uid == instances.c.study_instance_uid,
        deliveries.c.result_id == results.c.id,
        deliveries.c.state != State.DONE,
    )
    received_later = exists().where(
        younger.c.study_instance_uid == instances.c.study_instance_uid,
        younger.c.received_at >= received_before,
    )
    return list(
        connection.execute(
            select(instances.c.study_instance_uid)
            .where(instances.c.object_removed_at.is_(None), ~received_later, ~unfinished_job, ~undelivered)
            .distinct()
            .limit(STUDIES_AT_ONCE)
        ).scalars()
    )


def _mark_removed(connection: Connection, study_instance_uid: str, now: float) -> list[str]:
    of_study = instances.c.study_instance_uid == study_instance_uid
    aside = select(conflicting_objects.c.object_key).join(
        instances, instances.c.id == conflicting_objects.c.instance_id
    )
    keys = list(connection.execute(aside.where(of_study)).scalars())
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
