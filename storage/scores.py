"""How the scores of each device are distributed, week by week, beside those of its first films.

A week begins on Monday, in UTC. A film's score is counted for the model that gave it, also where the film was corrected
and looked at again; earlier films that were fetched to be compared with are not counted, for who has some is seldom
healthy.
"""

from collections import defaultdict
from dataclasses import dataclass

from sqlalchemy import Connection, delete, select

from storage.schema import devices, predictions, score_counts
from storage.triggers import MONDAY_SECONDS, SCORE_BINS, WEEK_SECONDS

REFERENCE = 0
OTHERS = "further devices"
KEPT_WEEKS = 60


@dataclass(frozen=True, slots=True)
class Week:
    """How many films had a score in each of `SCORE_BINS` equal parts of 0 to 1, in the week that begins then."""

    begins_at: float
    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class DeviceScores:
    """The scores of a device: of its first films, and of each week since, the oldest first."""

    id: int
    name: str
    reference: tuple[int, ...]
    weeks: tuple[Week, ...]


def model_in_service(connection: Connection) -> str | None:
    """Return the SHA-256 of the model that answered last, or None."""
    newest = select(predictions.c.model_sha256).order_by(predictions.c.id.desc()).limit(1)
    return connection.execute(newest).scalar()


def of_devices(connection: Connection, model_sha256: str, now: float, weeks: int) -> list[DeviceScores]:
    """Return the scores of every device by this model, in these last weeks, the one that goes on included."""
    this_week = int((now + MONDAY_SECONDS) // WEEK_SECONDS)
    asked = [REFERENCE, *range(this_week - weeks + 1, this_week + 1)]
    counted: defaultdict[int, defaultdict[int, list[int]]] = defaultdict(
        lambda: defaultdict(lambda: [0] * SCORE_BINS)
    )
    for device, week, place, number in connection.execute(
        select(
            score_counts.c.device_id, score_counts.c.week, score_counts.c.bin, score_counts.c.number
        ).where(score_counts.c.model_sha256 == model_sha256, score_counts.c.week.in_(asked))
    ):
        counted[device][week][place] = number
    names = {row.id: row.name for row in connection.execute(select(devices))}
    return [
        DeviceScores(
            device,
            names.get(device, OTHERS),
            tuple(by_week[REFERENCE]),
            tuple(
                Week(float(week * WEEK_SECONDS - MONDAY_SECONDS), tuple(by_week[week]))
                for week in asked[1:]
                if week in by_week
            ),
        )
        for device, by_week in sorted(counted.items())
    ]


def begin_anew(connection: Connection, model_sha256: str, device: int) -> int:
    """Forget the scores of a device, so that its next films are what later ones are compared with.

    Returns how many films were counted.
    """
    rows = connection.execute(
        delete(score_counts)
        .where(score_counts.c.model_sha256 == model_sha256, score_counts.c.device_id == device)
        .returning(score_counts.c.number)
    )
    return sum(rows.scalars())


def forget(connection: Connection, now: float) -> int:
    """Remove the weeks that were too long ago; return how many rows."""
    last = int((now + MONDAY_SECONDS) // WEEK_SECONDS) - KEPT_WEEKS
    old = (score_counts.c.week > REFERENCE) & (score_counts.c.week < last)
    return connection.execute(delete(score_counts).where(old)).rowcount
