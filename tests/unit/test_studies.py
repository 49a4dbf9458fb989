"""What a list shows of studies: whose they are, and how far the node is with them."""

import pytest

from storage import queue
from storage.folder import DataFolder
from storage.records import JobKind
from storage.schema import deliveries, jobs
from storage.states import State
from storage.steps import Step
from storage.studies import ListedStudy, Progress, found_by, listed, progress_of
from tests.instances import (
    NOW,
    OWNER,
    analyse,
    claim_delivery,
    claimed,
    instance,
    receive,
    report,
    result,
)

STUDY = "1.2.3"


def progress(folder: DataFolder) -> Progress:
    with folder.database.read() as connection:
        return progress_of(connection, [STUDY])[STUDY]


def test_a_study_goes_its_way(folder: DataFolder) -> None:
    receive(folder, instance(1))
    receive(folder, instance(2))
    assert progress(folder) is Progress.WAITING
    analyse(folder)
    assert progress(folder) is Progress.BEING_ANALYSED
    analyse(folder)
    assert progress(folder) is Progress.BEING_ANALYSED  # its report is not made
    report(folder, [result(1), result(2)])
    assert progress(folder) is Progress.REPORTED
    for expected in (Progress.REPORTED, Progress.DELIVERED):
        delivery = claim_delivery(folder)
        assert delivery is not None
        with folder.database.write(Step.BY_HAND) as connection:
            queue.succeed(connection, deliveries, delivery.id, OWNER, NOW + 11, status=0)
        assert progress(folder) is expected


def test_a_report_that_goes_nowhere_is_reported(folder: DataFolder) -> None:
    receive(folder, instance())
    analyse(folder)
    report(folder, [result()], destinations=())
    assert progress(folder) is Progress.REPORTED


def refuse(folder: DataFolder, reason: str) -> None:
    job = claimed(folder, JobKind.ANALYSE)
    with folder.database.write(Step.BY_HAND) as connection:
        queue.reject(connection, jobs, job.id, OWNER, NOW, reason)


def test_a_study_is_not_analysable_where_none_of_its_films_is(folder: DataFolder) -> None:
    receive(folder, instance(1, view_position="LL"))
    refuse(folder, "lateral_view")
    report(folder, [result()])
    assert progress(folder) is Progress.NOT_ANALYSABLE
    receive(folder, instance(2, view_position="PA"), NOW + 20)
    analyse(folder, NOW + 20)
    report(folder, [result(2)], now=NOW + 30)
    assert progress(folder) is Progress.REPORTED
    with folder.database.read() as connection:
        shown = listed(connection, [STUDY])[STUDY]
    assert (shown.views, shown.reasons) == (("LL", "PA"), ("lateral_view",))


@pytest.mark.parametrize("state", [State.FAILED, State.REJECTED])
def test_a_delivery_that_a_person_has_to_look_at_is_a_failure(folder: DataFolder, state: State) -> None:
    receive(folder, instance())
    analyse(folder)
    report(folder, [result()])
    delivery = claim_delivery(folder)
    assert delivery is not None
    with folder.database.write(Step.BY_HAND) as connection:
        end = queue.reject if state is State.REJECTED else queue.give_up
        end(connection, deliveries, delivery.id, OWNER, NOW, "0xA900")
    assert progress(folder) is Progress.FAILED
    with folder.database.write(Step.BY_HAND) as connection:
        queue.dismiss(connection, deliveries, [delivery.id], NOW)
    assert progress(folder) is Progress.DELIVERED


def test_a_film_whose_analysis_failed_makes_its_study_fail(folder: DataFolder) -> None:
    receive(folder, instance())
    job = claimed(folder, JobKind.ANALYSE)
    with folder.database.write(Step.BY_HAND) as connection:
        queue.give_up(connection, jobs, job.id, OWNER, NOW, "worker_died")
    assert progress(folder) is Progress.FAILED


def test_a_study_is_listed_by_what_its_last_image_says(folder: DataFolder) -> None:
    about = {"patient_id": "P1", "patient_birth_date": "19500101"}
    receive(folder, instance(1, patient_name="Doe^J", **about))
    receive(folder, instance(2, patient_name="Doe^Jane", view_position="AP", **about), is_urgent=True)
    receive(folder, instance(3, patient_name="Nobody", stored_only="not an image", **about))
    with folder.database.read() as connection:
        assert listed(connection, [STUDY, "1.9"]) == {
            STUDY: ListedStudy(
                STUDY, "ACC1", "Doe^Jane", "P1", "19500101", "", ("", "AP"), True, Progress.WAITING, ()
            )
        }


@pytest.mark.parametrize(
    ("search", "is_found"),
    [
        ("mull", True),
        ("MÜLLER jürgen", True),
        ("jurgen p-7", True),
        ("acc1", True),
        ("yamada 太郎", False),
        ("müller hans", False),
        ("%", False),
        ("", True),
    ],
)
def test_a_study_is_found_by_what_names_it(folder: DataFolder, search: str, is_found: bool) -> None:
    receive(folder, instance(patient_name="Müller^Jürgen", patient_id="P-7"))
    with folder.database.read() as connection:
        assert found_by(connection, search, NOW) == ({STUDY} if is_found else set())
        assert found_by(connection, search, NOW + 1) == set()
