"""What people and monitors ask of the database: the state of the queue, and the story of one study."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, Select, Table, func, or_, select

from storage.pauses import all_pauses
from storage.queue import FOR_A_PERSON
from storage.records import JobKind, Priority
from storage.schema import (
    IS_OPEN,
    audit,
    conflicting_objects,
    counts,
    deliveries,
    fetches,
    instances,
    jobs,
    predictions,
    results,
)
from storage.states import JOB_STATES, OPEN, State
from storage.urgency import study_priority

LONGEST_NUMBER = 18
"""Digits of an id: more do not fit into the database's integers."""


def status(connection: Connection, now: float) -> dict[str, Any]:
    """Return the queue in numbers: instances received, jobs and deliveries by state, what is paused, and the oldest
    wait.
    """
    waiting = [since for table in (jobs, deliveries) if (since := _oldest(connection, table)) is not None]
    counted = _counted(connection)
    of_instances, aside = counted["instances", ""], counted["conflicting_objects", ""]
    by_destination = {to: states for (table, to), states in counted.items() if table == "deliveries"}
    by_state = {table: _states(JOB_STATES, counted[table, ""]) for table in ("jobs", "fetches")}
    by_state["deliveries"] = _states(State, sum(by_destination.values(), Counter()))
    return {
        "instances_received": of_instances["rows"],
        "instances_received_again": of_instances["times_received"],
        "instances_corrected": aside["corrected_at"],
        "instances_kept_aside": aside["rows"] - aside["corrected_at"],
        "waiting_for_a_person": sum(
            by_state[table.name][state] for table, states in FOR_A_PERSON.items() for state in states
        ),
        **by_state,
        "deliveries_by_destination": {to: _states(State, states) for to, states in by_destination.items()},
        "paused": [asdict(each) for each in all_pauses(connection)],
        "oldest_waiting_seconds": max(0.0, round(now - min(waiting), 3)) if waiting else 0.0,
        "refused_last_day": _refused(connection, now - 86400),
    }


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

    of_study = select(instances.c.id).where(instances.c.study_instance_uid == study_instance_uid)
    return {
        "study_instance_uid": study_instance_uid,
        "is_urgent": study_priority(connection, study_instance_uid) is Priority.URGENT,
        "instances": rows(
            select(
                instances.c.sop_instance_uid,
                instances.c.accession_number,
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
                jobs.c.queued_at,
                jobs.c.first_claimed_at,
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
                    conflicting_objects.c.instance_id.in_(of_study),
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
                fetches.c.queued_at,
                fetches.c.first_claimed_at,
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
                jobs.c.queued_at,
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
                deliveries.c.queued_at,
                deliveries.c.first_claimed_at,
                deliveries.c.delivered_at,
                deliveries.c.ended_at,
            )
            .join(results, results.c.id == deliveries.c.result_id)
            .where(results.c.study_instance_uid == study_instance_uid)
            .order_by(deliveries.c.id)
        ),
    }


def begins_at(connection: Connection) -> float | None:
    """Return since when the database tells what happened: its first record; None: it is empty."""
    return connection.execute(select(audit.c.at).order_by(audit.c.id).limit(1)).scalar_one_or_none()


def open_deliveries(connection: Connection) -> dict[str, int]:
    """Return how many deliveries each destination still has to get."""
    return {
        destination: many
        for (table, destination), states in _counted(connection).items()
        if table == "deliveries" and (many := sum(states[state] for state in OPEN))
    }


def waiting_for_a_person(connection: Connection) -> tuple[list[int], list[int]]:
    """Return the ids of the jobs that failed, and of the deliveries that failed or were refused."""
    job_ids, delivery_ids = (
        list(connection.execute(select(table.c.id).where(table.c.state.in_(states))).scalars())
        for table, states in FOR_A_PERSON.items()
    )
    return job_ids, delivery_ids


def _refused(connection: Connection, since: float) -> dict[str, int]:
    """Return how many associations were refused, by reason."""
    refused = select(audit.c.detail).where(audit.c.event == "association_refused", audit.c.at >= since)
    found: Counter[str] = Counter()
    for detail in connection.execute(refused).scalars():
        found[detail["reason"]] += detail.get("count", 1)  # older versions wrote each one down
    return dict(found)


def _counted(connection: Connection) -> defaultdict[tuple[str, str], Counter[str]]:
    """Return the counts by table, and by destination where there is one."""
    found: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for table, destination, what, number in connection.execute(select(*counts.c)):
        found[table, destination][what] = number
    return found


def _states(states: Iterable[State], counted: Counter[str]) -> dict[str, int]:
    return {str(state): counted[state] for state in states}


def _oldest(connection: Connection, table: Table) -> float | None:
    oldest: float | None = connection.execute(select(func.min(table.c.queued_at)).where(IS_OPEN)).scalar_one()
    return oldest


def engine_in_use(connection: Connection) -> dict[str, Any] | None:
    """Return model, version and engine that films are analysed by, as they were last written down, or None."""
    loaded = (
        select(audit.c.detail).where(audit.c.event == "model_loaded").order_by(audit.c.at.desc()).limit(1)
    )
    detail: dict[str, Any] | None = connection.execute(loaded).scalar()
    return detail
