"""What holds of the rows whatever happens to a node, as data: a sentence for each breach, and the query that finds it.

Every transaction of this room leaves them true, so each row that a query finds was made by something else.
"""

from typing import Any

from sqlalchemy import ColumnElement, Select, Table, exists, func, literal, or_, select, union_all

from storage.records import JobKind
from storage.schema import (
    conflicting_objects,
    counts,
    deliveries,
    fetches,
    instances,
    jobs,
    predictions,
    results,
)
from storage.states import ARRIVED, OPEN, State

_ENDED = (State.COMMITTED, State.DONE, State.REJECTED, State.FAILED, State.DISMISSED)


def _of_the_state_machine(table: Table) -> tuple[tuple[str, Select[Any]], ...]:
    """Return what holds of every table whose rows go through `storage.states`."""
    is_running = table.c.state == State.RUNNING
    is_owned = table.c.owner.is_not(None)
    is_leased = table.c.lease_until.is_not(None)
    has_ended = table.c.state.in_(_ENDED)
    return (
        (
            f"{table.name} that run without an owner, a lease or a first claim",
            select(table.c.id).where(
                is_running, ~(is_owned & is_leased & table.c.first_claimed_at.is_not(None))
            ),
        ),
        (
            f"{table.name} that do not run and have an owner or a lease",
            select(table.c.id).where(~is_running, is_owned | is_leased),
        ),
        (
            f"{table.name} that have ended at no time, or have not ended and have a time of it",
            select(table.c.id).where(has_ended != table.c.ended_at.is_not(None)),
        ),
        (
            f"{table.name} that failed or were rejected for no reason",
            select(table.c.id).where(
                table.c.state.in_((State.FAILED, State.REJECTED)), table.c.reason.is_(None)
            ),
        ),
    )


_is_analyse = jobs.c.kind == JobKind.ANALYSE
_is_report = jobs.c.kind == JobKind.REPORT
_is_predicted = exists().where(predictions.c.instance_id == jobs.c.instance_id)
_is_of_its_study = exists().where(
    instances.c.id == jobs.c.instance_id, instances.c.study_instance_uid == jobs.c.study_instance_uid
)
_is_analysed_or_will_be = exists().where(_is_analyse, jobs.c.instance_id == instances.c.id)
_is_reported_or_will_be = exists().where(
    _is_report, jobs.c.study_instance_uid == instances.c.study_instance_uid
)
_is_of_a_report = exists().where(
    _is_report,
    jobs.c.id == results.c.job_id,
    jobs.c.state == State.DONE,
    jobs.c.revision == results.c.revision,
    jobs.c.study_instance_uid == results.c.study_instance_uid,
)

_images, _earlier = jobs.alias("images"), jobs.alias("earlier")
_has_to_wait = or_(
    exists().where(
        _images.c.study_instance_uid == jobs.c.study_instance_uid,
        _images.c.kind == JobKind.ANALYSE,
        _images.c.state.in_(OPEN),
    ),
    exists().where(
        _earlier.c.study_instance_uid == jobs.c.study_instance_uid,
        _earlier.c.revision < jobs.c.revision,
        _earlier.c.state.in_(OPEN),
    ),
)


def _counted() -> Select[Any]:
    """Return what is counted otherwise than it is: to what there is what was counted is added with a minus."""

    def rows(table: Table, what: ColumnElement[str], number: ColumnElement[int]) -> Select[Any]:
        destination = table.c.destination if table is deliveries else literal("")
        return select(
            literal(table.name).label("subject"),
            destination.label("destination"),
            what.label("what"),
            number.label("number"),
        )

    there_are = union_all(
        *(
            rows(table, table.c.state, func.count()).group_by(
                *([table.c.destination] if table is deliveries else []), table.c.state
            )
            for table in (jobs, fetches, deliveries)
        ),
        *(
            rows(table, literal("rows"), func.count()).select_from(table)
            for table in (instances, conflicting_objects)
        ),
        rows(
            instances, literal("times_received"), func.coalesce(func.sum(instances.c.times_received - 1), 0)
        ),
        rows(conflicting_objects, literal("corrected_at"), func.count(conflicting_objects.c.corrected_at)),
        select(counts.c.subject, counts.c.destination, counts.c.what, -counts.c.number),
    ).subquery()
    one = (there_are.c.subject, there_are.c.destination, there_are.c.what)
    return select(one[0] + literal(" ") + one[2]).group_by(*one).having(func.sum(there_are.c.number) != 0)


INVARIANTS: tuple[tuple[str, Select[Any]], ...] = (
    *_of_the_state_machine(jobs),
    *_of_the_state_machine(deliveries),
    *_of_the_state_machine(fetches),
    (
        "received images that no job analyses",
        select(instances.c.id).where(instances.c.stored_only.is_(None), ~_is_analysed_or_will_be),
    ),
    (
        "received images that no job reports on",
        select(instances.c.id).where(
            instances.c.stored_only.is_(None), instances.c.is_prior.is_(False), ~_is_reported_or_will_be
        ),
    ),
    (
        "jobs that are neither the analysis of an image nor the report of a study",
        select(jobs.c.id).where(
            or_(
                ~(_is_analyse | _is_report),
                _is_analyse & ~_is_of_its_study,
                _is_report & (jobs.c.revision.is_(None) | jobs.c.instance_id.is_not(None)),
            )
        ),
    ),
    (
        "analyses that are done without a prediction, or have one and are not done",
        select(jobs.c.id).where(_is_analyse, (jobs.c.state == State.DONE) != _is_predicted),
    ),
    (
        "reports that are blocked by nothing, or are not by what they have to wait for",
        select(jobs.c.id).where(_is_report, jobs.c.state.in_(OPEN), jobs.c.is_blocked != _has_to_wait),
    ),
    ("counts of other rows than there are", _counted()),
    (
        "jobs that were tried, or were not, and count as the other",
        select(jobs.c.id).where(jobs.c.is_retry != (jobs.c.attempts > 0)),
    ),
    ("results of a report that is not done", select(results.c.id).where(~_is_of_a_report)),
    (
        "deliveries that have arrived at no time",
        select(deliveries.c.id).where(deliveries.c.state.in_(ARRIVED), deliveries.c.delivered_at.is_(None)),
    ),
)
