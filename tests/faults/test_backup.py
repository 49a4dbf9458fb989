"""Backup while the node works, restore elsewhere: what was acknowledged before the backup is there."""

import shutil
import threading
from pathlib import Path

from tests.builders import chest_film, write
from tests.peers import NodeProcess, Pacs, wait_for


def test_a_backup_under_load_is_restored_elsewhere_and_every_result_arrives_once(
    own_node: NodeProcess, own_pacs: Pacs, tmp_path: Path
) -> None:
    films = [chest_film(study=f"backup {number}") for number in range(12)]
    paths = [write(film, tmp_path / f"{number}.dcm") for number, film in enumerate(films)]
    own_pacs.start()
    own_node.start()
    assert all(own_node.send(path) == 0 for path in paths[:4])
    wait_for(lambda: own_node.status()["deliveries"]["done"] >= 2)
    load = threading.Thread(target=lambda: [own_node.send(path) for path in paths[4:8]])
    load.start()
    backup = tmp_path / "backup"
    made = own_node.command("backup", str(backup))
    assert made.returncode == 0, made.stderr
    load.join()
    own_node.kill()
    shutil.rmtree(own_node.folder / "data")

    (tmp_path / "elsewhere").mkdir()
    with NodeProcess(tmp_path / "elsewhere", own_pacs.port, "[model]\nuncertain = [0, 0]") as restored:
        restored.stop()
        shutil.rmtree(restored.folder / "data")
        back = restored.command("restore", str(backup))
        assert back.returncode == 0, back.stderr
        assert "send again from the PACS" in back.stdout
        acknowledged = restored.json("status")["instances_received"]
        assert acknowledged >= 4
        restored.start()
        wait_for(lambda: restored.settled(acknowledged), 120)
        assert all(restored.send(path) == 0 for path in paths)  # the PACS sends what came since, and more
        wait_for(lambda: restored.settled(12), 120)
        assert restored.json("verify")["findings"] == []
        for film in films:
            assert [len(each) for each in own_pacs.results(film.StudyInstanceUID)] == [1, 1]
        assert own_pacs.count() == 24


def test_the_next_backup_copies_what_is_new_and_drops_what_is_not_needed(
    own_node: NodeProcess, own_pacs: Pacs, tmp_path: Path
) -> None:
    own_pacs.start()
    own_node.start()
    own_node.send(write(chest_film(study="first"), tmp_path / "1.dcm"))
    wait_for(lambda: own_node.settled(1))
    backup = tmp_path / "backup"
    assert "3 objects, 3 of them new" in own_node.command("backup", str(backup)).stdout
    stray = backup / "objects" / "00" / ("0" * 64 + ".dcm")
    stray.write_bytes(b"of a study that retention has removed")
    own_node.send(write(chest_film(study="second"), tmp_path / "2.dcm"))
    wait_for(lambda: own_node.settled(2))
    assert "6 objects, 3 of them new" in own_node.command("backup", str(backup)).stdout
    assert not stray.exists()
    assert own_node.json("verify", str(backup))["findings"] == []
    assert own_node.command("restore", str(backup)).returncode == 1  # the node runs


def test_a_backup_is_made_of_what_is_whole_and_a_damaged_backup_is_named(
    own_node: NodeProcess, own_pacs: Pacs, tmp_path: Path
) -> None:
    own_node.start("receive")
    for number in range(2):
        own_node.send(write(chest_film(study=f"damage {number}"), tmp_path / f"{number}.dcm"))
    own_node.stop()
    kept = sorted((own_node.folder / "data" / "objects").rglob("*.dcm"))
    whole = kept[0].read_bytes()
    kept[0].write_bytes(b"altered")
    backup = tmp_path / "backup"
    made = own_node.command("backup", str(backup))
    assert (made.returncode, "altered" in made.stdout, "1 objects" in made.stdout) == (1, True, True)
    kept[0].write_bytes(whole)
    assert own_node.command("backup", str(backup)).returncode == 0
    [damaged, _] = sorted((backup / "objects").rglob("*.dcm"))
    damaged.write_bytes(b"altered on the backup's disk")
    assert own_node.command("verify", str(backup)).returncode == 1
    shutil.rmtree(own_node.folder / "data")
    back = own_node.command("restore", str(backup))
    assert (back.returncode, "altered" in back.stdout) == (1, True)
    assert own_node.json("status")["instances_received"] == 2


def test_what_is_no_place_for_a_backup_or_a_restore_is_refused_by_name(
    own_node: NodeProcess, own_pacs: Pacs, tmp_path: Path
) -> None:
    own_node.start("receive")
    own_node.stop()
    data = own_node.folder / "data"
    assert "another disk" in own_node.command("backup", str(data)).stderr
    assert "another disk" in own_node.command("backup", str(data / "backup")).stderr
    assert "no complete backup" in own_node.command("restore", str(tmp_path / "nothing")).stderr
    assert own_node.command("backup", str(tmp_path / "backup")).returncode == 0
    assert "move it aside" in own_node.command("restore", str(tmp_path / "backup")).stderr
