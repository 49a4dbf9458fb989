"""When there is something to do: asked far more often than there is, so it is read from the ends of indexes."""

from collections.abc import Iterable
from functools import cache
from itertools import product

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Select,
    Table,
    bindparam,
    exists,
    or_,
    select,
    union_all,
)
from sqlalchemy.sql import func

from storage.pauses import Scope, is_paused
from storage.records import JobKind, Priority
from storage.schema import IS_QUEUED, deliveries, fetches, jobs
from storage.states import State


def next_job(connection: Connection, *, retries: bool) -> float | None:
    """Return when the next job may be claimed, of those that were tried before or those that were not.

    None: there is none, or the analysis is paused. A blocked report counts: it may be free by then.
    """
    return _earliest(connection, _next_jobs(retries))


def next_delivery(connection: Connection, destination: str) -> float | None:
    """Return when the next delivery to `destination` may be claimed, or None where none is queued, or it is paused."""
    return _earliest(connection, _next_deliveries(), destination=destination)


def next_fetch(connection: Connection) -> float | None:
    """Return when the next fetch may be claimed, or None where none is queued, or all is paused."""
    return _earliest(connection, _first_of(fetches, [[]], is_paused(Scope.EVERYTHING)))


def is_busy(connection: Connection, now: float) -> bool:
    """Return whether a job is being done, or waits and may be claimed; or the analysis is paused."""
    is_running = exists().where(jobs.c.state == State.RUNNING)
    is_due = exists().where(IS_QUEUED, jobs.c.not_before <= now)
    return bool(connection.execute(select(or_(is_running, is_due, is_paused(Scope.ANALYSIS)))).scalar_one())


def of_worker(kind: JobKind, priority: Priority, *, retries: bool) -> list[ColumnElement[bool]]:
    """Describe the jobs of a kind and priority that were tried before, or that were not: one range of an index."""
    return [jobs.c.kind == kind, jobs.c.is_retry.is_(retries), jobs.c.priority == priority]


# built once: building these took longer than the database took to answer


@cache
def _next_jobs(retries: bool) -> Select[float | None]:
    kinds = product(JobKind, Priority, (False, True))
    return _first_of(
        jobs,
        (
            [*of_worker(kind, priority, retries=retries), jobs.c.is_blocked.is_(is_blocked)]
            for kind, priority, is_blocked in kinds
        ),
        is_paused(Scope.ANALYSIS),
    )


@cache
def _next_deliveries() -> Select[float | None]:
    to: BindParameter[str] = bindparam("destination")
    return _first_of(
        deliveries,
        ([deliveries.c.destination == to, deliveries.c.priority == priority] for priority in Priority),
        is_paused(Scope.DESTINATION, to),
    )


def _first_of(
    table: Table, ranges: Iterable[Iterable[ColumnElement[bool]]], paused: ColumnElement[bool]
) -> Select[float | None]:
    """Select the earliest `not_before` of what is queued and not paused: the first of each range of an index."""
    firsts = union_all(
        *(select(func.min(table.c.not_before).label("at")).where(IS_QUEUED, *each) for each in ranges)
    ).subquery()
    return select(func.min(firsts.c.at)).where(~paused)


def _earliest(connection: Connection, statement: Select[float | None], **parameters: str) -> float | None:
    (earliest,) = connection.execute(statement, parameters).one()
    return earliest
