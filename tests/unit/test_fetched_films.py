"""Earlier films that come: over the archive's own connection by C-MOVE, and analysed when no others wait."""

from collections.abc import Callable, Iterator

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE
from sqlalchemy import select

from config.peers import Destination, Source
from config.sections import PriorsSettings
from config.settings import Settings
from dicom_node import worker
from dicom_node.errors import AnalysisDied
from dicom_node.intake import NOT_AUTHORIZED
from dicom_node.receiver import Receiver
from inference.card import SHIPPED, load_card
from storage import fetches, ledger, queue, retention
from storage.folder import DataFolder
from storage.records import Fetch, JobKind, Receipt
from storage.schema import fetches as fetches_table
from storage.schema import jobs
from storage.states import State
from storage.steps import Step
from tests.fetches import EARLIER, arrive, fetched, film_on, outcomes
from tests.instances import NOW, OWNER, analyse, claim, report
from tests.query_archive import AE_TITLE

# What an archive sends over a connection of its own, by C-MOVE


@pytest.fixture
def send(folder: DataFolder) -> Iterator[Callable[..., int]]:
    """A receiver, and a way to send it a film as the archive does; returns its answer."""
    source = Source(name="archive", ae_title=AE_TITLE, hosts=("127.0.0.1",))  # type: ignore[arg-type]
    settings = Settings(
        sources=(source,),
        destinations=(Destination(name="archive", ae_title=AE_TITLE, host="127.0.0.1", port=104),),
        priors=PriorsSettings(archive="archive", method="move"),
        receiver={"port": 0},  # type: ignore[arg-type]
        storage={"minimum_free_megabytes": 0},  # type: ignore[arg-type]
    )
    receiver = Receiver(settings, folder, lambda: None)
    address = receiver.start()

    def sent(film: Dataset, originator: str | None = "CXR_NODE") -> int:
        entity = AE(AE_TITLE)
        entity.add_requested_context(film.SOPClassUID, film.file_meta.TransferSyntaxUID)
        association = entity.associate(*address, ae_title="CXR_NODE")
        answer = association.send_c_store(film, originator_aet=originator, originator_id=1)
        association.release()
        return int(answer.Status)

    yield sent
    receiver.stop()


def asking(folder: DataFolder) -> Fetch:
    """A fetch under way that has asked for the earlier film."""
    arrive(folder)
    with folder.database.write(Step.BY_HAND) as connection:
        fetch = queue.claim_fetch(connection, OWNER, NOW, 60.0)
        assert fetch is not None
        fetches.ask(connection, fetch, {EARLIER.SOPInstanceUID: EARLIER.StudyInstanceUID})
    return fetch


def test_what_is_moved_here_is_an_earlier_film(folder: DataFolder, send: Callable[..., int]) -> None:
    asking(folder)
    assert send(EARLIER) == 0x0000
    assert fetched(folder) == [EARLIER.SOPInstanceUID]


def test_what_is_moved_here_and_was_not_asked_for_is_refused(
    folder: DataFolder, send: Callable[..., int]
) -> None:
    asking(folder)
    assert send(film_on("20240301", "another image")) == NOT_AUTHORIZED
    assert fetched(folder) == []


def test_what_is_moved_here_after_the_fetch_has_ended_is_refused(
    folder: DataFolder, send: Callable[..., int]
) -> None:
    fetch = asking(folder)
    with folder.database.write(Step.BY_HAND) as connection:
        queue.reject(connection, fetches_table, fetch.id, OWNER, NOW, "not finished within 60 seconds")
    assert send(EARLIER) == NOT_AUTHORIZED
    assert fetched(folder) == []


@pytest.mark.parametrize("originator", [None, "WORKSTATION"])
def test_what_somebody_else_has_moved_here_is_to_be_reported(
    folder: DataFolder, send: Callable[..., int], originator: str | None
) -> None:
    assert send(EARLIER, originator) == 0x0000
    with folder.database.read() as connection:
        assert [*connection.execute(select(jobs.c.kind)).scalars()] == [JobKind.ANALYSE, JobKind.REPORT]


def test_a_film_that_arrives_queues_the_fetch_with_its_jobs(
    folder: DataFolder, send: Callable[..., int]
) -> None:
    assert send(EARLIER, None) == 0x0000
    assert outcomes(folder) == [(State.QUEUED, None, None)]


# Nothing waits for it


def test_a_fetch_that_has_not_ended_keeps_no_study_for_ever(folder: DataFolder) -> None:
    arrive(folder)
    analyse(folder)
    report(folder, [])
    removed = retention.remove_finished(folder.database, folder.objects, NOW + 1, NOW + 2)
    assert (removed, outcomes(folder)) == (1, [(State.QUEUED, None, None)])


def test_an_earlier_film_that_is_retried_by_hand_is_not_reported(folder: DataFolder) -> None:
    arrive(folder, is_prior=True)
    job = claim(folder, JobKind.ANALYSE)
    assert job is not None
    with folder.database.write(Step.BY_HAND) as connection:
        queue.give_up(connection, jobs, job.id, OWNER, NOW, "deadline_exceeded")
        assert ledger.retry_jobs(connection, [job.id], NOW) == [job.id]
    analyse(folder)
    assert claim(folder, JobKind.REPORT, NOW + 10) is None


def test_an_earlier_film_of_a_study_that_is_to_be_read_is_no_longer_only_that(folder: DataFolder) -> None:
    arrive(folder, 1, is_prior=True)
    arrive(folder, 2)
    order = [claim(folder, JobKind.ANALYSE) for _ in range(2)]
    assert [job.is_prior for job in order if job] == [False, False]


def test_an_earlier_film_is_analysed_when_no_other_waits(folder: DataFolder) -> None:
    arrive(folder, 1, is_prior=True)
    arrive(folder, 2, study_instance_uid="1.2.4")
    order = [claim(folder, JobKind.ANALYSE) for _ in range(2)]
    assert [job.is_prior for job in order if job] == [False, True]


class Hanging:
    """An analysing process in which every film hangs; what it was given is in `deadlines`."""

    engine = ""

    def __init__(self) -> None:
        self.deadlines: list[float] = []

    def ensure_started(self) -> None:
        pass

    def analyse(self, _path: object, deadline_seconds: float) -> None:
        self.deadlines.append(deadline_seconds)
        raise AnalysisDied("deadline_exceeded")


def test_an_earlier_film_that_hangs_holds_up_a_report_once_and_for_seconds(
    folder: DataFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = Hanging()
    monkeypatch.setattr(worker, "AnalysisProcess", lambda *_arguments: process)
    arrive(folder, is_prior=True, object_key=folder.objects.put(b"a film").key)
    one = worker.Worker(Settings(), folder, load_card(SHIPPED), OWNER, lambda: None, lambda: NOW)
    one.step()
    assert process.deadlines == [worker.PATIENCE_SECONDS]
    with folder.database.read() as connection:
        assert [*connection.execute(select(jobs.c.state)).scalars()] == [State.FAILED]


def test_an_earlier_film_that_hung_is_tried_again_when_it_is_sent_to_be_read(folder: DataFolder) -> None:
    arrive(folder, is_prior=True)
    job = claim(folder, JobKind.ANALYSE)
    assert job is not None
    with folder.database.write(Step.BY_HAND) as connection:
        queue.give_up(connection, jobs, job.id, OWNER, NOW, "deadline_exceeded")
    assert arrive(folder) is Receipt.NEW
    again = claim(folder, JobKind.ANALYSE)
    assert again is not None
    assert (again.attempts, again.is_prior) == (1, False)
