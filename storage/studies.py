"""What people see of studies in a list: whose they are, which views, how far the node is with them."""

import unicodedata
from collections import defaultdict
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection, Select, select

from storage.records import JobKind, Priority
from storage.schema import deliveries, instances, jobs, results
from storage.states import ARRIVED, CAME_TO_NOTHING, State


class Progress(StrEnum):
    """How far the node is with a study; the value is what pages and programs are told."""

    WAITING = "waiting"
    BEING_ANALYSED = "being_analysed"
    REPORTED = "reported"
    """Its report is made, and not everywhere yet."""
    DELIVERED = "delivered"
    NOT_ANALYSABLE = "not_analysable"
    FAILED = "failed"
    """Of an image, a report or a delivery of it nothing has become: a person has to look, or has given it up."""


@dataclass(frozen=True, slots=True)
class ListedStudy:
    """A study as a list shows it, by what its last image says.

    `patient_name` and the dates are as DICOM writes them, or empty; `views` are of its radiographs, in the
    order in which they came, empty where one does not say it. `reasons` are why radiographs of it are not analysable.
    """

    study_instance_uid: str
    accession_number: str
    patient_name: str
    patient_id: str
    patient_birth_date: str
    study_date: str
    views: tuple[str, ...]
    is_urgent: bool
    progress: Progress
    reasons: tuple[str, ...]


Studies = list[str] | Select[tuple[str]]
"""Study Instance UIDs, or a query for them."""


def listed(connection: Connection, studies: list[str]) -> dict[str, ListedStudy]:
    """Return what a list shows of these studies, by Study Instance UID; those without a radiograph are left out."""
    rows = connection.execute(
        select(
            instances.c.study_instance_uid,
            instances.c.accession_number,
            instances.c.patient_name,
            instances.c.patient_id,
            instances.c.patient_birth_date,
            instances.c.study_date,
            instances.c.view_position,
            jobs.c.priority,
            jobs.c.state,
            jobs.c.reason,
        )
        .join(jobs, jobs.c.instance_id == instances.c.id)
        .where(instances.c.study_instance_uid.in_(studies))
        .order_by(instances.c.id)
    )
    images = defaultdict(list)
    for row in rows:
        images[row.study_instance_uid].append(row)
    reached = progress_of(connection, studies)
    return {
        study: ListedStudy(
            study,
            of_study[-1].accession_number,
            of_study[-1].patient_name,
            of_study[-1].patient_id,
            of_study[-1].patient_birth_date,
            of_study[-1].study_date,
            tuple(row.view_position for row in of_study),
            min(row.priority for row in of_study) == Priority.URGENT,
            reached[study],
            tuple(dict.fromkeys(row.reason for row in of_study if row.state == State.REJECTED)),
        )
        for study, of_study in images.items()
    }


def progress_of(connection: Connection, studies: Studies) -> dict[str, Progress]:
    """Return how far the node is with each of these studies that has work to be done, or done."""
    study = jobs.c.study_instance_uid
    asked = select(study, jobs.c.kind, jobs.c.state).where(study.in_(studies)).distinct()
    work: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
    for uid, kind, state in connection.execute(asked):
        work[uid].add((kind, state))
    sent: defaultdict[str, set[str]] = defaultdict(set)
    study = results.c.study_instance_uid
    asked_of_results = (
        select(study, deliveries.c.state)
        .join(deliveries, deliveries.c.result_id == results.c.id)
        .where(study.in_(studies))
        .group_by(study, deliveries.c.state)
    )
    for uid, state in connection.execute(asked_of_results):
        sent[uid].add(state)
    return {uid: _progress(done, sent[uid]) for uid, done in work.items()}


def _progress(work: set[tuple[str, str]], sent: set[str]) -> Progress:
    analysed = {state for kind, state in work if kind == JobKind.ANALYSE}
    states = {state for _, state in work}
    if states & {*CAME_TO_NOTHING} or sent & {State.FAILED, State.REJECTED}:
        return Progress.FAILED
    if analysed == {State.QUEUED}:
        return Progress.WAITING
    if states & {State.QUEUED, State.RUNNING}:
        return Progress.BEING_ANALYSED
    if State.DONE not in analysed:
        return Progress.NOT_ANALYSABLE
    return Progress.DELIVERED if sent and sent <= {*ARRIVED, State.DISMISSED} else Progress.REPORTED


def found_by(connection: Connection, search: str, since: float) -> set[str]:
    """Return the studies with an image that came since then and has all the words of a search in what names it.

    That is the patient's name and ID and the accession number; case and accents do not matter.
    """
    words = _folded(search).split()
    rows = connection.execute(
        select(
            instances.c.study_instance_uid,
            instances.c.patient_name,
            instances.c.patient_id,
            instances.c.accession_number,
        ).where(instances.c.received_at >= since)
    )
    found = set()
    for study, *named in rows:
        text = _folded(" ".join(named))
        if all(word in text for word in words):
            found.add(study)
    return found


def _folded(text: str) -> str:
    if text.isascii():
        return text.lower()
    letters = unicodedata.normalize("NFKD", text)
    return "".join(each for each in letters if not unicodedata.combining(each)).casefold()
