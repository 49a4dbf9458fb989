"""What a destination should hold by what it answered, to be compared with what it says that it holds."""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, func, select, update

from storage.schema import deliveries, results
from storage.states import Event, State, origins, target


@dataclass(frozen=True, slots=True)
class Expected:
    """A result that a destination was sent, or is to be sent.

    `sop_instance_uid` is the one that it went under. `is_kept` tells whether this node still has the object.
    """

    delivery_id: int
    destination: str
    state: State
    reason: str | None
    kind: str
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    is_kept: bool


def studies_reported(connection: Connection, since: float, before: float) -> list[str]:
    """Return the studies that a result was made of from `since` on and before `before`."""
    rows = connection.execute(
        select(results.c.study_instance_uid)
        .where(results.c.created_at >= since, results.c.created_at < before)
        .distinct()
        .order_by(results.c.study_instance_uid)
    )
    return list(rows.scalars())


def studies_delivered(connection: Connection, since: float, before: float) -> list[str]:
    """Return the studies of which a result first arrived at a destination from `since` on and before `before`."""
    rows = connection.execute(
        select(results.c.study_instance_uid)
        .join(deliveries, deliveries.c.result_id == results.c.id)
        .where(deliveries.c.delivered_at >= since, deliveries.c.delivered_at < before)
        .distinct()
        .order_by(results.c.study_instance_uid)
    )
    return list(rows.scalars())


def expected_of(
    connection: Connection, study_instance_uid: str, destination: str, kinds: Iterable[str]
) -> list[Expected]:
    """Return every result of these kinds that was made of a study for a destination, in the order of making."""
    rows = connection.execute(
        select(
            deliveries.c.id,
            deliveries.c.destination,
            deliveries.c.state,
            deliveries.c.reason,
            results.c.kind,
            results.c.study_instance_uid,
            results.c.series_instance_uid,
            func.coalesce(deliveries.c.sent_sop_instance_uid, results.c.sop_instance_uid),
            results.c.object_removed_at.is_(None),
        )
        .join(results, results.c.id == deliveries.c.result_id)
        .where(
            results.c.study_instance_uid == study_instance_uid,
            deliveries.c.destination == destination,
            results.c.kind.in_(list(kinds)),
        )
        .order_by(deliveries.c.id)
    )
    return [Expected(row[0], row[1], State(row[2]), *row[3:]) for row in rows]


def send_again(connection: Connection, delivery_id: int, now: float, reason: str) -> bool:
    """Queue a delivery again that the destination has answered with Success and does not hold.

    Returns whether it was queued; it is not where its state has changed in the meantime.
    """
    changed = connection.execute(
        update(deliveries)
        .where(deliveries.c.id == delivery_id, deliveries.c.state.in_(origins(Event.FOUND_MISSING)))
        .values(
            state=target(Event.FOUND_MISSING),
            attempts=0,
            not_before=now,
            queued_at=now,
            ended_at=None,
            reason=reason,
        )
    )
    return changed.rowcount == 1
