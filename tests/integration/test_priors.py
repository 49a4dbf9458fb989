"""A patient's earlier films, fetched from a real archive (Orthanc) by C-GET and by C-MOVE, are in the report."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import RLELossless

from dicom_node.demo.archive import AE_TITLE as PACS_AE_TITLE
from tests.builders import chest_film, encoded, write
from tests.peers import NodeProcess, Pacs, wait_for

SETTINGS = f"""
[[sources]]
name = "slow"
ae_title = "SLOW"
hosts = ["127.0.0.1"]
study_quiet_seconds = 8.0
[[sources]]
name = "archive"
ae_title = "{PACS_AE_TITLE}"
hosts = ["127.0.0.1"]
[model]
uncertain = [0, 0]
[priors]
archive = "pacs"
"""


@pytest.fixture(params=["get", "move"])
def fetching(request: pytest.FixtureRequest, tmp_path: Path, pacs: Pacs) -> Iterator[NodeProcess]:
    """A node that fetches from the PACS, which knows where the node is."""
    node = NodeProcess(tmp_path, pacs.port, f'{SETTINGS}method = "{request.param}"')
    pacs.introduce(node)
    with node:
        yield node


def film_of(patient: str, date: str, **changes: Any) -> Dataset:
    return chest_film(
        study=f"{patient} on {date}",
        PatientID=patient,
        IssuerOfPatientID="HOSPITAL",
        PatientBirthDate="19500102",
        StudyDate=date,
        **changes,
    )


def said(report: Dataset) -> str:
    return " ".join(str(element.value) for element in report.iterall() if element.keyword == "TextValue")


def test_an_earlier_film_of_the_archive_is_in_the_report(
    fetching: NodeProcess, pacs: Pacs, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    patient = f"fetched {request.node.callspec.id}"
    earlier = film_of(patient, "20240301")
    for held in (earlier, film_of(patient, "20280301"), film_of(f"not {patient}", "20240301")):
        pacs.hold(encoded(held, RLELossless))
    film = film_of(patient, "20250301")
    assert fetching.send(write(film, tmp_path / "film.dcm"), calling="SLOW") == 0
    wait_for(lambda: pacs.results(film.StudyInstanceUID)[0], why="no report")
    [report], _ = pacs.results(film.StudyInstanceUID)
    assert "on 2024-03-01" in said(report), fetching.log
    reports, [held] = pacs.results(earlier.StudyInstanceUID)
    assert (reports, held.SOPInstanceUID) == ([], earlier.SOPInstanceUID)
    [told] = fetching.json("show", film.StudyInstanceUID)["fetches"]
    assert (told["state"], told["fetched"]) == ("done", 1)
    assert "earlier films: done, images fetched: 1" in fetching.command("show", film.StudyInstanceUID).stdout
    [story] = fetching.json("show", earlier.StudyInstanceUID)["instances"]
    assert (story["transfer_syntax_uid"], story["is_prior"]) == (RLELossless, True)
    assert "fetched as an earlier film from" in fetching.command("show", earlier.StudyInstanceUID).stdout
    assert earlier.StudyInstanceUID not in fetching.command("worklist").stdout
