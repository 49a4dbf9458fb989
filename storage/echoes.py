"""Whether the destinations answered when they were asked last, and before."""

from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, insert, select

from storage.schema import echoes

KEPT_SECONDS = 7 * 86400.0
MOST_CHARACTERS = 256


@dataclass(frozen=True, slots=True)
class Echoed:
    """That a destination was asked, in seconds since 1970 (UTC): how long it took, or why it came to nothing."""

    at: float
    milliseconds: float | None
    reason: str | None


def echoed(
    connection: Connection, destination: str, at: float, milliseconds: float | None, reason: str | None
) -> None:
    """Keep what came of it, and forget what came of it a week ago."""
    kept = None if reason is None else reason[:MOST_CHARACTERS]
    connection.execute(
        insert(echoes).values(destination=destination, at=at, milliseconds=milliseconds, reason=kept)
    )
    connection.execute(delete(echoes).where(echoes.c.at < at - KEPT_SECONDS))


def latest(connection: Connection, destination: str, most: int) -> list[Echoed]:
    """Return what came of the latest, the oldest of them first."""
    rows = connection.execute(
        select(echoes.c.at, echoes.c.milliseconds, echoes.c.reason)
        .where(echoes.c.destination == destination)
        .order_by(echoes.c.at.desc())
        .limit(most)
    )
    return [Echoed(*row) for row in rows][::-1]


def answered_since(connection: Connection, destination: str, since: float) -> tuple[int, int]:
    """Return how often the destination answered since then, and how often it was asked."""
    answered, asked = connection.execute(
        select(func.count(echoes.c.milliseconds), func.count()).where(
            echoes.c.destination == destination, echoes.c.at >= since
        )
    ).one()
    return answered, asked
