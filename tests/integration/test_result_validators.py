"""Every object that the node sends is valid: for dciodvfy (dicom3tools) and, a document, for dsrdump (dcmtk)."""

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from config.peers import ResultKind
from dicom_node.results import as_comprehensive_sr, encode
from dicom_node.results.study import Film, StudyReading
from inference.prediction import NotAnalysable, Reason, Side
from tests.builders import NAMES, Name, chest_film
from tests.hostile_headers import CASES, Case
from tests.peers import tool
from tests.readings import LATERAL, PRIORS, film, header_of, likely, reading, results_of, uncertain, unlikely

STUDIES = {
    "likely": lambda: reading(film(likely())),
    "likely, two films flagged": lambda: reading(film(likely(), "1"), film(likely(0.7), "2", view="AP")),
    "likely, with a lateral": lambda: reading(film(likely()), film(LATERAL, view="LL")),
    "likely, film of other size and series": lambda: reading(
        film(likely(), "1"), film(uncertain(), "2", view="AP", rows=200, columns=500)
    ),
    "likely, MONOCHROME1": lambda: reading(film(likely(), photometric="MONOCHROME1")),
    "likely, without regions": lambda: reading(film(replace(likely(), regions=()))),
    "likely, CR": lambda: reading(film(likely(), kind="CR")),
    "likely, for processing": lambda: reading(film(likely(), kind="DX_PROCESSING")),
    "likely, nothing known of orientation or spacing": lambda: reading(
        film(likely(), without=["PatientOrientation", "ImagerPixelSpacing"])
    ),
    "likely, side known": lambda: reading(film(likely(side=Side.BILATERAL))),
    "uncertain": lambda: reading(film(uncertain())),
    "uncertain, two films and a lateral": lambda: reading(
        film(uncertain(0.4, side=Side.LEFT), "1"), film(uncertain(), "2"), film(LATERAL, "3", view="LL")
    ),
    "revised, uncertain": lambda: reading(film(uncertain()), revision=2),
    "unlikely": lambda: reading(film(unlikely())),
    "unlikely, two films": lambda: reading(film(unlikely(), "1"), film(unlikely(0.2), "2")),
    "not analysable": lambda: reading(film(LATERAL, view="LL")),
    "not analysable, blank": lambda: reading(film(NotAnalysable(Reason.BLANK))),
    "not analysable, no size": lambda: reading(
        film(NotAnalysable(Reason.NO_PIXELS), without=["Rows", "Columns"])
    ),
    "failed": lambda: reading(film(None)),
    "revised, likely": lambda: reading(film(likely(), "1"), film(LATERAL, "2", view="LL"), revision=2),
    "likely, with priors": lambda: reading(film(likely()), priors=PRIORS),
    "not analysable, with priors": lambda: reading(film(LATERAL, view="LL"), priors=PRIORS),
    "revised, not analysable": lambda: reading(film(LATERAL, view="LL"), revision=3),
}


def report_of(study: StudyReading) -> Dataset:
    return results_of(study, heatmap_for_negatives=True)[ResultKind.STRUCTURED_REPORT]


def written(result: Dataset, folder: Path) -> Path:
    path = folder / f"{result.SOPInstanceUID}.dcm"
    path.write_bytes(encode(result))
    return path


def errors(path: Path) -> list[str]:
    # Its messages quote values in whatever character set they are written in.
    done = subprocess.run([tool("dciodvfy"), "-new", path], capture_output=True, check=False)
    lines = (done.stdout + done.stderr).decode("utf-8", "replace").splitlines()
    assert lines, "dciodvfy said nothing, not even what it looked at"
    return [line for line in lines if line.startswith("Error")]


def complaints(path: Path) -> list[str]:
    done = subprocess.run([tool("dsrdump"), path], capture_output=True, check=False)
    lines = done.stderr.decode("utf-8", "replace").splitlines()
    return [line for line in lines if line.startswith(("E:", "F:"))] + [""] * (done.returncode != 0)


@pytest.mark.parametrize("study", STUDIES.values(), ids=STUDIES)
def test_dciodvfy_finds_no_error_in_any_result(study: Callable[[], StudyReading], tmp_path: Path) -> None:
    for result in results_of(study(), heatmap_for_negatives=True).values():
        assert errors(written(result, tmp_path)) == []


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_dciodvfy_finds_no_error_in_any_character_set(name: Name, tmp_path: Path) -> None:
    for result in results_of(reading(film(likely(), name=name))).values():
        assert errors(written(result, tmp_path)) == []


@pytest.mark.parametrize("study", STUDIES.values(), ids=STUDIES)
def test_dciodvfy_finds_no_error_in_the_report_for_older_peers(
    study: Callable[[], StudyReading], tmp_path: Path
) -> None:
    assert errors(written(as_comprehensive_sr(report_of(study())), tmp_path)) == []


@pytest.mark.parametrize("modality", ["source", "OT"])
def test_dciodvfy_finds_no_error_in_a_heatmap_of_either_modality(modality: str, tmp_path: Path) -> None:
    results = results_of(reading(film(likely())), heatmap_modality=modality)
    assert errors(written(results[ResultKind.HEATMAP], tmp_path)) == []


@pytest.mark.parametrize("study", STUDIES.values(), ids=STUDIES)
def test_dsrdump_reads_every_report_and_its_key_objects(
    study: Callable[[], StudyReading], tmp_path: Path
) -> None:
    results = results_of(study())
    report = results.pop(ResultKind.STRUCTURED_REPORT)
    for document in (report, as_comprehensive_sr(report), results.get(ResultKind.KEY_OBJECTS)):
        assert document is None or complaints(written(document, tmp_path)) == []


# Its tests are compiled from XPath that is longer than Java lets strangers' be.
PIXELMED = (
    *(f"-Djdk.xml.xpath{limit}Limit=0" for limit in ("ExprOp", "ExprGrp", "TotalOp")),
    *("-cp", "/usr/share/java/*", "com.pixelmed.validate.DicomSRValidator"),
)


@pytest.mark.parametrize(
    ("name", "kind", "template"),
    [
        ("likely, with priors", ResultKind.STRUCTURED_REPORT, "TID_1500"),
        ("uncertain", ResultKind.STRUCTURED_REPORT, "TID_1500"),
        ("unlikely", ResultKind.STRUCTURED_REPORT, "TID_1500"),
        ("not analysable, with priors", ResultKind.STRUCTURED_REPORT, "TID_1500"),
        ("revised, likely", ResultKind.STRUCTURED_REPORT, "TID_1500"),
        ("likely, two films flagged", ResultKind.KEY_OBJECTS, "TID_2010"),
    ],
)
def test_pixelmed_finds_no_error(name: str, kind: ResultKind, template: str, tmp_path: Path) -> None:
    """The validator that IHE AI Results asks for; what it does not know of TID 1500 is a warning."""
    if not Path("/usr/share/java/pixelmed.jar").exists():
        pytest.skip("optional peer missing: libpixelmed-java is not installed")
    document = written(results_of(STUDIES[name]())[kind], tmp_path)
    done = subprocess.run([tool("java"), *PIXELMED, document], capture_output=True, text=True, check=False)
    assert f"Found Root Template {template}" in done.stdout + done.stderr
    assert "IOD validation complete" in done.stdout + done.stderr
    assert [line for line in (done.stdout + done.stderr).splitlines() if "Error" in line] == []


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_is_wrong_with_a_result_was_wrong_with_its_source(case: Case, tmp_path: Path) -> None:
    header = header_of(chest_film())
    case.change(header)
    for result in results_of(reading(Film(header, likely()))).values():
        found = errors(written(result, tmp_path))
        assert [line for line in found if not any(own in line for own in case.sources_own)] == []
