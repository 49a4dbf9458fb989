"""The README's first command: what a newcomer sees."""

import subprocess
import sys
from pathlib import Path

from pydicom import dcmread

from dicom_node.demo.archive import AE_TITLE, SmallArchive
from tests.builders import chest_film, write
from tests.peers import tool

FILMS = 11


def test_the_demonstration_shows_what_the_pacs_received_for_each_film(tmp_path: Path) -> None:
    films = tmp_path / "films"
    films.mkdir()
    write(chest_film(study="of my own"), films / "mine.dcm")
    (films / "letter.txt").write_text("no film", encoding="utf-8")
    kept = tmp_path / "kept"
    ran = subprocess.run(
        [sys.executable, "-m", "dicom_node.cli", "demo", "--images", str(films), "--keep", str(kept)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    for said in (
        "pneumonia likely",
        "pneumonia unlikely",
        "lateral view",
        "body part",
        "undecodable",
        "mine.dcm",
    ):
        assert said in ran.stdout
    folders = sorted((kept / "results").iterdir())
    assert len(folders) == FILMS + 1
    for folder in folders:
        assert len(list(folder.glob("report*.txt"))) == 1
    assert len(list((kept / "results").rglob("heatmap*.png"))) >= FILMS - 4


def test_the_small_archive_keeps_what_it_gets(tmp_path: Path) -> None:
    archive = SmallArchive(tmp_path / "archive")
    film = chest_film()
    path = write(film, tmp_path / "film.dcm")
    to = ["-aec", AE_TITLE, "127.0.0.1", str(archive.port)]
    subprocess.run([tool("echoscu"), *to], check=True)
    subprocess.run([tool("storescu"), "-R", *to, str(path)], check=True, capture_output=True)
    [kept] = archive.objects_of(film.StudyInstanceUID)
    archive.stop()
    assert kept.SOPInstanceUID == dcmread(path).SOPInstanceUID
    assert archive.objects_of("1.2.3") == []
