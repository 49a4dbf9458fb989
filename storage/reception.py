"""How an instance enters the ledger: new, the same again, corrected, or another image under a known UID.

The functions take a connection and leave the commit to the caller, who may answer the peer only after it.

A sender waits for what stands here: the statements of an instance that is new are prepared.
"""

from collections.abc import Iterable
from dataclasses import fields
from typing import Any

from sqlalchemy import (
    BindParameter,
    Connection,
    and_,
    bindparam,
    delete,
    exists,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.sql import func

from storage import queue
from storage.prepared import Prepared
from storage.records import (
    OBJECT_MISSING,
    OWN_RESULT,
    Difference,
    JobKind,
    KnownObject,
    Priority,
    Receipt,
    ReceivedInstance,
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
from storage.states import CAME_TO_NOTHING, State
from storage.urgency import hasten, priority_of_study

_UID: BindParameter[str] = bindparam("uid")
_KNOWN_OBJECT = Prepared(
    select(instances.c.object_key, instances.c.object_removed_at.is_(None).label("is_kept")).where(
        instances.c.sop_instance_uid == _UID
    )
)
_KNOWN = Prepared(
    select(instances.c.id, instances.c.object_key, instances.c.is_prior, instances.c.source).where(
        instances.c.sop_instance_uid == _UID
    )
)
_IS_OWN_RESULT = or_(
    exists().where(results.c.sop_instance_uid == _UID),
    exists().where(deliveries.c.sent_sop_instance_uid == _UID),
)
_COLUMNS = tuple(field.name for field in fields(ReceivedInstance))
_ENTERED = Prepared(insert(instances).returning(instances.c.id), *_COLUMNS, "received_at", "times_received")
_QUEUED = Prepared(
    insert(jobs),
    *("kind", "study_instance_uid", "instance_id", "revision", "priority"),
    *("state", "attempts", "not_before", "queued_at"),
)
_IS_WAITING_REPORT = and_(jobs.c.kind == JobKind.REPORT, jobs.c.state == State.QUEUED)
_PUT_OFF = Prepared(
    update(jobs)
    .where(jobs.c.study_instance_uid == _UID, _IS_WAITING_REPORT)
    .values(not_before=bindparam("later"))
)
_STUDY: BindParameter[str] = bindparam("study")
_ABOUT_STUDY = select(
    func.min(jobs.c.priority).label("most_urgent"),
    func.max(jobs.c.priority).label("least_urgent"),
    func.max(jobs.c.revision).label("revision"),
    func.count().filter(_IS_WAITING_REPORT).label("waiting_reports"),
    exists().where(instances.c.study_instance_uid == _STUDY, instances.c.is_prior).label("has_earlier_films"),
).where(jobs.c.study_instance_uid == _STUDY)
_JOBS_OF_STUDY = Prepared(_ABOUT_STUDY)
_JOBS_BESIDE = Prepared(_ABOUT_STUDY.add_columns(_IS_OWN_RESULT.label("is_own_result")))


def known_object(connection: Connection, sop_instance_uid: str) -> KnownObject | None:
    """Return the bytes that count for an instance, or None where it was never received."""
    for row in _KNOWN_OBJECT.rows(connection, {"uid": sop_instance_uid}):
        return KnownObject(row.object_key, bool(row.is_kept))
    return None


def receive(
    connection: Connection,
    received: ReceivedInstance,
    quiet_seconds: float,
    now: float,
    difference: Difference = Difference.IMAGE,
    *,
    from_archive: bool = False,
    is_urgent: bool = False,
) -> Receipt:
    """Enter an instance whose bytes are already durable, and queue its analysis and its study's report.

    The same bytes again, and others that differ in nothing that matters, are counted and change nothing. Where they
    differ in their data they count from now on: the image is analysed and its study reported again. With other pixels
    under the same UID they are kept aside: the first ones were answered with Success, and stay the ones that count.
    So are the other data of an image that somebody else has sent, where no archive says so. Where the first bytes were
    lost here, what may correct them replaces them, and what failed without them is queued again.

    Parameters
    ----------
    difference
        From the bytes that count for this instance, where there are some and they are not the same.
    from_archive
        Its sender may correct what others have sent.
    is_urgent
        Its sender is waiting: everything of its study goes first from now on, also what is queued already.
    """
    receipt = _receive(connection, received, quiet_seconds, now, difference, from_archive=from_archive)
    if is_urgent:
        hasten(connection, received.study_instance_uid)
    return receipt


def _receive(
    connection: Connection,
    received: ReceivedInstance,
    quiet_seconds: float,
    now: float,
    difference: Difference,
    *,
    from_archive: bool,
) -> Receipt:
    rows = _KNOWN.rows(connection, {"uid": received.sop_instance_uid})
    if not rows:
        return _enter(connection, received, quiet_seconds, now)
    known = rows[0]
    connection.execute(
        update(instances)
        .where(instances.c.id == known.id)
        .values(times_received=instances.c.times_received + 1)
    )
    is_now_to_be_read = known.is_prior and not received.is_prior
    if is_now_to_be_read and difference is Difference.IMAGE:
        # what is sent to be read counts, not what the archive has of it, compressed perhaps, or removed here since
        difference = Difference.DATA
    is_trusted = is_now_to_be_read or from_archive or received.source == known.source
    if difference in (Difference.DATA, Difference.LOST) and not is_trusted:
        difference = Difference.IMAGE
    receipt = Receipt.DUPLICATE
    if received.object_key == known.object_key or difference is Difference.LOST:
        _queue_what_missed_it(connection, known.id, quiet_seconds, now)
    if received.object_key != known.object_key:
        receipt = _receive_other_bytes(
            connection, known.id, known.object_key, received, quiet_seconds, now, difference
        )
    if is_now_to_be_read:
        # it waits from now on, and gets all its attempts
        connection.execute(
            update(instances)
            .where(instances.c.id == known.id)
            .values(received_at=now, object_removed_at=None, patient_name=received.patient_name)
        )
        failed = select(jobs.c.id).where(jobs.c.instance_id == known.id, jobs.c.state.in_(CAME_TO_NOTHING))
        queue.retry_by_hand(connection, jobs, list(connection.execute(failed).scalars()), now)
        queue_report(connection, received.study_instance_uid, now + quiet_seconds, now)
        receipt = Receipt.NEW
    return receipt


def analyse_again(connection: Connection, instance_ids: Iterable[int], now: float) -> None:
    """Queue the analysis of these instances anew, and take back what was said of them so far."""
    for instance_id in instance_ids:
        for made in (predictions, shadow_answers):
            connection.execute(delete(made).where(made.c.instance_id == instance_id))
        queue.corrected(connection, instance_id, now)


def queue_report(connection: Connection, study_instance_uid: str, not_before: float, now: float) -> None:
    """Make sure that a report of the study is queued, not to be made before `not_before`.

    A report that is still queued is put off; one that was claimed already is left alone, and a further revision
    is queued behind it. What was fetched of the study as earlier films is to be read with the others.
    """
    (found,) = _JOBS_OF_STUDY.rows(connection, {"study": study_instance_uid})
    _put_report(connection, found, study_instance_uid, not_before, now)


def _put_report(
    connection: Connection,
    found: Any,  # noqa: ANN401 - a row of _ABOUT_STUDY
    study_instance_uid: str,
    not_before: float,
    now: float,
) -> None:
    if found.has_earlier_films:
        connection.execute(
            update(instances)
            .where(instances.c.study_instance_uid == study_instance_uid, instances.c.is_prior)
            .values(is_prior=False)
        )
    priority = priority_of_study(found.most_urgent)
    if found.least_urgent is not None and found.least_urgent > priority:
        connection.execute(
            update(jobs)
            .where(jobs.c.study_instance_uid == study_instance_uid, jobs.c.priority > priority)
            .values(priority=priority)
        )
    if found.waiting_reports:
        _PUT_OFF.do(connection, {"uid": study_instance_uid, "later": not_before})
        return
    revision = (found.revision or 0) + 1
    _QUEUED.do(
        connection, _job(JobKind.REPORT, study_instance_uid, not_before, now, priority, revision=revision)
    )


def _job(
    kind: JobKind,
    study_instance_uid: str,
    not_before: float,
    now: float,
    priority: Priority,
    *,
    instance_id: int | None = None,
    revision: int | None = None,
) -> dict[str, object]:
    return {
        "kind": kind,
        "study_instance_uid": study_instance_uid,
        "instance_id": instance_id,
        "revision": revision,
        "priority": priority,
        "state": State.QUEUED,
        "attempts": 0,
        "not_before": not_before,
        "queued_at": now,
    }


def _enter(connection: Connection, received: ReceivedInstance, quiet_seconds: float, now: float) -> Receipt:
    uid, study = received.sop_instance_uid, received.study_instance_uid
    (beside,) = _JOBS_BESIDE.rows(connection, {"uid": uid, "study": study})
    stored_only = OWN_RESULT if beside.is_own_result else received.stored_only
    (entered,) = _ENTERED.rows(
        connection,
        _values(received) | {"stored_only": stored_only, "received_at": now, "times_received": 1},
    )
    if stored_only is None:
        priority = Priority.EARLIER_FILM if received.is_prior else priority_of_study(beside.most_urgent)
        _QUEUED.do(connection, _job(JobKind.ANALYSE, study, now, now, priority, instance_id=entered.id))
        if not received.is_prior:
            _put_report(connection, beside, study, now + quiet_seconds, now)
    return Receipt.NEW


def _values(received: ReceivedInstance) -> dict[str, object]:
    return {name: getattr(received, name) for name in _COLUMNS}  # asdict() copies each value deeply


def _correct(
    connection: Connection,
    instance_id: int,
    replaced_key: str | None,
    received: ReceivedInstance,
    quiet_seconds: float,
    now: float,
) -> None:
    """Let other bytes count for an instance; what was made of the replaced ones stays as it is. None: those are lost.

    An image that is of another study now is missing in the next report of the one that it was of, if others are left.
    """
    study = connection.execute(
        select(instances.c.study_instance_uid).where(instances.c.id == instance_id)
    ).scalar_one()
    connection.execute(
        delete(conflicting_objects).where(  # they may have been kept aside before
            conflicting_objects.c.instance_id == instance_id,
            conflicting_objects.c.object_key == received.object_key,
        )
    )
    if replaced_key is not None:
        _keep_aside(connection, instance_id, study, replaced_key, received.source, now, corrected_at=now)
    values = _values(received)
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
    connection.execute(
        update(jobs)
        .where(jobs.c.instance_id == instance_id)
        .values(study_instance_uid=received.study_instance_uid)
    )
    analyse_again(connection, [instance_id], now)
    if not row.is_prior:
        queue_report(connection, received.study_instance_uid, now + quiet_seconds, now)
    if study != received.study_instance_uid and _has_films_to_be_read(connection, study):
        queue_report(connection, study, now + quiet_seconds, now)


def _has_films_to_be_read(connection: Connection, study_instance_uid: str) -> bool:
    film = exists().where(
        instances.c.study_instance_uid == study_instance_uid,
        instances.c.stored_only.is_(None),
        instances.c.is_prior.is_(False),
        instances.c.object_removed_at.is_(None),
    )
    return bool(connection.execute(select(film)).scalar_one())


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
    # what a correction has replaced does not come back with a sender that has not heard of it
    is_replaced = aside is not None and aside.corrected_at is not None
    if is_replaced or difference is Difference.NONE:
        return Receipt.DUPLICATE
    if difference is Difference.IMAGE:
        if aside is None:
            _keep_aside(
                connection,
                instance_id,
                received.study_instance_uid,
                received.object_key,
                received.source,
                now,
                corrected_at=None,
            )
        return Receipt.CONFLICT
    replaced_key = None if difference is Difference.LOST else known_key
    _correct(connection, instance_id, replaced_key, received, quiet_seconds, now)
    return Receipt.CORRECTED


def _queue_what_missed_it(connection: Connection, instance_id: int, quiet_seconds: float, now: float) -> None:
    """Queue again what failed because bytes of an instance that have come once more were missing or altered."""
    study, is_prior = connection.execute(
        select(instances.c.study_instance_uid, instances.c.is_prior).where(instances.c.id == instance_id)
    ).one()
    failed = connection.execute(
        select(jobs.c.id, jobs.c.kind).where(
            jobs.c.study_instance_uid == study,
            # any kind: with it SQLite goes by the study, and not through all that failed
            jobs.c.kind.in_(JobKind),
            or_(jobs.c.instance_id == instance_id, jobs.c.kind == JobKind.REPORT),
            jobs.c.state.in_(CAME_TO_NOTHING),
            jobs.c.reason == OBJECT_MISSING,
        )
    ).all()
    queue.retry_by_hand(connection, jobs, [row.id for row in failed], now)
    if not is_prior and any(row.kind == JobKind.ANALYSE for row in failed):
        queue_report(connection, study, now + quiet_seconds, now)


def _keep_aside(
    connection: Connection,
    instance_id: int,
    study_instance_uid: str,
    object_key: str,
    source: str,
    now: float,
    corrected_at: float | None,
) -> None:
    connection.execute(
        insert(conflicting_objects).values(
            instance_id=instance_id,
            study_instance_uid=study_instance_uid,
            object_key=object_key,
            source=source,
            received_at=now,
            corrected_at=corrected_at,
        )
    )
