"""What a radiologist should read first, and that nobody waits for ever."""

from dataclasses import replace

import pytest

from storage import ledger
from storage.folder import DataFolder
from storage.records import JobKind
from storage.steps import Step
from storage.worklist import WaitingStudy, reading_order, studies_since
from tests.instances import NOW, OWNER, PREDICTION, claimed, instance, receive

HOUR = 3600.0


def study(uid: str, answer: str | None, score: float | None = None, waits: float = 60.0) -> WaitingStudy:
    return WaitingStudy(uid, "", NOW - waits, answer, score)


def order(*studies: WaitingStudy) -> list[str]:
    return [each.study_instance_uid for each in reading_order(studies, NOW, 4 * HOUR)]


def test_flagged_studies_come_first_by_score_and_unlikely_ones_last_by_age() -> None:
    assert order(
        study("unlikely, new", "unlikely", 0.29),
        study("unlikely, old", "unlikely", 0.01, waits=HOUR),
        study("no answer", None),
        study("uncertain", "uncertain", 0.60),
        study("likely", "likely", 0.80, waits=HOUR),
        study("likelier", "likely", 0.95),
    ) == ["likelier", "likely", "uncertain", "no answer", "unlikely, old", "unlikely, new"]


def test_a_study_that_waited_too_long_is_read_first_whatever_its_score() -> None:
    assert order(
        study("likely", "likely", 0.99),
        study("missed", "unlikely", 0.01, waits=5 * HOUR),
        study("not analysable", None, waits=6 * HOUR),
        study("flagged, and waited", "likely", 0.9, waits=4 * HOUR),
    ) == ["not analysable", "missed", "flagged, and waited", "likely"]


def predict(folder: DataFolder, score: float, answer: str) -> None:
    job = claimed(folder, JobKind.ANALYSE, NOW + 10)
    with folder.database.write(Step.BY_HAND) as connection:
        ledger.predicted(connection, job, OWNER, replace(PREDICTION, score=score, answer=answer), NOW + 10)


def waiting(folder: DataFolder, since: float = 0.0) -> list[WaitingStudy]:
    with folder.database.read() as connection:
        return studies_since(connection, since)


def test_a_study_counts_by_its_film_with_the_highest_score_and_waits_from_its_first(
    folder: DataFolder,
) -> None:
    for number, (score, answer) in enumerate([(0.2, "unlikely"), (0.9, "likely"), (0.5, "uncertain")]):
        receive(folder, instance(number), NOW + number)
        predict(folder, score, answer)
    receive(folder, instance(9), NOW + 9)  # not analysed yet
    assert waiting(folder) == [WaitingStudy("1.2.3", "ACC1", NOW, "likely", 0.9)]


def test_a_study_without_an_answer_is_on_the_list(folder: DataFolder) -> None:
    receive(folder, instance())
    assert waiting(folder) == [WaitingStudy("1.2.3", "ACC1", NOW, None, None)]


def test_what_is_only_stored_is_not_for_reading(folder: DataFolder) -> None:
    receive(folder, instance(stored_only="not an image"))
    assert waiting(folder) == []


def test_an_earlier_study_that_was_fetched_is_not_for_reading_until_it_is_sent_to_be_read(
    folder: DataFolder,
) -> None:
    receive(folder, instance(1, is_prior=True))
    assert waiting(folder) == []
    receive(folder, instance(1), now=NOW + 5)
    assert [each.received_at for each in waiting(folder)] == [NOW + 5]


@pytest.mark.parametrize(("since", "listed"), [(NOW, 1), (NOW + 1, 0)])
def test_a_study_is_listed_by_when_its_first_image_came(
    since: float, listed: int, folder: DataFolder
) -> None:
    receive(folder, instance(1), NOW)
    receive(folder, instance(2), NOW + 2)
    assert len(waiting(folder, since)) == listed
