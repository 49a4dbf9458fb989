"""A year of a hospital's studies, some of them judged, made up: what the feedback page counts."""

import random

from sqlalchemy import Connection, insert

from dicom_node.feedback import MONTHS, month_starts
from storage import verdicts
from storage.records import JobKind
from storage.schema import instances, jobs, predictions
from storage.states import State
from storage.verdicts import FINAL_REPORT, Judgement, StudyAnswer, verdict_for

STUDIES_A_MONTH = 60
MODEL = "5" * 64
ANSWERS = {"likely": (0.15, 0.82), "uncertain": (0.1, 0.45), "unlikely": (0.75, 0.03)}
"""How often each is given, and how often there is pneumonia then."""


def judged_year(connection: Connection, now: float) -> None:
    """Let studies of twelve months be answered and, the flagged ones more often, judged."""
    chance = random.Random(11)
    starts = month_starts(now, MONTHS)
    number = 0
    for start, end in zip(starts, [*starts[1:], now], strict=True):
        for _ in range(STUDIES_A_MONTH):
            number += 1
            [answer] = chance.choices(list(ANSWERS), [often for often, _ in ANSWERS.values()])
            _study(connection, number, chance.uniform(start, end), answer, chance)


def _study(connection: Connection, number: int, at: float, answer: str, chance: random.Random) -> None:
    study = f"2.25.900{number:05}"
    score = {"likely": 0.7, "uncertain": 0.45, "unlikely": 0.05}[answer] + chance.random() / 5
    instance = connection.execute(
        insert(instances)
        .values(
            sop_instance_uid=f"{study}.1",
            sop_class_uid="1.2.840.10008.5.1.4.1.1.1.1",
            transfer_syntax_uid="1.2.840.10008.1.2.1",
            study_instance_uid=study,
            series_instance_uid=f"{study}.2",
            accession_number=f"A26-{number:05}",
            object_key=f"{number:064x}",
            size=1,
            source="pacs",
            received_at=at,
            times_received=1,
            object_removed_at=at,
        )
        .returning(instances.c.id)
    ).scalar_one()
    connection.execute(
        insert(jobs).values(
            kind=JobKind.ANALYSE,
            study_instance_uid=study,
            instance_id=instance,
            state=State.DONE,
            attempts=1,
            not_before=at,
            queued_at=at,
            ended_at=at,
        )
    )
    connection.execute(
        insert(predictions).values(
            instance_id=instance,
            model_sha256=MODEL,
            score=score,
            uncertain_from=0.4,
            likely_from=0.65,
            answer=answer,
            attention={"rows": 1, "columns": 1, "values": [1.0]},
            regions=[],
            created_at=at,
        )
    )
    if chance.random() < (0.6 if answer != "unlikely" else 0.2):
        _judge(connection, study, StudyAnswer(at, answer, score, MODEL), chance)


def _judge(connection: Connection, study: str, about: StudyAnswer, chance: random.Random) -> None:
    true = None if chance.random() < 0.05 else chance.random() < ANSWERS[about.answer][1]
    for person, often in (("ralf", 1.0), (FINAL_REPORT, 0.3)):
        if chance.random() < often:
            given = Judgement(verdict_for(about.answer, true), person, "192.0.2.1")
            verdicts.judge(connection, study, about, given, about.received_at + 3600)
        if true is not None and chance.random() < 0.03:
            true = not true  # people differ
