"""What happens to a radiograph that was received, each step one transaction's worth: analysed, reported, retried.

The functions take a connection and leave the commit to the caller, who may answer the peer only after it.
"""

from collections.abc import Iterable
from dataclasses import asdict, fields
from typing import Any

from sqlalchemy import Connection, Table, exists, insert, or_, select, update
from sqlalchemy.sql import func

from storage import queue
from storage.reception import queue_report
from storage.records import (
    AnalysedInstance,
    AnsweredInstance,
    Job,
    JobKind,
    PriorPrediction,
    Result,
    ShadowAnswer,
    StoredPrediction,
)
from storage.schema import (
    deliveries,
    instances,
    jobs,
    predictions,
    results,
    shadow_answers,
)
from storage.states import ARRIVED, OPEN, State
from storage.urgency import study_priority

MOST_IN_SHADOW = 1000
"""A candidate looks back over so many of the latest answered images."""


def predicted(connection: Connection, job: Job, owner: str, prediction: StoredPrediction, now: float) -> None:
    """End an analyse job with what the classifier said. Raises LeaseLost."""
    queue.succeed(connection, jobs, job.id, owner, now)
    connection.execute(
        insert(predictions).values({**asdict(prediction), "instance_id": job.instance_id, "created_at": now})
    )


def next_in_shadow(connection: Connection) -> AnsweredInstance | None:
    """Return the latest answered instance that no candidate has looked at, or None.

    Of the MOST_IN_SHADOW latest, so that asking stays cheap however many there are, and while their bytes are kept.
    """
    latest = (
        select(predictions.c.id, predictions.c.instance_id)
        .order_by(predictions.c.id.desc())
        .limit(MOST_IN_SHADOW)
        .subquery()
    )
    row = connection.execute(
        select(*(instances.c[field.name] for field in fields(AnsweredInstance)))
        .join(latest, latest.c.instance_id == instances.c.id)
        .outerjoin(shadow_answers, shadow_answers.c.instance_id == instances.c.id)
        .where(shadow_answers.c.id.is_(None), instances.c.object_removed_at.is_(None))
        .order_by(latest.c.id.desc())
        .limit(1)
    ).one_or_none()
    return None if row is None else AnsweredInstance(*row)


def shadowed(connection: Connection, instance_id: int, answer: ShadowAnswer, now: float) -> None:
    """Keep what a candidate said of an instance that has its prediction; nothing is reported of it."""
    connection.execute(
        insert(shadow_answers).values({**asdict(answer), "instance_id": instance_id, "created_at": now})
    )


def reported(
    connection: Connection, job: Job, owner: str, made: Iterable[tuple[Result, Iterable[str]]], now: float
) -> None:
    """End a report job with what it made, each put into the outbox of the destinations named. Raises LeaseLost."""
    queue.succeed(connection, jobs, job.id, owner, now)
    priority = study_priority(connection, job.study_instance_uid)
    for result, destinations in made:
        result_id = connection.execute(
            insert(results)
            .values(
                {
                    **asdict(result),
                    "job_id": job.id,
                    "study_instance_uid": job.study_instance_uid,
                    "revision": job.revision,
                    "created_at": now,
                }
            )
            .returning(results.c.id)
        ).scalar_one()
        for destination in destinations:
            connection.execute(
                insert(deliveries).values(
                    result_id=result_id,
                    destination=destination,
                    priority=priority,
                    state=State.QUEUED,
                    attempts=0,
                    not_before=now,
                    queued_at=now,
                )
            )


def lost(
    connection: Connection, table: Table, row_id: int, owner: str, now: float, reason: str, **values: Any
) -> None:
    """End a delivery whose result is missing or altered, and queue a further report, if it is of the last one.

    It waits for a person, who should know that the disk lost something; nobody is promised the object any more. Raises
    LeaseLost.
    """
    queue.give_up(connection, table, row_id, owner, now, reason, **values)
    study_instance_uid, revision = connection.execute(
        update(results)
        .where(results.c.id == select(table.c.result_id).where(table.c.id == row_id).scalar_subquery())
        .values(object_removed_at=func.coalesce(results.c.object_removed_at, now))
        .returning(results.c.study_instance_uid, results.c.revision)
    ).one()
    later = exists().where(
        jobs.c.study_instance_uid == study_instance_uid,
        jobs.c.kind == JobKind.REPORT,
        jobs.c.revision > revision,
    )
    if not connection.execute(select(later)).scalar_one():
        queue_report(connection, study_instance_uid, now, now)


def study_instances(connection: Connection, study_instance_uid: str) -> list[AnalysedInstance]:
    """Return every instance of the study that was to be analysed, by SOP Instance UID, and how that ended."""
    rows = connection.execute(
        select(
            instances.c.sop_instance_uid,
            instances.c.object_key,
            jobs.c.state,
            jobs.c.reason,
            predictions.c.id.is_not(None),
            *(predictions.c[field.name] for field in fields(StoredPrediction)),
        )
        .join(jobs, jobs.c.instance_id == instances.c.id)
        .outerjoin(predictions, predictions.c.instance_id == instances.c.id)
        .where(instances.c.study_instance_uid == study_instance_uid, instances.c.object_removed_at.is_(None))
        .order_by(instances.c.sop_instance_uid)
    )
    return [
        AnalysedInstance(
            uid, object_key, State(state), reason, StoredPrediction(*prediction) if is_predicted else None
        )
        for uid, object_key, state, reason, is_predicted, *prediction in rows
    ]


def answered_by_others(connection: Connection, study_instance_uid: str, model_sha256: str) -> list[int]:
    """Return the ids of the study's instances, as far as they are still here, that another model has answered."""
    rows = connection.execute(
        select(instances.c.id)
        .join(predictions, predictions.c.instance_id == instances.c.id)
        .where(
            instances.c.study_instance_uid == study_instance_uid,
            instances.c.object_removed_at.is_(None),
            predictions.c.model_sha256 != model_sha256,
        )
    )
    return list(rows.scalars())


def previous_result(
    connection: Connection, study_instance_uid: str, kind: str, revision: int
) -> Result | None:
    """Return the latest result of this kind made for the study before `revision`, or None."""
    row = connection.execute(
        select(*queue.RESULT_COLUMNS)
        .where(
            results.c.study_instance_uid == study_instance_uid,
            results.c.kind == kind,
            results.c.revision < revision,
        )
        .order_by(results.c.revision.desc())
        .limit(1)
    ).one_or_none()
    return None if row is None else Result(*row)


def is_reported_later(connection: Connection, study_instance_uid: str, revision: int) -> bool:
    """Tell whether the study has a report of a later revision, as when this one is retried after that."""
    later = exists().where(results.c.study_instance_uid == study_instance_uid, results.c.revision > revision)
    return bool(connection.execute(select(later)).scalar_one())


def destinations_of_earlier(
    connection: Connection, study_instance_uid: str, kind: str, revision: int
) -> frozenset[str]:
    """Return the destinations that got, or are still to get, a result of this kind made before `revision`."""
    rows = connection.execute(
        select(deliveries.c.destination)
        .join(results, results.c.id == deliveries.c.result_id)
        .where(
            results.c.study_instance_uid == study_instance_uid,
            results.c.kind == kind,
            results.c.revision < revision,
            deliveries.c.state.in_((*OPEN, *ARRIVED)),
        )
    )
    return frozenset(rows.scalars())


def priors(connection: Connection, study_instance_uid: str, most: int) -> list[PriorPrediction]:
    """Return the predictions for the earlier studies of the same patient, at most `most`, newest first.

    The same patient is one with the same ID, issuer and birth date, none but the issuer empty: an ID alone is given
    twice, and unknown patients share one. A study without a date has no earlier ones; and one of which the images name
    different patients, while it is being corrected for example, neither has nor is one.
    """
    identity = (instances.c.patient_id, instances.c.issuer_of_patient_id, instances.c.patient_birth_date)
    patients = connection.execute(
        select(*identity, func.max(instances.c.study_date))
        .where(instances.c.study_instance_uid == study_instance_uid, instances.c.stored_only.is_(None))
        .group_by(*identity)
    ).all()
    if len(patients) != 1:
        return []
    [(patient_id, issuer, birth_date, study_date)] = patients
    if not (patient_id and birth_date and study_date):
        return []
    beside = instances.alias("beside")
    is_anothers_too = exists().where(
        beside.c.study_instance_uid == instances.c.study_instance_uid,
        beside.c.stored_only.is_(None),
        or_(
            beside.c.patient_id != patient_id,
            beside.c.issuer_of_patient_id != issuer,
            beside.c.patient_birth_date != birth_date,
        ),
    )
    rows = connection.execute(
        select(
            instances.c.study_instance_uid,
            instances.c.study_date,
            predictions.c.score,
            predictions.c.answer,
            predictions.c.model_sha256,
        )
        .join(predictions, predictions.c.instance_id == instances.c.id)
        .where(
            instances.c.patient_id == patient_id,
            instances.c.issuer_of_patient_id == issuer,
            instances.c.patient_birth_date == birth_date,
            instances.c.study_instance_uid != study_instance_uid,
            instances.c.study_date != "",
            instances.c.study_date <= study_date,
            ~is_anothers_too,
        )
        .order_by(instances.c.study_date.desc(), instances.c.study_instance_uid, predictions.c.score.desc())
    )
    highest: dict[str, PriorPrediction] = {}
    for study, *values in rows:
        highest.setdefault(study, PriorPrediction(*values))
        if len(highest) > most:
            break
    return list(highest.values())[:most]


def retry_jobs(connection: Connection, job_ids: list[int], now: float) -> list[int]:
    """Queue failed and rejected jobs again at an operator's word, and the reports that depend on them.

    Returns the ids of the jobs that were queued; the others were not failed or rejected.
    """
    retried = queue.retry_by_hand(connection, jobs, job_ids, now)
    studies = connection.execute(
        select(jobs.c.study_instance_uid)
        .join(instances, instances.c.id == jobs.c.instance_id)
        .where(jobs.c.id.in_(queue.each_of(retried)), instances.c.is_prior.is_(False))
        .distinct()
    ).scalars()
    for study_instance_uid in studies.all():
        queue_report(connection, study_instance_uid, now, now)
    return retried
