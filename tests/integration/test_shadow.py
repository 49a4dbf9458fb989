"""A candidate beside the model in service: both answer, one is reported, and nothing of the candidate's is harmful."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from config.settings import ModelSettings, Settings
from dicom_node.worker import Worker
from inference.card import CARD_NAME, SHIPPED, WEIGHTS_NAME, load_card
from storage import views
from storage.comparison import comparisons
from storage.folder import DataFolder
from tests.builders import chest_film, encoded, write
from tests.instances import NOW, OWNER, instance, receive
from tests.integration.conftest import NodeProcess, Pacs, wait_for


@pytest.fixture
def candidate(tmp_path: Path) -> Path:
    """The shipped network as another model: flatter scores, and all of them called unlikely."""
    bundle = Path(shutil.copytree(SHIPPED, tmp_path / "candidate"))
    card = json.loads((bundle / CARD_NAME).read_text(encoding="utf-8"))
    changes = {"name": "candidate", "version": "9", "temperature": 50.0, "threshold": 1, "uncertain": [1, 1]}
    (bundle / CARD_NAME).write_text(json.dumps(card | changes), encoding="utf-8")
    return bundle


@pytest.fixture
def shadowed(tmp_path: Path, pacs: Pacs, candidate: Path) -> Iterator[NodeProcess]:
    """A node that calls pneumonia likely on every film, with the candidate beside it."""
    (tmp_path / "node").mkdir()
    model = f'[model]\nuncertain = [0, 0]\nshadow = "{candidate}"'
    made = NodeProcess(tmp_path / "node", pacs.port, model)
    yield made
    if made.running:
        made.stop()


def test_both_answer_every_film_and_the_one_in_service_alone_is_reported(
    shadowed: NodeProcess, pacs: Pacs, tmp_path: Path
) -> None:
    shadowed.start()
    assert "no candidate" in shadowed.command("shadow").stdout
    films = [chest_film(study="in shadow"), chest_film(study="in shadow too", kind="CR")]
    lateral = chest_film(study="not in shadow", view="LL")
    for number, film in enumerate((*films, lateral)):
        assert shadowed.send(write(film, tmp_path / f"{number}.dcm")) == 0
    wait_for(lambda: shadowed.settled(3))
    for film in films:
        reports, heatmaps = pacs.results(film.StudyInstanceUID)
        assert [each.SeriesDescription.split(" (")[0] for each in (*reports, *heatmaps)] == [
            "PNEUMONIA LIKELY"
        ] * 2
        assert "candidate" not in str(reports[0])
        assert "candidate" not in json.dumps(shadowed.json("show", film.StudyInstanceUID))
    wait_for(lambda: sum(row["films"] for each in shadowed.json("shadow") for row in each["answers"]) == 2)
    [comparison] = shadowed.json("shadow")
    assert (comparison["name"], comparison["version"]) == ("candidate", "9")
    assert comparison["answers"] == [{"in_service": "likely", "in_shadow": "unlikely", "films": 2}]
    assert comparison["unanswered"] == []
    uids = {each["sop_instance_uid"] for each in comparison["disagreements"]}
    assert uids == {film.SOPInstanceUID for film in films}
    for each in comparison["disagreements"]:
        assert each["in_service_score"] != each["in_shadow_score"]
    said = shadowed.command("shadow").stdout
    assert "candidate 9" in said
    assert "2 films answered by both, the same answer to 0 (0.0%)" in said
    assert films[0].SOPInstanceUID in said


def test_the_node_does_not_start_with_a_damaged_candidate_and_says_which(
    shadowed: NodeProcess, candidate: Path
) -> None:
    (candidate / WEIGHTS_NAME).write_bytes(b"not these")
    ran = shadowed.command("run")
    assert ran.returncode == 1
    [sentence] = [line for line in ran.stderr.splitlines() if not line.startswith("{")]
    assert str(candidate / WEIGHTS_NAME) in sentence
    assert "[model]" in sentence


@pytest.fixture
def worker(folder: DataFolder, candidate: Path) -> Iterator[Callable[..., Worker]]:
    made: list[Worker] = []

    def make(**model: object) -> Worker:
        settings = Settings(model=ModelSettings(shadow=candidate, **model))  # type: ignore[arg-type]
        cards = load_card(SHIPPED), load_card(candidate)
        made.append(Worker(settings, folder, *cards, OWNER, lambda: None, lambda: NOW))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_a_candidate_that_cannot_be_loaded_any_more_keeps_no_film_from_its_report(
    folder: DataFolder, worker: Callable[..., Worker], candidate: Path
) -> None:
    one = worker()
    (candidate / WEIGHTS_NAME).unlink()
    assert answered(folder, one) == ("done", "done", "ModelDamaged")


def test_a_candidate_that_hangs_is_killed_and_keeps_no_film_from_its_report(
    folder: DataFolder, worker: Callable[..., Worker], candidate: Path
) -> None:
    one = worker(deadline_seconds=3.0)
    (candidate / WEIGHTS_NAME).unlink()
    os.mkfifo(candidate / WEIGHTS_NAME)  # whoever opens it waits for ever
    assert answered(folder, one) == ("done", "done", "deadline_exceeded")


def answered(folder: DataFolder, one: Worker) -> tuple[str, str, str]:
    """Let the worker analyse and report a film; return how both ended, and why the candidate gave no answer."""
    film = chest_film()
    key = folder.objects.put(encoded(film)).key
    receive(folder, instance(1, study=film.StudyInstanceUID, object_key=key), quiet=0.0)
    one.step()
    one.step()
    with folder.database.read() as connection:
        story = views.study(connection, film.StudyInstanceUID)
        [comparison] = comparisons(connection, 1)
    [analysed], [reported] = story["instances"], story["reports"]
    assert analysed["score"] is not None
    assert comparison["answers"] == []
    [unanswered] = comparison["unanswered"]
    assert unanswered["films"] == 1
    return analysed["state"], reported["state"], unanswered["reason"]
