"""A month of a hospital's radiographs, made up: as the triggers would have tallied it, and some rows of today."""

import math
import random

from sqlalchemy import Connection, insert

from storage import echoes
from storage.records import JobKind
from storage.schema import deliveries, devices, jobs, results, score_counts, tallies
from storage.states import State
from storage.throughput import HOUR_SECONDS
from storage.triggers import MONDAY_SECONDS, SCORE_BINS, WEEK_SECONDS

MODEL = "5" * 64
STEADY, DRIFTED, NEW = "Siemens Ysio Max", "Philips MobileDiagnost wDR", "Agfa DX-D 600"


def busy_month(connection: Connection, now: float) -> None:
    """Let images come and go by the hours of a hospital, with fewer at night and on Sundays."""
    chance = random.Random(7)
    hour = int(now // HOUR_SECONDS)
    for each in range(hour - 30 * 24, hour + 1):
        of_day, of_week = each % 24, (each // 24 + 3) % 7
        rate = 14 * math.exp(-(((of_day - 11) / 5) ** 2)) * (0.3 if of_week >= 5 else 1) + 0.5
        studies = max(0, round(chance.gauss(rate, rate**0.5)))
        if not studies:
            continue
        for what, number, amount in (
            ("images", round(1.6 * studies), 9e6 * 1.6 * studies),
            ("studies", studies, 0.0),
            ("reports", studies, 3.0 * studies),
        ):
            _tally(connection, each, what, "", number, amount)
        for destination in ("pacs", "ris"):
            _tally(connection, each, "deliveries", destination, 2 * studies, 0.4 * studies)


def _tally(
    connection: Connection, hour: int, what: str, destination: str, number: int, amount: float
) -> None:
    values = {"what": what, "destination": destination, "bucket": 2, "number": number, "amount": amount}
    connection.execute(insert(tallies).values(hour=hour, **values))


def reports(connection: Connection, now: float, seconds: list[float]) -> None:
    """Let studies be reported and delivered today that took so long, and a tenth of it."""
    for number, took in enumerate(seconds):
        at = now - 60 - number
        job = connection.execute(
            insert(jobs)
            .values(
                kind=JobKind.REPORT,
                study_instance_uid=f"2.25.77{number}",
                revision=1,
                state=State.DONE,
                attempts=1,
                not_before=at - took,
                queued_at=at - took,
                first_claimed_at=at,
                ended_at=at,
            )
            .returning(jobs.c.id)
        ).scalar_one()
        result = connection.execute(
            insert(results)
            .values(
                job_id=job,
                study_instance_uid=f"2.25.77{number}",
                revision=1,
                kind="heatmap",
                sop_class_uid="1",
                sop_instance_uid=f"2.25.78{number}",
                series_instance_uid="2.25.79",
                object_key=f"{number:064}",
                created_at=at,
                object_removed_at=at,
            )
            .returning(results.c.id)
        ).scalar_one()
        connection.execute(
            insert(deliveries).values(
                result_id=result,
                destination="ris",
                state=State.DONE,
                attempts=1,
                not_before=at,
                queued_at=at,
                first_claimed_at=at,
                ended_at=at + took / 10,
                delivered_at=at + took / 10,
            )
        )


def asked(connection: Connection, now: float, destination: str, refused: set[int]) -> None:
    """Let a destination have been asked every five minutes of the last two hours, and refuse some of these times."""
    for back in range(24, 0, -1):
        is_refused = back in refused
        reason = "association rejected: called AE title not recognised" if is_refused else None
        echoes.echoed(
            connection, destination, now - 300 * back, None if is_refused else 6.0 + back % 5, reason
        )


def scored(connection: Connection, now: float, model: str = MODEL) -> None:
    """Let three devices have scores: one as ever, one that changed two weeks ago, and one that is new."""
    chance = random.Random(11)
    this_week = int((now + MONDAY_SECONDS) // WEEK_SECONDS)
    for name in (STEADY, DRIFTED, NEW):
        device = connection.execute(insert(devices).values(name=name).returning(devices.c.id)).scalar_one()
        weeks = [0] if name == NEW else [0, *range(this_week - 11, this_week + 1)]
        for week in weeks:
            films = 140 if name == NEW else 500 if week == 0 else 60 if week == this_week else 230
            is_other = name == DRIFTED and week >= this_week - 2
            numbers = [0] * SCORE_BINS
            for _ in range(films):
                ill = chance.random() < (0.45 if is_other else 0.2)
                score = chance.betavariate(5, 1.3) if ill else chance.betavariate(1.6 if is_other else 0.8, 4)
                numbers[min(SCORE_BINS - 1, int(score * SCORE_BINS))] += 1
            for place, number in enumerate(numbers):
                if number:
                    values = {"model_sha256": model, "device_id": device, "bin": place, "number": number}
                    connection.execute(insert(score_counts).values(week=week, **values))
