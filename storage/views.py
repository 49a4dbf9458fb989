"""What people and monitors ask of the database: the state of the queue, lists of jobs, the story of one study."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Table, case, func, or_, select

from storage import queue
from storage.records import JobKind, Priority
from storage.schema import (
    audit,
    conflicting_objects,
    deliveries,
    fetches,
    instances,
    jobs,
    predictions,
    results,
)
from storage.states import JOB_STATES, OPEN, State

LONGEST_NUMBER = 18
"""Digits of an id: more do not fit into the database's integers."""

# A job that was rejected is an answer: the image is not analysable. A delivery that was is an answer that nobody got.
_JOB_FOR_A_PERSON = jobs.c.state == State.FAILED
_DELIVERY_FOR_A_PERSON = deliveries.c.state.in_((State.FAILED, State.REJECTED))


def status(connection: Connection, now: float) -> dict[str, Any]:
    """Return the queue in numbers: instances received, jobs and deliveries by state, and the oldest wait."""
    counts = connection.execute(
        select(func.count(), func.coalesce(func.sum(instances.c.times_received), 0)).select_from(instances)
    ).one()
    aside = connection.execute(
        select(func.count(), func.count(conflicting_objects.c.corrected_at)).select_from(conflicting_objects)
    ).one()
    oldest_job = _oldest(connection, jobs)
    oldest_delivery = _oldest(connection, deliveries)
    waiting = [since for since in (oldest_job, oldest_delivery) if since is not None]
    return {
        "instances_received": counts[0],
        "instances_received_again": counts[1] - counts[0],
        "instances_corrected": aside[1],
        "instances_kept_aside": aside[0] - aside[1],
        "waiting_for_a_person": sum(map(len, waiting_for_a_person(connection))),
        "jobs": _by_state(connection, jobs, JOB_STATES),
        "fetches": _by_state(connection, fetches, JOB_STATES),
        "deliveries": _by_state(connection, deliveries, State),
        "deliveries_by_destination": _by_destination(connection),
        "oldest_waiting_seconds": max(0.0, round(now - min(waiting), 3)) if waiting else 0.0,
        "refused_last_day": _refused(connection, now - 86400),
    }


def list_jobs(
    connection: Connection, state: State | None, most: int, *, for_a_person: bool = False
) -> list[dict[str, Any]]:
    """Return the newest jobs and deliveries, at most `most` of each: all, of one state, or those for a person."""
    job_rows = (
        select(
            jobs.c.id,
            jobs.c.kind,
            jobs.c.state,
            _priority(jobs),
            jobs.c.attempts,
            jobs.c.reason,
            jobs.c.not_before,
            jobs.c.queued_at,
            jobs.c.ended_at,
            jobs.c.study_instance_uid,
            jobs.c.revision,
            instances.c.sop_instance_uid,
            predictions.c.answer,
        )
        .outerjoin(instances, instances.c.id == jobs.c.instance_id)
        .outerjoin(predictions, predictions.c.instance_id == instances.c.id)
    )
    delivery_rows = select(
        deliveries.c.id,
        deliveries.c.destination,
        deliveries.c.state,
        _priority(deliveries),
        deliveries.c.attempts,
        deliveries.c.reason,
        deliveries.c.status,
        deliveries.c.not_before,
        deliveries.c.queued_at,
        deliveries.c.ended_at,
        results.c.kind,
        results.c.study_instance_uid,
        results.c.revision,
        results.c.sop_instance_uid,
    ).join(results, results.c.id == deliveries.c.result_id)
    if state is not None:
        job_rows = job_rows.where(jobs.c.state == state)
        delivery_rows = delivery_rows.where(deliveries.c.state == state)
    if for_a_person:
        job_rows = job_rows.where(_JOB_FOR_A_PERSON)
        delivery_rows = delivery_rows.where(_DELIVERY_FOR_A_PERSON)
    found = [
        {"id": f"j{row['id']}", **{key: value for key, value in row.items() if key != "id"}}
        for row in connection.execute(job_rows.order_by(jobs.c.id.desc()).limit(most)).mappings()
    ]
    found += [
        {"id": f"d{row['id']}", **{key: value for key, value in row.items() if key != "id"}}
        for row in connection.execute(delivery_rows.order_by(deliveries.c.id.desc()).limit(most)).mappings()
    ]
    return found


def find_study(connection: Connection, identifier: str) -> str | None:
    """Return the Study Instance UID behind a job or delivery id (`j7`, `d7`), any UID or an accession number."""
    number = identifier[1:]
    if identifier[:1] in ("j", "d") and number.isdecimal() and len(number) <= LONGEST_NUMBER:
        query = (
            select(jobs.c.study_instance_uid).where(jobs.c.id == int(number))
            if identifier[0] == "j"
            else select(results.c.study_instance_uid)
            .join(deliveries, deliveries.c.result_id == results.c.id)
            .where(deliveries.c.id == int(number))
        )
        return connection.execute(query).scalar()
    return (
        connection.execute(
            select(instances.c.study_instance_uid)
            .where(
                or_(
                    instances.c.study_instance_uid == identifier,
                    instances.c.sop_instance_uid == identifier,
                    instances.c.accession_number == identifier,
                )
            )
            .order_by(instances.c.id.desc())
            .limit(1)
        ).scalar()
        or connection.execute(
            select(results.c.study_instance_uid)
            .where(or_(results.c.study_instance_uid == identifier, results.c.sop_instance_uid == identifier))
            .limit(1)
        ).scalar()
        # all its images were moved to another study before it was reported
        or connection.execute(
            select(conflicting_objects.c.study_instance_uid)
            .where(conflicting_objects.c.study_instance_uid == identifier)
            .limit(1)
        ).scalar()
    )


def study(connection: Connection, study_instance_uid: str) -> dict[str, Any]:
    """Return everything that happened to a study: its instances, jobs, predictions, fetches, results and
    deliveries.
    """

    def rows(query: Select[Any]) -> list[dict[str, Any]]:
        return [dict(row) for row in connection.execute(query).mappings()]

    return {
        "study_instance_uid": study_instance_uid,
        "is_urgent": queue.study_priority(connection, study_instance_uid) is Priority.URGENT,
        "instances": rows(
            select(
                instances.c.sop_instance_uid,
                instances.c.sop_class_uid,
                instances.c.transfer_syntax_uid,
                instances.c.source,
                instances.c.received_at,
                instances.c.times_received,
                instances.c.stored_only,
                instances.c.is_prior,
                instances.c.object_key,
                instances.c.object_removed_at,
                jobs.c.id.label("job"),
                jobs.c.state,
                jobs.c.reason,
                jobs.c.attempts,
                jobs.c.not_before,
                jobs.c.ended_at,
                predictions.c.score,
                predictions.c.uncertain_from,
                predictions.c.likely_from,
                predictions.c.answer,
                predictions.c.side,
            )
            .outerjoin(jobs, jobs.c.instance_id == instances.c.id)
            .outerjoin(predictions, predictions.c.instance_id == instances.c.id)
            .where(instances.c.study_instance_uid == study_instance_uid)
            .order_by(instances.c.id)
        ),
        "kept_aside": rows(
            select(
                instances.c.sop_instance_uid,
                conflicting_objects.c.object_key,
                conflicting_objects.c.source,
                conflicting_objects.c.received_at,
                conflicting_objects.c.corrected_at,
                instances.c.study_instance_uid.label("counts_in_study"),
            )
            .join(instances, instances.c.id == conflicting_objects.c.instance_id)
            .where(
                or_(
                    instances.c.study_instance_uid == study_instance_uid,
                    conflicting_objects.c.study_instance_uid == study_instance_uid,
                )
            )
            .order_by(conflicting_objects.c.id)
        ),
        "fetches": rows(
            select(
                fetches.c.id.label("fetch"),
                fetches.c.state,
                fetches.c.reason,
                fetches.c.attempts,
                fetches.c.not_before,
                fetches.c.ended_at,
                fetches.c.fetched,
            )
            .where(fetches.c.study_instance_uid == study_instance_uid)
            .order_by(fetches.c.id)
        ),
        "reports": rows(
            select(
                jobs.c.id.label("job"),
                jobs.c.revision,
                jobs.c.state,
                jobs.c.reason,
                jobs.c.attempts,
                jobs.c.not_before,
                jobs.c.first_claimed_at,
                jobs.c.ended_at,
            )
            .where(jobs.c.study_instance_uid == study_instance_uid, jobs.c.kind == JobKind.REPORT)
            .order_by(jobs.c.revision)
        ),
        "deliveries": rows(
            select(
                deliveries.c.id.label("delivery"),
                results.c.kind,
                results.c.revision,
                results.c.sop_instance_uid,
                results.c.object_key,
                deliveries.c.destination,
                deliveries.c.state,
                deliveries.c.reason,
                deliveries.c.status,
                deliveries.c.attempts,
                deliveries.c.not_before,
                deliveries.c.delivered_at,
                deliveries.c.ended_at,
            )
            .join(results, results.c.id == deliveries.c.result_id)
            .where(results.c.study_instance_uid == study_instance_uid)
            .order_by(deliveries.c.id)
        ),
    }


def open_deliveries(connection: Connection) -> dict[str, int]:
    """Return how many deliveries each destination still has to get."""
    counted = connection.execute(
        select(deliveries.c.destination, func.count())
        .where(deliveries.c.state.in_(OPEN))
        .group_by(deliveries.c.destination)
    )
    return {destination: count for destination, count in counted}  # noqa: C416 - a Row is no pair to dict()


def waiting_for_a_person(connection: Connection) -> tuple[list[int], list[int]]:
    """Return the ids of the jobs that failed, and of the deliveries that failed or were refused."""
    job_ids = select(jobs.c.id).where(_JOB_FOR_A_PERSON)
    delivery_ids = select(deliveries.c.id).where(_DELIVERY_FOR_A_PERSON)
    return list(connection.execute(job_ids).scalars()), list(connection.execute(delivery_ids).scalars())


def _refused(connection: Connection, since: float) -> dict[str, int]:
    """Return how many associations were refused, by reason. Reads no older record than the last one before `since`."""
    before = select(audit.c.id).where(audit.c.at < since).order_by(audit.c.id.desc()).limit(1)
    refused = select(audit.c.detail).where(
        audit.c.id > func.coalesce(before.scalar_subquery(), 0), audit.c.event == "association_refused"
    )
    found: Counter[str] = Counter()
    for detail in connection.execute(refused).scalars():
        found[detail["reason"]] += detail.get("count", 1)  # older versions wrote each one down
    return dict(found)


def _priority(table: Table) -> ColumnElement[str]:
    """The column `priority` as a word."""
    words = {int(priority): priority.name.lower() for priority in Priority}
    return case(words, value=table.c.priority).label("priority")


def _by_state(connection: Connection, table: Table, states: Iterable[State]) -> dict[str, int]:
    counted = connection.execute(select(table.c.state, func.count()).group_by(table.c.state))
    found: dict[str, int] = {state: count for state, count in counted}  # noqa: C416 - a Row is no pair to dict()
    return {str(state): found.get(state, 0) for state in states}


def _by_destination(connection: Connection) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for destination, state, count in connection.execute(
        select(deliveries.c.destination, deliveries.c.state, func.count()).group_by(
            deliveries.c.destination, deliveries.c.state
        )
    ):
        found.setdefault(destination, {str(each): 0 for each in State})[state] = count
    return found


def _oldest(connection: Connection, table: Table) -> float | None:
    oldest: float | None = connection.execute(
        select(func.min(table.c.queued_at)).where(table.c.state.in_(OPEN))
    ).scalar_one()
    return oldest
