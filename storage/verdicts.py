"""What radiologists, and final reports, say of the node's answers: kept, replaced, counted.

A verdict is about the answer that was in force when it was given, and keeps that. Somebody's later verdict on a study
replaces their earlier one, which is kept and counts no more. A study has one truth: positive or negative where
everybody who can tell says the same, none where nobody can tell or where they say different things.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, case, func, insert, select, update

from storage.schema import IS_COUNTING, instances, jobs, predictions, verdicts
from storage.states import OPEN

UNLIKELY = "unlikely"
MOST_ALARMING_FIRST = ("likely", "uncertain", UNLIKELY)
FINAL_REPORT = "final report"
"""The person of a verdict that was read from a report; what tells it from somebody of that name is its message."""
LONGEST_COMMENT = 2000


class Verdict(StrEnum):
    """What somebody says of an answer."""

    AGREE = "agree"
    DISAGREE = "disagree"
    CANNOT_TELL = "cannot_tell"


class Truth(StrEnum):
    """What is true of a study, by all verdicts on it that count."""

    POSITIVE = "positive"
    NEGATIVE = "negative"
    CANNOT_TELL = "cannot_tell"
    CONTRADICTED = "contradicted"


@dataclass(frozen=True, slots=True)
class StudyAnswer:
    """What the node says of a study, by its film with the highest score; `received_at` is its first image's."""

    received_at: float
    answer: str
    score: float
    model_sha256: str


@dataclass(frozen=True, slots=True)
class Region:
    """A box on a film, in its pixels: first column and row inside, last column and row outside."""

    sop_instance_uid: str
    left: int
    top: int
    right: int
    bottom: int


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict as it is given. `message_id` is of the message that brought a final report, else None."""

    verdict: Verdict
    person: str
    address: str
    comment: str = ""
    region: Region | None = None
    message_id: str | None = None


@dataclass(frozen=True, slots=True)
class KeptVerdict:
    """A verdict with what it was about; `replaced_at` None: it counts."""

    id: int
    answer: str
    score: float
    model_sha256: str
    verdict: Verdict
    is_positive: bool | None
    region: Region | None
    comment: str
    person: str
    at: float
    replaced_at: float | None


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A study of which the verdicts say otherwise than the answer, or different things."""

    study_instance_uid: str
    accession_number: str
    received_at: float
    answer: str
    score: float
    truth: Truth
    at: float


@dataclass(frozen=True, slots=True)
class OrderedStudy:
    """A study with an accession number, and whose it is."""

    study_instance_uid: str
    patient_id: str
    issuer_of_patient_id: str


@dataclass(frozen=True, slots=True)
class JudgedFilm:
    """A film of a study whose truth is known; `boxes` are left, top, right and bottom of opacities on it.

    `patient` is a number that is the same for all films of a patient and tells nothing of who it is.
    """

    study_instance_uid: str
    sop_instance_uid: str
    object_key: str
    is_removed: bool
    is_positive: bool
    patient: int
    boxes: tuple[tuple[int, int, int, int], ...]


def is_positive(answer: str, verdict: Verdict) -> bool | None:
    """Tell whether there is pneumonia by a verdict; None: cannot tell.

    "Likely" and "uncertain" show somebody where to look, "unlikely" says that there is nothing to be seen.
    """
    if verdict is Verdict.CANNOT_TELL:
        return None
    return (answer != UNLIKELY) == (verdict is Verdict.AGREE)


def verdict_for(answer: str, positive: bool | None) -> Verdict:
    """Return what somebody says of an answer who knows what is true: the reverse of `is_positive`."""
    if positive is None:
        return Verdict.CANNOT_TELL
    return Verdict.AGREE if positive == (answer != UNLIKELY) else Verdict.DISAGREE


def answer_of(connection: Connection, study_instance_uid: str) -> StudyAnswer | None:
    """Return what the node says of a study, or None where it has no answer to it."""
    of_study = (instances.c.study_instance_uid == study_instance_uid, instances.c.is_prior.is_(False))
    row = connection.execute(
        select(
            select(func.min(instances.c.received_at)).where(*of_study).scalar_subquery(),
            predictions.c.answer,
            predictions.c.score,
            predictions.c.model_sha256,
        )
        .join(instances, instances.c.id == predictions.c.instance_id)
        .where(*of_study)
        .order_by(predictions.c.score.desc(), predictions.c.id)
        .limit(1)
    ).one_or_none()
    return None if row is None else StudyAnswer(*row)


def is_known(connection: Connection, study_instance_uid: str) -> bool:
    """Tell whether anything of the study has come here."""
    found = select(instances.c.id).where(instances.c.study_instance_uid == study_instance_uid).limit(1)
    return connection.execute(found).first() is not None


def films_of(connection: Connection, study_instance_uid: str) -> list[str]:
    """Return the SOP Instance UIDs of the study's films that were answered, the highest score first."""
    return list(
        connection.execute(
            select(instances.c.sop_instance_uid)
            .join(predictions, predictions.c.instance_id == instances.c.id)
            .where(instances.c.study_instance_uid == study_instance_uid, instances.c.is_prior.is_(False))
            .order_by(predictions.c.score.desc(), predictions.c.id)
        ).scalars()
    )


def studies_of_order(connection: Connection, accession_number: str) -> list[OrderedStudy]:
    """Return the studies with this accession number; one whose images name several patients is there for each."""
    rows = connection.execute(
        select(instances.c.study_instance_uid, instances.c.patient_id, instances.c.issuer_of_patient_id)
        .where(instances.c.accession_number == accession_number, instances.c.is_prior.is_(False))
        .distinct()
    )
    return [OrderedStudy(*row) for row in rows]


def is_being_answered(connection: Connection, study_instance_uid: str) -> bool:
    """Tell whether a film of the study still waits for its analysis."""
    waiting = (
        select(jobs.c.id)
        .where(
            jobs.c.study_instance_uid == study_instance_uid,
            jobs.c.instance_id.is_not(None),
            jobs.c.state.in_(OPEN),
        )
        .limit(1)
    )
    return connection.execute(waiting).first() is not None


def judge(
    connection: Connection, study_instance_uid: str, about: StudyAnswer, given: Judgement, now: float
) -> int:
    """Keep a verdict on a study, which replaces what the same person said of it before; return its id."""
    is_reported = verdicts.c.message_id.is_not(None)
    connection.execute(
        update(verdicts)
        .where(
            verdicts.c.study_instance_uid == study_instance_uid,
            verdicts.c.person == given.person,
            ~is_reported if given.message_id is None else is_reported,
            IS_COUNTING,
        )
        .values(replaced_at=now)
    )
    region = given.region
    made = connection.execute(
        insert(verdicts)
        .values(
            study_instance_uid=study_instance_uid,
            **asdict(about),
            verdict=given.verdict,
            is_positive=is_positive(about.answer, given.verdict),
            region_sop_instance_uid=None if region is None else region.sop_instance_uid,
            region=None if region is None else [region.left, region.top, region.right, region.bottom],
            comment=given.comment,
            person=given.person,
            address=given.address,
            message_id=given.message_id,
            at=now,
        )
        .returning(verdicts.c.id)
    )
    return int(made.scalar_one())


def has_message(connection: Connection, study_instance_uid: str, address: str, message_id: str) -> bool:
    """Tell whether a verdict on the study that counts is of this message, which was sent again."""
    found = select(verdicts.c.id).where(
        verdicts.c.study_instance_uid == study_instance_uid,
        verdicts.c.address == address,
        verdicts.c.message_id == message_id,
        IS_COUNTING,
    )
    return connection.execute(found).first() is not None


def of_study(connection: Connection, study_instance_uid: str) -> list[KeptVerdict]:
    """Return every verdict on a study, the latest first."""
    rows = connection.execute(
        select(verdicts)
        .where(verdicts.c.study_instance_uid == study_instance_uid)
        .order_by(verdicts.c.id.desc())
    )
    return [
        KeptVerdict(
            row.id,
            row.answer,
            row.score,
            row.model_sha256,
            Verdict(row.verdict),
            row.is_positive,
            None if row.region is None else Region(row.region_sop_instance_uid, *row.region),
            row.comment,
            row.person,
            row.at,
            row.replaced_at,
        )
        for row in rows
    ]


def answered_by_period(connection: Connection, starts: Sequence[float]) -> dict[tuple[int, str], int]:
    """Count the studies that have an answer, by period and answer.

    Parameters
    ----------
    starts
        When each period begins, in order; it ends where the next one does, and the last one now.
    """
    rank = case(
        {answer: number for number, answer in enumerate(MOST_ALARMING_FIRST)}, value=predictions.c.answer
    )
    studies = (
        select(func.min(instances.c.received_at).label("received_at"), func.min(rank).label("rank"))
        .join(predictions, predictions.c.instance_id == instances.c.id)
        .where(instances.c.received_at >= starts[0], instances.c.is_prior.is_(False))
        .group_by(_each(instances.c.study_instance_uid))
        .subquery()
    )
    period = _period(studies.c.received_at, starts)
    rows = connection.execute(select(period, studies.c.rank, func.count()).group_by(period, studies.c.rank))
    return {(number, MOST_ALARMING_FIRST[place]): many for number, place, many in rows}


def truths_by_period(connection: Connection, starts: Sequence[float]) -> dict[tuple[int, str, Truth], int]:
    """Count the studies with a verdict by period (see `answered_by_period`), answer and truth."""
    judged = _judged_since(starts[0]).subquery()
    period = _period(judged.c.received_at, starts)
    columns = (period, judged.c.answer, judged.c.truth)
    rows = connection.execute(select(*columns, func.count()).group_by(*columns))
    return {(number, answer, Truth(truth)): many for number, answer, truth, many in rows}


def disagreements(connection: Connection, since: float, most: int) -> list[Disagreement]:
    """Return the studies received since then of which the verdicts say otherwise, the latest verdict first."""
    judged = _judged_since(since).subquery()
    is_wrong = (judged.c.answer == UNLIKELY) == (judged.c.truth == Truth.POSITIVE)
    accession_number = (
        select(func.max(instances.c.accession_number))
        .where(instances.c.study_instance_uid == judged.c.study_instance_uid)
        .scalar_subquery()
    )
    rows = connection.execute(
        select(
            judged.c.study_instance_uid,
            accession_number,
            judged.c.received_at,
            judged.c.answer,
            judged.c.score,
            judged.c.truth,
            judged.c.at,
        )
        .where(
            (judged.c.truth == Truth.CONTRADICTED)
            | (judged.c.truth.in_((Truth.POSITIVE, Truth.NEGATIVE)) & is_wrong)
        )
        .order_by(judged.c.id.desc())
        .limit(most)
    )
    return [
        Disagreement(study, accession, received_at, answer, score, Truth(truth), at)
        for study, accession, received_at, answer, score, truth, at in rows
    ]


def judged_films(connection: Connection) -> Iterator[JudgedFilm]:
    """Yield the films with an answer of every study whose truth is known, by study and in the order they came."""
    judged = _judged_since(0.0).subquery()
    boxes = _boxes(connection)
    # rows are never removed, so the first one of a patient is a number for them that stays
    first = instances.alias("first")
    of_patient = (
        select(func.min(first.c.id))
        .where(
            first.c.patient_id == instances.c.patient_id,
            first.c.issuer_of_patient_id == instances.c.issuer_of_patient_id,
        )
        .scalar_subquery()
    )
    of_nobody = (
        select(func.min(first.c.id))
        .where(first.c.study_instance_uid == instances.c.study_instance_uid)
        .scalar_subquery()
    )
    rows = connection.execute(
        select(
            judged.c.study_instance_uid,
            instances.c.sop_instance_uid,
            instances.c.object_key,
            instances.c.object_removed_at.is_not(None),
            judged.c.truth,
            case((instances.c.patient_id == "", of_nobody), else_=of_patient),
        )
        .join(instances, instances.c.study_instance_uid == judged.c.study_instance_uid)
        .join(predictions, predictions.c.instance_id == instances.c.id)
        .where(judged.c.truth.in_((Truth.POSITIVE, Truth.NEGATIVE)), instances.c.is_prior.is_(False))
        .order_by(judged.c.study_instance_uid, instances.c.id)
    )
    for study, uid, key, is_removed, truth, patient in rows:
        positive = truth == Truth.POSITIVE
        yield JudgedFilm(study, uid, key, is_removed, positive, patient, tuple(boxes.get(uid, ())))


def _boxes(connection: Connection) -> dict[str, list[tuple[int, int, int, int]]]:
    """The regions that those who call a study positive have drawn, by film."""
    found: dict[str, list[tuple[int, int, int, int]]] = {}
    rows = connection.execute(
        select(verdicts.c.region_sop_instance_uid, verdicts.c.region)
        .where(IS_COUNTING, verdicts.c.region_sop_instance_uid.is_not(None), verdicts.c.is_positive)
        .order_by(verdicts.c.id)
    )
    for uid, (left, top, right, bottom) in rows:
        found.setdefault(uid, []).append((left, top, right, bottom))
    return found


def _judged_since(since: float) -> Select[Any]:
    """Select each study received since then with a verdict that counts: the latest one's columns, and what is true by
    all of them.
    """
    # what nobody can tell is null, and counts in neither
    lowest = func.min(case((verdicts.c.is_positive, 1), (~verdicts.c.is_positive, 0)))
    highest = func.max(case((verdicts.c.is_positive, 1), (~verdicts.c.is_positive, 0)))
    truth = case(
        (highest.is_(None), Truth.CANNOT_TELL),
        (lowest != highest, Truth.CONTRADICTED),
        (highest == 1, Truth.POSITIVE),
        else_=Truth.NEGATIVE,
    )
    studies = (
        select(func.max(verdicts.c.id).label("last"), truth.label("truth"))
        .where(IS_COUNTING, verdicts.c.received_at >= since)
        .group_by(_each(verdicts.c.study_instance_uid))
        .subquery()
    )
    return select(verdicts, studies.c.truth).join(studies, studies.c.last == verdicts.c.id)


def _period(at: ColumnElement[float], starts: Sequence[float]) -> ColumnElement[int]:
    """The number of the period that a time is in; what is before the first one counts in that."""
    later = [(at >= start, number) for number, start in reversed(list(enumerate(starts)))]
    return case(*later, else_=0)


def _each(study_instance_uid: ColumnElement[str]) -> ColumnElement[str]:
    """Group by studies so that SQLite reads the months that are asked for, not all years in the order of studies."""
    return study_instance_uid.concat("")
