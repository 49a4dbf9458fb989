"""Deliveries that wait for their archive's promise to keep what it got (storage commitment, PS3.4 annex J).

Each request has a transaction UID that the archive's answer carries; an answer to a request that nobody made changes
nothing. What is asked again gets a new one, and the answer to either counts, since some archives answer after hours.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, case, delete, insert, or_, select, update

from storage.pauses import Scope, is_paused
from storage.schema import commitment_requests, deliveries, results
from storage.states import Event, State, origins, target


@dataclass(frozen=True, slots=True)
class Awaited:
    """A delivered result whose destination has not promised to keep it yet.

    `since` is when it was first delivered, or queued again after that. `sent_sop_instance_uid` is set where another
    form of the result was sent, under that UID.
    """

    delivery_id: int
    attempts: int
    since: float
    sop_class_uid: str
    sop_instance_uid: str
    sent_sop_instance_uid: str | None


@dataclass(frozen=True, slots=True)
class Request:
    """Whom a request was made to, and when."""

    destination: str
    asked_at: float


def due(connection: Connection, destination: str, now: float, most: int) -> list[Awaited]:
    """Return at most `most` deliveries to be asked about now, longest due first; none while it is paused."""
    is_due = (deliveries.c.not_before <= now) & ~is_paused(Scope.DESTINATION, destination)
    return _awaited(connection, destination, is_due, most)


def asked(
    connection: Connection,
    destination: str,
    transaction_uid: str,
    awaited: Iterable[Awaited],
    ask_again_at: float,
    now: float,
) -> None:
    """Write down a request that is about to be sent; without an answer it is due again at `ask_again_at`."""
    connection.execute(
        insert(commitment_requests).values(
            transaction_uid=transaction_uid, destination=destination, asked_at=now
        )
    )
    put_off(connection, awaited, ask_again_at, None)


def put_off(connection: Connection, awaited: Iterable[Awaited], at: float, reason: str | None) -> None:
    """Let deliveries that still wait for a promise be asked about again at `at`."""
    connection.execute(
        update(deliveries)
        .where(
            deliveries.c.id.in_([each.delivery_id for each in awaited]),
            deliveries.c.state == State.DELIVERED,
        )
        .values(not_before=at, reason=reason)
    )


def answered(connection: Connection, transaction_uid: str, now: float) -> Request | None:
    """Note that a request was answered, and return it; None: nobody made it."""
    row = connection.execute(
        update(commitment_requests)
        .where(commitment_requests.c.transaction_uid == transaction_uid)
        .values(answered_at=now)
        .returning(commitment_requests.c.destination, commitment_requests.c.asked_at)
    ).one_or_none()
    return None if row is None else Request(*row)


def find(connection: Connection, request: Request, sop_instance_uids: Iterable[str]) -> list[Awaited]:
    """Return the deliveries that wait for a promise about these objects.

    Of what was found missing after the request, and was queued to be sent again, its answer says nothing.
    """
    uids = list(sop_instance_uids)
    sent_as = or_(
        deliveries.c.sent_sop_instance_uid.in_(uids),
        deliveries.c.sent_sop_instance_uid.is_(None) & results.c.sop_instance_uid.in_(uids),
    )
    return _awaited(
        connection, request.destination, sent_as & (deliveries.c.queued_at <= request.asked_at), len(uids)
    )


def forget(connection: Connection, asked_before: float) -> int:
    """Remove requests that are too old for an answer to matter, and return how many."""
    return connection.execute(
        delete(commitment_requests).where(commitment_requests.c.asked_at < asked_before)
    ).rowcount


def commit(connection: Connection, awaited: Awaited, now: float) -> None:
    """The archive keeps it."""
    _change(connection, awaited, Event.COMMIT, ended_at=now, reason=None)


def send_again(connection: Connection, awaited: Awaited, at: float, reason: str) -> None:
    """The archive has not got it."""
    _change(connection, awaited, Event.NOT_COMMITTED, not_before=at, reason=reason)


def give_up(connection: Connection, awaited: Awaited, now: float, reason: str) -> None:
    """A person has to look."""
    _change(connection, awaited, Event.GIVE_UP, ended_at=now, reason=reason)


def ask_again(connection: Connection, now: float) -> None:
    """Let everything that waits for a promise be asked about now: an answer that came while no node ran is lost."""
    connection.execute(
        update(deliveries)
        .where(deliveries.c.state == State.DELIVERED, deliveries.c.not_before > now)
        .values(not_before=now)
    )


def ask_only(connection: Connection, destinations: Collection[str], now: float) -> int:
    """End what waits for a promise of any other destination, which nobody asks; return how many deliveries."""
    return connection.execute(
        update(deliveries)
        .where(
            deliveries.c.state.in_(origins(Event.PROMISE_NOT_WANTED)),
            deliveries.c.destination.not_in(destinations),
        )
        .values(
            state=target(Event.PROMISE_NOT_WANTED),
            ended_at=now,
            reason="delivered, and by the settings no longer to be committed",
        )
    ).rowcount


def _change(connection: Connection, awaited: Awaited, event: Event, **values: object) -> None:
    """Make one transition; no row changes where another answer came first."""
    connection.execute(
        update(deliveries)
        .where(
            deliveries.c.id == awaited.delivery_id,
            deliveries.c.state == State.DELIVERED,
            deliveries.c.state.in_(origins(event)),
        )
        .values(state=target(event), **values)
    )


def _awaited(
    connection: Connection, destination: str, condition: ColumnElement[bool], most: int
) -> list[Awaited]:
    rows = connection.execute(
        select(
            deliveries.c.id,
            deliveries.c.attempts,
            case(
                (deliveries.c.delivered_at > deliveries.c.queued_at, deliveries.c.delivered_at),
                else_=deliveries.c.queued_at,
            ),
            results.c.sop_class_uid,
            results.c.sop_instance_uid,
            deliveries.c.sent_sop_instance_uid,
        )
        .join(results, results.c.id == deliveries.c.result_id)
        .where(deliveries.c.state == State.DELIVERED, deliveries.c.destination == destination, condition)
        .order_by(deliveries.c.not_before, deliveries.c.id)
        .limit(most)
    )
    return [Awaited(*row) for row in rows]
