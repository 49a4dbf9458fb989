"""What a person has stopped for a while: all work, the analysis, or what goes to one destination.

A pause is a row. Every claim looks at it in its own statement (`storage.queue`), so nothing is begun from the moment it
is written, whatever process would begin it, and however often the node is started. What is under way ends, and
receiving goes on.
"""

from dataclasses import asdict, dataclass
from enum import StrEnum

from sqlalchemy import BindParameter, ColumnElement, Connection, and_, delete, exists, or_, select

from storage.schema import pauses


class Scope(StrEnum):
    """What is stopped."""

    EVERYTHING = "everything"
    """Analysis and reports, all destinations, and the fetching of earlier films."""
    ANALYSIS = "analysis"
    """Analysis and reports, and what a candidate looks at."""
    DESTINATION = "destination"
    """What one destination gets, and is asked to promise."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Since when something is stopped (seconds since 1970, UTC), by whom, and why.

    `destination` is empty unless it is of one.
    """

    scope: Scope
    destination: str
    since: float
    user: str
    reason: str


def is_paused(scope: Scope, destination: str | BindParameter[str] = "") -> ColumnElement[bool]:
    """Return the condition that this is stopped, by itself or with everything."""
    this = and_(pauses.c.scope == scope, pauses.c.destination == destination)
    return exists().where(or_(pauses.c.scope == Scope.EVERYTHING, this))


def pause(connection: Connection, paused: Pause) -> bool:
    """Stop something; return False, and leave the older pause as it is, where it is stopped already."""
    same = select(exists().where(pauses.c.scope == paused.scope, pauses.c.destination == paused.destination))
    if connection.execute(same).scalar_one():
        return False
    connection.execute(pauses.insert().values(asdict(paused)))
    return True


def resume(connection: Connection, scope: Scope, destination: str = "") -> bool:
    """Let something go on; return False where it was not stopped by itself."""
    ended = connection.execute(
        delete(pauses).where(pauses.c.scope == scope, pauses.c.destination == destination)
    )
    return ended.rowcount > 0


def all_pauses(connection: Connection) -> list[Pause]:
    """Return everything that is stopped, what was stopped first before the others."""
    found = [Pause(Scope(scope), *others) for scope, *others in connection.execute(select(*pauses.c))]
    return sorted(found, key=lambda each: each.since)
