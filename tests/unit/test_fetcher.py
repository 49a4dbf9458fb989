"""Fetching a patient's earlier films, from archives on their good and bad days."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from pydicom.dataset import Dataset
from sqlalchemy import select

from config.peers import Destination, Source
from config.sections import PriorsSettings
from config.settings import Settings
from dicom_node import earlier_films, fetcher
from dicom_node.fetcher import STUDY_ROOT_GET, STUDY_ROOT_MOVE, USEFUL_SECONDS, Fetcher
from dicom_node.find import STUDY_ROOT_FIND
from dicom_node.intake import NOT_AUTHORIZED, OUT_OF_RESOURCES
from storage import queue
from storage.folder import DataFolder
from storage.records import JobKind
from storage.schema import fetches as fetches_table
from storage.schema import jobs
from storage.states import State
from storage.steps import Step
from tests.fetches import EARLIER, STUDY, arrive, fetched, film_on, outcomes
from tests.instances import NOW, OWNER
from tests.ports import free_port
from tests.query_archive import AE_TITLE, PENDING, Answers, QueryArchive


class Clock:
    """The fetcher's time; tests move it."""

    now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def archive() -> QueryArchive:
    return QueryArchive(films=[EARLIER])


def fetching(folder: DataFolder, port: int, clock: Clock | None = None, **priors: Any) -> Fetcher:
    destination = Destination(name="archive", ae_title=AE_TITLE, host="127.0.0.1", port=port)
    source = Source(name="archive", ae_title=AE_TITLE, hosts=("127.0.0.1",))  # type: ignore[arg-type]
    settings = Settings(
        destinations=(destination,),
        sources=(source,),
        priors=PriorsSettings(archive="archive", **priors),
        storage={"minimum_free_megabytes": 0},  # type: ignore[arg-type]
    )
    return Fetcher(settings, folder, OWNER, lambda: None, clock or Clock())


def given_up(folder: DataFolder, one: Fetcher, clock: Clock) -> str:
    """Let it try until it gives up, and return the reason; the study's own jobs are as they were."""
    for _ in range(10):
        one.step()
        clock.now += 15.0
    [(state, reason, _)] = outcomes(folder)
    assert (state, fetched(folder)) == (State.REJECTED, [])
    assert [*folder.objects.incoming.iterdir()] == []
    with folder.database.read() as connection:
        rows = connection.execute(select(jobs.c.kind, jobs.c.state, jobs.c.not_before).order_by(jobs.c.id))
        assert [tuple(row) for row in rows] == [
            ("analyse", State.QUEUED, NOW),
            ("report", State.QUEUED, NOW + 2),
        ]
    assert reason is not None
    return reason


# What is fetched


def test_an_earlier_film_is_fetched_to_be_analysed_and_not_to_be_reported(
    folder: DataFolder, archive: QueryArchive
) -> None:
    arrive(folder)
    with archive.listening():
        assert fetching(folder, archive.port).step() == 0
    assert fetched(folder) == [EARLIER.SOPInstanceUID]
    assert outcomes(folder) == [(State.DONE, None, 1)]
    with folder.database.read() as connection:
        of_study = jobs.c.study_instance_uid == EARLIER.StudyInstanceUID
        assert list(connection.execute(select(jobs.c.kind).where(of_study)).scalars()) == [JobKind.ANALYSE]


def test_an_archive_is_asked_for_one_patient_and_the_years_that_are_set(
    folder: DataFolder, archive: QueryArchive
) -> None:
    arrive(folder)
    with archive.listening():
        fetching(folder, archive.port, years=2).step()
    asked = archive.questions[0]
    assert (asked.PatientID, asked.IssuerOfPatientID, asked.PatientBirthDate) == (
        "P1",
        "HOSPITAL",
        "19500102",
    )
    assert asked.StudyDate == "20230301-20250228"


NOT_EARLIER_RADIOGRAPHS_OF_THE_PATIENT: list[dict[str, Any]] = [
    {"PatientID": "P2"},
    {"PatientID": "p1"},
    {"IssuerOfPatientID": "ELSEWHERE"},
    {"IssuerOfPatientID": ""},
    {"PatientBirthDate": "19500201"},
    {"without": ["PatientBirthDate"]},
    {"without": ["PatientID"]},
    {"StudyDate": "20250301"},
    {"StudyDate": "20280301"},
    {"StudyDate": "20130301"},
    {"without": ["StudyDate"]},
    {"Modality": "CT"},
    {"StudyInstanceUID": STUDY},
]


def test_what_an_archive_answers_beside_the_patients_earlier_radiographs_is_left_there(
    folder: DataFolder, archive: QueryArchive
) -> None:
    arrive(folder)
    archive.films += [
        film_on("20240501", study=f"other {changes}", **changes)
        for changes in NOT_EARLIER_RADIOGRAPHS_OF_THE_PATIENT
    ]
    with archive.listening():
        fetching(folder, archive.port, studies=10).step()
    assert archive.wanted == [EARLIER.SOPInstanceUID]


def test_the_latest_studies_are_fetched_and_none_with_more_images_than_a_radiograph_has(
    folder: DataFolder, archive: QueryArchive
) -> None:
    latest = film_on("20240701")
    archive.films += [film_on("20230101"), latest, *(film_on("20240901", str(each)) for each in range(3))]
    arrive(folder)
    with archive.listening():
        fetching(folder, archive.port, studies=2, images_per_study=2).step()
    assert archive.wanted == [latest.SOPInstanceUID, EARLIER.SOPInstanceUID]


def test_what_the_node_has_is_not_fetched_again(folder: DataFolder, archive: QueryArchive) -> None:
    arrive(folder)
    with archive.listening():
        one = fetching(folder, archive.port)
        one.step()
        arrive(folder, 2, study_instance_uid="1.2.4")
        one.step()
    assert archive.wanted == [EARLIER.SOPInstanceUID]
    assert [row[0] for row in outcomes(folder)] == [State.DONE] * 2


@pytest.mark.parametrize(
    "changes",
    [
        {"is_prior": True},
        {"stored_only": "not_an_image"},
        {"patient_id": ""},
        {"patient_birth_date": ""},
        {"study_date": ""},
    ],
    ids=str,
)
def test_nothing_is_fetched_where_nobody_knows_whose_or_which_films_are_earlier(
    folder: DataFolder, changes: dict[str, Any]
) -> None:
    arrive(folder, **changes)
    assert outcomes(folder) == []


def test_a_study_is_fetched_for_once_and_again_where_it_turns_out_to_be_of_another_patient(
    folder: DataFolder,
) -> None:
    arrive(folder, 1)
    arrive(folder, 2)
    assert len(outcomes(folder)) == 1
    arrive(folder, 3, patient_id="P2")
    assert len(outcomes(folder)) == 2


# Bad days


def test_an_archive_that_is_down_is_given_up_with_its_reason(folder: DataFolder) -> None:
    arrive(folder)
    clock = Clock()
    assert (
        given_up(folder, fetching(folder, free_port(), clock), clock)
        == "no DICOM answer at this host and port"
    )


@pytest.mark.parametrize("accepted", [STUDY_ROOT_FIND, STUDY_ROOT_GET])
def test_an_archive_without_a_service_is_given_up(
    folder: DataFolder, archive: QueryArchive, accepted: str
) -> None:
    arrive(folder)
    clock = Clock()
    with archive.listening(classes=(accepted,)):
        reason = given_up(folder, fetching(folder, archive.port, clock), clock)
    missing = "C-GET" if accepted == STUDY_ROOT_FIND else "C-FIND"
    assert reason == f"presentation context refused: Study Root {missing}"


def of_another_patient(_asked: Dataset) -> Answers:
    answer = Dataset()
    answer.PatientID, answer.StudyInstanceUID, answer.StudyDate = "P2", "1.2.9", "20240301"
    yield PENDING, answer


def endless(_asked: Dataset) -> Answers:
    while True:
        yield from of_another_patient(_asked)


def failing(_asked: Dataset) -> Answers:
    yield 0xA700, None


@pytest.mark.parametrize(
    ("find", "reason"),
    [
        (of_another_patient, "no answer to C-FIND is of a patient with this ID, issuer and birth date"),
        (endless, "C-FIND has more than 20 answers"),
        (failing, "C-FIND answered 0xA700"),
    ],
)
def test_an_archive_that_answers_badly_is_given_up(
    folder: DataFolder,
    archive: QueryArchive,
    monkeypatch: pytest.MonkeyPatch,
    find: Callable[[Dataset], Answers],
    reason: str,
) -> None:
    monkeypatch.setattr(earlier_films, "MOST_ANSWERS", 20)
    arrive(folder)
    clock = Clock()
    with archive.listening(find=find):
        assert given_up(folder, fetching(folder, archive.port, clock), clock) == reason
    assert archive.wanted == []


def test_an_archive_that_never_answers_is_given_up_in_time(
    folder: DataFolder, archive: QueryArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetcher, "LONGEST_SECONDS", 0.2)
    is_over = threading.Event()

    def silent(asked: Dataset) -> Answers:
        is_over.wait(60)
        yield from archive.find(asked)

    arrive(folder)
    clock = Clock()
    with archive.listening(find=silent):
        reason = given_up(folder, fetching(folder, archive.port, clock), clock)
        is_over.set()
    assert reason == "not finished within 0.2 seconds"


def test_what_was_not_asked_for_is_not_taken(folder: DataFolder, archive: QueryArchive) -> None:
    sent = [
        film_on("20240301", "another image"),
        film_on("20240301", PatientID="P2"),
        film_on("20240301", IssuerOfPatientID="ELSEWHERE"),
        film_on("20240301", PatientBirthDate="19500201"),
        film_on("20240301", StudyDate="20280301"),
        film_on("20240301", StudyInstanceUID=STUDY),
    ]
    arrive(folder)
    clock = Clock()
    with archive.listening(get=lambda _asked: sent):
        reason = given_up(folder, fetching(folder, archive.port, clock), clock)
    assert "1 of 1 images did not come" in reason
    assert set(archive.statuses) == {NOT_AUTHORIZED}
    assert len(archive.statuses) == 3 * len(sent)
    assert list(folder.folder.glob("objects/*/*.dcm")) == []


def test_no_more_data_is_taken_than_is_set(
    folder: DataFolder, archive: QueryArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetcher, "MOST_BYTES", 5_000)
    arrive(folder)
    clock = Clock()
    with archive.listening():
        assert given_up(folder, fetching(folder, archive.port, clock), clock) == "more data than is fetched"


def test_a_full_disk_takes_no_earlier_films(
    folder: DataFolder, archive: QueryArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder.objects, "free_bytes", lambda: -1)
    arrive(folder)
    clock = Clock()
    with archive.listening():
        given_up(folder, fetching(folder, archive.port, clock), clock)
    assert set(archive.statuses) == {OUT_OF_RESOURCES}


def test_an_archive_that_does_not_know_where_to_send_is_given_up(
    folder: DataFolder, archive: QueryArchive
) -> None:
    arrive(folder)
    clock = Clock()
    with archive.listening(classes=(STUDY_ROOT_FIND, STUDY_ROOT_MOVE)):
        reason = given_up(folder, fetching(folder, archive.port, clock, method="move"), clock)
    assert reason == "C-MOVE answered 0xA801, and 1 of 1 images did not come"


@pytest.mark.parametrize("patient_id", ["P*", "P?", "P1\\P2", "MÜLLER"])
def test_a_patients_id_that_would_ask_for_other_patients_is_not_asked_for(
    folder: DataFolder, archive: QueryArchive, patient_id: str
) -> None:
    arrive(folder, patient_id=patient_id)
    with archive.listening():
        fetching(folder, archive.port).step()
    assert archive.questions == []
    [(state, reason, _)] = outcomes(folder)
    assert (state, reason) == (State.REJECTED, "the patient's ID has characters that cannot be asked for")


@pytest.mark.parametrize("changes", [{"study_date": "20251345"}, {"patient_birth_date": "00000000"}], ids=str)
def test_a_date_that_is_none_is_not_asked_for(folder: DataFolder, changes: dict[str, str]) -> None:
    arrive(folder, **changes)
    fetching(folder, free_port()).step()
    assert outcomes(folder) == [(State.REJECTED, "the study's date or the birth date is none", None)]


def test_what_has_waited_too_long_is_of_no_use_any_more(folder: DataFolder, archive: QueryArchive) -> None:
    arrive(folder)
    clock = Clock()
    clock.now += USEFUL_SECONDS + 1
    with archive.listening():
        fetching(folder, archive.port, clock).step()
    assert archive.questions == []
    assert outcomes(folder) == [(State.REJECTED, "waited too long: the report is out", None)]


def test_a_fetch_that_was_cut_off_by_a_crash_is_done_again(folder: DataFolder, archive: QueryArchive) -> None:
    arrive(folder)
    with folder.database.write(Step.BY_HAND) as connection:
        queue.claim_fetch(connection, "a node that was killed", NOW, 60.0)
        assert queue.release_leases(connection, fetches_table, NOW, None) == 1
    with archive.listening():
        fetching(folder, archive.port).step()
    assert outcomes(folder) == [(State.DONE, None, 1)]
