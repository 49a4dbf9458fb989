"""How much came and went, by the hour, and how long it took: what the triggers have tallied, and the latest rows."""

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection, delete, select

from storage.schema import deliveries, jobs, results, tallies
from storage.triggers import LATENCY_BOUNDS

ALL_HOURS = 0
HOUR_SECONDS = 3600
KEPT_HOURS = 35 * 24
MOST_ROWS = 5000
"""Latencies are told of so many of the latest reports, and deliveries."""


class Tallied(StrEnum):
    """What is tallied."""

    IMAGES = "images"
    STUDIES = "studies"
    REPORTS = "reports"
    DELIVERIES = "deliveries"


@dataclass(frozen=True, slots=True)
class Hour:
    """What came and went in the hour that begins at `begins_at` (seconds since 1970, UTC), and the images' bytes."""

    begins_at: float
    images: int
    studies: int
    reports: int
    deliveries: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Latencies:
    """How long something took, ever since: `numbers` of each bucket of `LATENCY_BOUNDS` and of what took longer, and
    the seconds of all together. `destination` is empty for reports.
    """

    what: Tallied
    destination: str
    numbers: tuple[int, ...]
    seconds: float


def hours_since(connection: Connection, since: float) -> list[Hour]:
    """Return the hours from the one that `since` lies in, in which there was anything, in order."""
    rows = connection.execute(
        select(tallies.c.hour, tallies.c.what, tallies.c.number, tallies.c.amount).where(
            tallies.c.hour >= max(1, int(since // HOUR_SECONDS))
        )
    )
    numbers: defaultdict[int, dict[str, int]] = defaultdict(lambda: dict.fromkeys([*Tallied, "bytes"], 0))
    for hour, what, number, amount in rows:
        numbers[hour][what] += number
        if what == Tallied.IMAGES:
            numbers[hour]["bytes"] += int(amount)
    return [Hour(float(hour * HOUR_SECONDS), **numbers[hour]) for hour in sorted(numbers)]


def latencies(connection: Connection) -> list[Latencies]:
    """Return how long reports and deliveries took since the node was set up, by destination."""
    rows = connection.execute(
        select(tallies.c.what, tallies.c.destination, tallies.c.bucket, tallies.c.number, tallies.c.amount)
        .where(tallies.c.hour == ALL_HOURS)
        .order_by(tallies.c.what, tallies.c.destination)
    )
    found: dict[tuple[str, str], list[int]] = {}
    seconds: defaultdict[tuple[str, str], float] = defaultdict(float)
    for what, destination, bucket, number, amount in rows:
        if what in (Tallied.REPORTS, Tallied.DELIVERIES):
            found.setdefault((what, destination), [0] * (len(LATENCY_BOUNDS) + 1))[bucket] = number
            seconds[what, destination] += amount
    return [
        Latencies(Tallied(what), destination, tuple(numbers), seconds[what, destination])
        for (what, destination), numbers in found.items()
    ]


def total(connection: Connection, what: Tallied) -> int:
    """Return how many there were since the node was set up."""
    numbers = select(tallies.c.number).where(tallies.c.hour == ALL_HOURS, tallies.c.what == what)
    return sum(connection.execute(numbers).scalars())


def report_seconds(connection: Connection, since: float) -> list[float]:
    """Return how long the latest reports took that were made since then, from the first image on, MOST_ROWS at most."""
    latest = (
        select(results.c.job_id)
        .where(results.c.created_at >= since)
        .group_by(results.c.job_id)
        .order_by(results.c.job_id.desc())
        .limit(MOST_ROWS)
    )
    rows = connection.execute(
        select(jobs.c.ended_at - jobs.c.queued_at).where(
            jobs.c.id.in_(latest), jobs.c.ended_at >= jobs.c.queued_at
        )
    )
    return list(rows.scalars())


def delivery_seconds(connection: Connection, since: float) -> dict[str, list[float]]:
    """Return how long the latest deliveries took that arrived since then, from their report on, by destination."""
    found: defaultdict[str, list[float]] = defaultdict(list)
    rows = connection.execute(
        select(deliveries.c.destination, deliveries.c.delivered_at - deliveries.c.queued_at)
        .where(deliveries.c.delivered_at >= since, deliveries.c.delivered_at >= deliveries.c.queued_at)
        .order_by(deliveries.c.delivered_at.desc())
        .limit(MOST_ROWS)
    )
    for destination, seconds in rows:
        found[destination].append(seconds)
    return dict(sorted(found.items()))


def percentile(values: Iterable[float], share: float) -> float | None:
    """Return the smallest of the values that so large a share of them does not pass (nearest rank), or None."""
    ordered = sorted(values)
    return ordered[max(1, math.ceil(share * len(ordered))) - 1] if ordered else None


def forget(connection: Connection, before: float) -> int:
    """Remove the hours before then; return how many rows. What all hours make together stays."""
    old = (tallies.c.hour > ALL_HOURS) & (tallies.c.hour < int(before // HOUR_SECONDS))
    return connection.execute(delete(tallies).where(old)).rowcount
