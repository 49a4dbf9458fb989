"""What happens to a radiograph, each step one transaction's worth: received, analysed, reported.

The functions take a connection and leave the commit to the caller, who may answer the peer only after it.
"""

from collections.abc import Iterable
from dataclasses import asdict, fields

from sqlalchemy import Connection, delete, exists, insert, or_, select, update
from sqlalchemy.sql import func

from storage import queue
from storage.records import (
    OWN_RESULT,
    AnalysedInstance,
    AnsweredInstance,
    Difference,
    Job,
    JobKind,
    PriorPrediction,
    Receipt,
    ReceivedInstance,
    Result,
    ShadowAnswer,
    StoredPrediction,
)
from storage.schema import (
    conflicting_objects,
    deliveries,
    instances,
    jobs,
    predictions,
    results,
    shadow_answers,
)
from storage.states import State

MOST_IN_SHADOW = 1000
"""A candidate looks back over so many of the latest answered images."""


def known_object(connection: Connection, sop_instance_uid: str) -> str | None:
    """Return the key of the bytes that count for an instance, or None where it was never received."""
    key: str | None = connection.execute(
        select(instances.c.object_key).where(instances.c.sop_instance_uid == sop_instance_uid)
    ).scalar()
    return key


def receive(
    connection: Connection,
    received: ReceivedInstance,
    quiet_seconds: float,
    now: float,
    difference: Difference = Difference.IMAGE,
) -> Receipt:
    """Enter an instance whose bytes are already durable, and queue its analysis and its study's report.

    The same bytes again, and others that differ in nothing that matters, are counted and change nothing. Where they
    differ in their data they count from now on: the image is analysed and its study reported again. With other pixels
    under the same UID they are kept aside: the first ones were answered with Success, and stay the ones that count.

    Parameters
    ----------
    difference
        From the bytes that count for this instance, where there are some and they are not the same.
    """
    known = connection.execute(
        select(instances.c.id, instances.c.object_key, instances.c.is_prior).where(
            instances.c.sop_instance_uid == received.sop_instance_uid
        )
    ).one_or_none()
    if known is None:
        return _enter(connection, received, quiet_seconds, now)
    connection.execute(
        update(instances)
        .where(instances.c.id == known.id)
        .values(times_received=instances.c.times_received + 1)
    )
    receipt = Receipt.DUPLICATE
    if received.object_key != known.object_key:
        receipt = _receive_other_bytes(
            connection, known.id, known.object_key, received, quiet_seconds, now, difference
        )
    if known.is_prior and not received.is_prior and receipt is not Receipt.CONFLICT:
        # fetched before as an earlier film, and now sent to be read: it waits from now on, and gets all its attempts
        connection.execute(update(instances).where(instances.c.id == known.id).values(received_at=now))
        failed = select(jobs.c.id).where(jobs.c.instance_id == known.id, jobs.c.state == State.FAILED)
        queue.retry_by_hand(connection, jobs, list(connection.execute(failed).scalars()), now)
        queue_report(connection, received.study_instance_uid, now + quiet_seconds, now)
        receipt = Receipt.NEW
    return receipt


def queue_report(connection: Connection, study_instance_uid: str, not_before: float, now: float) -> None:
    """Make sure that a report of the study is queued, not to be made before `not_before`.

    A report that is still queued is put off; one that was claimed already is left alone, and a further revision
    is queued behind it. What was fetched of the study as earlier films is to be read with the others.
    """
    connection.execute(
        update(instances)
        .where(instances.c.study_instance_uid == study_instance_uid, instances.c.is_prior)
        .values(is_prior=False)
    )
    put_off = connection.execute(
        update(jobs)
        .where(
            jobs.c.kind == JobKind.REPORT,
            jobs.c.study_instance_uid == study_instance_uid,
            jobs.c.state == State.QUEUED,
        )
        .values(not_before=not_before)
    )
    if put_off.rowcount:
        return
    latest = connection.execute(
        select(func.max(jobs.c.revision)).where(jobs.c.study_instance_uid == study_instance_uid)
    ).scalar_one()
    _queue_job(
        connection,
        not_before,
        now,
        kind=JobKind.REPORT,
        study_instance_uid=study_instance_uid,
        revision=(latest or 0) + 1,
    )


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
                    state=State.QUEUED,
                    attempts=0,
                    not_before=now,
                    queued_at=now,
                )
            )


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


def destinations_of_earlier(
    connection: Connection, study_instance_uid: str, kind: str, revision: int
) -> frozenset[str]:
    """Return the destinations that a result of this kind, made for the study before `revision`, is or was for."""
    rows = connection.execute(
        select(deliveries.c.destination)
        .join(results, results.c.id == deliveries.c.result_id)
        .where(
            results.c.study_instance_uid == study_instance_uid,
            results.c.kind == kind,
            results.c.revision < revision,
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
        .where(jobs.c.id.in_(retried), instances.c.is_prior.is_(False))
        .distinct()
    ).scalars()
    for study_instance_uid in studies.all():
        queue_report(connection, study_instance_uid, now, now)
    return retried


def _queue_job(connection: Connection, not_before: float, now: float, **values: object) -> None:
    connection.execute(
        insert(jobs).values(state=State.QUEUED, attempts=0, not_before=not_before, queued_at=now, **values)
    )


def _enter(connection: Connection, received: ReceivedInstance, quiet_seconds: float, now: float) -> Receipt:
    stored_only = (
        OWN_RESULT if _is_own_result(connection, received.sop_instance_uid) else received.stored_only
    )
    instance_id = connection.execute(
        insert(instances)
        .values({**asdict(received), "stored_only": stored_only, "received_at": now, "times_received": 1})
        .returning(instances.c.id)
    ).scalar_one()
    if stored_only is None:
        _queue_job(
            connection,
            now,
            now,
            kind=JobKind.ANALYSE,
            study_instance_uid=received.study_instance_uid,
            instance_id=instance_id,
        )
        if not received.is_prior:
            queue_report(connection, received.study_instance_uid, now + quiet_seconds, now)
    return Receipt.NEW


def _correct(
    connection: Connection,
    instance_id: int,
    replaced_key: str,
    received: ReceivedInstance,
    quiet_seconds: float,
    now: float,
) -> None:
    """Let other bytes count for an instance; what was made of the replaced ones stays as it is."""
    _keep_aside(connection, instance_id, replaced_key, received.source, now, corrected_at=now)
    values = asdict(received)
    for unchanged in ("sop_instance_uid", "stored_only", "is_prior"):
        del values[unchanged]
    row = connection.execute(
        update(instances)
        .where(instances.c.id == instance_id)
        .values({**values, "object_removed_at": None})
        .returning(instances.c.stored_only, instances.c.is_prior)
    ).one()
    if row.stored_only is not None:
        return
    for made in (predictions, shadow_answers):
        connection.execute(delete(made).where(made.c.instance_id == instance_id))
    connection.execute(
        update(jobs)
        .where(jobs.c.instance_id == instance_id)
        .values(study_instance_uid=received.study_instance_uid)
    )
    queue.corrected(connection, instance_id, now)
    if not row.is_prior:
        queue_report(connection, received.study_instance_uid, now + quiet_seconds, now)


def _receive_other_bytes(
    connection: Connection,
    instance_id: int,
    known_key: str,
    received: ReceivedInstance,
    quiet_seconds: float,
    now: float,
    difference: Difference,
) -> Receipt:
    aside = connection.execute(
        select(conflicting_objects.c.corrected_at).where(
            conflicting_objects.c.instance_id == instance_id,
            conflicting_objects.c.object_key == received.object_key,
        )
    ).one_or_none()
    if aside is not None:
        # what a correction has replaced does not come back with a sender that has not heard of it
        return Receipt.CONFLICT if aside.corrected_at is None else Receipt.DUPLICATE
    if difference is Difference.NONE:
        return Receipt.DUPLICATE
    if difference is Difference.IMAGE:
        _keep_aside(connection, instance_id, received.object_key, received.source, now, corrected_at=None)
        return Receipt.CONFLICT
    _correct(connection, instance_id, known_key, received, quiet_seconds, now)
    return Receipt.CORRECTED


def _keep_aside(
    connection: Connection,
    instance_id: int,
    object_key: str,
    source: str,
    now: float,
    corrected_at: float | None,
) -> None:
    connection.execute(
        insert(conflicting_objects).values(
            instance_id=instance_id,
            object_key=object_key,
            source=source,
            received_at=now,
            corrected_at=corrected_at,
        )
    )


def _is_own_result(connection: Connection, sop_instance_uid: str) -> bool:
    made = exists().where(results.c.sop_instance_uid == sop_instance_uid)
    sent = exists().where(deliveries.c.sent_sop_instance_uid == sop_instance_uid)
    return bool(connection.execute(select(or_(made, sent))).scalar_one())
