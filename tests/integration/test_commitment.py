"""Storage commitment with a real archive: Orthanc promises what it keeps, and says what it has lost."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dicom_node.demo.archive import AE_TITLE as PACS_AE_TITLE
from tests.builders import chest_film, write
from tests.peers import NodeProcess, Pacs, wait_for

SETTINGS = f"""
[[sources]]
name = "pacs-itself"
ae_title = "{PACS_AE_TITLE}"
hosts = ["127.0.0.1"]
[model]
uncertain = [0, 0]
"""


@pytest.fixture
def asking(tmp_path: Path, pacs: Pacs) -> Iterator[NodeProcess]:
    """A node that asks the PACS for commitment."""
    with NodeProcess(tmp_path, pacs.port, SETTINGS, of_pacs="storage_commitment = true") as node:
        yield node


def states(node: NodeProcess, study: str) -> list[str]:
    return [each["state"] for each in deliveries(node, study)]


def deliveries(node: NodeProcess, study: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = node.json("show", study)["deliveries"]
    return found


def test_what_a_real_archive_keeps_becomes_committed(asking: NodeProcess, pacs: Pacs, tmp_path: Path) -> None:
    pacs.introduce(asking)
    film = chest_film(study="kept by the archive")
    assert asking.send(write(film, tmp_path / "film.dcm")) == 0
    study = str(film.StudyInstanceUID)
    wait_for(lambda: states(asking, study) == ["committed"] * 2, why="the PACS promised nothing")
    reports, heatmaps = pacs.results(study)
    assert (len(reports), len(heatmaps)) == (1, 1)


def test_what_a_real_archive_answered_with_success_and_lost_is_sent_again(
    asking: NodeProcess, pacs: Pacs, tmp_path: Path
) -> None:
    pacs.ask("PUT", "/modalities/node", {"AET": "ANOTHER", "Host": "127.0.0.1", "Port": asking.port})
    film = chest_film(study="lost by the archive")
    assert asking.send(write(film, tmp_path / "film.dcm")) == 0
    study = str(film.StudyInstanceUID)
    wait_for(lambda: states(asking, study) == ["delivered"] * 2)
    wait_for(lambda: all(each["reason"] for each in deliveries(asking, study)))
    [heatmap] = pacs.results(study)[1]
    [lost] = pacs.ask(
        "POST", "/tools/find", {"Level": "Instance", "Query": {"SOPInstanceUID": heatmap.SOPInstanceUID}}
    )
    pacs.ask("DELETE", f"/instances/{lost}")
    pacs.introduce(asking)
    wait_for(lambda: states(asking, study) == ["committed"] * 2, why="the lost object did not come back")
    assert [each["attempts"] for each in deliveries(asking, study)] == [1, 2]
    assert pacs.results(study)[1] == [heatmap]
