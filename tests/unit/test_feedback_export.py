"""Films with a verdict become a folder that training reads, and nobody is on both sides of it."""

import argparse
import csv
import json
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import dcmread

from dicom_node import feedback_export
from dicom_node.errors import ExportRefused
from dicom_node.feedback_export import Exported, export, is_for_test
from inference.card import SHIPPED
from inference.films.data import read_films
from inference.training import train as train_command
from storage import audit, ledger
from storage.folder import DataFolder
from storage.records import JobKind
from storage.steps import Step
from storage.verdicts import FINAL_REPORT, Region, Verdict
from tests.builders import PATIENT_DATA, chest_film, encoded
from tests.instances import NOW, OWNER, PREDICTION, claimed, instance, receive
from tests.unit.test_verdicts import AGREE, CANNOT_TELL, DISAGREE, say


def film(
    folder: DataFolder,
    study: str,
    verdict: Verdict | None = None,
    *,
    answer: str = "likely",
    patient: str = "P1",
    number: int = 1,
    side: int = 64,
) -> str:
    """Receive and answer a real film of a study; return its object's key."""
    made = chest_film(f"{number}", study=study, rows=side, columns=side, opacity=answer == "likely")
    content = encoded(made)
    key = folder.objects.put(content).key
    receive(folder, instance(number, study, object_key=key, patient_id=patient))
    job = claimed(folder, JobKind.ANALYSE, NOW + 1)
    with folder.database.write(Step.BY_HAND) as connection:
        ledger.predicted(connection, job, OWNER, replace(PREDICTION, answer=answer), NOW + 1)
    if verdict is not None:
        say(folder, study, verdict)
    return key


def lines(target: Path) -> dict[str, dict[str, str]]:
    """The manifest by the key of each film."""
    with (target / "manifest.csv").open(newline="", encoding="utf-8") as file:
        return {Path(line["file"]).stem: line for line in csv.DictReader(file)}


def test_every_film_of_a_study_whose_truth_is_known_is_there_with_its_label(
    folder: DataFolder, tmp_path: Path
) -> None:
    ill = film(folder, "1.1", AGREE)
    also_ill = film(folder, "1.1", number=2)
    well = film(folder, "1.2", DISAGREE)
    missed = film(folder, "1.3", DISAGREE, answer="unlikely")
    film(folder, "1.4", CANNOT_TELL)
    film(folder, "1.5")
    film(folder, "1.6", AGREE)
    say(folder, "1.6", DISAGREE, FINAL_REPORT)
    made = export(folder, tmp_path / "films", "ada")
    assert made == Exported(positive=3, negative=1, patients=1, removed=0)
    labels = {key: line["label"] for key, line in lines(tmp_path / "films").items()}
    assert labels == {ill: "pneumonia", also_ill: "pneumonia", missed: "pneumonia", well: "normal"}
    by_name = {each.path.stem: each for each in read_films(tmp_path / "films")}
    assert {key: each.positive for key, each in by_name.items()} == {
        ill: True,
        also_ill: True,
        missed: True,
        well: False,
    }


def test_what_was_drawn_on_a_film_with_pneumonia_are_its_boxes(folder: DataFolder, tmp_path: Path) -> None:
    ill, well = film(folder, "1.1", number=1), film(folder, "1.2", number=1)
    say(folder, "1.1", AGREE, region=Region("1.1.1", 3, 4, 13, 24))
    say(folder, "1.1", AGREE, "rita", region=Region("1.1.1", 5, 6, 7, 8))
    say(folder, "1.2", DISAGREE, region=Region("1.2.1", 3, 4, 13, 24))
    export(folder, tmp_path / "films", "ada")
    boxes = {each.path.stem: each.boxes for each in read_films(tmp_path / "films")}
    assert boxes == {ill: ((3, 4, 13, 24), (5, 6, 7, 8)), well: ()}


def test_files_are_links_to_what_was_received_and_tell_nothing_but_by_their_headers(
    folder: DataFolder, tmp_path: Path
) -> None:
    key = film(folder, "1.1", AGREE, patient="MRN-000123")
    target = tmp_path / "films"
    export(folder, target, "ada")
    file = target / "films" / f"{key}.dcm"
    assert file.samefile(folder.objects.path(key))
    assert stat.S_IMODE(target.stat().st_mode) == 0o700
    told = (target / "manifest.csv").read_text() + "".join(map(str, target.rglob("*")))
    assert not [each for each in PATIENT_DATA if each in told]
    assert dcmread(file).PatientID == "MRN-000123"


def test_on_another_disk_files_are_copies(
    folder: DataFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = film(folder, "1.1", AGREE)

    def link(_source: Path, _target: Path) -> None:
        raise OSError(18, os.strerror(18))

    monkeypatch.setattr(feedback_export.os, "link", link)
    export(folder, tmp_path / "films", "ada")
    file = tmp_path / "films" / "films" / f"{key}.dcm"
    assert file.read_bytes() == folder.objects.read(key)
    assert not file.samefile(folder.objects.path(key))


def test_a_patient_is_in_one_part_and_stays_there(folder: DataFolder, tmp_path: Path) -> None:
    for number in range(30):
        film(folder, f"1.{number}", AGREE, patient=f"P{number // 2}")
    film(folder, "2.1", AGREE, patient="")
    film(folder, "2.2", AGREE, patient="")
    export(folder, tmp_path / "first", "ada")
    first = lines(tmp_path / "first")
    parts: dict[str, set[str]] = {}
    for line in first.values():
        parts.setdefault(line["patient"], set()).add(line["split"])
    assert len(parts) == 17  # nobody knows whether those without an ID are one
    assert all(len(part) == 1 for part in parts.values())
    assert {"train"} in parts.values()
    film(folder, "3.1", AGREE, patient="P99")
    film(folder, "3.2", AGREE, patient="P0")
    export(folder, tmp_path / "second", "ada")
    second = lines(tmp_path / "second")
    assert {key: second[key] for key in first} == first
    sides = {(each.patient, each.test, each.validation) for each in read_films(tmp_path / "second")}
    assert len(sides) == len({patient for patient, _, _ in sides}) == 18


def test_a_fifth_of_the_patients_is_for_test() -> None:
    assert sum(map(is_for_test, range(10_000))) == pytest.approx(2000, abs=150)


def test_what_retention_has_removed_is_counted_and_left_out(folder: DataFolder, tmp_path: Path) -> None:
    film(folder, "1.1", AGREE)
    gone = film(folder, "1.2", AGREE)
    folder.objects.remove(gone)
    assert export(folder, tmp_path / "films", "ada") == Exported(1, 0, 1, 1)
    assert gone not in lines(tmp_path / "films")


def test_a_folder_that_holds_something_is_left_as_it_is(folder: DataFolder, tmp_path: Path) -> None:
    film(folder, "1.1", AGREE)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").touch()
    with pytest.raises(ExportRefused, match="is not empty"):
        export(folder, tmp_path / "full", "ada")
    with pytest.raises(ExportRefused, match="cannot be written"):
        export(folder, tmp_path / "full" / "thesis.txt" / "below", "ada")
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["thesis.txt"]


def test_the_audit_trail_says_whose_films_went_and_by_whom(folder: DataFolder, tmp_path: Path) -> None:
    film(folder, "1.1", AGREE)
    film(folder, "1.1", number=2)
    export(folder, tmp_path / "films", "ada")
    with folder.database.read() as connection:
        [record] = audit.latest(connection, "study_exported")
    assert record.detail == {"study_instance_uid": "1.1", "count": 2, "user": "ada"}


def test_training_starts_from_the_shipped_bundle_on_an_export(folder: DataFolder, tmp_path: Path) -> None:
    for number in range(16):
        answer = "likely" if number % 2 else "unlikely"
        film(folder, f"1.{number}", AGREE, answer=answer, patient=f"P{number}", side=160)
    export(folder, tmp_path / "films", "ada")
    parser = argparse.ArgumentParser()
    train_command.add_arguments(parser)
    words = [str(tmp_path / "films"), "--from", str(SHIPPED), "--out", str(tmp_path / "new")]
    short = ["--epochs", "1", "--films-per-epoch", "8"]
    assert train_command.run(parser.parse_args([*words, *short])) == 0
    card = json.loads((tmp_path / "new" / "card.json").read_text())
    assert "adaptation" in card["training"]
