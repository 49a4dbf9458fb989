"""What is paused is not begun, whoever asks; receiving goes on, and what is under way ends."""

import pytest
from sqlalchemy import select

from dicom_node.by_hand import in_words
from storage import commitment, pauses, queue, waiting
from storage.folder import DataFolder
from storage.pauses import Pause, Scope
from storage.records import JobKind
from storage.schema import jobs
from storage.states import State
from storage.steps import Step
from tests.fetches import arrive
from tests.instances import NOW, OWNER, analyse, claim, claimed, instance, receive, report, result

ANALYSIS = Pause(Scope.ANALYSIS, "", NOW, "anna", "new model")
EVERYTHING = Pause(Scope.EVERYTHING, "", NOW, "anna", "new disks")
PACS = Pause(Scope.DESTINATION, "pacs", NOW, "anna", "the PACS is updated")


def pause(folder: DataFolder, *paused: Pause) -> None:
    with folder.database.write(Step.BY_HAND) as connection:
        assert all(pauses.pause(connection, each) for each in paused)


def resume(folder: DataFolder, paused: Pause) -> bool:
    with folder.database.write(Step.BY_HAND) as connection:
        return pauses.resume(connection, paused.scope, paused.destination)


def next_delivery(folder: DataFolder, destination: str) -> tuple[float | None, bool]:
    """When a delivery may be claimed, as the sender asks, and whether it is."""
    with folder.database.write(Step.BY_HAND) as connection:
        due = waiting.next_delivery(connection, destination)
        return due, queue.claim_delivery(connection, destination, OWNER, NOW + 20, 60.0) is not None


@pytest.mark.parametrize("paused", [ANALYSIS, EVERYTHING])
def test_neither_analysis_nor_report_is_begun_while_it_is_paused(folder: DataFolder, paused: Pause) -> None:
    receive(folder, instance(1))
    pause(folder, paused)
    receive(folder, instance(2))
    with folder.database.read() as connection:
        assert waiting.next_job(connection, retries=False) is None
        assert waiting.is_busy(connection, NOW - 1)  # nor by a candidate
    assert claim(folder, JobKind.ANALYSE) is None
    assert claim(folder, JobKind.REPORT, NOW + 20) is None
    assert resume(folder, paused)
    assert claim(folder, JobKind.ANALYSE) is not None


def test_what_is_under_way_ends(folder: DataFolder) -> None:
    receive(folder, instance(1))
    job = claimed(folder, JobKind.ANALYSE)
    pause(folder, EVERYTHING)
    with folder.database.write(Step.BY_HAND) as connection:
        queue.reject(connection, jobs, job.id, OWNER, NOW + 1, "lateral_view")
        assert (
            connection.execute(select(jobs.c.state).where(jobs.c.id == job.id)).scalar_one() == State.REJECTED
        )


@pytest.mark.parametrize(("paused", "other_goes_on"), [(PACS, True), (EVERYTHING, False)])
def test_a_paused_destination_gets_nothing_and_the_others_do(
    folder: DataFolder, paused: Pause, other_goes_on: bool
) -> None:
    receive(folder, instance(1))
    analyse(folder)
    report(folder, [result()], ("pacs", "vna"))
    pause(folder, paused)
    assert next_delivery(folder, "pacs") == (None, False)
    assert next_delivery(folder, "vna")[1] is other_goes_on
    assert resume(folder, paused)
    assert next_delivery(folder, "pacs")[1]


def test_earlier_films_are_fetched_unless_everything_is_paused(folder: DataFolder) -> None:
    arrive(folder)
    for paused in (ANALYSIS, EVERYTHING):
        pause(folder, paused)
    with folder.database.write(Step.BY_HAND) as connection:
        assert waiting.next_fetch(connection) is None
        assert queue.claim_fetch(connection, OWNER, NOW + 1, 60.0) is None
    resume(folder, EVERYTHING)
    with folder.database.write(Step.BY_HAND) as connection:
        assert waiting.next_fetch(connection) is not None
        assert queue.claim_fetch(connection, OWNER, NOW + 1, 60.0) is not None


def test_a_paused_destination_is_asked_for_no_promise(folder: DataFolder) -> None:
    receive(folder, instance(1))
    analyse(folder)
    report(folder, [result()])
    with folder.database.write(Step.BY_HAND) as connection:
        sent = queue.claim_delivery(connection, "pacs", OWNER, NOW + 10, 60.0)
        assert sent is not None
        queue.arrived(connection, sent.id, OWNER, NOW + 11, awaits_commitment=True)
        assert len(commitment.due(connection, "pacs", NOW + 20, 10)) == 1
    pause(folder, PACS)
    with folder.database.read() as connection:
        assert commitment.due(connection, "pacs", NOW + 20, 10) == []


def test_what_is_paused_by_itself_stays_so_when_everything_goes_on(folder: DataFolder) -> None:
    pause(folder, ANALYSIS, EVERYTHING)
    receive(folder, instance(1))
    assert resume(folder, EVERYTHING)
    assert not resume(folder, EVERYTHING)
    assert claim(folder, JobKind.ANALYSE) is None


def test_a_second_pause_of_the_same_changes_nothing(folder: DataFolder) -> None:
    pause(folder, PACS)
    with folder.database.write(Step.BY_HAND) as connection:
        assert not pauses.pause(connection, Pause(Scope.DESTINATION, "pacs", NOW + 5, "bert", "other"))
        assert pauses.all_pauses(connection) == [PACS]
    assert in_words(PACS).endswith("by anna: the PACS is updated")


def test_a_job_that_failed_can_be_given_up_and_taken_up_again(folder: DataFolder) -> None:
    receive(folder, instance(1))
    job = claimed(folder, JobKind.ANALYSE)
    with folder.database.write(Step.BY_HAND) as connection:
        assert queue.dismiss(connection, jobs, [job.id], NOW) == []
        queue.give_up(connection, jobs, job.id, OWNER, NOW, "worker_died")
        assert queue.dismiss(connection, jobs, [job.id], NOW) == [job.id]
        assert queue.retry_by_hand(connection, jobs, [job.id], NOW) == [job.id]


def test_an_answer_is_not_given_up(folder: DataFolder) -> None:
    """A film that is not analysable has its answer, and waits for nobody."""
    receive(folder, instance(1))
    job = claimed(folder, JobKind.ANALYSE)
    with folder.database.write(Step.BY_HAND) as connection:
        queue.reject(connection, jobs, job.id, OWNER, NOW, "lateral_view")
        assert queue.dismiss(connection, jobs, [job.id], NOW) == []
