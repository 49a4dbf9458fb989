"""Pictures that hang, eat memory, crash or fork in the decoder: they fail, visibly, and no other waits for them."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset

from storage import views
from storage.folder import DataFolder
from tests.builders import chest_film, write
from tests.faults.poisoned_node import POISONS
from tests.peers import NodeProcess, Pacs, wait_for

POISONED = "tests.faults.poisoned_node"
PATIENT = "[model]\nuncertain = [0, 0]\ndeadline_seconds = 600\n"
"""What hangs, hangs until the end of the test."""
HURRIED = "[model]\nuncertain = [0, 0]\ndeadline_seconds = 6\n"
ATTEMPTS = 2
REASONS = {
    "HANG": "deadline_exceeded",
    "EAT": "MemoryError",
    "CRASH": "worker_died",
    "FORK": "deadline_exceeded",
}
UNDER_LOAD_SECONDS = 240.0  # a child is started for each poison, on a machine that runs other tests


@pytest.fixture
def poisoned(tmp_path: Path, own_pacs: Pacs) -> Iterator[NodeProcess]:
    (tmp_path / "node").mkdir()
    made = NodeProcess(tmp_path / "node", own_pacs.port, PATIENT)
    set_model(made, own_pacs, PATIENT)
    yield made
    if made.running:
        made.stop()


def set_model(node: NodeProcess, pacs: Pacs, model: str) -> None:
    node._settings = model
    node.write_config(pacs.port)
    text = node.config.read_text(encoding="utf-8")
    retry = f"[retry]\nanalyse_attempts = {ATTEMPTS}\nanalyse_first_seconds = 0.2"
    node.config.write_text(text.replace("[retry]", retry), encoding="utf-8")


def poison(what: str, study: str = "") -> Dataset:
    return chest_film(key=what, study=study or f"poison {what}", SeriesDescription=what)


def story(node: NodeProcess, film: Dataset) -> dict[str, Any]:
    """Return what `dicom-node show` tells of the film's study, without starting a process for it."""
    folder = DataFolder.existing(node.folder / "data")
    with folder.database.read() as connection:
        found = views.study(connection, film.StudyInstanceUID)
    folder.close()
    return found


def state_of(node: NodeProcess, film: Dataset) -> tuple[str, str | None, int]:
    """Return state, reason and attempts of a film's analysis."""
    instances = story(node, film)["instances"]
    [found] = [each for each in instances if each["sop_instance_uid"] == film.SOPInstanceUID]
    return found["state"], found["reason"], found["attempts"]


def reported(node: NodeProcess, film: Dataset) -> bool:
    return [each["state"] for each in story(node, film)["reports"]] == ["done"]


def analysing(node: NodeProcess) -> set[int]:
    """Return the analysing processes of this node, and what these have started, that still run."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:  # it has just ended
            continue
        if b"analyse" in words and os.fsencode(node.config) in words:
            found.add(int(folder.name))
    return found


def test_others_are_reported_while_poisonous_images_hang_and_those_fail_after_their_attempts(
    poisoned: NodeProcess, own_pacs: Pacs, tmp_path: Path
) -> None:
    own_pacs.start()
    poisoned.launch(POISONED)
    bad = {what: poison(what) for what in POISONS}
    good = [chest_film(study=f"good {number}") for number in range(len(bad) + 1)]
    beside = chest_film(study=bad["CRASH"].StudyInstanceUID)
    beside.StudyInstanceUID = bad["CRASH"].StudyInstanceUID
    stream = [good[0], *(film for pair in zip(bad.values(), good[1:], strict=True) for film in pair), beside]
    for number, film in enumerate(stream):
        assert poisoned.send(write(film, tmp_path / f"{number}.dcm")) == 0
    wait_for(lambda: all(reported(poisoned, film) for film in good), UNDER_LOAD_SECONDS)
    for film in (bad["HANG"], bad["FORK"]):
        assert state_of(poisoned, film)[0] in ("queued", "running")
    for film in good:
        assert [len(each) for each in wait_for(lambda: complete(own_pacs, film))] == [1, 1]  # noqa: B023
    for pid in analysing(poisoned):
        assert Path(f"/proc/{pid}/oom_score_adj").read_text(encoding="ascii") == "1000\n"

    hanging = wait_for(lambda: [film for film in bad.values() if state_of(poisoned, film)[0] == "running"])
    before = [state_of(poisoned, film)[2] for film in hanging]
    assert poisoned.stop() == 0
    assert analysing(poisoned) == set()
    assert [state_of(poisoned, film) for film in hanging] == [
        ("queued", "node_stopped", attempts - 1) for attempts in before
    ]

    set_model(poisoned, own_pacs, HURRIED)
    poisoned.launch(POISONED)
    for what, film in bad.items():
        wait_for(lambda: state_of(poisoned, film)[0] == "failed", UNDER_LOAD_SECONDS)  # noqa: B023
        assert state_of(poisoned, film)[:2] == ("failed", REASONS[what])
        wait_for(lambda: reported(poisoned, film))  # noqa: B023
    wait_for(lambda: poisoned.settled(len(stream)))
    waiting = poisoned.json("jobs", "--for-a-person")
    assert sorted(row["reason"] for row in waiting) == sorted(REASONS.values())
    shown = poisoned.command("show", bad["HANG"].StudyInstanceUID).stdout
    assert "deadline_exceeded" in shown
    for film in bad.values():
        [report], heatmaps = own_pacs.results(film.StudyInstanceUID)
        # what could be analysed of a study is told; a study without any is called not analysable
        assert bool(heatmaps) == (film is bad["CRASH"])
        assert report.SeriesDescription.startswith("PNEUMONIA LIKELY" if heatmaps else "Not analysable")
    poisoned.stop()
    assert analysing(poisoned) == set()


def complete(pacs: Pacs, film: Dataset) -> tuple[list[Dataset], list[Dataset]] | None:
    results = pacs.results(film.StudyInstanceUID)
    return results if all(results) else None


def test_what_hangs_does_not_outlive_a_node_that_is_killed(poisoned: NodeProcess, tmp_path: Path) -> None:
    poisoned.launch(POISONED)
    film = poison("HANG")
    assert poisoned.send(write(film, tmp_path / "film.dcm")) == 0
    wait_for(lambda: state_of(poisoned, film)[0] == "running" and len(analysing(poisoned)) == 2)
    poisoned.kill()
    wait_for(lambda: analysing(poisoned) == set())
