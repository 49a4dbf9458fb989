"""Whatever an archive does that is asked for earlier films, a study's own report is out, and no other is."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset

from tests.builders import write
from tests.integration.test_priors import film_of, said
from tests.peers import NodeProcess, Pacs, wait_for
from tests.query_archive import AE_TITLE, Answers, QueryArchive, as_archived

SETTINGS = """
[[sources]]
name = "slow"
ae_title = "SLOW"
hosts = ["127.0.0.1"]
study_quiet_seconds = 3.0
[[destinations]]
name = "archive"
ae_title = "{title}"
host = "127.0.0.1"
port = {port}
[model]
uncertain = [0, 0]
[priors]
archive = "archive"
"""


@pytest.fixture(scope="module")
def archive() -> QueryArchive:
    return QueryArchive()


@pytest.fixture(scope="module")
def asking(
    tmp_path_factory: pytest.TempPathFactory, pacs: Pacs, archive: QueryArchive
) -> Iterator[NodeProcess]:
    """A node with the PACS, and with the archive that is asked."""
    settings = SETTINGS.format(title=AE_TITLE, port=archive.port)
    with NodeProcess(tmp_path_factory.mktemp("asking"), pacs.port, settings) as node:
        yield node


class Patient:
    """A patient of one test: the earlier film is in the archive, today's comes to the node."""

    def __init__(self, name: str, node: NodeProcess, pacs: Pacs, folder: Path) -> None:
        self.earlier = as_archived(film_of(name, "20240301"))
        self._film = film_of(name, "20250301")
        self._node = node
        self._pacs = pacs
        self._folder = folder

    def report(self) -> str:
        """Send today's film and return what its report says."""
        assert self._node.send(write(self._film, self._folder / "film.dcm"), calling="SLOW") == 0
        study = self._film.StudyInstanceUID
        wait_for(lambda: self._pacs.results(study)[0], why="no report")
        [report], _ = self._pacs.results(study)
        assert self._pacs.results(self.earlier.StudyInstanceUID) == ([], [])
        return said(report)

    def fetch(self) -> dict[str, Any]:
        [told] = self._node.json("show", self._film.StudyInstanceUID)["fetches"]
        return dict(told)

    def ended(self) -> tuple[str, str | None]:
        """State and reason of the fetch when it has ended."""
        wait_for(lambda: self.fetch()["ended_at"] is not None, why="the fetch did not end")
        told = self.fetch()
        assert self._pacs.results(self.earlier.StudyInstanceUID) == ([], [])
        return told["state"], told["reason"]


@pytest.fixture
def patient(
    request: pytest.FixtureRequest,
    asking: NodeProcess,
    pacs: Pacs,
    archive: QueryArchive,
    tmp_path: Path,
) -> Patient:
    made = Patient(request.node.name, asking, pacs, tmp_path)
    archive.films, archive.wanted = [made.earlier], []
    return made


def test_on_a_good_day_the_report_compares(patient: Patient, archive: QueryArchive) -> None:
    with archive.listening():
        assert "on 2024-03-01" in patient.report()
        assert patient.ended() == ("done", None)


def test_an_archive_that_is_down(patient: Patient) -> None:
    assert "Comparison" not in patient.report()
    assert patient.ended() == ("rejected", "no DICOM answer at this host and port")


def test_an_archive_that_does_not_let_itself_be_asked(patient: Patient, archive: QueryArchive) -> None:
    with archive.listening(classes=()):
        assert "Comparison" not in patient.report()
        state, reason = patient.ended()
    assert (state, reason) == ("rejected", "presentation context refused: Study Root C-FIND")


def test_an_archive_that_never_answers(patient: Patient, archive: QueryArchive) -> None:
    is_over = threading.Event()

    def silent(asked: Dataset) -> Answers:
        is_over.wait(60)
        yield from archive.find(asked)

    with archive.listening(find=silent):
        assert "Comparison" not in patient.report()
        assert patient.fetch()["state"] == "running"
        is_over.set()
        assert patient.ended() == ("done", None)


def _endless(archive: QueryArchive) -> Callable[[Dataset], Answers]:
    def find(asked: Dataset) -> Answers:
        while True:
            yield from archive.find(asked)

    return find


def test_an_archive_that_answers_without_end(patient: Patient, archive: QueryArchive) -> None:
    with archive.listening(find=_endless(archive)):
        assert "Comparison" not in patient.report()
        assert patient.ended() == ("rejected", "C-FIND has more than 1000 answers")


def test_an_archive_that_answers_with_another_patient(patient: Patient, archive: QueryArchive) -> None:
    archive.films = [as_archived(film_of("somebody else", "20240301"))]
    with archive.listening():
        assert "Comparison" not in patient.report()
        state, reason = patient.ended()
    assert (state, reason) == (
        "rejected",
        "no answer to C-FIND is of a patient with this ID, issuer and birth date",
    )
    assert not archive.wanted


def test_an_archive_that_sends_what_was_not_asked_for(patient: Patient, archive: QueryArchive) -> None:
    other = as_archived(film_of("somebody else", "20240301"))
    with archive.listening(get=lambda _asked: [other]):
        assert "Comparison" not in patient.report()
        state, reason = patient.ended()
    assert (state, "1 of 1 images did not come" in str(reason)) == ("rejected", True)


def test_an_archive_that_sends_what_cannot_be_decoded(patient: Patient, archive: QueryArchive) -> None:
    patient.earlier.PixelData = patient.earlier.PixelData[:100]
    with archive.listening():
        assert "Comparison" not in patient.report()
        assert patient.ended() == ("done", None)
