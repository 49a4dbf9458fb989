"""Objects that the disk has lost or altered: found, named, and healed by sending them again."""

from pathlib import Path

from tests.builders import chest_film, write
from tests.peers import NodeProcess, Pacs, wait_for


def object_of(node: NodeProcess, study: str, what: str) -> Path:
    """Where the node keeps the study's first object, of its `instances` or its `deliveries`."""
    key = node.json("show", study)[what][0]["object_key"]
    return node.folder / "data" / "objects" / key[:2] / f"{key}.dcm"


def test_all_is_well_beside_a_running_node(node: NodeProcess, pacs: Pacs, tmp_path: Path) -> None:
    film = chest_film(study="well")
    node.send(write(film, tmp_path / "film.dcm"))
    wait_for(lambda: pacs.results(film.StudyInstanceUID)[0])
    wait_for(lambda: node.settled(1))
    found = node.json("verify")
    assert (found["findings"], found["objects"] >= 3) == ([], True)


def test_a_lost_image_is_named_with_its_mend_and_sending_it_again_heals_it(
    own_node: NodeProcess, own_pacs: Pacs, tmp_path: Path
) -> None:
    own_pacs.start()
    own_node.start("receive")
    film = chest_film(study="lost", AccessionNumber="ACC-LOST")
    path = write(film, tmp_path / "film.dcm")
    assert own_node.send(path) == 0
    own_node.stop()
    kept = object_of(own_node, "ACC-LOST", "instances")
    kept.write_bytes(kept.read_bytes()[:-1] + b"?")
    said = own_node.command("verify")
    assert said.returncode == 1
    assert all(
        word in said.stdout for word in ("altered", "ACC-LOST", film.StudyInstanceUID, "send the image again")
    )
    own_node.start()
    wait_for(lambda: own_node.status()["waiting_for_a_person"] == 2)
    assert {job["reason"] for job in own_node.json("jobs", "--for-a-person")} == {"object_missing"}
    assert own_node.send(path) == 0
    wait_for(lambda: own_pacs.results(film.StudyInstanceUID)[0])
    wait_for(lambda: own_node.settled(1))
    assert own_node.json("verify")["findings"] == []
    assert own_node.json("status")["waiting_for_a_person"] == 0


def test_a_lost_image_is_healed_by_the_archives_copy_in_another_encoding(
    own_node: NodeProcess, own_pacs: Pacs, tmp_path: Path
) -> None:
    own_pacs.start()
    own_node.start("receive")
    film = chest_film(study="encoded anew")
    path = write(film, tmp_path / "film.dcm")
    assert own_node.send(path) == 0
    own_node.stop()
    object_of(own_node, film.StudyInstanceUID, "instances").unlink()
    own_node.start()
    wait_for(lambda: own_node.status()["waiting_for_a_person"] == 2)
    assert own_node.send(path, options="-xi") == 0
    wait_for(lambda: own_pacs.results(film.StudyInstanceUID)[0])
    wait_for(lambda: own_node.settled(1))
    assert own_node.json("verify")["findings"] == []
    assert own_node.json("status")["waiting_for_a_person"] == 0


def test_a_lost_result_is_never_sent_and_a_further_report_takes_its_place(
    own_node: NodeProcess, own_pacs: Pacs, tmp_path: Path
) -> None:
    own_node.start("receive", "analyse")
    film = chest_film(study="lost result", AccessionNumber="ACC-RESULT")
    own_node.send(write(film, tmp_path / "film.dcm"))
    wait_for(lambda: own_node.status()["deliveries"]["queued"] == 2)
    own_node.stop()
    lost = object_of(own_node, "ACC-RESULT", "deliveries")
    lost.write_bytes(b"something else")
    assert "a further report" in own_node.command("verify").stdout
    own_pacs.start()
    own_node.start()
    wait_for(lambda: own_node.status()["deliveries"]["done"] == 3)
    [failed] = own_node.json("jobs", "--for-a-person")
    assert (failed["reason"], failed["revision"]) == ("object_missing", 1)
    reports = own_pacs.objects(film.StudyInstanceUID)
    assert [each for each in reports if each.Modality == "SR"]
    assert own_node.command("dismiss", failed["id"]).returncode == 0
    assert own_node.json("status")["waiting_for_a_person"] == 0
    assert own_node.json("verify")["findings"] == []
