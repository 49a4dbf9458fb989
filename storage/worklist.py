"""In which order studies are best read, so that pneumonia waits less and nobody waits for ever."""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from storage.schema import instances, jobs, predictions

_LIKELY = "likely"
_UNCERTAIN = "uncertain"
_UNLIKELY = "unlikely"
_RANKS = {_LIKELY: 0, _UNCERTAIN: 1, None: 2, _UNLIKELY: 3}


@dataclass(frozen=True, slots=True)
class WaitingStudy:
    """A study on the worklist.

    `answer` and `score` are those of its film with the highest score; None while no film was analysed, and where none
    could be. `received_at` is when its first image came, in seconds since the epoch.
    """

    study_instance_uid: str
    accession_number: str
    received_at: float
    answer: str | None
    score: float | None


def studies_since(connection: Connection, since: float) -> list[WaitingStudy]:
    """Return the studies with radiographs to be read whose first image came at `since` or later, in no order."""
    # of all that were ever received the few of these days: what follows is asked of them alone
    recent = select(instances.c.study_instance_uid).where(instances.c.received_at >= since)
    # With max() SQLite takes the other columns from the row that holds it; other databases do not, so scores and
    # answers are asked for apart.
    highest = (
        select(instances.c.study_instance_uid, func.max(predictions.c.score).label("score"))
        .join(predictions, predictions.c.instance_id == instances.c.id)
        .where(instances.c.study_instance_uid.in_(recent))
        .group_by(instances.c.study_instance_uid)
        .subquery()
    )
    answers = (
        select(highest.c.study_instance_uid, highest.c.score, func.min(predictions.c.answer).label("answer"))
        .join(instances, instances.c.study_instance_uid == highest.c.study_instance_uid)
        .join(
            predictions,
            (predictions.c.instance_id == instances.c.id) & (predictions.c.score == highest.c.score),
        )
        .group_by(highest.c.study_instance_uid, highest.c.score)
        .subquery()
    )
    first = func.min(instances.c.received_at)
    rows = connection.execute(
        select(
            instances.c.study_instance_uid,
            func.max(instances.c.accession_number),
            first,
            answers.c.answer,
            answers.c.score,
        )
        .join(jobs, jobs.c.instance_id == instances.c.id)
        .outerjoin(answers, answers.c.study_instance_uid == instances.c.study_instance_uid)
        .where(instances.c.is_prior.is_(False), instances.c.study_instance_uid.in_(recent))
        .group_by(instances.c.study_instance_uid, answers.c.answer, answers.c.score)
        .having(first >= since)
    )
    return [WaitingStudy(*row) for row in rows]


def reading_order(studies: Iterable[WaitingStudy], now: float, longest_wait: float) -> list[WaitingStudy]:
    """Put studies in the order in which to read them.

    Who waited for `longest_wait` seconds comes first, the longest wait before the others, whatever the score: without
    such a limit films that were wrongly called unlikely wait longer than they did in the order of arrival (Baltruschat
    et al., Eur. Radiol. 31, 2021: 1293 minutes instead of 890 in the worst case). Then come likely and uncertain, the
    higher score first; then studies without an answer, for nobody knows what is on them; and unlikely ones last, in the
    order in which they came.
    """

    def place(study: WaitingStudy) -> tuple[int, float, float]:
        if now - study.received_at >= longest_wait:
            return -1, 0.0, study.received_at
        flagged = study.answer in (_LIKELY, _UNCERTAIN)
        return _RANKS[study.answer], -(study.score or 0.0) if flagged else 0.0, study.received_at

    return sorted(studies, key=place)
