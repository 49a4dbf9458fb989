"""Jobs, deliveries and fetches as queues: claim, end, retry, expire.

Every transition is a guarded UPDATE (`WHERE id AND state AND owner`): no row changed means that the lease was lost,
and what the late worker made is dropped. The functions take a connection, so that a transition and what it made
are one transaction.

Urgent studies go first, then the others in the order of their arrival, then what was fetched as earlier films.
"""

import json
from collections.abc import Iterable
from dataclasses import fields
from functools import cache
from itertools import product
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    RowMapping,
    Select,
    Table,
    and_,
    bindparam,
    exists,
    select,
    update,
)
from sqlalchemy.sql import func
from sqlalchemy.sql.dml import ReturningUpdate

from storage.errors import LeaseLost
from storage.pauses import Scope, is_paused
from storage.records import Delivery, Fetch, Job, JobKind, Priority, Result
from storage.schema import IS_QUEUED, deliveries, fetches, instances, jobs, results
from storage.states import ARRIVED, OPEN, Event, State, origins, target
from storage.waiting import of_worker

RESULT_COLUMNS = tuple(results.c[field.name] for field in fields(Result))
"""What a `Result` is made of, in its order."""

NO_SOP_CLASS = ""
"""What a message has."""

FOR_A_PERSON: dict[Table, tuple[State, ...]] = {
    jobs: (State.FAILED,),
    deliveries: (State.FAILED, State.REJECTED),
}
"""What waits for one. A job that was rejected is an answer: the image is not analysable. A delivery that was is an
answer that nobody got."""

DIED = "worker_died"
"""The reason of a row whose worker did not come back."""


def claim_job(
    connection: Connection,
    kinds: Iterable[JobKind],
    owner: str,
    now: float,
    lease_seconds: float,
    *,
    retries: bool,
) -> Job | None:
    """Claim the most urgent job of these kinds, or None: of the kind named first, and that has been due for longest.

    Either of those that were tried before, or of those that were not.

    A report is due when its study has been quiet (`not_before`), no image of the study is still being analysed, and no
    earlier report of it waits to be tried again: it is to name that one.
    """
    for priority, kind in product(Priority, kinds):
        job = _claim_job(connection, kind, priority, owner, now, lease_seconds, retries=retries)
        if job is not None:
            return job
    return None


def _claim_job(
    connection: Connection,
    kind: JobKind,
    priority: Priority,
    owner: str,
    now: float,
    lease_seconds: float,
    *,
    retries: bool,
) -> Job | None:
    row = _claim(connection, _claiming_job(kind, priority, retries), owner, now, lease_seconds)
    if row is None:
        return None
    object_key, is_prior = None, False
    if row["instance_id"] is not None:
        object_key, is_prior = connection.execute(
            select(instances.c.object_key, instances.c.is_prior).where(instances.c.id == row["instance_id"])
        ).one()
    return Job(
        row["id"],
        kind,
        row["study_instance_uid"],
        row["attempts"],
        row["first_claimed_at"],
        row["instance_id"],
        object_key,
        row["revision"],
        is_prior,
    )


def claim_delivery(
    connection: Connection, destination: str, owner: str, now: float, lease_seconds: float
) -> Delivery | None:
    """Claim the most urgent delivery to `destination`, and of these the one that has been due for longest, or None.

    A message waits while an earlier one of its study is still to be delivered: its receiver keeps the last that it
    got, and must not be left with an older one. Where that one failed and is retried too late for that, the delivery
    says so. An object that replaces an earlier one names it, and may come in any order.
    """
    for priority in Priority:
        claiming = _claiming_delivery(priority)
        row = _claim(connection, claiming, owner, now, lease_seconds, to=destination)
        if row is not None:
            break
    else:
        return None
    *values, study_instance_uid, revision = connection.execute(
        select(*RESULT_COLUMNS, results.c.study_instance_uid, results.c.revision).where(
            results.c.id == row["result_id"]
        )
    ).one()
    result = Result(*values)
    later = exists().where(
        results.c.study_instance_uid == study_instance_uid,
        results.c.kind == result.kind,
        results.c.revision > revision,
        deliveries.c.result_id == results.c.id,
        deliveries.c.destination == destination,
        deliveries.c.state.in_(ARRIVED),
    )
    is_overtaken = result.sop_class_uid == NO_SOP_CLASS and connection.execute(select(later)).scalar_one()
    return Delivery(
        row["id"],
        destination,
        row["attempts"],
        row["queued_at"],
        result,
        study_instance_uid,
        bool(is_overtaken),
    )


def claim_fetch(connection: Connection, owner: str, now: float, lease_seconds: float) -> Fetch | None:
    """Claim the fetch that has been due for longest, or None."""
    row = _claim(connection, _claiming_fetch(), owner, now, lease_seconds)
    return None if row is None else Fetch(*(row[field.name] for field in fields(Fetch)))


def succeed(connection: Connection, table: Table, row_id: int, owner: str, now: float, **values: Any) -> None:
    """End a row as done; `values` are further columns to set. Raises LeaseLost."""
    _end(connection, table, row_id, owner, Event.SUCCEED, ended_at=now, reason=None, **values)


def arrived(
    connection: Connection, row_id: int, owner: str, now: float, *, awaits_commitment: bool, **values: Any
) -> None:
    """End the sending of a delivery, whose destination may still have to promise that it keeps it. Raises LeaseLost."""
    values |= {"delivered_at": func.coalesce(deliveries.c.delivered_at, now), "reason": None}
    if awaits_commitment:
        _end(connection, deliveries, row_id, owner, Event.DELIVER, not_before=now, **values)
    else:
        _end(connection, deliveries, row_id, owner, Event.SUCCEED, ended_at=now, **values)


def reject(
    connection: Connection, table: Table, row_id: int, owner: str, now: float, reason: str, **values: Any
) -> None:
    """End a row as rejected: asking again would be answered the same. Raises LeaseLost."""
    _end(connection, table, row_id, owner, Event.REJECT, ended_at=now, reason=reason, **values)


def retry_later(
    connection: Connection, table: Table, row_id: int, owner: str, at: float, reason: str, **values: Any
) -> None:
    """Put a row back into the queue, not to be claimed before `at`. Raises LeaseLost."""
    _end(connection, table, row_id, owner, Event.RETRY_LATER, not_before=at, reason=reason, **values)


def put_back(connection: Connection, row_id: int, owner: str, at: float, reason: str) -> None:
    """Put a job back that came to nothing by no fault of its own: this attempt does not count. Raises LeaseLost."""
    counted = jobs.c.attempts - 1
    _end(connection, jobs, row_id, owner, Event.RETRY_LATER, not_before=at, reason=reason, attempts=counted)


def give_up(
    connection: Connection, table: Table, row_id: int, owner: str, now: float, reason: str, **values: Any
) -> None:
    """End a row as failed: it waits for a person. Raises LeaseLost."""
    _end(connection, table, row_id, owner, Event.GIVE_UP, ended_at=now, reason=reason, **values)


def expire_leases(connection: Connection, table: Table, now: float, most_attempts: int | None) -> int:
    """Free the rows whose worker has not come back in time; those without an attempt left end as failed.

    Returns how many rows were freed.
    """
    return _free(connection, table, now, most_attempts, table.c.lease_until <= now)


def bring_forward(
    connection: Connection, table: Table, now: float, longest_wait: float, state: State = State.QUEUED
) -> int:
    """Let rows be due now that nobody has put off for so long: the clock has been set back since.

    Returns how many rows. Nothing was queued later than now.
    """
    waiting = table.c.state == state
    connection.execute(update(table).where(waiting, table.c.queued_at > now).values(queued_at=now))
    return connection.execute(
        update(table).where(waiting, table.c.not_before > now + longest_wait).values(not_before=now)
    ).rowcount


def renew_leases(connection: Connection, table: Table, now: float, lease_seconds: float) -> None:
    """Give whoever works its whole lease anew: the clock was set, and nobody knows what is left of it."""
    connection.execute(
        update(table).where(table.c.state == State.RUNNING).values(lease_until=now + lease_seconds)
    )


def release_leases(connection: Connection, table: Table, now: float, most_attempts: int | None) -> int:
    """Free every running row, lease or not: for a role that starts and knows that nobody else has it."""
    return _free(connection, table, now, most_attempts)


def retry_by_hand(connection: Connection, table: Table, row_ids: list[int], now: float) -> list[int]:
    """Queue what failed, was rejected or dismissed again, with all its attempts, and return the ids of those rows."""
    if not row_ids:
        return []  # SQLite would look through all that was ever rejected
    rows = connection.execute(
        update(table)
        .where(table.c.id.in_(each_of(row_ids)), table.c.state.in_(origins(Event.OPERATOR_RETRIES)))
        .values(
            state=target(Event.OPERATOR_RETRIES),
            attempts=0,
            not_before=now,
            ended_at=None,
            queued_at=now,
            reason=None,
        )
        .returning(table.c.id)
    )
    return sorted(rows.scalars())


def corrected(connection: Connection, instance_id: int, now: float) -> None:
    """Queue the analysis of an instance again, whatever came of it: its bytes, or the model, are others now."""
    connection.execute(
        update(jobs)
        .where(jobs.c.instance_id == instance_id, jobs.c.state.in_(origins(Event.CORRECTED)))
        .values(
            state=target(Event.CORRECTED),
            owner=None,
            lease_until=None,
            attempts=0,
            not_before=now,
            ended_at=None,
            queued_at=now,
            reason=None,
        )
    )


def dismiss(connection: Connection, table: Table, row_ids: list[int], now: float) -> list[int]:
    """End what waits for a person, at that person's word, and return the ids of those rows."""
    rows = connection.execute(
        update(table)
        .where(table.c.id.in_(each_of(row_ids)), table.c.state.in_(FOR_A_PERSON[table]))
        .values(state=target(Event.DISMISS), ended_at=now)
        .returning(table.c.id)
    )
    return sorted(rows.scalars())


def each_of(ids: list[int]) -> Select[tuple[int]]:
    """However many: SQLite takes some thousand parameters of a statement."""
    return select(func.json_each(json.dumps(ids)).table_valued("value").c.value)


# built once: building these took longer than the database took to answer


@cache
def _claiming_job(kind: JobKind, priority: Priority, retries: bool) -> ReturningUpdate[Any]:
    return _claiming(
        jobs,
        *of_worker(kind, priority, retries=retries),
        jobs.c.is_blocked.is_(False),
        ~is_paused(Scope.ANALYSIS),
    )


@cache
def _claiming_delivery(priority: Priority) -> ReturningUpdate[Any]:
    earlier, earlier_result = deliveries.alias("earlier"), results.alias("earlier_result")
    is_preceded = exists().where(
        results.c.id == deliveries.c.result_id,
        results.c.sop_class_uid == NO_SOP_CLASS,
        earlier_result.c.study_instance_uid == results.c.study_instance_uid,
        earlier_result.c.kind == results.c.kind,
        earlier_result.c.revision < results.c.revision,
        earlier.c.result_id == earlier_result.c.id,
        earlier.c.destination == deliveries.c.destination,
        earlier.c.state.in_(OPEN),
    )
    to: BindParameter[str] = bindparam("to")
    is_stopped = is_paused(Scope.DESTINATION, to)
    return _claiming(
        deliveries,
        deliveries.c.destination == to,
        ~is_preceded,
        ~is_stopped,
        deliveries.c.priority == priority,
    )


@cache
def _claiming_fetch() -> ReturningUpdate[Any]:
    return _claiming(fetches, ~is_paused(Scope.EVERYTHING))


def _claiming(table: Table, *conditions: ColumnElement[bool]) -> ReturningUpdate[Any]:
    """Claim the row of these that has been due for longest."""
    now: BindParameter[float] = bindparam("claimed_at")
    due = (
        select(table.c.id)
        .where(IS_QUEUED, table.c.not_before <= now, *conditions)
        .order_by(table.c.not_before, table.c.id)
        .limit(1)
    )
    return (
        update(table)
        .where(table.c.id == due.scalar_subquery())
        .values(
            state=target(Event.CLAIM),
            attempts=table.c.attempts + 1,
            owner=bindparam("claimed_by"),
            lease_until=bindparam("claimed_until"),
            first_claimed_at=func.coalesce(table.c.first_claimed_at, now),
        )
        .returning(*table.c)
    )


def _claim(
    connection: Connection,
    claiming: ReturningUpdate[Any],
    owner: str,
    now: float,
    lease_seconds: float,
    **of_which: str,
) -> RowMapping | None:
    claimed = {"claimed_at": now, "claimed_by": owner, "claimed_until": now + lease_seconds}
    return connection.execute(claiming, claimed | of_which).mappings().one_or_none()


def _end(connection: Connection, table: Table, row_id: int, owner: str, event: Event, **values: Any) -> None:
    changed = connection.execute(
        update(table)
        .where(and_(table.c.id == row_id, table.c.state.in_(origins(event)), table.c.owner == owner))
        .values(state=target(event), owner=None, lease_until=None, **values)
    )
    if changed.rowcount != 1:
        raise LeaseLost(table.name, row_id, owner)


def _free(
    connection: Connection,
    table: Table,
    now: float,
    most_attempts: int | None,
    *conditions: ColumnElement[bool],
) -> int:
    ended = 0
    if most_attempts is not None:
        ended = connection.execute(
            update(table)
            .where(
                table.c.state.in_(origins(Event.LEASE_EXPIRED_FOR_GOOD)),
                table.c.attempts >= most_attempts,
                *conditions,
            )
            .values(
                state=target(Event.LEASE_EXPIRED_FOR_GOOD),
                owner=None,
                lease_until=None,
                ended_at=now,
                reason=DIED,
            )
        ).rowcount
    queued = connection.execute(
        update(table)
        .where(table.c.state.in_(origins(Event.LEASE_EXPIRED)), *conditions)
        .values(state=target(Event.LEASE_EXPIRED), owner=None, lease_until=None, not_before=now, reason=DIED)
    ).rowcount
    return ended + queued
