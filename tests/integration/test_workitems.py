"""Workitems on their whole way: from a film to the worklist of a manager of another make, and past an archive."""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.builders import NAMES, chest_film, write
from tests.peers import NodeProcess, Pacs, tool, wait_for
from tests.ports import free_port, listens

DCMJS_DIMSE = Path(__file__).parents[2] / ".peers" / "dcmjs-dimse-0.3.3" / "node_modules" / "dcmjs-dimse"
MANAGER = Path(__file__).parent / "worklist_manager" / "manager.cjs"


@dataclass
class Worklist:
    """What the manager holds, by SOP Instance UID."""

    port: int
    folder: Path

    def items(self, study: str) -> list[dict[str, Any]]:
        found = [json.loads(file.read_text(encoding="utf-8")) for file in self.folder.glob("*.json")]
        return [each for each in found if each["StudyInstanceUID"] == study]


@pytest.fixture(scope="module")
def worklist(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worklist]:
    node_js = tool("node")
    if not DCMJS_DIMSE.exists():
        pytest.skip(
            "optional peer missing: dcmjs-dimse is not in .peers (`make peers` brings it where npm is)"
        )
    made = Worklist(free_port(), tmp_path_factory.mktemp("worklist"))
    with (made.folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [node_js, str(MANAGER), str(DCMJS_DIMSE), str(made.port), str(made.folder)],
            stdout=log,
            stderr=log,
        )
    try:
        wait_for(lambda: listens(made.port) or process.poll() is not None)
        assert process.poll() is None, (made.folder / "log").read_text()
        yield made
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, pacs: Pacs, worklist: Worklist) -> Iterator[NodeProcess]:
    """A node that calls pneumonia likely on every film, with a worklist beside the PACS, which has none."""
    settings = f"""
[model]
uncertain = [0, 0]
[[destinations]]
name = "worklist"
ae_title = "WORKLIST"
host = "127.0.0.1"
port = {worklist.port}
objects = ["review_workitem"]
"""
    wanted = 'objects = ["structured_report", "review_workitem"]'
    with NodeProcess(tmp_path_factory.mktemp("node"), pacs.port, settings, wanted) as made:
        yield made


def deliveries(node: NodeProcess, study: str) -> dict[tuple[str, str], tuple[str, str | None]]:
    """The state and reason of each delivery of the study, by kind and destination."""
    return {
        (each["kind"], each["destination"]): (each["state"], each["reason"])
        for each in node.json("show", study)["deliveries"]
    }


def test_a_likely_study_is_on_the_worklist_once_and_an_archive_without_one_gets_the_rest(
    node: NodeProcess, pacs: Pacs, worklist: Worklist, tmp_path: Path
) -> None:
    name = NAMES["utf8"]
    first, late = (chest_film(key, study="review", name=name) for key in ("first", "late"))
    study = first.StudyInstanceUID
    node.send(write(first, tmp_path / "first.dcm"))
    [workitem] = wait_for(lambda: worklist.items(study))
    assert workitem["ScheduledProcedureStepPriority"] == "HIGH"
    assert workitem["ProcedureStepState"] == "SCHEDULED"
    [patient] = workitem["PatientName"]
    assert f"{patient['Alphabetic']}={patient['Ideographic']}" == name.text
    named = [each["ReferencedSOPSequence"][0] for each in workitem["InputInformationSequence"]]
    assert [each["ReferencedSOPInstanceUID"] for each in named] == [first.SOPInstanceUID]
    wait_for(lambda: pacs.results(study)[0] and node.settled(1))
    assert deliveries(node, study) == {
        ("structured_report", "pacs"): ("done", None),
        ("review_workitem", "pacs"): (
            "rejected",
            "presentation context refused: Unified Procedure Step - Push SOP Class",
        ),
        ("review_workitem", "worklist"): ("done", None),
    }
    node.send(write(late, tmp_path / "late.dcm"))
    wait_for(lambda: len(pacs.results(study)[0]) == 2)
    wait_for(lambda: node.settled(2))
    assert worklist.items(study) == [workitem]
