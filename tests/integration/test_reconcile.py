"""Proof of delivery from a real archive: what Orthanc holds, lost, or was never sent."""

import json
from datetime import datetime
from pathlib import Path

from pydicom.dataset import Dataset

from tests.builders import chest_film, encoded, made_uid, write
from tests.peers import NodeProcess, Pacs, wait_for
from tests.ports import free_port


def verdicts(node: NodeProcess, *words: str) -> tuple[int, list[str]]:
    """What the command says of each object, and its exit status."""
    ran = node.command("reconcile", *words, "--json")
    return ran.returncode, [finding["verdict"] for finding in json.loads(ran.stdout)]


def reported(node: NodeProcess, pacs: Pacs, film: Dataset, folder: Path) -> str:
    """Send a film and wait until its report and heatmap are in the archive."""
    study = str(film.StudyInstanceUID)
    pacs.introduce(node)
    assert node.send(write(film, folder / "film.dcm")) == 0
    wait_for(lambda: [each["state"] for each in node.story(study)["deliveries"]] == ["done", "done"])
    return study


def test_a_real_archive_proves_what_it_holds_and_gets_again_what_it_lost(
    node: NodeProcess, pacs: Pacs, tmp_path: Path
) -> None:
    study = reported(node, pacs, chest_film(study="proof"), tmp_path)
    assert verdicts(node, study) == (0, ["held", "held"])
    [heatmap] = pacs.results(study)[1]
    query = {"Level": "Instance", "Query": {"SOPInstanceUID": heatmap.SOPInstanceUID}}
    [lost] = pacs.ask("POST", "/tools/find", query)
    pacs.ask("DELETE", f"/instances/{lost}")
    assert verdicts(node, "ACC-77", "--heal")[0] == 1
    wait_for(lambda: pacs.results(study)[1] == [heatmap], why="the lost heatmap did not come back")
    wait_for(lambda: verdicts(node, study) == (0, ["held", "held"]))


def test_what_somebody_else_put_into_our_series_is_extra(
    node: NodeProcess, pacs: Pacs, tmp_path: Path
) -> None:
    film = chest_film(study="extra")
    study = reported(node, pacs, film, tmp_path)
    [report] = pacs.results(study)[0]
    stranger = chest_film("stranger", study="extra", SeriesInstanceUID=report.SeriesInstanceUID)
    stranger.SOPInstanceUID = made_uid("stranger")
    pacs.hold(encoded(stranger))
    assert verdicts(node, study) == (1, ["held", "held", "extra"])


def test_an_archive_that_is_down_proves_nothing(node: NodeProcess, pacs: Pacs, tmp_path: Path) -> None:
    study = reported(node, pacs, chest_film(study="down"), tmp_path)
    node.write_config(free_port())
    ran = node.command("reconcile", study)
    node.write_config(pacs.port)
    assert ran.returncode == 1
    assert "in doubt, heatmap" in ran.stdout
    assert "cannot be asked: no DICOM answer at this host and port" in ran.stdout


def test_a_day_is_proven_at_once(node: NodeProcess, pacs: Pacs, tmp_path: Path) -> None:
    study = reported(node, pacs, chest_film(study="a day"), tmp_path)
    [today] = {each["ended_at"] for each in node.json("show", study)["reports"]}
    status, found = verdicts(node, "--day", datetime.fromtimestamp(today).date().isoformat())
    assert found.count("held") >= 2
    assert status == (0 if set(found) == {"held"} else 1)
    assert verdicts(node, "--day", "2001-01-01") == (0, [])
