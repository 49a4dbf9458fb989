"""The one state machine of jobs, deliveries and fetches, as data.

A delivery to an archive that promises to keep what it got (storage commitment, PS3.4 annex J) is not done when it is
delivered: it waits for that promise. To other destinations, and where the promise is no longer wanted, delivered is
done. Every change of state in the database is one row of `TRANSITIONS`; `storage.queue` turns a row into a guarded
UPDATE, so what is not in this table cannot happen.
"""

from enum import StrEnum
from types import MappingProxyType


class State(StrEnum):
    """Where a job, a delivery or a fetch stands."""

    QUEUED = "queued"
    RUNNING = "running"
    DELIVERED = "delivered"
    COMMITTED = "committed"
    DONE = "done"
    REJECTED = "rejected"
    FAILED = "failed"
    DISMISSED = "dismissed"


class Event(StrEnum):
    """What happens to a job, a delivery or a fetch."""

    CLAIM = "claim"
    SUCCEED = "succeed"
    DELIVER = "deliver"
    COMMIT = "commit"
    NOT_COMMITTED = "not_committed"
    PROMISE_NOT_WANTED = "promise_not_wanted"
    FOUND_MISSING = "found_missing"
    REJECT = "reject"
    RETRY_LATER = "retry_later"
    GIVE_UP = "give_up"
    LEASE_EXPIRED = "lease_expired"
    LEASE_EXPIRED_FOR_GOOD = "lease_expired_for_good"
    OPERATOR_RETRIES = "operator_retries"
    DISMISS = "dismiss"
    CORRECTED = "corrected"


TRANSITIONS = MappingProxyType(
    {
        (State.QUEUED, Event.CLAIM): State.RUNNING,
        (State.RUNNING, Event.SUCCEED): State.DONE,
        (State.RUNNING, Event.DELIVER): State.DELIVERED,
        (State.DELIVERED, Event.COMMIT): State.COMMITTED,
        (State.DELIVERED, Event.NOT_COMMITTED): State.QUEUED,
        (State.DELIVERED, Event.PROMISE_NOT_WANTED): State.DONE,
        (State.DELIVERED, Event.GIVE_UP): State.FAILED,
        (State.DONE, Event.FOUND_MISSING): State.QUEUED,
        (State.DELIVERED, Event.FOUND_MISSING): State.QUEUED,
        (State.COMMITTED, Event.FOUND_MISSING): State.QUEUED,
        (State.RUNNING, Event.REJECT): State.REJECTED,
        (State.RUNNING, Event.RETRY_LATER): State.QUEUED,
        (State.RUNNING, Event.GIVE_UP): State.FAILED,
        (State.RUNNING, Event.LEASE_EXPIRED): State.QUEUED,
        (State.RUNNING, Event.LEASE_EXPIRED_FOR_GOOD): State.FAILED,
        # what the job is about was sent again, corrected: who works on the old bytes loses the lease
        (State.RUNNING, Event.CORRECTED): State.QUEUED,
        (State.DONE, Event.CORRECTED): State.QUEUED,
        (State.REJECTED, Event.CORRECTED): State.QUEUED,
        (State.FAILED, Event.CORRECTED): State.QUEUED,
        (State.DISMISSED, Event.CORRECTED): State.QUEUED,
        (State.FAILED, Event.OPERATOR_RETRIES): State.QUEUED,
        (State.REJECTED, Event.OPERATOR_RETRIES): State.QUEUED,
        (State.DISMISSED, Event.OPERATOR_RETRIES): State.QUEUED,
        (State.FAILED, Event.DISMISS): State.DISMISSED,
        (State.REJECTED, Event.DISMISS): State.DISMISSED,
    }
)

JOB_STATES = tuple(state for state in State if state not in (State.DELIVERED, State.COMMITTED))
"""Where a job or a fetch can stand: what it made is delivered by others."""

OPEN = (State.QUEUED, State.RUNNING)
"""States in which work is still to be done."""

ARRIVED = (State.DONE, State.DELIVERED, State.COMMITTED)
"""States of a delivery in which the destination has said that it has the object."""

CAME_TO_NOTHING = (State.FAILED, State.DISMISSED)
"""States of a job without an answer, whether a person has looked or not."""

DELIVERY_FINISHED = (State.DONE, State.COMMITTED, State.DISMISSED)
"""States of a delivery that needs its result no more."""


def origins(event: Event) -> tuple[State, ...]:
    """Return the states in which `event` may happen."""
    return tuple(state for state, happening in TRANSITIONS if happening is event)


def target(event: Event) -> State:
    """Return the state to which `event` leads; it is the same from each of its origins."""
    return next(state for (_, happening), state in TRANSITIONS.items() if happening is event)
