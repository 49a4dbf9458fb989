"""A candidate beside the model in service: both answer, one is reported, and nothing of the candidate's is harmful."""

import contextlib
import json
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from config.sections import ModelSettings
from config.settings import Settings
from dicom_node.shadow import MOST_FAILURES, Shadow
from dicom_node.worker import Worker
from inference.card import CARD_NAME, SHIPPED, WEIGHTS_NAME, load_card
from storage import views
from storage.comparison import comparisons
from storage.folder import DataFolder
from tests.builders import chest_film, encoded, write
from tests.instances import NOW, OWNER, analyse, instance, receive
from tests.peers import NodeProcess, Pacs, wait_for


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


def test_a_damaged_candidate_is_named_in_the_log_and_the_node_works_without_it(
    shadowed: NodeProcess, pacs: Pacs, candidate: Path, tmp_path: Path
) -> None:
    (candidate / WEIGHTS_NAME).write_bytes(b"not these")
    shadowed.start()
    [refused] = [line for line in shadowed.log.splitlines() if '"shadow_refused"' in line]
    assert json.loads(refused)["level"] == "error"
    assert str(candidate / WEIGHTS_NAME) in json.loads(refused)["reason"]
    film = chest_film(study="without a candidate")
    assert shadowed.send(write(film, tmp_path / "film.dcm")) == 0
    wait_for(lambda: shadowed.settled(1))
    assert pacs.results(film.StudyInstanceUID)[0]
    assert shadowed.json("shadow") == []


@pytest.fixture
def settings(candidate: Path) -> Settings:
    return Settings(model=ModelSettings(shadow=candidate))


@pytest.fixture
def shadow(folder: DataFolder, settings: Settings, candidate: Path) -> Iterator[Shadow]:
    made = Shadow(settings, folder, load_card(candidate), lambda: NOW)
    yield made
    made.close()


def writing_end(fifo: Path) -> int | None:
    """Open the end that a hanging reader waits for; None as long as there is no reader."""
    with contextlib.suppress(OSError):
        return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
    return None


def test_no_film_waits_for_a_candidate_that_hangs(
    folder: DataFolder, settings: Settings, shadow: Shadow
) -> None:
    receive(folder, instance(1, study="1.2.3"), quiet=1000.0)
    analyse(folder)
    hanging = folder.objects.path(instance(1).object_key)
    hanging.parent.mkdir(exist_ok=True)
    os.mkfifo(hanging)  # whoever opens it waits for ever
    looking = threading.Thread(target=shadow.step)
    looking.start()
    with os.fdopen(wait_for(lambda: writing_end(hanging), why="the candidate did not look"), "wb"):
        film = chest_film()
        key = folder.objects.put(encoded(film)).key
        receive(folder, instance(2, study=film.StudyInstanceUID, object_key=key), quiet=0.0)
        worker = Worker(settings, folder, load_card(SHIPPED), OWNER, lambda: None, lambda: NOW)
        worker.step()
        worker.step()
        worker.close()
        with folder.database.read() as connection:
            story = views.study(connection, film.StudyInstanceUID)
            assert comparisons(connection, 1) == []  # it hangs to this moment
    looking.join()
    [analysed], [reported] = story["instances"], story["reports"]
    assert (analysed["state"], reported["state"]) == ("done", "done")


def test_a_candidate_that_was_changed_since_the_start_is_refused_and_not_recorded(
    folder: DataFolder, shadow: Shadow, candidate: Path
) -> None:
    receive(folder, instance(1), quiet=1000.0)
    analyse(folder)
    card = json.loads((candidate / CARD_NAME).read_text(encoding="utf-8"))
    (candidate / CARD_NAME).write_text(json.dumps(card | {"version": "10"}), encoding="utf-8")
    with capture_logs() as logs:
        for _ in range(MOST_FAILURES):
            shadow.step()
    [given_up] = [each for each in logs if each["event"] == "shadow_given_up"]
    assert str(candidate) in given_up["reason"]
    assert "start the node again" in given_up["reason"]
    with folder.database.read() as connection:
        assert comparisons(connection, 1) == []
